from importlib.resources import files

import msgspec
import pytest
from tests.engine.underwriting.applicants import MODEL, changed, decided, estimated, read

from altcredit.engine.underwriting import (
    POLICY,
    Decision,
    PolicyInvalid,
    Screening,
    band_of,
    draw_of,
    knocked_out_by,
    limit_of,
    policy_from,
    screen,
)

SHIPPED = files("altcredit.engine.underwriting").joinpath("policy.toml").read_text(encoding="utf-8")


def screening(pd: float | None, *, draw: float = 0.5, out: str | None = None) -> Screening:
    estimate = None if pd is None else estimated(pd)
    return screen(estimate, model=MODEL, policy=POLICY, knocked_out_by=out, draw=draw)


@pytest.mark.parametrize(
    ("pd", "band"),
    [
        *((0.000001, 1), (0.005, 1), (0.005001, 2), (0.01, 2), (0.015, 3), (0.02, 3), (0.04, 4), (0.08, 5)),
        *((0.080001, 6), (0.16, 6), (0.160001, 7), (0.999999, 7)),
    ],
)
def test_bands_are_as_published(pd: float, band: int) -> None:
    assert band_of(pd, policy=POLICY) == band


def test_an_approval_carries_everything_that_it_rests_on() -> None:
    decision = decided(read(), 0.0150004)
    assert (decision.outcome, decision.score, decision.risk_band) == ("approved", 0.015, 3)
    # 30 % of 4,000 less 500 of debt service is 700; the band would allow 2,400, and 2,000 were asked for.
    assert (decision.limit, decision.bounds and decision.bounds.bound_by) == (700, "capacity")
    assert (decision.model_version, decision.model_sha256) == ("guard-xgb-v1", "a" * 64)
    assert decision.policy_version == POLICY.version
    assert len(decision.inputs_sha256) == 64
    assert msgspec.json.decode(msgspec.json.encode(decision), type=Decision) == decision


def test_the_same_features_have_the_same_digest_in_any_order_and_other_ones_another() -> None:
    found = read()
    assert decided(dict(reversed(found.items()))).inputs_sha256 == decided(found).inputs_sha256
    assert decided(read(gross_income=4_001)).inputs_sha256 != decided(found).inputs_sha256


@pytest.mark.parametrize("pd", [0.09, 0.5])
def test_a_worse_band_is_rejected_with_its_real_score_and_a_limit_of_zero(pd: float) -> None:
    decision = decided(read(), pd)
    assert (decision.outcome, decision.rejected_by, decision.score, decision.limit) == ("rejected", "band", pd, 0)
    assert decision.risk_band in (6, 7)


def test_score_band_and_limit_are_minus_one_together() -> None:
    filtered = decided(read(), 0.01, screening=screening(0.5))
    uncalculable = decided(read(), None)
    assert (filtered.outcome, uncalculable.outcome) == ("filtered", "not_calculable")
    for decision in (filtered, uncalculable):
        assert (decision.score, decision.risk_band, decision.limit, decision.pd) == (-1, -1, -1, None)


def test_whoever_passes_the_funnel_gets_real_values() -> None:
    assert decided(read(), screening=screening(0.02)).outcome == "approved"
    lucky = decided(read(), 0.4, screening=screening(0.5, draw=0.01))
    assert (lucky.outcome, lucky.score, lucky.limit) == ("rejected", 0.4, 0)
    assert lucky.screening is not None
    assert lucky.screening.passed_at_random


@pytest.mark.parametrize("situation", ["deceased", "cancelled", "null"])
def test_a_void_cpf_is_filtered_by_the_funnel_and_rejected_without_it(situation: str) -> None:
    answers = changed("cpf_status", situation=situation)
    out = knocked_out_by(answers, policy=POLICY)
    assert out == f"cpf_status.{situation}"
    filtered = decided(read(answers), screening=screening(None, draw=0.0, out=out), knocked_out_by=out)
    assert filtered.outcome == "filtered"
    rejected = decided(read(answers), 0.01, knocked_out_by=out)
    assert (rejected.outcome, rejected.rejected_by, rejected.score, rejected.limit) == (
        "rejected",
        "knock_out",
        0.01,
        0,
    )
    for decision in (filtered, rejected):
        assert decision.reasons[0].code == "CPF_NOT_REGULAR"


def test_a_pending_cpf_is_no_knock_out() -> None:
    assert knocked_out_by(changed("cpf_status", situation="pending"), policy=POLICY) is None


def test_where_the_screen_model_cannot_tell_the_applicant_passes() -> None:
    found = screening(None)
    assert found.passed
    assert not found.passed_at_random


