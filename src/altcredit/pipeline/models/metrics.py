"""
How good a model is, with how sure one can be of it.

Intervals are 95 % percentile bootstraps over *shops*: rows of one shop at several dates are one observation, and
resampling rows would make every interval too narrow.
"""

from collections.abc import Callable
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from altcredit.pipeline.models.calibration import fit
from altcredit.pipeline.models.inputs import Floats

REPLICATES = 300
LEVEL = (2.5, 97.5)

Statistic = Callable[["Sample", Floats], float]


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


class Sample:
    """Outcomes and predictions, sorted by prediction once; statistics take row weights, for resampling."""

    def __init__(
        self, defaulted: NDArray[np.bool_], pd: Floats, shops: NDArray[np.generic], weight: Floats | None = None
    ) -> None:
        order = np.argsort(pd, kind="stable")
        self.pd = np.clip(pd[order], 1e-12, 1 - 1e-12)
        self.bad = defaulted[order].astype(np.float64)
        self.weight = np.ones(len(pd)) if weight is None else weight[order]
        self.codes = np.unique(shops[order], return_inverse=True)[1].ravel()
        self.shops = int(self.codes.max()) + 1 if len(pd) else 0
        # Where a run of equal predictions ends: ties count half.
        self.ends = np.flatnonzero(np.append(np.diff(self.pd) > 0, True)) if len(pd) else np.empty(0, dtype=np.int64)
        self.order = order

    def with_predictions(self, pd: Floats) -> Self:
        """Return the same outcomes, shops and weights under other predictions, given in the original order."""
        inverse = np.argsort(self.order, kind="stable")
        return type(self)(self.bad[inverse] > 0, pd, self.codes[inverse], self.weight[inverse])


def auc(sample: Sample, weight: Floats) -> float:
    """Return the probability that a bad shop is predicted riskier than a good one; ties count half."""
    bad = np.diff(np.cumsum(weight * sample.bad)[sample.ends], prepend=0.0)
    good = np.diff(np.cumsum(weight * (1 - sample.bad))[sample.ends], prepend=0.0)
    pairs = bad.sum() * good.sum()
    return float((bad * (np.cumsum(good) - good / 2)).sum() / pairs) if pairs else float("nan")


def gini(sample: Sample, weight: Floats) -> float:
    """Return 2 AUC - 1."""
    return 2 * auc(sample, weight) - 1


def ks(sample: Sample, weight: Floats) -> float:
    """Return the largest distance between the cumulative shares of bad and good (Kolmogorov and Smirnov)."""
    bad, good = np.cumsum(weight * sample.bad), np.cumsum(weight * (1 - sample.bad))
    if not bad[-1] or not good[-1]:
        return float("nan")
    return float(np.abs(bad / bad[-1] - good / good[-1])[sample.ends].max())


def brier(sample: Sample, weight: Floats) -> float:
    """Return the mean squared distance between probability and outcome."""
    return float((weight * (sample.pd - sample.bad) ** 2).sum() / weight.sum())


def log_loss(sample: Sample, weight: Floats) -> float:
    """Return the mean negative log-likelihood in nats."""
    loss = -(sample.bad * np.log(sample.pd) + (1 - sample.bad) * np.log1p(-sample.pd))
    return float((weight * loss).sum() / weight.sum())


def _line(sample: Sample, weight: Floats) -> tuple[float, float]:
    if not (weight * sample.bad).any():
        return float("nan"), float("nan")
    fitted = fit(np.log(sample.pd / (1 - sample.pd)), sample.bad, weight)
    return fitted.slope, fitted.intercept


def calibration_slope(sample: Sample, weight: Floats) -> float:
    """Return the slope of outcome on log-odds (Cox): 1 is right, below 1 the predictions are too extreme."""
    return _line(sample, weight)[0]


def calibration_intercept(sample: Sample, weight: Floats) -> float:
    """Return the intercept that goes with the slope: 0 is right."""
    return _line(sample, weight)[1]


def observed_to_expected(sample: Sample, weight: Floats) -> float:
    """Return observed over predicted defaults: 1 is right, above 1 the model is too kind."""
    return float((weight * sample.bad).sum() / (weight * sample.pd).sum())


