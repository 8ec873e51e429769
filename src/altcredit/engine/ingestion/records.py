"""What a batch carries (API-ALTSCORE-001, section 05, with the optional parts of contract C1 and I3)."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

ErpType: TypeAlias = Literal["tally_prime", "sap_b1", "csv"]
Array: TypeAlias = Literal["retailers", "invoices", "payments", "credit_notes"]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The body. Records stay as they were sent: one that is wrong goes to quarantine, and the batch goes on."""

    distributor_id: str
    sync_from: Moment
    sync_to: Moment
    retailers: list[Any] = []
    invoices: list[Any] = []
    payments: list[Any] = []
    credit_notes: list[Any] = []


# Records hold no cycles: `gc=False` spares the collector a thousand objects a batch.


class Invoice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    invoice_id: str
    invoice_date: date
    amount_inr: float
    retailer_gst: str | None = None
    retailer_ref: str | None = None
    due_date: date | None = None
    terms: Literal["cash", "credit"] | None = None
    disputed: bool | None = None


class Allocation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The part of a payment that settles one invoice."""

    invoice_id: str
    amount_inr: float


class Payment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Without an invoice and without allocations it is on account, and must name its shop."""

    payment_id: str
    paid_date: date
    amount_paid_inr: float
    invoice_id: str | None = None
    retailer_gst: str | None = None
    retailer_ref: str | None = None
    allocations: list[Allocation] | None = None
    status: Literal["cleared", "returned"] | None = None


class CreditNote(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    credit_note_id: str
    credit_note_date: date
    amount_inr: float
    invoice_id: str | None = None
    retailer_gst: str | None = None
    retailer_ref: str | None = None


class RetailerLink(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Links a shop's identifiers. ``retailer_phone_hash``: SHA-256 of the E.164 digits, lower-case hex."""

    retailer_gst: str | None = None
    retailer_ref: str | None = None
    retailer_phone_hash: str | None = None
    name: str | None = None
