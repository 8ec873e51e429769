"""What a retailer's words mean, and what is said back."""

import pytest
from tests.engine.grievances.conftest import NOW

from altcredit.engine import consent
from altcredit.engine.messaging import TEXTS, Language, read, say, template
from altcredit.engine.messaging.inbound import Inbound, understood
from altcredit.engine.messaging.outgoing import MAX_FOOTER, MAX_TITLE
from altcredit.engine.messaging.wording import numbered, places


def meaning(text: str) -> tuple[str, str]:
    found = understood(Inbound(wamid="w", phone="919812345678", written_at=NOW, kind="text", text=text))
    return found.intent, found.rest


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("STOP", "stop"), ("stop!", "stop"), ("  Stop  ", "stop"), ("रोकें", "stop"), ("रोकें।", "stop"), ("STOP ALL now", "stop"),
        ("बंद करें", "stop"), ("HINDI", "hindi"), ("हिंदी", "hindi"), ("हिन्दी", "hindi"), ("English", "english"),
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
    assert text.en.isascii() or key in ("footer", "help", "information")


@pytest.mark.parametrize("key", [key for key, text in TEXTS.items() if text.template])
@pytest.mark.parametrize("language", ["en", "hi"])
def test_a_template_fills_the_very_text_that_is_sent_freely(key: str, language: Language) -> None:
    text = TEXTS[key].of(language)
    values = {name: f"<{name}>" for name in places(text)}
    approved = template(key, language, **values)
    assert approved is not None
    filled = numbered(text)
    for at, value in enumerate(approved.values, start=1):
        filled = filled.replace(f"{{{{{at}}}}}", value)
    assert filled == say(key, language, **values)
    # WhatsApp takes no template that begins or ends with a place.
    assert not numbered(text).startswith("{{")
    assert not numbered(text).endswith("}}")


@pytest.mark.parametrize("language", ["en", "hi"])
@pytest.mark.parametrize("purpose", ["working_capital_loan", consent.MODEL_DEVELOPMENT])
def test_the_notice_as_a_template_is_the_notice_that_is_signed(language: Language, purpose: str) -> None:
    from altcredit.engine.consent.notice import places as of_notice
    from altcredit.engine.consent.notice import render, values

    parties = {"distributors": ["D One", "D Two"], "lenders": ["L One"], "purpose": purpose, "days": 365}
    given = values(**parties)  # type: ignore[arg-type]
    filled = consent.numbered(language=language, fiduciary="AltCredit", purpose=purpose)
    for at, place in enumerate(of_notice(language=language, purpose=purpose), start=1):
        filled = filled.replace(f"{{{{{at}}}}}", given[place])
    assert filled == render(language=language, fiduciary="AltCredit", **parties).text  # type: ignore[arg-type]


def test_buttons_and_footers_fit() -> None:
    for key in ("agree", "decline", "more"):
        assert max(len(TEXTS[key].en), len(TEXTS[key].hi)) <= MAX_TITLE
    for language in ("en", "hi"):
        assert len(say("footer", language, version="notice-v10")) <= MAX_FOOTER


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
