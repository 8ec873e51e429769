from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.underwriting.applicants import MODEL, changed, decided, estimated, read

from altcredit.engine.underwriting import CATALOGUE, CODES
from altcredit.engine.underwriting.reasons import MATERIAL, choose

# As in the published list of codes.
NEGATIVE = {
    *("CPF_NOT_REGULAR", "NEGATIVE_RECORDS", "LOW_BUREAU_SCORE", "SCR_OVERDUE", "SCR_HIGH_UTILISATION"),
    *("HIGH_DEBT_TO_INCOME", "INCOME_NOT_SUPPORTED", "THIN_FILE", "MANY_RECENT_INQUIRIES", "REGISTRATION_MISMATCH"),
    *("CONTACT_RISK", "REQUEST_ABOVE_CAPACITY"),
}
POSITIVE = {"POSITIVE_HISTORY", "STABLE_INCOME", "LOW_UTILISATION", "LONG_BANKING_RELATIONSHIP"}

EXAMPLES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("CPF_NOT_REGULAR", changed("cpf_status", situation="pending"), {}),
    ("NEGATIVE_RECORDS", changed("negative_bureau", negative_records=1), {}),
    ("NEGATIVE_RECORDS", changed("negative_bureau", protests=1), {}),
    ("LOW_BUREAU_SCORE", changed("negative_bureau", score=399), {}),
    ("SCR_OVERDUE", changed("scr", overdue_15_90_brl=1), {}),
    ("SCR_HIGH_UTILISATION", changed("scr", limits_used_brl=4_800), {}),
    ("HIGH_DEBT_TO_INCOME", changed("scr", monthly_service_brl=1_200), {}),
    ("INCOME_NOT_SUPPORTED", {}, {"gross_income": 10_000}),
    ("MANY_RECENT_INQUIRIES", changed("negative_bureau", inquiries_90d=7), {}),
    ("REGISTRATION_MISMATCH", changed("registration", address_matches=False), {}),
    ("CONTACT_RISK", changed("device_phone", sim_swapped_days=3), {}),
    ("CONTACT_RISK", changed("device_phone", linked_to_cpf=False), {}),
    ("CONTACT_RISK", changed("device_phone", device_risk=0.8), {}),
]


def test_the_codes_are_the_published_ones_with_words_in_both_languages() -> None:
    assert {code.code for code in CODES.values() if code.direction == "negative"} == NEGATIVE
    assert {code.code for code in CODES.values() if code.direction == "positive"} == POSITIVE
    for code in CODES.values():
        for words in (code.label, code.tip):
            assert words("pt") != words("en")
            assert words("pt").strip()
        assert set(code.families) <= {one.family for one in CATALOGUE.values()}


@pytest.mark.parametrize(("code", "answers", "reported"), EXAMPLES)
def test_a_statement_is_true_of_whom_it_fits_and_of_no_ordinary_applicant(
    code: str, answers: dict[str, Any], reported: dict[str, Any]
) -> None:
    assert CODES[code].true_of(read(answers, **reported))
    assert not CODES[code].true_of(read())


def test_a_good_applicant_is_praised_for_what_is_true() -> None:
    for code in POSITIVE:
        assert CODES[code].true_of(read())
    assert not CODES["LOW_UTILISATION"].true_of(read(changed("scr", limits_brl=0, limits_used_brl=0)))


def test_an_own_inquiry_is_never_held_against_anybody() -> None:
    own = read(changed("negative_bureau", inquiries_90d=30, own_inquiries_90d=29))
    assert not CODES["MANY_RECENT_INQUIRIES"].true_of(own)


def test_what_is_not_known_is_never_said() -> None:
    nothing: dict[str, float | None] = dict.fromkeys(CATALOGUE)
    assert not [code for code in CODES.values() if code.true_of(nothing)]


def test_reasons_against_lead_a_rejection_by_size() -> None:
    answers = changed("negative_bureau", negative_records=2, score=300)
    estimate = estimated(0.4, negative_records=0.3, bureau_score=0.9, on_time_share=-0.5)
    decision = decided(read(answers), estimate=estimate)
    assert [(one.code, one.impact) for one in decision.reasons] == [
        ("LOW_BUREAU_SCORE", 0.9),
        ("NEGATIVE_RECORDS", 0.3),
        ("POSITIVE_HISTORY", -0.5),
    ]
    assert [one.rank for one in decision.reasons] == [1, 2, 3]


def test_a_large_contribution_gives_no_code_that_is_untrue() -> None:
    decision = decided(read(), estimate=estimated(0.4, negative_records=3.0, scr_overdue_to_income=2.0))
    assert {one.code for one in decision.reasons}.isdisjoint({"NEGATIVE_RECORDS", "SCR_OVERDUE"})


def test_a_rejection_that_the_model_does_not_explain_names_what_is_true() -> None:
    decision = decided(read(changed("scr", overdue_15_90_brl=400)), estimate=estimated(0.4))
    assert [(one.code, one.impact) for one in decision.reasons] == [("SCR_OVERDUE", None)]


def test_a_request_above_capacity_is_told_by_its_bound() -> None:
    estimate = estimated(0.02, desired_limit_to_income=0.2)
    assert "REQUEST_ABOVE_CAPACITY" in [r.code for r in decided(read(), estimate=estimate).reasons]
    modest = read(desired_credit_limit=600)
    assert "REQUEST_ABOVE_CAPACITY" not in [r.code for r in decided(modest, estimate=estimate).reasons]


def test_debts_that_leave_no_room_are_the_first_reason() -> None:
    decision = decided(read(changed("scr", monthly_service_brl=1_250)), estimate=estimated(0.02))
    assert decision.rejected_by == "limit_under_floor"
    assert decision.reasons[0].code == "HIGH_DEBT_TO_INCOME"


FACTS = st.fixed_dictionaries({name: st.none() | st.floats(-2, 1_000) for name in CATALOGUE})
MOVES = st.dictionaries(st.sampled_from(sorted(MODEL.families)), st.floats(-3, 3))


@settings(max_examples=300)
@given(FACTS, MOVES, st.booleans())
def test_no_reason_is_ever_untrue(facts: dict[str, float | None], moves: dict[str, float], declined: bool) -> None:
    found = choose(facts, estimated(0.1, **moves), MODEL.families, declined=declined)
    assert len({one.code for one in found}) == len(found)
    assert [one.rank for one in found] == list(range(1, len(found) + 1))
    for one in found:
        assert CODES[one.code].true_of(facts)
        assert one.impact is None or abs(one.impact) >= MATERIAL
    for direction in ("positive", "negative"):
        sizes = [abs(one.impact) for one in found if one.direction == direction and one.impact is not None]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) <= 4
