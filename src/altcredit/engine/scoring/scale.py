"""From a probability of default to a score and a band (contract A10)."""

import math
from typing import Literal

from altcredit.engine.registry import published

Band = Literal["A", "B", "C", "D"]

LOWEST, HIGHEST = 300, 900
POINTS_TO_DOUBLE_THE_ODDS = 50
SCORE_AT_EVEN_ODDS = 550

# The score is linear in the log-odds, so a contribution in log-odds is a number of points: 50 / ln 2 = 72.13.
POINTS_PER_LOG_ODDS = POINTS_TO_DOUBLE_THE_ODDS / math.log(2)

_FLOORS: tuple[tuple[int, Band], ...] = ((750, "A"), (700, "B"), (650, "C"))


def score_of(pd: float) -> int:
    """Return the score, 300 to 900, of a probability strictly between 0 and 1: 0.082 is 724."""
    score = round(SCORE_AT_EVEN_ODDS + POINTS_TO_DOUBLE_THE_ODDS * math.log2((1 - pd) / pd))
    return min(max(score, LOWEST), HIGHEST)


def pd_of(score: int) -> float:
    """Return the published probability in the middle of those that have this score."""
    return published(1 / (1 + 2 ** ((score - SCORE_AT_EVEN_ODDS) / POINTS_TO_DOUBLE_THE_ODDS)))


def band_of(score: int) -> Band:
    """Return the risk band of a score: A from 750, B from 700, C from 650, else D."""
    return next((band for floor, band in _FLOORS if score >= floor), "D")


# A scorecard that has not been held against outcomes gives band B at best (pipeline.md, cold start). The cap is on the
# probability, so that probability, score and band of an answer always agree.
BEST_UNPROVEN_PD = pd_of(_FLOORS[0][0] - 1)
