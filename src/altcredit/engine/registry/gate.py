"""
What a model must show before it becomes champion (pipeline.md, "AltScore's model").

Rules are on intervals, not points: a good model is not refused for bad luck, and a small sample proves nothing.
"""

from typing import Literal

import msgspec

from altcredit.runtime.refusal import Detail

# Paired AUC against the champion: its lower 95 % bound.
MOST_AUC_LOST = 0.01
# The interval of the calibration slope meets this range.
SLOPE = (0.9, 1.1)
# Share of shops that may move by two bands or more.
MOST_TWO_BAND_MOVES = 0.01
# Population stability index of the score; an alert is reported, a block refuses.
PSI_BLOCK = 0.25

BANDS: tuple[Literal["A", "B", "C", "D"], ...] = ("A", "B", "C", "D")


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A model against the champion on the same shops, outside either's training data."""

    shops: int
    bad_shops: int
    auc_difference: Interval
    """Model minus champion, paired."""
    calibration_slope: Interval
    band_bad_rates: dict[str, Interval]
    """By band that has shops."""
    two_band_moves: float
    band_flips: float
    mean_score_move: float
    limit_change_inr: int
    """Sum over all shops of the base limit, model minus champion."""
    score_psi: float
    psi_alert: float
    champion_is_expert: bool


def objections(comparison: Comparison) -> tuple[Detail, ...]:
    """
    Return every reason not to promote; none means that the gate is open.

    Against an expert scorecard, stability is reported but not required: moving shops is what the first model that has
    learnt from outcomes is for.
    """
    found = [*_of_quality(comparison)]
    if not comparison.champion_is_expert:
        found += _of_stability(comparison)
    return tuple(found)


def _of_quality(comparison: Comparison) -> list[Detail]:
    found = []
    auc, slope = comparison.auc_difference, comparison.calibration_slope
    # Written so that a figure that could not be found (nan) is an objection too.
    if not auc.low >= -MOST_AUC_LOST:
        found.append(Detail("auc_difference", f"may lose {-auc.low:.3f} of AUC; at most {MOST_AUC_LOST} is allowed"))
    if not (slope.low <= SLOPE[1] and slope.high >= SLOPE[0]):
        found.append(Detail("calibration_slope", f"{slope.low:.2f} to {slope.high:.2f} does not meet {SLOPE}"))
    rates = [(band, comparison.band_bad_rates[band]) for band in BANDS if band in comparison.band_bad_rates]
    for number, (better, one) in enumerate(rates):
        for worse, other in rates[number + 1 :]:
            if other.high < one.low:
                found.append(Detail(f"band_bad_rates.{worse}", f"band {worse} defaults less often than band {better}"))
    return found


def _of_stability(comparison: Comparison) -> list[Detail]:
    found = []
    if not comparison.two_band_moves <= MOST_TWO_BAND_MOVES:
        found.append(Detail("two_band_moves", f"{comparison.two_band_moves:.1%} of shops move by two bands or more"))
    if not comparison.score_psi <= max(PSI_BLOCK, comparison.psi_alert):
        found.append(Detail("score_psi", f"the scores' distribution shifts by {comparison.score_psi:.2f} (PSI)"))
    return found
