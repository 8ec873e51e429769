"""Accounts that the customer shares by Open Finance, under the customer's consent only."""

from datetime import timedelta
from typing import Annotated

import msgspec

from altcredit.engine.sources.source import Source

Amount = Annotated[float, msgspec.Meta(ge=0, le=1_000_000_000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=100_000)]


class OpenFinance(msgspec.Struct, frozen=True, kw_only=True):
    """What the shared accounts show; ``income_variation`` is the monthly income's standard deviation over its mean."""

    months_observed: Annotated[int, msgspec.Meta(ge=0, le=120)]
    relationship_months: Annotated[int, msgspec.Meta(ge=0, le=1200)]
    monthly_income_brl: Amount
    income_variation: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    mean_balance_brl: Annotated[float, msgspec.Meta(ge=-1_000_000_000, le=1_000_000_000)]
    overdraft_days_90d: Count
    bounced_payments_90d: Count


SOURCE = Source(
    name="open_finance",
    tier="full",
    price_centavos=250,
    timeout_seconds=10.0,
    valid_for=timedelta(days=1),
    answer=OpenFinance,
    needs="openFinance",
)
