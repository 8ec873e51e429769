"""What a feature is, and how one is declared: a decorated function over one table of the ledger."""

from collections.abc import Callable
from typing import Any, Literal

import ibis
import msgspec

Monotone = Literal[-1, 0, 1]
Over = Literal["bills", "orders", "accounts"]

# A retailer's rows of one table of the ledger in, one value out. Ibis has no types that mypy could follow.
Expression = Callable[[Any], Any]


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """
    One column of gold.

    ``monotone`` states what a *higher* value means: +1 higher risk, -1 lower risk, 0 neither. ``model_input`` is False
    for facts, which reasons may state but no model may use. ``over`` names the table of the ledger (see ledger.py) that
    ``expression`` aggregates for each retailer; a fact that comes from elsewhere has neither.
    """

    name: str
    family: str
    unit: str
    meaning: str
    monotone: Monotone
    model_input: bool = True
    over: Over | None = None
    expression: Expression | None = None


def feature(
    *, family: str, unit: str, monotone: Monotone, over: Over, model_input: bool = True
) -> Callable[[Expression], Feature]:
    """Turn a function of a ledger table into the :class:`Feature` of its name; the docstring is the meaning."""

    def declare(expression: Expression) -> Feature:
        assert expression.__doc__, f"{expression.__name__} does not say what it means"
        return Feature(
            name=expression.__name__,
            family=family,
            unit=unit,
            meaning=" ".join(expression.__doc__.split()),
            monotone=monotone,
            model_input=model_input,
            over=over,
            expression=expression,
        )

    return declare


def share(condition: Any, *, of: Any) -> Any:
    """Among the rows where ``of`` holds, the share where ``condition`` holds; null where there are none."""
    return condition.ifelse(1.0, 0.0).mean(where=of)


def ratio(part: Any, whole: Any) -> Any:
    """``part / whole``, null where ``whole`` is zero or less."""
    return part.cast("float64") / ibis.cases((whole > 0, whole.cast("float64")))
