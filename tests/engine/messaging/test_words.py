"""What a retailer's words mean, and what is said back."""

import re

import pytest
from tests.engine.grievances.conftest import NOW

from altcredit.engine import consent
from altcredit.engine.messaging import TEXTS, Language, read, say, template
from altcredit.engine.messaging.inbound import Inbound, understood
from altcredit.engine.messaging.outgoing import MAX_TEXT, MAX_TITLE
from altcredit.engine.messaging.wording import numbered, places


def meaning(text: str) -> tuple[str, str]:
    found = understood(Inbound(wamid="w", phone="919812345678", written_at=NOW, kind="text", text=text))
    return found.intent, found.rest


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("STOP", "stop"), ("stop!", "stop"), ("  Stop  ", "stop"), ("रोकें", "stop"), ("रोकें।", "stop"), ("STOP ALL now", "stop"),
        ("बंद करें", "stop"), ("बंद करो।", "stop"), ("स्टॉप", "stop"), ("Band karo", "stop"), ("रुकिए", "stop"), ("HINDI", "hindi"), ("हिंदी", "hindi"), ("हिन्दी", "hindi"), ("English", "english"),
        ("MY SCORE", "score"), ("my  score?", "score"), ("मेरा स्कोर", "score"), ("HELP", "help"), ("", "help"),
        ("how is the weather", "help"), ("stopping by your shop tomorrow", "help"),
        ("please do not stop sending me the goods", "help"),
    ],
)  # fmt: skip
def test_words_mean_what_they_say(text: str, intent: str) -> None:
    assert meaning(text)[0] == intent


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("GRIEVANCE my bills are wrong", "my bills are wrong"),
        ("grievance: My Bills, are wrong!", "My Bills, are wrong!"),
        ("शिकायत मेरे भुगतान", "मेरे भुगतान"),
        ("GRIEVANCE", ""),
        ("Complaint 2 late", "2 late"),
    ],
)
def test_a_grievance_keeps_its_words_as_they_were_written(text: str, rest: str) -> None:
    assert meaning(text) == ("grievance", rest)


@pytest.mark.parametrize("key", TEXTS)
def test_a_text_has_the_same_places_in_both_languages(key: str) -> None:
    text = TEXTS[key]
    assert set(places(text.en)) == set(places(text.hi))
    assert any("\u0900" <= char <= "\u097f" for char in text.hi)
    assert not re.search("[\u0900-\u097f]", text.en) or key in ("yes", "no", "help")


@pytest.mark.parametrize("key", [key for key, text in TEXTS.items() if text.template and not text.copies])
@pytest.mark.parametrize("language", ["en", "hi"])
def test_a_template_fills_the_very_text_that_is_sent_freely(key: str, language: Language) -> None:
    text = TEXTS[key].of(language)
    values = {name: f"<{name}>" for name in places(text)}
    approved = template(key, language, tuple("x" for _ in TEXTS[key].buttons), **values)
    assert approved is not None
    filled = numbered(text)
    for at, value in enumerate(approved.values, start=1):
        filled = filled.replace(f"{{{{{at}}}}}", value)
    assert filled == say(key, language, **values)


def test_buttons_fit_and_say_what_the_notice_calls_them() -> None:
    titles = {key: (TEXTS[key].en, TEXTS[key].hi) for key in ("agree", "decline", "more", "yes", "no", "show", "copy")}
    assert all(0 < len(title) <= MAX_TITLE for pair in titles.values() for title in pair)
    assert titles["agree"] == ("I agree", "सहमत हूँ")
    assert titles["decline"] == ("No", "नहीं")
    assert titles["more"] == ("More", "और जानें")
    assert titles["yes"] == ("Yes / हाँ", "Yes / हाँ")
    assert titles["no"] == ("No / नहीं", "No / नहीं")


def test_every_word_that_a_text_tells_to_write_is_understood() -> None:
    told = {
        "MY SCORE": "score", "मेरा स्कोर": "score", "STOP": "stop", "रोकें": "stop", "HELP": "help", "HINDI": "hindi",
        "ENGLISH": "english", "GRIEVANCE x": "grievance", "शिकायत x": "grievance",
    }  # fmt: skip
    assert {words: meaning(words)[0] for words in told} == told
    said = " ".join(text for one in TEXTS.values() for text in (one.en, one.hi))
    assert all(words.removesuffix(" x") in said for words in told)


def test_a_text_that_is_too_long_is_cut_within_a_message() -> None:
    cut = say("score", "hi", shop="x", day="d", altscore=700, band="B", reasons="🏪" * 4_096)
    assert consent.length(cut) <= MAX_TEXT
    assert cut.endswith("🏪…")


def test_webhooks_of_another_number_are_passed_over() -> None:
    message = {
        "from": "919812345678",
        "id": "wamid.1",
        "timestamp": "1779264000",
        "type": "text",
        "text": {"body": "STOP"},
    }
    value = {"metadata": {"phone_number_id": "1064"}, "messages": [message]}
    document = {"entry": [{"changes": [{"value": value}]}]}
    assert (
        len(read(document, phone_number_id="1064").messages) == len(read(document, phone_number_id=None).messages) == 1
    )
    assert read(document, phone_number_id="1065").messages == ()
