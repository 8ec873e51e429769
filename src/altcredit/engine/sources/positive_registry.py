"""The positive registry (Lei 12.414): a score, and with the customer's authorisation the payment history behind it."""

from datetime import timedelta
from typing import Annotated

import msgspec

from altcredit.engine.sources.source import Source


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Payments of the last 12 months."""

    months: Annotated[int, msgspec.Meta(ge=0, le=1200)]
    open_contracts: Annotated[int, msgspec.Meta(ge=0, le=10_000)]
    on_time_share: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    max_days_past_due_12m: Annotated[int, msgspec.Meta(ge=0, le=36_500)] | None = None


class PositiveRegistry(msgspec.Struct, frozen=True, kw_only=True):
    """``registered`` is false for whoever left the registry, which is a right and counts neither way."""

    registered: bool
    score: Annotated[int, msgspec.Meta(ge=0, le=1000)] | None = None
    history: History | None = None


SOURCE = Source(
    name="positive_registry",
    tier="full",
    price_centavos=120,
    timeout_seconds=8.0,
    valid_for=timedelta(days=7),
    answer=PositiveRegistry,
    extends="positiveHistory",
    unknown=PositiveRegistry(registered=False),
)
