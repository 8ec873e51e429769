import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from altcredit.pipeline.models.calibration import probability
from altcredit.pipeline.models.metrics import (
    Sample,
    auc,
    auc_difference,
    brier,
    calibration_intercept,
    calibration_slope,
    interval,
    ks,
    log_loss,
    observed_to_expected,
    psi,
    psi_alert,
)

rows = st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.35, 0.5, 0.9])), min_size=2, max_size=40)


def sample(outcomes: list[bool], predictions: list[float], weight: list[float] | None = None) -> Sample:
    return Sample(
        np.array(outcomes),
        np.array(predictions),
        np.arange(len(outcomes)),
        None if weight is None else np.array(weight, dtype=float),
    )


@given(rows)
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[bool, float]]) -> None:
    bad = [p for b, p in pairs if b]
    good = [p for b, p in pairs if not b]
    one = sample([b for b, _ in pairs], [p for _, p in pairs])
    if not bad or not good:
        assert np.isnan(auc(one, one.weight))
        return
    expected = np.mean([(b > g) + 0.5 * (b == g) for b in bad for g in good])
    assert auc(one, one.weight) == pytest.approx(float(expected))


@given(rows)
def test_ks_is_the_largest_distance_of_the_two_distributions(pairs: list[tuple[bool, float]]) -> None:
    bad = np.array([p for b, p in pairs if b])
    good = np.array([p for b, p in pairs if not b])
    one = sample([b for b, _ in pairs], [p for _, p in pairs])
    if bad.size and good.size:
        expected = max(abs((bad <= p).mean() - (good <= p).mean()) for _, p in pairs)
        assert ks(one, one.weight) == pytest.approx(expected)


@given(rows, st.integers(2, 4))
def test_a_weight_is_as_good_as_repeating_the_row(pairs: list[tuple[bool, float]], times: int) -> None:
    outcomes, predictions = [b for b, _ in pairs], [p for _, p in pairs]
    if all(outcomes) or not any(outcomes):
        return
    weighted = sample(outcomes, predictions, [times] + [1] * (len(pairs) - 1))
    repeated = sample([outcomes[0]] * (times - 1) + outcomes, [predictions[0]] * (times - 1) + predictions)
    for statistic in (auc, ks, brier, log_loss, observed_to_expected):
        assert statistic(weighted, weighted.weight) == pytest.approx(statistic(repeated, repeated.weight))


def test_small_figures_by_hand() -> None:
    one = sample([True, False, False, True], [0.8, 0.2, 0.6, 0.4])
    assert brier(one, one.weight) == pytest.approx((0.04 + 0.04 + 0.36 + 0.36) / 4)
    assert log_loss(one, one.weight) == pytest.approx(-np.log([0.8, 0.8, 0.4, 0.4]).mean())
    assert observed_to_expected(one, one.weight) == pytest.approx(1.0)
    assert auc(one, one.weight) == pytest.approx(0.75)


def test_calibration_figures_recover_how_predictions_were_distorted() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(-2, 1, 50_000)
    outcome = rng.random(len(truth)) < probability(truth)
    distorted = Sample(outcome, probability(2 * truth + 1), np.arange(len(truth)))
    assert calibration_slope(distorted, distorted.weight) == pytest.approx(0.5, abs=0.02)
    assert calibration_intercept(distorted, distorted.weight) == pytest.approx(-0.5, abs=0.06)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """95 % intervals of AUC over 60 samples of a population whose AUC is known."""
    rng = np.random.default_rng(11)
    big = rng.normal(size=400_000)
    outcome = rng.random(len(big)) < probability(big - 2)
    whole = Sample(outcome, probability(big), np.arange(len(big)))
    truth, covered = auc(whole, whole.weight), 0
    for number in range(60):
        chosen = rng.choice(len(big), 600, replace=False)
        one = Sample(outcome[chosen], probability(big[chosen]), np.arange(600))
        found = interval(one, auc, seed=number, replicates=150)
        covered += found.low <= truth <= found.high
    assert covered >= 51


def test_shops_are_resampled_whole_so_that_repeated_rows_prove_nothing() -> None:
    rng = np.random.default_rng(3)
    margin = rng.normal(-1, 1, 300)
    outcome = rng.random(300) < probability(margin)
    once = Sample(outcome, probability(margin), np.arange(300))
    tenfold = Sample(np.tile(outcome, 10), np.tile(probability(margin), 10), np.tile(np.arange(300), 10))
    one, ten = interval(once, auc, seed=1), interval(tenfold, auc, seed=1)
    assert ten.high - ten.low == pytest.approx(one.high - one.low, rel=0.01)


def test_a_paired_difference_is_far_tighter_than_its_parts() -> None:
    rng = np.random.default_rng(5)
    margin = rng.normal(-1.5, 1.2, 2_000)
    outcome = rng.random(2_000) < probability(margin)
    good = Sample(outcome, probability(margin), np.arange(2_000))
    alike = probability(margin + rng.normal(0, 0.05, 2_000))
    difference = auc_difference(good, alike, seed=1)
    assert difference.low <= difference.value <= difference.high
    whole = interval(good, auc, seed=1)
    assert difference.high - difference.low < 0.25 * (whole.high - whole.low)
    noise = auc_difference(good, rng.random(2_000), seed=1)
    assert noise.low > 0.1


def test_psi_is_zero_without_a_shift_and_known_with_one() -> None:
    assert psi(np.array([100.0, 200.0]), np.array([100.0, 200.0])) == pytest.approx(0.0)
    shift = psi(np.array([50_000.0, 50_000.0]), np.array([80_000.0, 20_000.0]))
    assert shift == pytest.approx((0.8 - 0.5) * np.log(0.8 / 0.5) + (0.2 - 0.5) * np.log(0.2 / 0.5), rel=1e-3)


def test_chance_alone_raises_an_alert_one_time_in_a_hundred() -> None:
    rng = np.random.default_rng(6)
    alerts = 0
    for _ in range(400):
        then, now = (rng.multinomial(150, np.full(10, 0.1)).astype(float) for _ in range(2))
        alerts += psi(then, now) > psi_alert(10, 150, 150)
    assert psi_alert(10, 150, 150) > 0.25  # with 150 shops a PSI of 0.25 is nothing unusual
    assert alerts <= 12
