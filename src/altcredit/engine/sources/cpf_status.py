"""The tax authority's register of persons: is this CPF in order?"""

from datetime import timedelta
from typing import Annotated, Literal

import msgspec

from altcredit.engine.sources.source import Source


class CpfStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Standing of a CPF at Receita Federal."""

    situation: Literal["regular", "pending", "suspended", "cancelled", "null", "deceased"]
    birth_year: Annotated[int, msgspec.Meta(ge=1850, le=2200)] | None = None


SOURCE = Source(
    name="cpf_status",
    tier="screen",
    price_centavos=5,
    timeout_seconds=3.0,
    valid_for=timedelta(days=1),
    answer=CpfStatus,
)
