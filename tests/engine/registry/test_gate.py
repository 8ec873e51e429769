from typing import Any

import msgspec
import pytest
from tests.engine.registry.test_registry import GOOD

from altcredit.engine import registry
from altcredit.engine.registry import Comparison, Interval


def objections(comparison: Comparison, product: registry.Product = "altscore") -> tuple[Any, ...]:
    return registry.objections(comparison, product=product)


def differing(**differs: Any) -> Comparison:
    return msgspec.structs.replace(GOOD, **differs)


def test_a_model_as_good_and_as_steady_passes() -> None:
    assert objections(GOOD) == ()


@pytest.mark.parametrize(
    ("differs", "path"),
    [
        ({"auc_difference": Interval(value=0.0, low=-0.0101, high=0.02)}, "auc_difference"),
        ({"auc_difference": Interval(value=0.0, low=float("nan"), high=float("nan"))}, "auc_difference"),
        ({"calibration_slope": Interval(value=0.8, low=0.7, high=0.89)}, "calibration_slope"),
        ({"calibration_slope": Interval(value=1.2, low=1.11, high=1.3)}, "calibration_slope"),
        ({"two_band_moves": 0.0101}, "two_band_moves"),
        ({"score_psi": 0.26}, "score_psi"),
    ],
)
def test_each_rule_refuses_just_beyond_its_bound(differs: dict[str, Any], path: str) -> None:
    assert [detail.path for detail in objections(differing(**differs))] == [path]


@pytest.mark.parametrize(
    "differs",
    [
        {"auc_difference": Interval(value=0.0, low=-0.01, high=0.02)},
        {"calibration_slope": Interval(value=0.85, low=0.75, high=0.9)},
        {"two_band_moves": 0.01},
        {"score_psi": 0.25},
        {"score_psi": 0.4, "psi_alert": 0.45},
    ],
)
def test_each_rule_passes_at_its_bound(differs: dict[str, Any]) -> None:
    assert objections(differing(**differs)) == ()


def test_bands_must_not_be_out_of_order_beyond_chance() -> None:
    overlapping = GOOD.band_bad_rates | {"B": Interval(value=0.005, low=0.0, high=0.03)}
    assert objections(differing(band_bad_rates=overlapping)) == ()
    reversed_ = GOOD.band_bad_rates | {"D": Interval(value=0.02, low=0.01, high=0.025)}
    assert [d.path for d in objections(differing(band_bad_rates=reversed_))] == ["band_bad_rates.D", "band_bad_rates.D"]


def test_an_empty_band_is_not_held_against_a_model() -> None:
    rates = {band: rate for band, rate in GOOD.band_bad_rates.items() if band != "B"}
    assert objections(differing(band_bad_rates=rates)) == ()


def test_moving_shops_is_allowed_against_an_expert_scorecard_but_losing_quality_is_not() -> None:
    moving = differing(two_band_moves=0.3, score_psi=0.9, champion_is_expert=True)
    assert objections(moving) == ()
    worse = msgspec.structs.replace(moving, auc_difference=Interval(value=-0.1, low=-0.2, high=0.0))
    assert [d.path for d in objections(worse)] == ["auc_difference"]


def test_guards_narrower_bands_may_move_more() -> None:
    moving = differing(two_band_moves=0.04)
    assert [d.path for d in objections(moving)] == ["two_band_moves"]
    assert objections(moving, "guard") == ()


def test_numbered_bands_are_held_to_their_order_too() -> None:
    rates = {"2": Interval(value=0.05, low=0.03, high=0.07), "1": Interval(value=0.2, low=0.15, high=0.25)}
    assert [d.path for d in objections(differing(band_bad_rates=rates), "guard")] == ["band_bad_rates.2"]
