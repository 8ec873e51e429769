"""
Why a decision is what it is: at most four reasons against and four for, each of them true of the applicant.

A code is given where its family moved the probability its way and its own condition holds; a declined applicant gets
whatever else is true against them where the model names nothing. Nothing untrue is ever said to fill a list.
"""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Annotated, Literal

import msgspec

from altcredit.engine.registry import Condition, Estimate

Direction = Literal["negative", "positive"]
Language = Literal["pt", "en"]

# At most this many a direction, each worth at least this much: 0.05 in log-odds is 5 % on the odds.
MOST = 4
MATERIAL = 0.05

# All conditions of one way hold: several ways are alternatives.
Way = Annotated[tuple[Condition, ...], msgspec.Meta(min_length=1)]


class ReasonCode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement that a decision may make about an applicant; ``reason_codes.toml`` explains the fields."""

    code: str
    direction: Direction
    families: tuple[str, ...]
    when: Annotated[tuple[Way, ...], msgspec.Meta(min_length=1)]
    label_pt: str
    label_en: str
    tip_pt: str
    tip_en: str

    def true_of(self, facts: Mapping[str, float | None]) -> bool:
        """Tell whether the statement is known to be true of an applicant with these features."""
        return any(all(condition.holds(facts) for condition in way) for way in self.when)

    def label(self, language: Language) -> str:
        return self.label_pt if language == "pt" else self.label_en

    def tip(self, language: Language) -> str:
        """Return what the applicant can do about it, or keep doing."""
        return self.tip_pt if language == "pt" else self.tip_en


class _CodeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: tuple[ReasonCode, ...]


CODES: dict[str, ReasonCode] = {
    code.code: code
    for code in msgspec.toml.decode(
        files("altcredit.engine.underwriting").joinpath("reason_codes.toml").read_bytes(), type=_CodeFile
    ).code
}


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason of one decision; its words are in ``CODES``."""

    code: str
    direction: Direction
    rank: int
    impact: float | None
    """Log-odds of default that its families add (negative: take off); None: a rule or a fact, not the model."""


def choose(
    facts: Mapping[str, float | None],
    estimate: Estimate | None,
    families: Mapping[str, str],
    *,
    declined: bool,
    first: str | None = None,
) -> tuple[Reason, ...]:
    """
    Return the reasons, those that speak for the decision first, by size, every code once and true.

    ``facts`` are the features, ``families`` the family of each model input. ``first`` names the code that a rule of the
    decision demands: it leads, whatever the model says.
    """
    moved = _moved(estimate, families)
    order: tuple[Direction, Direction] = ("negative", "positive") if declined else ("positive", "negative")
    chosen: list[tuple[ReasonCode, float | None]] = [(CODES[first], None)] if first else []
    for direction in order:
        true = [code for code in CODES.values() if code.direction == direction and code.true_of(facts)]
        chosen += _by_size(direction, [code for code in true if code.code != first], moved)
        if declined and direction == "negative" and not chosen:
            chosen += [(code, None) for code in true[:MOST]]
    return tuple(
        Reason(code=code.code, direction=code.direction, rank=rank, impact=impact)
        for rank, (code, impact) in enumerate(chosen, start=1)
    )


def _moved(estimate: Estimate | None, families: Mapping[str, str]) -> dict[str, float]:
    moved: dict[str, float] = {}
    for feature, contribution in (estimate.contributions if estimate else {}).items():
        family = families[feature]
        moved[family] = moved.get(family, 0.0) + contribution
    return moved


def _by_size(
    direction: Direction, true: Iterable[ReasonCode], moved: Mapping[str, float]
) -> list[tuple[ReasonCode, float | None]]:
    sign = 1 if direction == "negative" else -1
    sized = [(code, round(sum(moved.get(family, 0.0) for family in code.families), 4)) for code in true]
    material = [(code, impact) for code, impact in sized if sign * impact >= MATERIAL]
    found: list[tuple[ReasonCode, float | None]] = []
    found += sorted(material, key=lambda pair: -sign * pair[1])[:MOST]
    return found
