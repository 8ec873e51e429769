"""What is sent, as API-ALTSCORE-001 section 05 and contract I3 name it. Amounts are rupees as Decimal, never floats."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

Kind = Literal["retailer", "invoice", "payment", "credit_note"]
KINDS: dict[Kind, str] = {
    "retailer": "retailers",
    "invoice": "invoices",
    "payment": "payments",
    "credit_note": "credit_notes",
}
"""The array of the batch that holds each kind of record, in the order in which they stand in the body."""

ID_FIELDS: dict[Kind, str] = {
    "retailer": "retailer_ref",
    "invoice": "invoice_id",
    "payment": "payment_id",
    "credit_note": "credit_note_id",
}
MAX_CREDIT = timedelta(days=366)
EARLIEST = date(2000, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retailer:
    retailer_ref: str
    retailer_gst: str | None = None
    retailer_phone_hash: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    invoice_id: str
    retailer_ref: str | None
    retailer_gst: str | None
    invoice_date: date
    amount_inr: Decimal
    due_date: date | None = None
    terms: Literal["cash", "credit"] | None = None
    disputed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """``allocations`` split a receipt over bills; what they leave is on account. Else ``invoice_id`` takes it all."""

    payment_id: str
    retailer_ref: str | None
    retailer_gst: str | None
    paid_date: date
    amount_paid_inr: Decimal
    invoice_id: str | None = None
    allocations: tuple[tuple[str, Decimal], ...] = ()
    status: Literal["cleared", "returned"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNote:
    credit_note_id: str
    retailer_ref: str | None
    retailer_gst: str | None
    credit_note_date: date
    amount_inr: Decimal
    invoice_id: str | None = None


Record = Retailer | Invoice | Payment | CreditNote


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One voucher of the ERP and the records it stands for: none, if it was cancelled.

    ``origin`` is the ERP's own immutable id of the voucher, so that a record which an altered voucher no longer holds
    can be taken back; empty where the ERP has none (CSV).
    """

    day: date
    records: tuple[Record, ...]
    origin: str = ""


def settle(total: Decimal, parts: dict[str, Decimal]) -> tuple[str | None, tuple[tuple[str, Decimal], ...]]:
    """Return ``(invoice_id, allocations)`` of a receipt of ``total`` that pays ``parts``; the rest is on account."""
    if len(parts) == 1 and sum(parts.values()) == total:
        return next(iter(parts)), ()
    return None, tuple(parts.items())


def credible_due(due: date | None, on: date) -> date | None:
    """Return a due day that can be true: not before the bill, not more than a year after it; else None."""
    return due if due is not None and on <= due <= on + MAX_CREDIT else None


def misdated(on: date | None, latest: date) -> str | None:
    """Say why a day cannot be that of a document, to follow "2 bills"; None if it can."""
    if on is None:
        return "lack dates"
    if on > latest:
        return "are dated in the future"
    return "are dated before the year 2000" if on < EARLIEST else None


def kind_of(record: Record) -> Kind:
    """Return the kind of ``record``."""
    if isinstance(record, Retailer):
        return "retailer"
    if isinstance(record, Invoice):
        return "invoice"
    return "payment" if isinstance(record, Payment) else "credit_note"


def id_of(record: Record) -> str:
    """Return the record's own id: unique within its kind for this distributor."""
    return str(getattr(record, ID_FIELDS[kind_of(record)]))


def fields_of(record: Record) -> dict[str, Any]:
    """Return the record as the fields of its JSON object: absent where optional and unknown."""
    fields = {name: getattr(record, name) for name in record.__slots__}
    if isinstance(record, Payment):
        allocations = [{"invoice_id": bill, "amount_inr": part} for bill, part in fields.pop("allocations")]
        kept = {name: value for name, value in fields.items() if value is not None or name == "invoice_id"}
        return kept | ({"allocations": allocations} if allocations else {})
    return {name: value for name, value in fields.items() if value is not None}
