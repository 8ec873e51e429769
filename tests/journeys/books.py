"""A shop's account with a distributor, by hand: a bill a week, paid when we say."""

from datetime import date, timedelta
from typing import Any

Record = dict[str, Any]


def bills(shop: Record, *, first: date, weeks: int, rupees: int = 40_000, mark: str = "A") -> list[Record]:
    """Return one bill a week on 14 days' credit; ``shop`` is how records name it, ``mark`` keeps numbers apart."""
    days = [first + timedelta(days=7 * n) for n in range(weeks)]
    return [
        {"invoice_id": f"{mark}-INV-{n}", **shop, "invoice_date": str(day), "amount_inr": rupees + 500 * (n % 5),
         "due_date": str(day + timedelta(days=14)), "terms": "credit"}
        for n, day in enumerate(days)
    ]  # fmt: skip


def receipts(invoices: list[Record], *, late: int, until: date, mark: str = "A") -> list[Record]:
    """Return a receipt for each bill, ``late`` days after it was due, as far as that is before ``until``."""
    found = []
    for n, bill in enumerate(invoices):
        paid = date.fromisoformat(bill["due_date"]) + timedelta(days=late)
        if paid < until:
            found.append(
                {"payment_id": f"{mark}-PAY-{n}", "invoice_id": bill["invoice_id"], "paid_date": str(paid),
                 "amount_paid_inr": bill["amount_inr"]}
            )  # fmt: skip
    return found


def period(first: date, last: date) -> Record:
    """Return the window of a batch."""
    return {"sync_from": f"{first}T00:00:00Z", "sync_to": f"{last}T23:59:59Z"}
