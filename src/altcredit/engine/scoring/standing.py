"""What a retailer's score is made from: the values that the pipeline hands to the engine."""

from datetime import date

import msgspec


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a retailer's ledgers say on a day, as far as it was known on that day.

    ``features`` holds the model inputs and the facts by catalogue name; None where the ledgers cannot tell.
    """

    retailer_id: str
    as_of: date
    features: dict[str, float | None]
    completeness: float
    """0 to 100 (contract A8)."""
    history_days: int
    """Days since the first bill."""
    matured_credit_bills: int
    has_payment_data: bool
    in_default: bool
    """Already in default on ``as_of`` (contract A9)."""
    gmv_6m_inr: int
    """Net trade of six months, from bills that are collected or not yet due (G6 of contract A14)."""
    gmv_month_median_inr: int
    """Median of the same over the six months."""
    overdue_inr: int
    feed: tuple[str, ...]
    """Distributors with at least a tenth of the six-month trade (contract A7)."""
