"""What a model reads: named numbers, each with a family and the direction in which it means risk."""

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from altcredit.runtime.refusal import Refusal

Floats = NDArray[np.float64]

# Beyond these quantiles of the training data a value is read as the quantile itself, and a value that is not known is
# read as the one on the risk side. With monotone constraints this makes it impossible to gain by withholding, however
# bad the truth is. On simulated ledgers (2,700 shops) 0.95 cost nothing (AUC .8717, log-loss .2033, against .8712 and
# .2036 at 0.995) and took 19 points for a silent feed of returns instead of 27; 0.90 cost log-loss (.2063).
OUTER = (0.05, 0.95)
# A feature without a direction has no risk side: the riskier of these two quantiles stands in, as the model judges.
INNER = (0.10, 0.90)


class InputsMissing(Refusal):
    """A frame lacks columns that the model reads."""


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """
    One model input. ``monotone``: +1 a higher value means higher risk, -1 lower, 0 neither.

    ``source``: which of several sources it comes from. ``neutral``: where it is not known it counts neither way.
    """

    name: str
    family: str
    monotone: Literal[-1, 0, 1]
    source: str = ""
    neutral: bool = False


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The range within which an input is read, and what stands in for it where it is not known."""

    low: float
    high: float
    unknown: tuple[float, ...]
    """One value for an input with a direction, two to choose the riskier from for one without."""


def matrix(frame: pd.DataFrame, inputs: Sequence[Input]) -> Floats:
    """
    Return the inputs of a frame as float64, one row a shop and one column an input; not known is NaN.

    :raises InputsMissing: naming the columns that are not there.
    """
    absent = [item.name for item in inputs if item.name not in frame.columns]
    if absent:
        raise InputsMissing(f"The frame lacks the model's inputs {', '.join(absent)}")
    columns = [pd.to_numeric(frame[item.name]).to_numpy(dtype=np.float64, na_value=np.nan) for item in inputs]
    return np.column_stack(columns) if columns else np.empty((len(frame), 0))


def bounds_of(values: Floats, inputs: Sequence[Input]) -> dict[str, Bounds]:
    """Return each input's bounds from training data; an input that is never known reads as 0."""
    return {item.name: _bounds(values[:, column], item) for column, item in enumerate(inputs)}


def _bounds(column: Floats, item: Input) -> Bounds:
    known = column[np.isfinite(column)]
    if not known.size:
        return Bounds(low=0.0, high=0.0, unknown=(0.0,))
    low, high = (float(q) for q in np.quantile(known, OUTER))
    inner = tuple(float(q) for q in np.quantile(known, INNER))
    return Bounds(low=low, high=high, unknown={1: (high,), -1: (low,), 0: inner}[item.monotone])


def within(values: Floats, inputs: Sequence[Input], bounds: dict[str, Bounds]) -> Floats:
    """Return the values drawn into their bounds; NaN stays."""
    low = np.array([bounds[item.name].low for item in inputs])
    high = np.array([bounds[item.name].high for item in inputs])
    return np.clip(values, low, high)
