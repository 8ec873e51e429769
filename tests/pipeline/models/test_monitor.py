import numpy as np
import pytest
from tests.pipeline.models.population import population

from altcredit.pipeline.models import Model, shifts
from altcredit.pipeline.models.monitor import observed_against_expected


def test_the_same_population_raises_no_alarm(trained: Model) -> None:
    found = shifts(population(shops=1500, dates=1, seed=77), trained)
    assert {shift.name for shift in found} == {item.name for item in trained.card.inputs} | {"altscore"}
    # The reference is the twelfth month, in which payment trends have had time to unfold; the first has as much noise.
    quiet = [shift for shift in found if shift.verdict == "ok"]
    assert len(quiet) >= len(found) - 2


def test_a_feature_that_moved_is_named_first(trained: Model) -> None:
    moved = population(shops=1500, dates=1, seed=77)
    moved["return_rate_180d"] = moved["return_rate_180d"] * 3 + 0.05
    first = shifts(moved, trained)[0]
    assert (first.name, first.verdict) == ("return_rate_180d", "block")
    assert first.ks > 0.5
    assert first.ks_p_value < 1e-6


def test_a_feed_that_falls_silent_is_a_shift(trained: Model) -> None:
    silent = population(shops=1500, dates=1, seed=77).assign(return_rate_180d=np.nan)
    first = shifts(silent, trained)[0]
    assert (first.name, first.unknown_then, first.unknown_now) == ("return_rate_180d", 0.0, 1.0)
    assert first.verdict == "block"


def test_a_feature_that_is_mostly_zero_is_compared_by_its_zeros(trained: Model) -> None:
    shops = population(shops=1500, dates=1, seed=77)
    by_name = {shift.name: shift for shift in shifts(shops.assign(returned_payments_180d=2.0), trained)}
    assert by_name["returned_payments_180d"].verdict == "block"


def test_observed_over_expected_has_an_interval_that_tells_chance_from_trouble() -> None:
    rng = np.random.default_rng(1)
    pd_ = rng.uniform(0.02, 0.2, 3000)
    fine = observed_against_expected(rng.random(3000) < pd_, pd_, np.arange(3000), seed=1)
    assert fine.low < 1 < fine.high
    trouble = observed_against_expected(rng.random(3000) < 1.5 * pd_, pd_, np.arange(3000), seed=1)
    assert trouble.low > 1
    assert trouble.value == pytest.approx(1.5, abs=0.2)
