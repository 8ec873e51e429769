"""
The ledger in plain Python, written from the contract alone: loops over lists, no sums over windows, no SQL.

``known`` says what the platform knew at the end of a day; ``Account`` pours the money over the bills, oldest first.
"""

from datetime import date, timedelta
from typing import Any

from tests.pipeline.books import Record

DEFAULT_TERM = 30


class Sent:
    """A record with when it was received, in the order of receipt."""

    def __init__(self, record: Record, received: date, order: int, distributor: str) -> None:
        self.record, self.received, self.order, self.distributor = record, received, order, distributor

    @property
    def key(self) -> tuple[str, str, str]:
        return self.distributor, self.record["kind"], self.record["document_id"]


def known(sent: list[Sent], at: date) -> list[Sent]:
    """Return the version of each document that was current at the end of a day."""
    current: dict[tuple[str, str, str], Sent] = {}
    for item in sorted(sent, key=lambda item: item.order):
        if item.received <= at:
            current[item.key] = item
    return list(current.values())


def is_cash(record: Record) -> bool:
    terms, due = record.get("terms"), record.get("due_date")
    return terms == "cash" or (terms is None and due == record["document_date"])


class Bill:
    def __init__(self, record: Record, term: int) -> None:
        self.record = record
        self.amount = record["amount_paise"]
        self.day: date = record["document_date"]
        self.due: date = record.get("due_date") or self.day + timedelta(days=term)
        self.tolerance = max(100_00, 0.02 * self.amount)
        self.owed = self.amount
        self.told_on: set[date] = set()
        self.told = 0
        self.closed: date | None = None


class Account:
    """A retailer with a distributor: bills and money up to a day, from what was known on another."""

    def __init__(self, rows: list[Sent], retailer: str, distributor: str, through: date, term: int) -> None:
        mine = [item.record for item in rows if item.distributor == distributor]
        invoices = {r["document_id"]: r for r in mine if r["kind"] == "invoice" and r["document_date"] <= through}
        self.purchases = [r for r in invoices.values() if r["retailer_id"] == retailer]
        self.bills = [Bill(r, term) for r in self.purchases if not is_cash(r) and not r.get("disputed")]
        self.bills.sort(key=lambda bill: (bill.day, bill.record["document_id"]))
        by_id = {bill.record["document_id"]: bill for bill in self.bills}
        self.money: list[tuple[date, int]] = []
        self.notes: list[Record] = []
        self.receipts: list[Record] = []
        self.returned: list[Record] = []
        for record in mine:
            if record["kind"] == "invoice" or record["document_date"] > through:
                continue
            self._take(record, retailer, invoices, by_id)
        for bill in self.bills:
            rest = bill.amount - bill.told
            if bill.told and 0 < rest <= bill.tolerance:
                bill.owed = bill.amount - rest
        self._pour()

    def _take(self, record: Record, retailer: str, invoices: dict[str, Record], by_id: dict[str, Bill]) -> None:
        """Each part of a receipt belongs to the shop it names, else to that of its bill."""
        first = parts(record)[0][0]
        mine = [
            (bill_id, amount)
            for bill_id, amount in parts(record)
            if (record.get("retailer_id") or invoices.get(bill_id or first or "", {}).get("retailer_id")) == retailer
        ]
        if not mine:
            return
        if record.get("status") == "returned":
            self.returned.append(record)
            return
        (self.notes if record["kind"] == "credit_note" else self.receipts).append(record)
        for bill_id, amount in mine:
            if bill_id is None:
                self.money.append((record["document_date"], amount))
            elif bill_id in by_id:
                bill = by_id[bill_id]
                bill.told += amount
                if record["kind"] == "payment":
                    bill.told_on.add(record["document_date"])
                self.money.append((record["document_date"], amount))

    def rest(self, bill: Bill, at: date) -> float:
        """What is open of a bill at the end of a day: pour all money so far, bill by bill."""
        left = sum(amount for day, amount in self.money if day <= at)
        for other in self.bills:
            taken = min(other.owed, left)
            if other is bill:
                return float(other.owed - taken)
            left -= taken
        raise AssertionError

    def _pour(self) -> None:
        days = sorted({day for day, _ in self.money})
        for bill in self.bills:
            for day in sorted({bill.day, *(day for day in days if day > bill.day)}):
                if self.rest(bill, day) <= bill.tolerance:
                    bill.closed = day
                    break

    def balance(self, bill: Bill, at: date) -> float:
        """What is owed on a bill at the end of a day: nothing once it is closed, residue or not."""
        return 0.0 if bill.closed is not None and bill.closed <= at else self.rest(bill, at)


def parts(record: Record) -> list[tuple[str | None, int]]:
    """Return what a receipt is stated for: (bill or None for on account, paise)."""
    allocations = record.get("allocations") or []
    if not allocations:
        return [(record.get("invoice_id"), record["amount_paise"])]
    told = [(part["invoice_id"], part["amount_paise"]) for part in allocations]
    rest = record["amount_paise"] - sum(amount for _, amount in told)
    return [*told, (None, rest)] if rest > 0 else told


