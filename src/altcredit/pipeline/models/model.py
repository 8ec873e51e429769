"""A model that can answer: probabilities of default with exact contributions, for frames of features."""

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray

from altcredit.engine.scoring import Estimate, ModelInfo
from altcredit.pipeline.models.calibration import Calibration, probability
from altcredit.pipeline.models.expert import Scorecard
from altcredit.pipeline.models.inputs import Bounds, Floats, Input, matrix, within

SMALL_BATCH = 2_000

Origin = Literal["expert", "simulated", "ledgers", "public"]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """
    All that a model is but its trees, and all that whoever relies on it should know. Stored and signed as JSON.

    ``metrics``, ``sample``, ``windows`` and ``reference`` are described where they are made (training.py, monitor.py).
    """

    version: str
    kind: Literal["expert", "xgboost"]
    created_at: str
    inputs: tuple[Input, ...]
    bounds: dict[str, Bounds]
    expert: Scorecard
    centre: dict[str, float]
    """Mean of the expert's log-odds by input over the training data: its contributions are deviations from it."""
    calibration: Calibration
    benchmark: dict[str, float]
    cure_rate: float
    data_origin: Origin
    data_sha256: str
    code_sha256: str
    booster_sha256: str | None
    definition_of_default: dict[str, Any]
    windows: dict[str, Any]
    sample: dict[str, Any]
    metrics: dict[str, Any]
    reference: dict[str, Any]
    limits_of_use: tuple[str, ...]
    software: dict[str, str]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Arrays of one prediction: ``logit(pd) = base + contributions.sum(axis=1)``, log-odds, a column an input."""

    pd: Floats
    contributions: Floats
    base: float


class Model:
    """A card and its trees, in memory and warm. ``threads``: how many XGBoost may use."""

    def __init__(self, card: Card, booster: xgb.Booster | None = None, *, sha256: str = "", threads: int = 2) -> None:
        self.card = card
        self.booster = booster
        self.info = ModelInfo(
            version=card.version,
            sha256=sha256,
            expert_only=card.kind == "expert",
            cure_rate=card.cure_rate,
            families={item.name: item.family for item in card.inputs},
            benchmark=card.benchmark,
        )
        self._centre = np.array([card.centre.get(item.name, 0.0) for item in card.inputs])
        self._threads = threads

    def explain(self, frame: pd.DataFrame) -> Explained:
        """
        Return probabilities and contributions for each row.

        What is not known is read at its worst (contract of inputs.py), and never counts in the retailer's favour.

        :raises InputsMissing: the frame lacks columns.
        """
        card = self.card
        values = matrix(frame, card.inputs)
        unknown = np.isnan(values)
        values = self._filled(within(values, card.inputs, card.bounds), unknown)
        contributions = card.expert.contributions(values, card.inputs) - self._centre
        base = card.expert.base + float(self._centre.sum())
        if self.booster is not None and len(values):
            threads = self._use_threads(len(values))
            rows = xgb.DMatrix(values.astype(np.float32), nthread=threads)
            trees = self.booster.predict(rows, pred_contribs=True)
            contributions += trees[:, :-1]
            base += float(trees[0, -1])
        contributions = card.calibration.slope * contributions
        contributions[unknown] = np.maximum(contributions[unknown], 0.0)
        base = card.calibration.slope * base + card.calibration.intercept
        return Explained(pd=probability(base + contributions.sum(axis=1)), contributions=contributions, base=base)

    def margin(self, values: Floats) -> Floats:
        """Return the uncalibrated log-odds for a matrix of values without gaps."""
        card = self.card
        margin: Floats = card.expert.base + card.expert.contributions(values, card.inputs).sum(axis=1)
        if self.booster is not None and len(values):
            self._use_threads(len(values))
            margin = margin + self.booster.inplace_predict(values.astype(np.float32), predict_type="margin")
        return margin

    def serving_margin(self, frame: pd.DataFrame) -> Floats:
        """Return the uncalibrated log-odds as they are when scoring: gaps are read at their worst."""
        values = matrix(frame, self.card.inputs)
        filled = self._filled(within(values, self.card.inputs, self.card.bounds), np.isnan(values))
        return self.margin(filled)

    def _use_threads(self, rows: int) -> int:
        # On a busy machine a second thread costs more waiting than a small batch has work.
        threads = self._threads if rows > SMALL_BATCH else 1
        assert self.booster is not None
        self.booster.set_param({"nthread": threads})
        return threads

    def _filled(self, values: Floats, unknown: NDArray[np.bool_]) -> Floats:
        """Put the risk side's value where nothing is known; of two candidates, the one that the model holds worse."""
        choices = [self.card.bounds[item.name].unknown for item in self.card.inputs]
        for column, choice in enumerate(choices):
            values[unknown[:, column], column] = choice[0]
        either = [column for column, choice in enumerate(choices) if len(choice) > 1]
        pattern = (unknown[:, either] * (1 << np.arange(len(either)))).sum(axis=1)
        for found in np.unique(pattern[pattern > 0]).tolist():
            rows = np.flatnonzero(pattern == found)
            columns = [column for bit, column in enumerate(either) if found >> bit & 1]
            values[rows] = self._worst(values[rows], columns, [choices[column] for column in columns])
        return values

    def _worst(self, rows: Floats, columns: Sequence[int], choices: Sequence[tuple[float, ...]]) -> Floats:
        variants = []
        for chosen in itertools.product(*choices):
            variant = rows.copy()
            variant[:, columns] = chosen
            variants.append(variant)
        margins = np.stack([self.margin(variant) for variant in variants])
        worst: Floats = np.stack(variants)[margins.argmax(axis=0), np.arange(len(rows))]
        return worst


def predict(frame: pd.DataFrame, model: Model) -> list[Estimate]:
    """Return one estimate a row, in the frame's order. Raises InputsMissing."""
    explained = model.explain(frame)
    names = [item.name for item in model.card.inputs]
    return [
        Estimate(pd=pd_, contributions=dict(zip(names, row, strict=True)), base=explained.base)
        for pd_, row in zip(explained.pd.tolist(), explained.contributions.tolist(), strict=True)
    ]
