"""A registry of addresses, occupations and presumed incomes."""

from datetime import timedelta
from typing import Annotated

import msgspec

from altcredit.engine.sources.source import Source


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What is on record of a person; None: not on record."""

    address_matches: bool | None = None
    presumed_income_brl: Annotated[float, msgspec.Meta(ge=0, le=10_000_000)] | None = None
    years_at_address: Annotated[float, msgspec.Meta(ge=0, le=120)] | None = None
    months_in_employment: Annotated[int, msgspec.Meta(ge=0, le=1200)] | None = None


SOURCE = Source(
    name="registration",
    tier="screen",
    price_centavos=15,
    timeout_seconds=3.0,
    valid_for=timedelta(days=30),
    answer=Registration,
    asks=("zip_code",),
    unknown=Registration(),
)
