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

    def log_odds(self, values: Floats, weight: float) -> Floats:
        """Return what the feature adds to the log-odds of default, compared with a typical value."""
        points: Floats = np.interp(values, self.at, self.points)
        return -weight / POINTS_PER_LOG_ODDS * (points - float(np.interp(self.typical, self.at, self.points)))


class Scorecard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole table; ``expert.toml`` beside this module explains the fields."""

    version: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    base: float
    weight: Proportion
    cure_rate: Proportion
    benchmark: dict[str, float]
    curve: dict[str, Curve]

    def contributions(self, values: Floats, inputs: Sequence[Input]) -> Floats:
        """Return log-odds of default, one column an input (0 where the table says nothing), for known values."""
        result = np.zeros(values.shape)
        for column, item in enumerate(inputs):
            curve = self.curve.get(item.name)
            if curve is not None:
                result[:, column] = curve.log_odds(values[:, column], self.weight)
        return result

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
