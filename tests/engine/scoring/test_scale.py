import pytest
from hypothesis import given
from hypothesis import strategies as st

from altcredit.engine.scoring import POINTS_PER_LOG_ODDS, band_of, logit, pd_of, published, score_of
from altcredit.engine.scoring.scale import BEST_UNPROVEN_PD

probabilities = st.floats(min_value=0, max_value=1).map(published)


def test_the_published_example_is_reproduced() -> None:
    assert score_of(0.082) == 724
    assert band_of(724) == "B"


@pytest.mark.parametrize(
    ("score", "band"), [(900, "A"), (750, "A"), (749, "B"), (700, "B"), (699, "C"), (650, "C"), (649, "D"), (300, "D")]
)
def test_bands_begin_where_the_contract_says(score: int, band: str) -> None:
    assert band_of(score) == band


def test_fifty_points_double_the_odds() -> None:
    assert score_of(1 / 5) - score_of(1 / 3) == 50
    assert pytest.approx(POINTS_PER_LOG_ODDS, abs=0.005) == 72.13


@given(probabilities, probabilities)
def test_a_riskier_shop_never_scores_higher(one: float, other: float) -> None:
    assert 300 <= score_of(one) <= 900
    if one < other:
        assert score_of(one) >= score_of(other)


@given(st.integers(min_value=300, max_value=900))
def test_every_score_has_a_probability_that_gives_it_back(score: int) -> None:
    assert score_of(pd_of(score)) == score


@given(st.floats(min_value=0.02, max_value=0.9), st.floats(min_value=-0.5, max_value=0.5))
def test_a_contribution_times_72_is_points(pd: float, contribution: float) -> None:
    moved = 1 / (1 + (1 - pd) / pd * 2.718281828459045**-contribution)
    assert logit(moved) - logit(pd) == pytest.approx(contribution)
    assert score_of(pd) - score_of(moved) == pytest.approx(contribution * POINTS_PER_LOG_ODDS, abs=1.001)


def test_a_probability_is_never_certain_and_has_six_decimals() -> None:
    assert published(0.0) == 0.000001
    assert published(1.0) == 0.999999
    assert published(0.0823456789) == 0.082346


def test_an_unproven_scorecard_stops_one_point_below_band_a() -> None:
    assert score_of(BEST_UNPROVEN_PD) == 749
