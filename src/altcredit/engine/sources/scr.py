"""The central bank's credit information system (SCR), with the customer's authorisation only."""

from datetime import timedelta
from typing import Annotated

import msgspec

from altcredit.engine.sources.source import Source

Amount = Annotated[float, msgspec.Meta(ge=0, le=1_000_000_000)]


class Scr(msgspec.Struct, frozen=True, kw_only=True):
    """Credit operations of a person over all institutions, as of the last closed month."""

    institutions: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    relationship_months: Annotated[int, msgspec.Meta(ge=0, le=1200)]
    total_debt_brl: Amount
    monthly_service_brl: Amount
    overdue_15_90_brl: Amount
    overdue_over_90_brl: Amount
    written_off_brl: Amount
    limits_brl: Amount
    limits_used_brl: Amount


SOURCE = Source(
    name="scr",
    tier="full",
    price_centavos=90,
    timeout_seconds=8.0,
    valid_for=timedelta(days=7),
    answer=Scr,
    needs="scr",
    unknown=Scr(
        institutions=0,
        relationship_months=0,
        total_debt_brl=0,
        monthly_service_brl=0,
        overdue_15_90_brl=0,
        overdue_over_90_brl=0,
        written_off_brl=0,
        limits_brl=0,
        limits_used_brl=0,
    ),
)
