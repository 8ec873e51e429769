"""A bureau of negative records: unpaid debts, protests, inquiries."""

from datetime import timedelta
from typing import Annotated

import msgspec

from altcredit.engine.sources.source import Source

Count = Annotated[int, msgspec.Meta(ge=0, le=100_000)]


class NegativeBureau(msgspec.Struct, frozen=True, kw_only=True):
    """Restrictions on a person. ``own_inquiries_90d`` are the customer's own, which never count against them."""

    score: Annotated[int, msgspec.Meta(ge=0, le=1000)] | None = None
    negative_records: Count
    negative_amount_brl: Annotated[float, msgspec.Meta(ge=0, le=1_000_000_000)]
    protests: Count
    inquiries_90d: Count
    own_inquiries_90d: Count = 0


SOURCE = Source(
    name="negative_bureau",
    tier="screen",
    price_centavos=60,
    timeout_seconds=5.0,
    valid_for=timedelta(days=1),
    answer=NegativeBureau,
    unknown=NegativeBureau(negative_records=0, negative_amount_brl=0, protests=0, inquiries_90d=0),
)