STATISTICS: dict[str, Statistic] = {
    "auc": auc,
    "gini": gini,
    "ks": ks,
    "brier": brier,
    "log_loss": log_loss,
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
    "observed_to_expected": observed_to_expected,
}


def resample(
    sample: Sample, statistic: Callable[[Floats], float], *, seed: int, replicates: int = REPLICATES
) -> Floats:
    """Return the statistic of row weights over replicates of drawing the shops with replacement; nan ones left out."""
    rng = np.random.default_rng(seed)
    equal = np.full(sample.shops, 1 / sample.shops)
    values = np.array(
        [statistic(rng.multinomial(sample.shops, equal)[sample.codes] * sample.weight) for _ in range(replicates)]
    )
    finite: Floats = values[np.isfinite(values)]
    return finite


def ends(drawn: Floats) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a statistic's replicates; nan where there are none."""
    if not drawn.size:
        return float("nan"), float("nan")
    low, high = np.percentile(drawn, LEVEL)
    return float(low), float(high)


def interval(sample: Sample, statistic: Statistic, *, seed: int, replicates: int = REPLICATES) -> Interval:
    """Return a statistic with its interval; nan all through where the sample cannot tell."""
    drawn = resample(sample, lambda weight: statistic(sample, weight), seed=seed, replicates=replicates)
    low, high = ends(drawn)
    return Interval(value=statistic(sample, sample.weight), low=low, high=high)


def measure(sample: Sample, *, seed: int, replicates: int = REPLICATES) -> dict[str, Interval]:
    """Return every statistic of ``STATISTICS`` with its interval."""
    return {
        name: interval(sample, statistic, seed=seed, replicates=replicates) for name, statistic in STATISTICS.items()
    }


def share_of_defaults(
    sample: Sample, inside: NDArray[np.bool_], *, seed: int, replicates: int = REPLICATES
) -> Interval:
    """
    Return the share of defaults among the rows ``inside`` (in the sample's order).

    Resampling finds no spread in 0 of n: there the rule of three gives the upper end, 3 / n.
    """

    def share(weight: Floats) -> float:
        total = float((weight * inside).sum())
        return float((weight * inside * sample.bad).sum()) / total if total else float("nan")

    value = share(sample.weight)
    drawn = resample(sample, share, seed=seed, replicates=replicates)
    low, high = ends(drawn)
    if value == 0:
        high = max(high, min(1.0, 3 / len(np.unique(sample.codes[inside]))))
    return Interval(value=value, low=low, high=high)


def auc_difference(sample: Sample, other_pd: Floats, *, seed: int, replicates: int = REPLICATES) -> Interval:
    """Return AUC of the sample's predictions minus that of ``other_pd`` (original order), paired over shops."""
    other = sample.with_predictions(other_pd)
    rng = np.random.default_rng(seed)
    equal = np.full(sample.shops, 1 / sample.shops)
    drawn = []
    for _ in range(replicates):
        counts = rng.multinomial(sample.shops, equal)
        drawn.append(auc(sample, counts[sample.codes] * sample.weight) - auc(other, counts[other.codes] * other.weight))
    values = np.array(drawn, dtype=np.float64)
    low, high = ends(values[np.isfinite(values)])
    return Interval(value=auc(sample, sample.weight) - auc(other, other.weight), low=low, high=high)


def psi(expected: Floats, actual: Floats) -> float:
    """Return the population stability index of two histograms of counts; half a count keeps empty bins finite."""
    e = (expected + 0.5) / (expected + 0.5).sum()
    a = (actual + 0.5) / (actual + 0.5).sum()
    return float(((a - e) * np.log(a / e)).sum())


def psi_alert(bins: int, expected: float, actual: float, *, floor: float = 0.10) -> float:
    """
    Return the PSI above which a shift is more than chance: max(0.10, chi-square 99 % x (1/n + 1/m)).

    Without a shift, PSI / (1/n + 1/m) follows chi-square with bins - 1 degrees of freedom (Yurdakul 2018).
    """
    return max(floor, float(chi2.ppf(0.99, max(bins - 1, 1))) * (1 / max(expected, 1.0) + 1 / max(actual, 1.0)))
