"""
The expert scorecard: points over features, written down by people, signed and versioned like any other model.

It decides alone until there are outcomes to learn from, and is the margin on which XGBoost starts afterwards.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Annotated

import msgspec
import numpy as np

from altcredit.engine.scoring import POINTS_PER_LOG_ODDS
from altcredit.pipeline.models.inputs import Bounds, Floats, Input
from altcredit.runtime.refusal import Refusal

Proportion = Annotated[float, msgspec.Meta(gt=0, le=1)]


class ScorecardInvalid(Refusal):
    """A scorecard cannot be used; the message names the curve."""


class Curve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points of the score over one feature: straight lines between the knots, level outside them."""

    typical: float
    at: tuple[float, ...]
    points: tuple[float, ...]


class Table:
    """
    A scorecard's curves over a model's inputs, ready to be read for many rows at once.

    Each curve is moved to a stretch of its own on one line, so that one interpolation reads them all: a single row
    takes some 20 µs, not one call for each of thirty curves.
    """

    def __init__(self, card: "Scorecard", inputs: Sequence[Input]) -> None:
        found = [(column, card.curve[item.name]) for column, item in enumerate(inputs) if item.name in card.curve]
        self._columns = np.array([column for column, _ in found], dtype=np.intp)
        self._starts = np.array([curve.at[0] for _, curve in found], dtype=np.float64)
        self._widths = np.array([curve.at[-1] - curve.at[0] for _, curve in found], dtype=np.float64)
        self._places = 2.0 * np.arange(len(found))
        knots, points = [np.empty(0)], [np.empty(0)]
        for place, (_, curve) in zip(self._places, found, strict=True):
            at, worth = np.array(curve.at), np.array(curve.points)
            knots.append(place + (at - at[0]) / (at[-1] - at[0]))
            # Points of the score are log-odds of repaying; compared with a typical value, as log-odds of default.
            points.append(-card.weight / POINTS_PER_LOG_ODDS * (worth - np.interp(curve.typical, at, worth)))
        self._knots, self._points = np.concatenate(knots), np.concatenate(points)

    def contributions(self, values: Floats) -> Floats:
        """Return log-odds of default, one column an input (0 where the table says nothing), for known values."""
        result = np.zeros(values.shape)
        if self._columns.size:
            along = np.clip((values[:, self._columns] - self._starts) / self._widths, 0.0, 1.0)
            result[:, self._columns] = np.interp(self._places + along, self._knots, self._points)
        return result


class Scorecard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole table; ``expert.toml`` beside this module explains the fields."""

    version: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    base: float
    weight: Proportion
    cure_rate: Proportion
    benchmark: dict[str, float]
    curve: dict[str, Curve]
    withheld: dict[str, float] = {}
    """Points lost where a source is not shown, by source."""

    def cost_of_withholding(self, source: str) -> float:
        """Return what is added to the log-odds of default where a source is not shown."""
        return self.weight / POINTS_PER_LOG_ODDS * self.withheld.get(source, 0.0)

    def bounds(self, inputs: Sequence[Input]) -> dict[str, Bounds]:
        """Return each input's bounds where there is no training data: the outermost knots."""
        return {item.name: self._bounds(item) for item in inputs}

    def _bounds(self, item: Input) -> Bounds:
        curve = self.curve.get(item.name)
        if curve is None:
            return Bounds(low=-1e12, high=1e12, unknown=(0.0,))
        worst = curve.at[int(np.argmin(curve.points))]
        return Bounds(low=curve.at[0], high=curve.at[-1], unknown=(worst,))


def scorecard_from(text: str) -> Scorecard:
    """
    Read a scorecard from the text of a TOML file.

    :raises ScorecardInvalid: it is not TOML, a field is missing, unknown or out of range, or a curve is malformed.
    """
    try:
        card = msgspec.toml.decode(text, type=Scorecard)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ScorecardInvalid(f"Scorecard: {error}") from error
    for name, curve in card.curve.items():
        if len(curve.at) != len(curve.points) or len(curve.at) < 2:
            raise ScorecardInvalid(f"Scorecard: {name} needs as many points as knots, two at least")
        if any(right <= left for left, right in zip(curve.at, curve.at[1:], strict=False)):
            raise ScorecardInvalid(f"Scorecard: the knots of {name} must rise")
    return card


def require_directions(card: Scorecard, inputs: Mapping[str, Input]) -> None:
    """
    Continue only where every curve is over a known model input and follows its direction.

    A scorecard that rewarded late payment would be one typing error away otherwise. Raises ScorecardInvalid.
    """
    for name, curve in card.curve.items():
        if name not in inputs:
            raise ScorecardInvalid(f"Scorecard: {name} is not a model input")
        steps = np.diff(curve.points) * inputs[name].monotone
        if (steps > 0).any():
            raise ScorecardInvalid(f"Scorecard: {name} runs against its direction")


EXPERT = scorecard_from(files("altcredit.pipeline.models").joinpath("expert.toml").read_text(encoding="utf-8"))
