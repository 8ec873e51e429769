import time

import msgspec
import pytest
from tests.engine.scoring.examples import MODEL, estimate, standing

from altcredit.engine.scoring import (
    POLICY,
    Assessment,
    Estimate,
    ModelInfo,
    Standing,
    assess,
    is_low_confidence,
    logit,
)
from altcredit.engine.scoring.assessment import Inconsistent

EXPERT = msgspec.structs.replace(MODEL, version="altscore-expert-v1", expert_only=True)


def assessed(shop: Standing, found: Estimate | None = None, model: ModelInfo = MODEL) -> Assessment:
    assessment = assess(shop, found, model=model, policy=POLICY)
    assert assessment is not None
    return assessment


def test_the_published_example_is_assessed_as_published() -> None:
    answer = assessed(standing(), estimate(0.082))
    assert (answer.altscore, answer.risk_band, answer.probability_of_default) == (724, "B", 0.082)
    assert answer.limit is not None
    assert answer.limit.base_inr == 175_000
    assert [r.code for r in answer.reasons][:3] == ["LOW_PAYMENT_DELAY", "CONSISTENT_ORDER_FREQ", "GROWING_BASKET_SIZE"]
    assert (answer.score_version, answer.policy_version) == ("altscore-xgb-v1-prod", POLICY.version)


@pytest.mark.parametrize("differs", [{"history_days": 89}, {"matured_credit_bills": 5}])
def test_a_thin_file_is_not_assessed_at_all(differs: dict[str, int]) -> None:
    assert assess(standing(**differs), estimate(), model=MODEL, policy=POLICY) is None


@pytest.mark.parametrize(
    ("differs", "why"), [({"completeness": 49.9}, "completeness"), ({"has_payment_data": False}, "no_payment_data")]
)
def test_too_little_data_is_recorded_without_a_score(differs: dict[str, float], why: str) -> None:
    answer = assessed(standing(**differs), None)
    assert answer.insufficient == why
    assert (answer.altscore, answer.risk_band, answer.probability_of_default, answer.limit) == (None, None, None, None)
    assert answer.reasons == ()


def test_just_enough_is_scored() -> None:
    answer = assessed(standing(history_days=90, matured_credit_bills=6, completeness=50.0), estimate())
    assert answer.altscore == 724


@pytest.mark.parametrize(("completeness", "reduced"), [(50.0, True), (69.9, True), (70.0, False), (100.0, False)])
def test_incomplete_records_lower_the_confidence(completeness: float, reduced: bool) -> None:
    assert assessed(standing(completeness=completeness), estimate()).reduced_confidence is reduced


def test_old_data_lowers_the_confidence_at_the_time_of_reading() -> None:
    assert not is_low_confidence(reduced_confidence=False, freshness_days=14)
    assert is_low_confidence(reduced_confidence=False, freshness_days=15)
    assert is_low_confidence(reduced_confidence=True, freshness_days=0)


def test_a_shop_in_default_is_in_band_d_without_a_limit_and_told_why() -> None:
    shop = standing(in_default=True, features=standing().features | {"oldest_overdue_days": 44.0})
    answer = assessed(shop, estimate(0.02))
    assert answer.probability_of_default == 0.4  # 1 - cure rate of 0.6
    assert answer.model_pd == 0.02
    assert answer.risk_band == "D"
    assert answer.limit is not None
    assert answer.limit.base_inr == 0
    negative = [r for r in answer.reasons if r.direction == "negative"]
    assert negative[0].code == "SEVERE_OVERDUE"
    # 0.02 to 0.4 is what the overdue balance alone did.
    assert negative[0].impact_points == pytest.approx(-72.13 * (logit(0.4) - logit(0.02)), abs=0.1)


@pytest.mark.parametrize(("model_pd", "cure_rate", "expected"), [(0.02, 0.95, 0.21), (0.6, 0.9, 0.6), (0.1, 0.7, 0.3)])
def test_the_worst_of_three_views_of_a_default_counts(model_pd: float, cure_rate: float, expected: float) -> None:
    model = msgspec.structs.replace(MODEL, cure_rate=cure_rate)
    answer = assessed(standing(in_default=True), estimate(model_pd), model)
    assert answer.probability_of_default == pytest.approx(expected)
    assert answer.risk_band == "D"


def test_an_unproven_scorecard_gives_band_b_at_best_and_low_confidence() -> None:
    answer = assessed(standing(), estimate(0.001), EXPERT)
    assert (answer.altscore, answer.risk_band, answer.reduced_confidence) == (749, "B", True)
    assert assessed(standing(), estimate(0.001)).risk_band == "A"


def test_a_scorable_shop_without_an_estimate_is_a_bug() -> None:
    with pytest.raises(Inconsistent, match="ret_7f3a92c1d4e8b051"):
        assess(standing(), None, model=MODEL, policy=POLICY)


def test_the_inputs_are_identified_whatever_their_order() -> None:
    shop = standing()
    turned = standing(features=dict(reversed(shop.features.items())))
    other = standing(features=shop.features | {"vintage_months": 31.0})
    digests = [assessed(s, estimate()).inputs_sha256 for s in (shop, turned, other)]
    assert digests[0] == digests[1] != digests[2]


def test_ten_thousand_assessments_take_under_a_second_of_work() -> None:
    shop, found = standing(), estimate()
    started = time.process_time()
    for _ in range(2_000):
        assess(shop, found, model=MODEL, policy=POLICY)
    assert (time.process_time() - started) / 2_000 < 100e-6
