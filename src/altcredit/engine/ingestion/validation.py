"""
The rules for records, column by column. Pure: a body's envelope in, what is accepted and what is set aside out.

A rule is a comprehension over a column that gives the places of the offenders; on a clean batch it costs one pass at
the speed of a comprehension, and a record is only ever looked at alone when it is wrong.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final, Generic, TypeAlias, TypeVar, get_args

import msgspec

from altcredit.engine.ingestion.records import Array, CreditNote, Envelope, Invoice, Payment, RetailerLink
from altcredit.engine.retailers import ShopKey, is_gstin
from altcredit.runtime import strict_json
from altcredit.runtime.refusal import Detail, Refusal

IST: Final = timezone(timedelta(hours=5, minutes=30))
MAX_RECORDS: Final = 1_000
MAX_RUPEES: Final = 100_000_000
MAX_ID: Final = 100
MAX_NAME: Final = 200
MAX_CREDIT: Final = timedelta(days=366)
EARLIEST: Final = date(2000, 1, 1)
_PHONE_HASH: Final = re.compile(r"[0-9a-f]{64}")
_ARRAYS: Final[tuple[Array, ...]] = get_args(Array)

# A shop as a document names it: GSTIN and the distributor's own code.
ShopName: TypeAlias = tuple[str | None, str | None]
Record = TypeVar("Record", Invoice, Payment, CreditNote, RetailerLink)


class BatchTooLarge(Refusal):
    """All arrays together hold more than 1,000 records (API-ALTSCORE-001, section 09; contract I6)."""


class Problem(msgspec.Struct, frozen=True):
    """A published code (codes.py), and the JSON path of the field it is about."""

    code: str
    path: str


class Quarantined(msgspec.Struct, frozen=True):
    """A record that was set aside: its array, its index there, every problem, and itself as sent."""

    array: Array
    row_number: int
    problems: tuple[Problem, ...]
    record: Any


class Warned(msgspec.Struct, frozen=True):
    """A record that was taken with a remark."""

    array: Array
    row_number: int
    code: str
    path: str


class Sheet(Generic[Record]):
    """One array of a batch: what could be read of it, row by row, and the problems found."""

    def __init__(self, array: Array, sent: list[Any], record: type[Record]) -> None:
        self.array = array
        self.sent = sent
        self.problems: dict[int, list[Problem]] = {}
        self.numbers: Sequence[int] = range(len(sent))
        self.rows: list[Record] = []
        self.paise: list[int] = []
        self.shops: list[ShopName] = []
        try:
            self.rows = msgspec.convert(sent, list[record])  # type: ignore[valid-type]
        except msgspec.ValidationError:
            self._read_singly(record)

    def _read_singly(self, record: type[Record]) -> None:
        numbers = []
        for number, value in enumerate(self.sent):
            try:
                self.rows.append(msgspec.convert(value, record))
                numbers.append(number)
            except msgspec.ValidationError:
                details = strict_json.misfits(value, record, f"$.{self.array}[{number}]")
                self.problems[number] = [Problem(_code(detail), detail.path) for detail in details]
        self.numbers = numbers

    def flag(self, code: str, field: str, places: Iterable[int]) -> None:
        """Note a problem with ``field`` in each of these places of ``rows``."""
        for place in places:
            number = self.numbers[place]
            self.problems.setdefault(number, []).append(Problem(code, f"$.{self.array}[{number}].{field}"))

    def good(self) -> list[int]:
        """Return the places of the rows without a problem."""
        return [place for place, number in enumerate(self.numbers) if number not in self.problems]

    def accepted(self) -> Iterator[tuple[Record, ShopName, int, int]]:
        """Yield each row without a problem, with its shop, its amount in paise, and its index in the array as sent."""
        for place in self.good():
            yield self.rows[place], self.shops[place], self.paise[place], self.numbers[place]

    def quarantined(self) -> Iterator[Quarantined]:
        for number in sorted(self.problems):
            yield Quarantined(self.array, number, tuple(self.problems[number]), self.sent[number])

    # The rules. Each takes the column it is about.

    def check_ids(self, field: str, ids: list[str]) -> None:
        self.flag("MISSING_FIELD", field, [i for i, name in enumerate(ids) if not name.strip()])
        self.flag("ID_TOO_LONG", field, [i for i, name in enumerate(ids) if len(name) > MAX_ID])
        if len(set(ids)) < len(ids):
            self.flag("DUPLICATE_IN_BATCH", field, self._differing(ids))

    def _differing(self, ids: list[str]) -> Iterator[int]:
        """Yield the places whose id came before with other content: which of the two is true, nobody can tell."""
        first: dict[str, int] = {}
        for place, name in enumerate(ids):
            if self.rows[first.setdefault(name, place)] != self.rows[place]:
                yield place

    def check_invoice_ids(self, ids: list[str | None]) -> None:
        self.flag("ID_TOO_LONG", "invoice_id", [i for i, name in enumerate(ids) if name and len(name) > MAX_ID])

    def check_dates(self, field: str, dates: list[date], latest: date) -> None:
        self.flag("FUTURE_DATE", field, [i for i, day in enumerate(dates) if day > latest])
        self.flag("DATE_TOO_OLD", field, [i for i, day in enumerate(dates) if day < EARLIEST])

    def check_amounts(self, field: str, rupees: list[float]) -> None:
        """
        Turn rupees into paise, exactly.

        The nearest double of an amount with at most two decimals is p / 100 for the integer p = paise, and division is
        correctly rounded: an amount that is no such quotient has more decimals. No amount is ever rounded to fit.
        """
        absurd = [i for i, amount in enumerate(rupees) if not 0 < amount <= MAX_RUPEES]
        self.flag("AMOUNT_OUT_OF_RANGE", field, absurd)
        self.paise = [round(amount * 100) for amount in rupees]
        broken = [i for i, amount in enumerate(rupees) if self.paise[i] / 100 != amount]
        self.flag("AMOUNT_PRECISION", field, [i for i in broken if i not in absurd] if absurd else broken)

    def check_shops(self, gstins: list[str | None], refs: list[str | None], *, told_otherwise: list[bool]) -> None:
        """``told_otherwise``: whether an invoice can tell the shop where the record does not."""
        tidy = {text: text.strip().upper() for text in set(gstins) if text}
        wrong = {text for text, gstin in tidy.items() if gstin and not is_gstin(gstin)}
        if wrong:
            self.flag("INVALID_GSTIN", "retailer_gst", [i for i, text in enumerate(gstins) if text in wrong])
        shops = [(tidy.get(text or "") or None, ref or None) for text, ref in zip(gstins, refs, strict=True)]
        self.shops = shops
        self.flag("ID_TOO_LONG", "retailer_ref", [i for i, (_, ref) in enumerate(shops) if ref and len(ref) > MAX_ID])
        unnamed = [i for i, shop in enumerate(shops) if shop == (None, None) and not told_otherwise[i]]
        self.flag("MISSING_RETAILER", "retailer_ref", unnamed)


class Checked(msgspec.Struct, kw_only=True):
    """A batch after the rules."""

    invoices: Sheet[Invoice]
    payments: Sheet[Payment]
    credit_notes: Sheet[CreditNote]
    retailers: Sheet[RetailerLink]
    quarantined: list[Quarantined]
    warnings: list[Warned]
    accepted: int

    def links(self) -> list[ShopKey]:
        """Return what the accepted records of ``retailers`` say of shops."""
        sheet = self.retailers
        keys = []
        for place in sheet.good():
            row, (gstin, ref) = sheet.rows[place], sheet.shops[place]
            keys.append(ShopKey(gstin=gstin, ref=ref, phone_hash=row.retailer_phone_hash, name=row.name or None))
        return keys


def check(envelope: Envelope, *, now: datetime) -> Checked:
    """
    Apply every rule to every record. ``now`` decides what lies in the future: more than a day ahead, by Indian time.

    :raises BatchTooLarge: more than 1,000 records.
    """
    sent = sum(len(getattr(envelope, array)) for array in _ARRAYS)
    if sent > MAX_RECORDS:
        raise BatchTooLarge(f"A batch holds at most {MAX_RECORDS} records; this one has {sent}.")
    latest = now.astimezone(IST).date() + timedelta(days=1)
    invoices = _invoices(envelope.invoices, latest)
    payments = _payments(envelope.payments, latest)
    credit_notes = _credit_notes(envelope.credit_notes, latest)
    links = _retailers(envelope.retailers)
    sheets: tuple[Sheet[Any], ...] = (links, invoices, payments, credit_notes)
    quarantined = [one for sheet in sheets for one in sheet.quarantined()]
    return Checked(
        invoices=invoices,
        payments=payments,
        credit_notes=credit_notes,
        retailers=links,
        quarantined=quarantined,
        warnings=list(_early_payments(invoices, payments)),
        accepted=sent - len(quarantined),
    )


def _invoices(sent: list[Any], latest: date) -> Sheet[Invoice]:
    sheet = Sheet("invoices", sent, Invoice)
    rows = sheet.rows
    sheet.check_ids("invoice_id", [row.invoice_id for row in rows])
    sheet.check_dates("invoice_date", [row.invoice_date for row in rows], latest)
    sheet.check_amounts("amount_inr", [row.amount_inr for row in rows])
    gstins, refs = [row.retailer_gst for row in rows], [row.retailer_ref for row in rows]
    sheet.check_shops(gstins, refs, told_otherwise=[False] * len(rows))
    dues = [(i, row.due_date, row.invoice_date) for i, row in enumerate(rows) if row.due_date]
    sheet.flag("DUE_BEFORE_INVOICE", "due_date", [i for i, due, start in dues if due < start])
    sheet.flag("DUE_TOO_FAR", "due_date", [i for i, due, start in dues if due - start > MAX_CREDIT])
    return sheet


def _payments(sent: list[Any], latest: date) -> Sheet[Payment]:
    sheet = Sheet("payments", sent, Payment)
    rows = sheet.rows
    sheet.check_ids("payment_id", [row.payment_id for row in rows])
    sheet.check_dates("paid_date", [row.paid_date for row in rows], latest)
    sheet.check_amounts("amount_paid_inr", [row.amount_paid_inr for row in rows])
    sheet.check_invoice_ids([row.invoice_id for row in rows])
    gstins, refs = [row.retailer_gst for row in rows], [row.retailer_ref for row in rows]
    sheet.check_shops(gstins, refs, told_otherwise=[bool(row.invoice_id or row.allocations) for row in rows])
    _check_allocations(sheet)
    return sheet


def _check_allocations(sheet: Sheet[Payment]) -> None:
    for place, row in enumerate(sheet.rows):
        if not row.allocations:
            continue
        parts = Sheet("payments", [], RetailerLink)
        parts.numbers = range(len(row.allocations))
        parts.check_amounts("amount_inr", [part.amount_inr for part in row.allocations])
        for index, part in enumerate(row.allocations):
            _flag_part(sheet, place, index, "invoice_id", _id_problem(part.invoice_id))
        for index, problems in parts.problems.items():
            for problem in problems:
                _flag_part(sheet, place, index, "amount_inr", problem.code)
        if sum(parts.paise) > sheet.paise[place]:
            sheet.flag("ALLOCATION_EXCEEDS_PAYMENT", "allocations", [place])


def _flag_part(sheet: Sheet[Payment], place: int, index: int, field: str, code: str | None) -> None:
    if code:
        sheet.flag(code, f"allocations[{index}].{field}", [place])


def _id_problem(name: str) -> str | None:
    if not name.strip():
        return "MISSING_FIELD"
    return "ID_TOO_LONG" if len(name) > MAX_ID else None


def _credit_notes(sent: list[Any], latest: date) -> Sheet[CreditNote]:
    sheet = Sheet("credit_notes", sent, CreditNote)
    rows = sheet.rows
    sheet.check_ids("credit_note_id", [row.credit_note_id for row in rows])
    sheet.check_dates("credit_note_date", [row.credit_note_date for row in rows], latest)
    sheet.check_amounts("amount_inr", [row.amount_inr for row in rows])
    sheet.check_invoice_ids([row.invoice_id for row in rows])
    gstins, refs = [row.retailer_gst for row in rows], [row.retailer_ref for row in rows]
    sheet.check_shops(gstins, refs, told_otherwise=[bool(row.invoice_id) for row in rows])
    return sheet


def _retailers(sent: list[Any]) -> Sheet[RetailerLink]:
    sheet = Sheet("retailers", sent, RetailerLink)
    rows = sheet.rows
    gstins, refs = [row.retailer_gst for row in rows], [row.retailer_ref for row in rows]
    sheet.check_shops(gstins, refs, told_otherwise=[False] * len(rows))
    hashes = [row.retailer_phone_hash for row in rows]
    wrong = [i for i, text in enumerate(hashes) if text is not None and not _PHONE_HASH.fullmatch(text)]
    sheet.flag("INVALID_PHONE_HASH", "retailer_phone_hash", wrong)
    sheet.flag("NAME_TOO_LONG", "name", [i for i, row in enumerate(rows) if row.name and len(row.name) > MAX_NAME])
    return sheet


def _early_payments(invoices: Sheet[Invoice], payments: Sheet[Payment]) -> Iterator[Warned]:
    billed = {invoices.rows[place].invoice_id: invoices.rows[place].invoice_date for place in invoices.good()}
    for place in payments.good():
        row, number = payments.rows[place], payments.numbers[place]
        paid = [part.invoice_id for part in row.allocations] if row.allocations else [row.invoice_id]
        if any(name in billed and row.paid_date < billed[name] for name in paid if name):
            yield Warned("payments", number, "PAYMENT_BEFORE_INVOICE", f"$.payments[{number}].paid_date")


def _code(detail: Detail) -> str:
    """Return the published code for what msgspec says of a field."""
    is_record = detail.problem.startswith("Expected `object`")
    if detail.problem == "is required" or (detail.problem.endswith("got `null`") and not is_record):
        return "MISSING_FIELD"
    if detail.problem.startswith("Invalid RFC3339"):
        return "INVALID_DATE"
    return "INVALID_ENUM" if detail.problem.startswith("Invalid enum value") else "INVALID_TYPE"