def usual_term(rows: list[Sent], distributor: str, through: date) -> int:
    """Return the lower median of the distributor's terms."""
    terms = sorted(
        (r["due_date"] - r["document_date"]).days
        for r in (item.record for item in rows if item.distributor == distributor)
        if r["kind"] == "invoice" and r.get("due_date") and not is_cash(r) and r["document_date"] <= through
    )
    return terms[(len(terms) - 1) // 2] if terms else DEFAULT_TERM


def accounts(rows: list[Sent], retailer: str, through: date) -> list[Account]:
    distributors = sorted({item.distributor for item in rows})
    found = [Account(rows, retailer, d, through, usual_term(rows, d, through)) for d in distributors]
    return [account for account in found if account.purchases]


def floor(held: list[Account], t: date) -> float:
    """Return the least balance that is a default."""
    bills = [r for account in held for r in account.purchases if r["document_date"] <= t]
    notes = [r for account in held for r in account.notes if r["document_date"] <= t]
    recent = t - timedelta(days=180)
    net = sum(r["amount_paise"] for r in bills if r["document_date"] > recent)
    net -= sum(r["amount_paise"] for r in notes if r["document_date"] > recent)
    history = (t - min(r["document_date"] for r in bills)).days
    return max(1_000_00.0, 0.10 * net / min(max(history / 30, 1.0), 6.0))


def aged(held: list[Account], at: date) -> float:
    """Return the balance that is at least 30 days past due."""
    limit = at - timedelta(days=30)
    return sum(account.balance(bill, at) for account in held for bill in account.bills if bill.due <= limit)


def label(rows: list[Sent], retailer: str, t: date, through: date, horizon: int = 90) -> tuple[bool, bool | None]:
    """Return (eligible, default) as of t; ``rows`` is what is known now, ``through`` the last day that is looked at."""
    held = accounts(rows, retailer, through)
    least = floor(held, t)
    if aged(held, t) >= least:
        return False, None
    reach = t + timedelta(days=horizon - 30)
    can = any(
        bill.day <= t and (bill.closed is None or bill.closed > t) and bill.due <= reach
        for account in held
        for bill in account.bills
    )
    if not can:
        return False, None
    return True, any(aged(held, t + timedelta(days=d)) >= least for d in range(1, horizon + 1))


def features(rows: list[Sent], retailer: str, t: date) -> dict[str, Any]:
    """Return the payment and outstanding features and the sums of a Standing, bill by bill."""
    held = accounts(rows, retailer, t)
    late: list[tuple[Bill, int]] = []
    for account in held:
        for bill in account.bills:
            if bill.closed is not None:
                late.append((bill, max((bill.closed - bill.due).days, 0)))
            elif bill.due < t:
                late.append((bill, (t - bill.due).days))
    recent = [
        (bill, days) for bill, days in late if bill.due <= t and ((t - bill.due).days < 180 or bill.closed is None)
    ]
    last = [d for bill, d in late if (bill.closed and (t - bill.closed).days < 30) or bill.closed is None]
    owed = [(account.balance(bill, t), (t - bill.due).days) for account in held for bill in account.bills]
    told = [bill for account in held for bill in account.bills if (t - bill.day).days < 180 and bill.told_on]
    half = [bill for bill in told if len(bill.told_on) > 1 or bill.amount - bill.told > bill.tolerance]
    early = [bill for bill, _ in recent if bill.closed and bill.closed < bill.due]

    def mean(values: list[Any]) -> float | None:
        return sum(values) / len(values) if values else None

    def delta() -> float | None:
        new = mean([d for bill, d in late if 0 <= (t - bill.due).days < 90])
        old = mean([d for bill, d in late if 90 <= (t - bill.due).days < 180])
        return None if new is None or old is None else new - old

    return {
        "avg_days_late_180d": mean([days for _, days in recent]),
        "on_time_share_180d": mean([1.0 if days == 0 else 0.0 for _, days in recent]),
        "early_pay_share_180d": len(early) / len(recent) if recent else None,
        "days_late_last_30d": mean(last),
        "max_days_late_180d": max((days for _, days in recent), default=None),
        "late_15d_share_180d": mean([1.0 if days > 15 else 0.0 for _, days in recent]),
        "days_late_delta_3m": delta(),
        "partial_pay_share_180d": len(half) / len(told) if told else None,
        "returned_payments_180d": sum(
            1 for account in held for r in account.returned if (t - r["document_date"]).days < 180
        ),
        "oldest_overdue_days": max((age for rest, age in owed if rest > 0 and age > 0), default=0),
        "overdue_15d_to_outstanding": (
            sum(rest for rest, age in owed if age > 15) / sum(rest for rest, _ in owed)
            if sum(rest for rest, _ in owed)
            else 0.0
        ),
        "overdue_inr": int(sum(rest for rest, age in owed if age > 0) // 100),
        "in_default": aged(held, t) >= floor(held, t),
        "matured_credit_bills": sum(1 for account in held for bill in account.bills if bill.due <= t),
        "history_days": (t - min(r["document_date"] for account in held for r in account.purchases)).days,
    }