def test_two_per_cent_pass_at_random_and_always_the_same_ones() -> None:
    draws = [draw_of(f"uw_{number:016x}") for number in range(20_000)]
    assert draws == [draw_of(f"uw_{number:016x}") for number in range(20_000)]
    assert 0.017 < sum(screening(0.5, draw=draw).passed for draw in draws) / len(draws) < 0.023
    assert 0.49 < sum(draws) / len(draws) < 0.51


@pytest.mark.parametrize("income", [None, 0.0])
def test_without_an_income_there_is_no_limit_and_none_is_made_up(income: float | None) -> None:
    found = read() | {"supported_income_brl": income}
    decision = decided(found, 0.003)
    assert (decision.outcome, decision.rejected_by, decision.limit, decision.bounds) == (
        "rejected",
        "income_unknown",
        0,
        None,
    )
    assert decision.reasons[0].code == "INCOME_NOT_SUPPORTED"


def test_a_limit_under_the_floor_is_a_rejection_that_says_which_bound() -> None:
    decision = decided(read(changed("scr", monthly_service_brl=1_100)))
    assert (decision.outcome, decision.rejected_by, decision.limit) == ("rejected", "limit_under_floor", 0)
    assert decision.bounds is not None
    assert (decision.bounds.bound_by, decision.bounds.capacity_brl) == ("capacity", pytest.approx(100))
    small = decided(read(desired_credit_limit=150))
    assert (small.rejected_by, small.bounds and small.bounds.bound_by) == ("limit_under_floor", "desired")
    assert decided(read(desired_credit_limit=200)).limit == 200


@pytest.mark.parametrize(
    ("given", "limit", "bound"),
    [
        ({"income_brl": 1_000.0, "service_brl": 0.0}, 300, "capacity"),
        ({"income_brl": 1_166.0, "service_brl": 0.0}, 300, "capacity"),
        ({"income_brl": 1_167.0, "service_brl": 0.0}, 350, "capacity"),
        ({"income_brl": 1_000.0, "service_brl": 0.0, "band": 5}, 300, "band"),
        ({"income_brl": 90_000.0, "service_brl": 0.0}, 15_000, "cap"),
        ({"income_brl": 9_000.0, "service_brl": 0.0, "desired_brl": 777.0}, 750, "desired"),
        ({"income_brl": 9_000.0, "service_brl": 5_000.0}, 0, "capacity"),
        ({"income_brl": 10_000.0, "service_brl": None, "service_seen": False}, 2_200, "capacity"),
        ({"income_brl": 10_000.0, "service_brl": 900.0, "service_seen": False}, 2_100, "capacity"),
        ({"income_brl": 10_000.0, "service_brl": 0.0, "service_seen": True}, 3_000, "capacity"),
    ],
)
def test_the_limit_is_the_least_bound_down_to_fifty(given: dict[str, float], limit: int, bound: str) -> None:
    arguments = {"band": 1, "service_seen": True, "desired_brl": None, "policy": POLICY} | given
    found = limit_of(**arguments)  # type: ignore[arg-type]
    assert found.limit_brl == limit
    assert bound == found.bound_by or (bound == "band" and found.band_brl == found.capacity_brl)


def test_a_scorecard_without_outcomes_says_band_three_at_best() -> None:
    unproven = msgspec.structs.replace(MODEL, expert_only=True)
    decision = decided(read(), 0.0001, model=unproven)
    assert (decision.risk_band, decision.score, decision.expert_only) == (3, 0.010001, True)
    assert decided(read(), 0.3, model=unproven).score == 0.3


def test_what_was_asked_in_vain_is_on_record() -> None:
    states = {"cpf_status": "answered", "scr": "failed", "open_finance": "not_asked", "device_phone": "failed"}
    decision = decided(read(without=("scr", "device_phone", "open_finance")), sources=states)
    assert decision.sources_missing == ("device_phone", "scr")
    assert decision.sources == states


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("edges = [0.005, 0.01,", "edges = [0.01, 0.005,"), "must rise"),
        (("edges = [0.005, 0.01,", "edges = [0.01,"), "edges"),
        (("approved_to = 5", "approved_to = 4"), "one value for each approved band"),
        (("[1.0, 0.8,", "[0.8, 1.0,"), "worse band"),
        (("floor_brl = 200", "floor_brl = 210"), "multiple"),
        (("cut_pd = 0.16", "cut_pd = 16"), "cut_pd"),
        (('"deceased"]', '"decased"]'), "decased"),
        (("lgd = 0.75", "ldg = 0.75"), "ldg"),
        (("step_brl = 50", "step_brl 50"), "Underwriting policy"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused_by_name(change: tuple[str, str], problem: str) -> None:
    assert change[0] in SHIPPED
    with pytest.raises(PolicyInvalid, match=problem):
        policy_from(SHIPPED.replace(*change, 1))
