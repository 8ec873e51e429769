"""A model that can answer: probabilities of default with exact contributions, for frames of features."""

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray

from altcredit.engine.registry import Estimate, ModelInfo, Product
from altcredit.pipeline.models.calibration import Calibration, probability
from altcredit.pipeline.models.expert import Scorecard, Table
from altcredit.pipeline.models.inputs import Bounds, Floats, Input, matrix

SMALL_BATCH = 2_000

Origin = Literal["expert", "simulated", "ledgers", "public"]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """
    All that a model is but its trees, and all that whoever relies on it should know. Stored and signed as JSON.

    ``metrics``, ``sample``, ``windows`` and ``reference`` are described where they are made (training.py, monitor.py).
    """

    version: str
    product: Product = "altscore"
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
    requires: tuple[str, ...] = ()
    """Sources without which there is no probability."""
    withheld: dict[str, float] = {}
    """What is added to the log-odds (before calibration) where one of these sources is not shown."""


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
        self._table = Table(card.expert, card.inputs)
        self._neutral = np.array([item.neutral for item in card.inputs], dtype=bool)
        sources = [item.source for item in card.inputs]
        self._aside = [
            (np.flatnonzero([one == source for one in sources]), cost) for source, cost in card.withheld.items()
        ]
        spared = {int(column) for columns, _ in self._aside for column in columns} | set(np.flatnonzero(self._neutral))
        choices = [card.bounds[item.name].unknown for item in card.inputs]
        # What stands in where nothing is known. Where absence has its own rule (:meth:`_even`), any value does.
        self._stand_in = np.array([choice[0] for choice in choices])
        self._either = [n for n, choice in enumerate(choices) if len(choice) > 1 and n not in spared]
        self._choices = choices
        self._low = np.array([card.bounds[item.name].low for item in card.inputs])
        self._high = np.array([card.bounds[item.name].high for item in card.inputs])
        self._threads = threads
        self._set_threads = 0

    def explain(self, frame: pd.DataFrame) -> Explained:
        """
        Return probabilities and contributions for each row.

        What is not known is read at its worst (contract of inputs.py), and never counts in the retailer's favour.
        Neutral inputs and sources that may be withheld: see :meth:`_even`.

        :raises InputsMissing: the frame lacks columns.
        """
        return self.explain_values(matrix(frame, self.card.inputs))

    def explain_values(self, values: Floats) -> Explained:
        """Return probabilities and contributions for a matrix of inputs as ``matrix`` makes it; NaN is not known."""
        calibration = self.card.calibration
        contributions, base = self._contributions(values)
        self._even(contributions, np.isnan(values), caution=True)
        contributions = calibration.slope * contributions
        base = calibration.slope * base + calibration.intercept
        return Explained(pd=probability(base + contributions.sum(axis=1)), contributions=contributions, base=base)

    def learning_margin(self, frame: pd.DataFrame) -> Floats:
        """
        Return the uncalibrated log-odds that trees start from and that calibration is fitted on.

        As when scoring, but without the caution of withheld sources: they count for nothing here. Caution that
        calibration saw would be taken back from those who show everything.
        """
        if not self._aside:
            return self.serving_margin(frame)
        values = matrix(frame, self.card.inputs)
        contributions, base = self._contributions(values)
        self._even(contributions, np.isnan(values), caution=False)
        margin: Floats = base + contributions.sum(axis=1)
        return margin

    def _contributions(self, values: Floats) -> tuple[Floats, float]:
        """Return uncalibrated contributions and their base; what is not known counts against, or not at all."""
        card = self.card
        unknown = np.isnan(values)
        values = self._filled(np.clip(values, self._low, self._high), unknown)
        contributions = self._table.contributions(values) - self._centre
        base = card.expert.base + float(self._centre.sum())
        if self.booster is not None and len(values):
            threads = self._use_threads(len(values))
            rows = xgb.DMatrix(values.astype(np.float32), nthread=threads)
            trees = self.booster.predict(rows, pred_contribs=True)
            contributions += trees[:, :-1]
            base += float(trees[0, -1])
        contributions[unknown] = np.maximum(contributions[unknown], 0.0)
        return contributions, base

    def _even(self, contributions: Floats, unknown: NDArray[np.bool_], *, caution: bool) -> None:
        """
        Set what absence counts for, in place.

        A neutral input that is not known counts for nothing. A source that may be withheld costs the card's amount
        where it is absent, and never more where it is there: its inputs that speak against are scaled down to that.
        As trees do not join such a source with others, this bound is exact: showing a source never raises a
        probability above what withholding it would give. Without ``caution`` absence counts for nothing.
        """
        if self._neutral.any():
            contributions[:, self._neutral] *= ~unknown[:, self._neutral]
        for columns, cost in self._aside:
            part = contributions[:, columns]
            absent = unknown[:, columns].all(axis=1)
            if caution:
                against = np.maximum(part, 0.0)
                excess = np.maximum(part.sum(axis=1) - cost, 0.0)
                share = np.divide(excess, against.sum(axis=1), out=np.zeros(len(part)), where=excess > 0)
                part = part - against * share[:, None]
            part[absent] = cost / len(columns) if caution else 0.0
            contributions[:, columns] = part

    def margin(self, values: Floats) -> Floats:
        """Return the uncalibrated log-odds for a matrix of values without gaps."""
        card = self.card
        margin: Floats = card.expert.base + self._table.contributions(values).sum(axis=1)
        if self.booster is not None and len(values):
            self._use_threads(len(values))
            margin = margin + self.booster.inplace_predict(values.astype(np.float32), predict_type="margin")
        return margin

    def serving_margin(self, frame: pd.DataFrame) -> Floats:
        """Return the uncalibrated log-odds as they are when scoring: gaps are read at their worst."""
        values = matrix(frame, self.card.inputs)
        filled = self._filled(np.clip(values, self._low, self._high), np.isnan(values))
        return self.margin(filled)

    def _use_threads(self, rows: int) -> int:
        # On a busy machine a second thread costs more waiting than a small batch has work.
        threads = self._threads if rows > SMALL_BATCH else 1
        assert self.booster is not None
        if threads != self._set_threads:
            self.booster.set_param({"nthread": threads})
            self._set_threads = threads
        return threads

    def _filled(self, values: Floats, unknown: NDArray[np.bool_]) -> Floats:
        """Put the risk side's value where nothing is known; of two candidates, the one that the model holds worse."""
        values = np.where(unknown, self._stand_in, values)
        either = self._either
        pattern = (unknown[:, either] * (1 << np.arange(len(either)))).sum(axis=1)
        for found in np.unique(pattern[pattern > 0]).tolist():
            rows = np.flatnonzero(pattern == found)
            columns = [column for bit, column in enumerate(either) if found >> bit & 1]
            values[rows] = self._worst(values[rows], columns, [self._choices[column] for column in columns])
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
