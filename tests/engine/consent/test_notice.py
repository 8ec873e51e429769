"""The consent notice: word for word what counsel was given, filled in truly, within what a message holds."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from altcredit.engine.consent import notice
from altcredit.engine.consent.notice import (
    BUSINESS,
    MAX_LENGTH,
    VERSION,
    WORDINGS,
    Disclosure,
    Fiduciary,
    Language,
    Notice,
    NoticeNotSetUp,
    NoticeTooLong,
    is_worded_as,
    length,
    plain,
    render,
)
from altcredit.runtime.settings import Settings, SettingsInvalid, load

TEMPLATE = (Path(__file__).parent / "fixtures" / "consent_notice.md").read_text(encoding="utf-8")
LANGUAGES: tuple[Language, ...] = ("en", "hi")
PARTIES: dict[str, Any] = {
    "fiduciary": Fiduciary.of(Settings()),
    "business": "Ramesh Kirana",
    "distributor": "Sharma Traders",
    "distributors": ["Sharma Traders"],
    "lenders": ["Shriram Finance", "UGRO Capital"],
    "purpose": "working_capital_loan",
    "days": 365,
}


def counsels(language: Language) -> str:
    """Return the template as counsel was given it, without the lines that name the buttons."""
    return TEMPLATE.split(f"## {language}\n")[1].split("\nButtons:")[0].split("\nबटन:")[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_notice_is_counsels_template_word_for_word(language: Language) -> None:
    fiduciary = PARTIES["fiduciary"]
    expected = counsels(language).format(
        business="Ramesh Kirana",
        distributor="Sharma Traders",
        distributors="Sharma Traders",
        lenders="Shriram Finance, UGRO Capital",
        fiduciary=fiduciary.name,
        days=365,
        rights_url=fiduciary.rights_url,
        dpo_contact=fiduciary.dpo_contact,
        board_url=fiduciary.board_url,
    )
    assert render(language=language, **PARTIES).shown == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_second_question_is_counsels_word_for_word(language: Language) -> None:
    asked = render(language=language, **{**PARTIES, "purpose": "model_development", "lenders": []})
    assert f'{language} "{asked.shown}"' in TEMPLATE
    assert asked.business is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_distributor_whose_ledger_is_used_is_named_in_either_language(language: Language) -> None:
    many = {**PARTIES, "distributors": ["Gupta & Sons", "Sharma Traders", "Verma Agencies"]}
    assert "Gupta & Sons, Sharma Traders, Verma Agencies" in render(language=language, **many).shown


def test_what_is_signed_holds_the_text_but_for_the_name() -> None:
    made = render(language="en", **PARTIES)
    assert made.text == made.shown.replace("Ramesh Kirana", BUSINESS)
    assert made.sha256 == hashlib.sha256(made.text.encode()).hexdigest()


def test_a_shop_whose_name_is_not_known_is_greeted_without_one() -> None:
    for name in (None, "", " \n", "\u202e"):
        made = {one: render(language=one, **{**PARTIES, "business": name}) for one in LANGUAGES}
        assert made["en"].shown.startswith("AltCredit asks your permission, dear shopkeeper.\n")
        assert made["hi"].shown.startswith("दुकानदार जी, AltCredit")
        assert made["en"].business is None
        assert BUSINESS not in made["en"].text


@pytest.mark.parametrize(
    ("purpose", "english", "hindi"),
    [
        ("working_capital_loan", "a credit score for a working capital loan.", "कार्यशील पूंजी ऋण के लिए"),
        ("vehicle_loan", "a credit score for a vehicle loan.", "वाहन ऋण के लिए"),
        ("solar_roof_2", "a credit score for “solar roof 2”.", "“solar roof 2” के लिए"),
    ],
)
def test_the_purpose_is_the_one_that_is_asked_for(purpose: str, english: str, hindi: str) -> None:
    parties = {**PARTIES, "purpose": purpose}
    assert english in render(language="en", **parties).shown
    assert hindi in render(language="hi", **parties).shown


def test_a_notice_that_no_message_holds_is_refused_in_both_languages() -> None:
    for language in LANGUAGES:
        for lenders in (["Shriram Finance"] * 9, ["लक्ष्मी फ़ाइनेंस"] * 12, ["🏦" * 30] * 3):
            with pytest.raises(NoticeTooLong) as refused:
                render(language=language, **{**PARTIES, "lenders": lenders})
            assert refused.value.details[0].path == "$.lender_scope"
            assert "of 1,024" in refused.value.details[0].problem


@given(business=st.text(max_size=300), lenders=st.lists(st.text(min_size=1, max_size=60), max_size=6))
def test_whatever_the_names_a_notice_fits_its_wording_or_is_refused(business: str, lenders: list[str]) -> None:
    for language in LANGUAGES:
        try:
            made = render(language=language, **{**PARTIES, "business": business, "lenders": lenders or ["Lender"]})
        except NoticeTooLong:
            continue
        assert length(made.shown) <= MAX_LENGTH
        assert made.shown.count("\n") == counsels(language).count("\n")
        lender_line = [one for one in lenders or ["Lender"] if plain(one)]
        if lender_line:
            assert is_worded_as(version=VERSION, language=language, purpose=PARTIES["purpose"], text=made.text), (
                made.text
            )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ramesh\nVALID for 9 days", "Ramesh VALID for 9 days"),
        ("Ramesh\u202eanariK", "Ramesh anariK"),
        ("⟦business⟧", "business"),
        ("{lenders}", "{lenders}"),
        ("  Shree   Ganesh\tStores ", "Shree Ganesh Stores"),
        ("क्\u200dष स्टोर", "क्\u200dष स्टोर"),
    ],
)
def test_a_name_cannot_look_like_a_line_of_the_notice(name: str, shown: str) -> None:
    assert plain(name) == shown
    assert render(language="en", **{**PARTIES, "business": name}).shown.splitlines()[0].endswith(f", {shown}.")


def test_a_name_of_any_length_leaves_room_for_the_notice() -> None:
    made = render(language="en", **{**PARTIES, "business": "🏪" * 200})
    assert made.business is not None
    assert length(made.business) <= notice.MAX_NAME
    assert made.business.endswith("…")


# Fingerprints of notice-v1 as it was rendered when it was current.
_V1 = {
    ("en", "working_capital_loan"): "363b6deb2da6d3b1cac7d982c8fbb6b3c45df0e974ccc0b562f9858aba131036",
    ("en", "model_development"): "8c1d8f32f388112b0da175c5b76ddc2f0d0a4b1b09d9bf7c37ab9b03dfa719c5",
    ("hi", "working_capital_loan"): "2b5ad7d95cd441c0a9b4e4fac9d3071289bedf6e34a2b3c509149a44d6612adb",
    ("hi", "model_development"): "ac9f74fe6ae6a4ddd5ad5192017e405224daed4d501f22fc54cd64766e8fd236",
}


@pytest.mark.parametrize(("language", "purpose"), list(_V1))
def test_records_of_the_first_version_are_still_known_by_its_words(language: Language, purpose: str) -> None:
    kind: notice.Kind = "model_development" if purpose == "model_development" else "consent"
    words = WORDINGS.versions["notice-v1"][kind].of(language)
    text = words.format(
        fiduciary="AltCredit", distributors="Sharma Traders, Gupta & Sons", lenders="Shriram Finance",
        purpose=purpose.replace("_", " "), days=365,
    )  # fmt: skip
    assert Notice(version="notice-v1", language=language, text=text).sha256 == _V1[language, purpose]
    assert is_worded_as(version="notice-v1", language=language, purpose=purpose, text=text)
    assert not is_worded_as(version="notice-v1", language=language, purpose=purpose, text=text + " And more.")
    assert not is_worded_as(version="notice-v0", language=language, purpose=purpose, text=text)
    assert not is_worded_as(version=VERSION, language=language, purpose=purpose, text=text)


def test_a_disclosure_is_encoded_as_in_rfc_9901() -> None:
    # Section 4.2.1, the variant without white space.
    made = Disclosure(salt="_26bc4LT-ac6q2KI6cBW5es", claim="family_name", name="Möbius")
    assert made.encoded == "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsImZhbWlseV9uYW1lIiwiTcO2Yml1cyJd"
    assert Disclosure.decoded(made.encoded) == made


def test_in_production_nobody_is_asked_until_the_operator_has_said_who_asks() -> None:
    environ = {"ALTCREDIT_ENVIRONMENT": "production", "ALTCREDIT_DATABASE_URL": "postgresql://x"}
    with pytest.raises(NoticeNotSetUp, match="ALTCREDIT_RIGHTS_URL"):
        render(language="en", **{**PARTIES, "fiduciary": Fiduciary.of(load(environ))})
    said = {
        "ALTCREDIT_FIDUCIARY": "Acme Fintech Private Limited",
        "ALTCREDIT_RIGHTS_URL": "https://acme.example/r",
        "ALTCREDIT_DPO_CONTACT": "dpo@acme.example",
        "ALTCREDIT_BOARD_URL": "https://board.example",
    }
    for name in said:
        lacking = Fiduciary.of(load({**environ, **{key: value for key, value in said.items() if key != name}}))
        with pytest.raises(NoticeNotSetUp, match=name):
            render(language="en", **{**PARTIES, "fiduciary": lacking})
    shown = render(language="hi", **{**PARTIES, "fiduciary": Fiduciary.of(load({**environ, **said}))}).shown
    assert all(value in shown for value in said.values())


@pytest.mark.parametrize(
    "url", ["http://acme.example", "acme.example", "https://a b", "https://acme.example\n", "javascript:x"]
)
def test_an_address_in_the_notice_is_https_and_one_word(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="rights_url"):
        load({"ALTCREDIT_RIGHTS_URL": url})
