"""
Why a score is what it is: at least three positive and two negative reasons, each of them true (contract A11).

A code is chosen by (1) what its family contributed to the score, then, where fewer than promised are true, by (2) how
the retailer compares with the portfolio, then (3) from facts that hold for everybody and say nothing for or against.
"""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Literal

import msgspec

from altcredit.engine.registry import Condition
from altcredit.engine.scoring.scale import POINTS_PER_LOG_ODDS

Direction = Literal["positive", "negative"]
Language = Literal["en", "hi"]

# Promised in every answer (API-ALTSCORE-001, section 03).
PROMISED: dict[Direction, int] = {"positive": 3, "negative": 2}
# Beyond what is promised, only what matters: at most this many a direction, each worth at least this many points.
MOST = 4
MATERIAL_POINTS = 5.0


class ReasonCode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement that an answer may make about a retailer; ``reason_codes.toml`` explains the fields."""

    code: str
    direction: Direction
    family: str = ""
    feature: str = ""
    when: tuple[Condition, ...] = ()
    label_en: str
    label_hi: str
    tip_en: str = ""
    tip_hi: str = ""

    def true_of(self, features: Mapping[str, float | None]) -> bool:
        """Tell whether the statement is true of a retailer with these features."""
        return all(condition.holds(features) for condition in self.when)

    def label(self, language: Language) -> str:
        return self.label_hi if language == "hi" else self.label_en

    def tip(self, language: Language) -> str:
        """Return what the retailer can do about it; empty where there is nothing to do."""
        return self.tip_hi if language == "hi" else self.tip_en


class _CodeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: tuple[ReasonCode, ...]


CODES: dict[str, ReasonCode] = {
    code.code: code
    for code in msgspec.toml.decode(
        files("altcredit.engine.scoring").joinpath("reason_codes.toml").read_bytes(), type=_CodeFile
    ).code
}

_SUBSTANTIAL: dict[Direction, tuple[ReasonCode, ...]] = {
    direction: tuple(code for code in CODES.values() if code.direction == direction and code.when)
    for direction in PROMISED
}
_NEUTRAL: dict[Direction, tuple[ReasonCode, ...]] = {
    direction: tuple(code for code in CODES.values() if code.direction == direction and not code.when)
    for direction in PROMISED
}


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason of one assessment; its words are in ``CODES``."""

    code: str
    direction: Direction
    rank: int
    impact_points: float | None
    """Points that the code's family adds to the score (negative: takes from it); None where the model gave none."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What reasons are chosen from. Contributions are log-odds of default; ``families`` names the family of each."""

    features: Mapping[str, float | None]
    contributions: Mapping[str, float]
    families: Mapping[str, str]
    benchmark: Mapping[str, float]


def choose(evidence: Evidence, *, always: str | None = None) -> tuple[Reason, ...]:
    """
    Return the reasons, positives first, each direction by size, ranks 1 to n, every code once and true.

    ``always`` names a negative code that the rules of the assessment demand (SEVERE_OVERDUE of contract A9).
    """
    points = _points_by_family(evidence)
    true = _true_codes(evidence.features, always)
    spoken: dict[str, Direction] = {}
    chosen: dict[Direction, list[tuple[ReasonCode, float | None]]] = {}
    for direction in PROMISED:
        chosen[direction] = _by_contribution(direction, true[direction], points, evidence, always)
        spoken |= {code.family: direction for code, _ in chosen[direction]}
    for direction, promised in PROMISED.items():
        taken = chosen[direction]
        further = _by_benchmark(direction, true[direction], taken, spoken, evidence)[: max(promised - len(taken), 0)]
        taken += [(code, None) for code in further]
        taken += [(code, 0.0) for code in _NEUTRAL[direction][: max(promised - len(taken), 0)]]
        spoken |= {code.family: direction for code in further}
    return tuple(
        Reason(code=code.code, direction=code.direction, rank=rank, impact_points=impact)
        for rank, (code, impact) in enumerate([*chosen["positive"], *chosen["negative"]], start=1)
    )


def _true_codes(features: Mapping[str, float | None], always: str | None) -> dict[Direction, list[ReasonCode]]:
    # A family that must speak against the retailer is not asked for praise.
    silent = CODES[always].family if always else None
    return {
        "positive": [c for c in _SUBSTANTIAL["positive"] if c.family != silent and c.true_of(features)],
        "negative": [c for c in _SUBSTANTIAL["negative"] if c.code == always or c.true_of(features)],
    }


def _points_by_family(evidence: Evidence) -> dict[str, float]:
    points: dict[str, float] = {}
    for feature, contribution in evidence.contributions.items():
        family = evidence.families[feature]
        points[family] = points.get(family, 0.0) - contribution * POINTS_PER_LOG_ODDS
    return points


def _by_contribution(
    direction: Direction,
    true: Iterable[ReasonCode],
    points: Mapping[str, float],
    evidence: Evidence,
    always: str | None,
) -> list[tuple[ReasonCode, float | None]]:
    """Step (1): for each family that moved the score this way, the true code whose own feature moved it most."""
    sign = 1 if direction == "positive" else -1
    best: dict[str, tuple[float, ReasonCode]] = {}
    for code in true:
        if points.get(code.family, 0.0) * sign <= 0 and code.code != always:
            continue
        own = -sign * evidence.contributions.get(code.feature, 0.0) if code.code != always else float("inf")
        if code.family not in best or own > best[code.family][0]:
            best[code.family] = (own, code)
    ordered = sorted(
        ((code, round(points.get(code.family, 0.0), 1)) for _, code in best.values()),
        key=lambda choice: (choice[0].code != always, -sign * choice[1]),
    )
    return [
        choice
        for place, choice in enumerate(ordered)
        if place < PROMISED[direction] or (place < MOST and abs(choice[1]) >= MATERIAL_POINTS)
    ]


def _by_benchmark(
    direction: Direction,
    true: Iterable[ReasonCode],
    taken: Iterable[tuple[ReasonCode, Any]],
    spoken: Mapping[str, Direction],
    evidence: Evidence,
) -> list[ReasonCode]:
    """
    Step (2): true codes by how far the retailer lies beyond the portfolio's median on the code's side.

    Families that nothing was said about come first. A family that speaks for the other direction is left alone: the
    same answer does not praise and blame one habit.
    """
    used = {code.code for code, _ in taken}
    candidates: list[tuple[bool, float, ReasonCode]] = []
    for code in true:
        if code.code in used or spoken.get(code.family, direction) != direction:
            continue
        gap = _gap(code, evidence)
        if gap is not None and gap >= 0:
            candidates.append((code.family in spoken, -gap, code))
    return [code for _, _, code in sorted(candidates, key=lambda candidate: candidate[:2])]


def _gap(code: ReasonCode, evidence: Evidence) -> float | None:
    """Return how far the code's feature lies beyond the benchmark on the code's side, as a share of the larger."""
    named = next((condition for condition in code.when if condition.feature == code.feature), None)
    median, value = evidence.benchmark.get(code.feature), evidence.features.get(code.feature)
    if named is None or median is None or value is None:
        return None
    beyond = value - median if named.operator in (">", ">=") else median - value
    return beyond / max(abs(value), abs(median), 1e-9)
