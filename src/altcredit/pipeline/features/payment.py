"""How a retailer pays: timing, its trend, its quality, and the festival season. One row a credit bill (``bills``)."""

from typing import Any

from altcredit.pipeline.features.feature import feature, share

LATE_DAYS = 15


def _recent(bill: Any) -> Any:
    """Bills that fell due in the last 180 days, and any older one that is still open."""
    return (bill.due_age >= 0) & ((bill.due_age < 180) | bill.is_open)


@feature(family="payment_timing", unit="days", monotone=1, over="bills")
def avg_days_late_180d(bill: Any) -> Any:
    """Mean days late of the bills that fell due in the last 180 days or are still open; an early payment counts as 0,
    an open bill by its days so far."""
    return bill.days_late.mean(where=_recent(bill))


@feature(family="payment_timing", unit="share", monotone=-1, over="bills")
def on_time_share_180d(bill: Any) -> Any:
    """Share of those bills that were paid by their due date."""
    return share(bill.days_late <= 0, of=_recent(bill) & bill.days_late.notnull())


@feature(family="payment_timing", unit="share", monotone=-1, over="bills")
def early_pay_share_180d(bill: Any) -> Any:
    """Share of those bills that were paid at least one day before their due date."""
    return share(~bill.is_open & (bill.closed_age > bill.due_age), of=_recent(bill) & bill.days_late.notnull())


@feature(family="payment_timing", unit="days", monotone=1, over="bills")
def days_late_last_30d(bill: Any) -> Any:
    """Mean days late of the bills that were paid in the last 30 days or are open past their due date."""
    return bill.days_late.mean(where=(bill.closed_age < 30) | (bill.is_open & (bill.due_age > 0)))


@feature(family="payment_timing", unit="days", monotone=1, over="bills")
def max_days_late_180d(bill: Any) -> Any:
    """Most days late of any bill that fell due in the last 180 days or is still open."""
    return bill.days_late.max(where=_recent(bill))


@feature(family="payment_timing", unit="share", monotone=1, over="bills")
def late_15d_share_180d(bill: Any) -> Any:
    """Share of those bills that were more than 15 days late."""
    return share(bill.days_late > LATE_DAYS, of=_recent(bill) & bill.days_late.notnull())


@feature(family="payment_trend", unit="days", monotone=1, over="bills")
def days_late_delta_3m(bill: Any) -> Any:
    """Mean days late of bills that fell due in the last 90 days, less that of the 90 days before."""
    last = bill.days_late.mean(where=(bill.due_age >= 0) & (bill.due_age < 90))
    before = bill.days_late.mean(where=(bill.due_age >= 90) & (bill.due_age < 180))
    return last - before


@feature(family="payment_quality", unit="share", monotone=1, over="bills")
def partial_pay_share_180d(bill: Any) -> Any:
    """Among bills of the last 180 days that receipts are stated for, the share paid on several days or left part-paid;
    unknown where the distributor states no bills."""
    return share(bill.part_paid, of=(bill.bill_age < 180) & bill.part_paid.notnull())


@feature(family="payment_quality", unit="payments", monotone=1, over="accounts")
def returned_payments_180d(account: Any) -> Any:
    """Cheques or payments of the last 180 days that were returned."""
    return account.returned_payments_180.sum().cast("float64")


@feature(family="festive", unit="days", monotone=1, over="bills")
def festive_days_late(bill: Any) -> Any:
    """Mean days late of matured bills from the festival seasons (festivals.toml) of the last 400 days."""
    return bill.days_late.mean(where=bill.festive & (bill.due_age >= 0))


FEATURES = (
    avg_days_late_180d,
    on_time_share_180d,
    early_pay_share_180d,
    days_late_last_30d,
    max_days_late_180d,
    late_15d_share_180d,
    days_late_delta_3m,
    partial_pay_share_180d,
    returned_payments_180d,
    festive_days_late,
)
