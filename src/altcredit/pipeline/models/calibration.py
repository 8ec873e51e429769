"""From a margin to a probability: Platt's line on the log-odds, which keeps contributions additive."""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from altcredit.pipeline.models.inputs import Floats

_STEPS = 50
_TOLERANCE = 1e-10


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """``logit(pd) = slope * margin + intercept``."""

    slope: float = 1.0
    intercept: float = 0.0

    def log_odds(self, margin: Floats) -> Floats:
        return self.slope * margin + self.intercept


class Prior(msgspec.Struct, frozen=True, kw_only=True):
    """What is believed of a calibration before it is fitted: normal around slope 1 and intercept 0."""

    slope_sd: float
    intercept_sd: float


# Three hundred outcomes move a fitted line away from "as the margin says"; ten hardly do.
CAUTIOUS = Prior(slope_sd=0.15, intercept_sd=0.5)


def probability(log_odds: Floats) -> Floats:
    """Return 1 / (1 + exp(-log_odds)) without overflow."""
    result: Floats = np.exp(-np.logaddexp(0.0, -log_odds))
    return result


def fit(
    margin: Floats, defaulted: NDArray[np.bool_] | Floats, weight: Floats, *, prior: Prior | None = None
) -> Calibration:
    """
    Fit the line by (penalised) maximum likelihood: Platt (1999), by Newton's method.

    The targets are smoothed as Platt proposes, so that a perfectly separated sample has a finite slope. With a prior,
    few outcomes leave the margin nearly as it is. A slope is never negative: that would turn the model around.
    """
    target = np.asarray(defaulted, dtype=np.float64)
    bad, good = float(weight @ target), float(weight @ (1 - target))
    target = np.where(target > 0.5, (bad + 1) / (bad + 2), 1 / (good + 2))
    design = np.column_stack([margin, np.ones_like(margin)])
    centre = np.array([1.0, 0.0])
    penalty = np.diag([prior.slope_sd**-2, prior.intercept_sd**-2]) if prior else np.diag([1e-9, 1e-9])
    line = centre.copy()
    for _ in range(_STEPS):
        p = probability(design @ line)
        gradient = design.T @ (weight * (p - target)) + penalty @ (line - centre)
        curvature = (design * (weight * p * (1 - p))[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature, gradient)
        line -= step / max(1.0, float(np.abs(step).max()))
        if float(np.abs(step).max()) < _TOLERANCE:
            break
    slope, intercept = (float(value) for value in line)
    if slope <= 0 or not math.isfinite(slope):
        # Margin and outcome are unrelated here: the base rate is all that can be said.
        rate = (bad + 1) / (bad + good + 2)
        return Calibration(slope=1e-6, intercept=math.log(rate / (1 - rate)))
    return Calibration(slope=slope, intercept=intercept)
