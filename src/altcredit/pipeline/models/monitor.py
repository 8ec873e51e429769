"""Has the population moved since the model was made? PSI and KS of every input and of the score, chance allowed for."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from altcredit.engine.scoring import POINTS_PER_LOG_ODDS
from altcredit.pipeline.models.inputs import Floats, matrix
from altcredit.pipeline.models.metrics import Interval, Sample, interval, observed_to_expected, psi, psi_alert
from altcredit.pipeline.models.model import Model

BINS = 10
BLOCK_ABOVE = 0.25
_KEPT = 200


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """How far one distribution has moved. ``verdict``: ok, alert, or block (no promotion, ask for a new model)."""

    name: str
    psi: float
    alert_above: float
    ks: float
    ks_p_value: float
    unknown_then: float
    unknown_now: float
    verdict: str


def medians(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """Return the median of each of these columns that the frame has and that is known for anybody."""
    found = {name: pd.to_numeric(frame[name]).median() for name in names if name in frame.columns}
    return {name: float(value) for name, value in found.items() if pd.notna(value)}


def scores(pd_: Floats) -> Floats:
    """Return unclamped, unrounded scores of probabilities (contract A10), for distributions."""
    result: Floats = 550 + POINTS_PER_LOG_ODDS * (np.log1p(-pd_) - np.log(pd_))
    return result


def reference(frame: pd.DataFrame, model: Model) -> dict[str, Any]:
    """
    Return what later populations are compared with: by name, bin edges, counts, gaps and 200 quantiles.

    Kept on the card, so that monitoring needs no training data.
    """
    return {name: _describe(column) for name, column in _columns(frame, model).items()}


def _columns(frame: pd.DataFrame, model: Model) -> dict[str, Floats]:
    values = matrix(frame, model.card.inputs)
    columns = {item.name: values[:, number] for number, item in enumerate(model.card.inputs)}
    return {**columns, model.card.product: scores(model.explain(frame).pd)}


def _describe(column: Floats) -> dict[str, Any]:
    known = column[np.isfinite(column)]
    if not known.size:
        return {"edges": [], "counts": [0], "unknown": len(column), "quantiles": []}
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    return {
        "edges": edges.tolist(),
        "counts": _histogram(known, edges).tolist(),
        "unknown": int(len(column) - known.size),
        "quantiles": np.quantile(known, np.linspace(0, 1, min(_KEPT, known.size))).tolist(),
    }


def _histogram(known: Floats, edges: Floats) -> Floats:
    # A value on an edge belongs below it, so that a feature that is mostly 0 has a bin for 0.
    return np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1).astype(np.float64)


def shifts(frame: pd.DataFrame, model: Model) -> list[Shift]:
    """
    Compare a population of now (one row a retailer) with the one that the model was measured on.

    Sorted, the largest PSI first. What is not known is a bin of its own: a feed that stops sending is a shift.
    Raises InputsMissing.
    """
    then = model.card.reference
    found = [shift_of(name, then[name], now) for name, now in _columns(frame, model).items() if name in then]
    return sorted(found, key=lambda shift: -shift.psi)


def shift_of(name: str, then: dict[str, Any], column: Floats) -> Shift:
    """Compare one column of now with what the card keeps of it."""
    known = column[np.isfinite(column)]
    gaps = float(len(column) - known.size)
    expected = np.append(np.asarray(then["counts"], dtype=np.float64), then["unknown"])
    actual = np.append(_histogram(known, np.asarray(then["edges"])), gaps)
    index, alert = psi(expected, actual), psi_alert(len(expected), expected.sum(), actual.sum())
    compared = ks_2samp(then["quantiles"], known) if then["quantiles"] and known.size else None
    return Shift(
        name=name,
        psi=index,
        alert_above=alert,
        ks=float(compared.statistic) if compared else 0.0,
        ks_p_value=float(compared.pvalue) if compared else 1.0,
        unknown_then=float(then["unknown"] / max(expected.sum(), 1.0)),
        unknown_now=gaps / max(len(column), 1),
        verdict="ok" if index <= alert else "alert" if index <= max(BLOCK_ABOVE, alert) else "block",
    )


def observed_against_expected(defaulted: Any, pd_: Floats, shops: Any, *, seed: int, replicates: int = 300) -> Interval:
    """Return observed over predicted defaults of a month whose labels have matured, with its interval."""
    return interval(Sample(defaulted, pd_, shops), observed_to_expected, seed=seed, replicates=replicates)
