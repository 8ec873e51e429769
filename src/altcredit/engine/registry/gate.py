"""
What a model must show before it becomes champion (pipeline.md, "AltScore's model"; GUARD's are held to the same).

Rules are on intervals, not points: a good model is not refused for bad luck, and a small sample proves nothing.
"""

import msgspec

from altcredit.engine.registry.version import Product
from altcredit.runtime.refusal import Detail

# Paired AUC against the champion: its lower 95 % bound.
MOST_AUC_LOST = 0.01
# The interval of the calibration slope meets this range.
SLOPE = (0.9, 1.1)
# Share of shops or applicants that may move by two bands or more: GUARD's seven bands are narrower than the four.
MOST_TWO_BAND_MOVES: dict[Product, float] = {"altscore": 0.01, "guard": 0.05, "guard_screen": 0.05}
# Population stability index of the score; an alert is reported, a block refuses.
PSI_BLOCK = 0.25


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
    """By band that has shops: A to D, or 1 to 7; in the order of their names, the best comes first."""
    two_band_moves: float
    band_flips: float
    mean_score_move: float
    limit_change: int
    """Sum over all shops or applicants of the limit, model minus champion, in whole rupees or reais."""
    score_psi: float
    psi_alert: float
    champion_is_expert: bool


def objections(comparison: Comparison, *, product: Product) -> tuple[Detail, ...]:
    """
    Return every reason not to promote; none means that the gate is open.

    Against an expert scorecard, stability is reported but not required: moving shops is what the first model that has
    learnt from outcomes is for.
    """
    found = [*_of_quality(comparison)]
    if not comparison.champion_is_expert:
        found += _of_stability(comparison, MOST_TWO_BAND_MOVES[product])
    return tuple(found)


def _of_quality(comparison: Comparison) -> list[Detail]:
    found = []
    auc, slope = comparison.auc_difference, comparison.calibration_slope
    # Written so that a figure that could not be found (nan) is an objection too.
    if not auc.low >= -MOST_AUC_LOST:
        found.append(Detail("auc_difference", f"may lose {-auc.low:.3f} of AUC; at most {MOST_AUC_LOST} is allowed"))
    if not (slope.low <= SLOPE[1] and slope.high >= SLOPE[0]):
        found.append(Detail("calibration_slope", f"{slope.low:.2f} to {slope.high:.2f} does not meet {SLOPE}"))
    rates = sorted(comparison.band_bad_rates.items())
    for number, (better, one) in enumerate(rates):
        for worse, other in rates[number + 1 :]:
            if other.high < one.low:
                found.append(Detail(f"band_bad_rates.{worse}", f"band {worse} defaults less often than band {better}"))
    return found


def _of_stability(comparison: Comparison, most_moves: float) -> list[Detail]:
    found = []
    if not comparison.two_band_moves <= most_moves:
        found.append(Detail("two_band_moves", f"{comparison.two_band_moves:.1%} of shops move by two bands or more"))
    if not comparison.score_psi <= max(PSI_BLOCK, comparison.psi_alert):
        found.append(Detail("score_psi", f"the scores' distribution shifts by {comparison.score_psi:.2f} (PSI)"))
    return found
