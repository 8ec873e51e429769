"""
The rules for records, column by column. Pure: a body's envelope in, what is accepted and what is set aside out.

A clean batch costs a few passes at the speed of built-in functions; a record is only looked at alone when a column as a
whole shows that one is wrong.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final, Generic, TypeAlias, TypeVar, get_args

import msgspec

from altcredit.engine.ingestion.records import Allocation, Array, CreditNote, Envelope, Invoice, Payment, RetailerLink
from altcredit.engine.retailers import ShopKey, is_gstin
from altcredit.runtime import strict_json
from altcredit.runtime.refusal import Detail, Refusal

IST: Final = timezone(timedelta(hours=5, minutes=30))
MAX_RECORDS: Final = 1_000
MAX_RUPEES: Final = 100_000_000
MAX_ID: Final = 100
MAX_NAME: Final = 200
MAX_CREDIT: Final = timedelta(days=366)
_NO_TIME: Final = timedelta()
EARLIEST: Final = date(2000, 1, 1)
_PHONE_HASH: Final = re.compile(r"[0-9a-f]{64}")
_ARRAYS: Final[tuple[Array, ...]] = get_args(Array)

# A shop as a document names it: GSTIN and the distributor's own code.
ShopName: TypeAlias = tuple[str | None, str | None]
_NO_SHOP: Final[ShopName] = (None, None)
Value = TypeVar("Value")
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
    """One array of a batch: what could be read of it, by columns, and the problems found."""

    def __init__(self, array: Array, sent: list[Any], record: type[Record]) -> None:
        self.array = array
        self.sent = sent
        self.problems: dict[int, list[Problem]] = {}
        self.numbers: Sequence[int] = range(len(sent))
        try:
            self.rows: list[Record] = msgspec.convert(sent, list[record])  # type: ignore[valid-type]
        except msgspec.ValidationError:
            self.rows = self._read_singly(record)
        names = record.__struct_fields__
        values: Iterable[tuple[Any, ...]] = zip(*map(msgspec.structs.astuple, self.rows), strict=True)
        self.columns: dict[str, tuple[Any, ...]] = dict(
            zip(names, values if self.rows else [()] * len(names), strict=True)
        )
        self.paise: list[int] = []
        self.shops: list[ShopName] = []

    def _read_singly(self, record: type[Record]) -> list[Record]:
        numbers, rows = [], []
        for number, value in enumerate(self.sent):
            try:
                rows.append(msgspec.convert(value, record))
                numbers.append(number)
            except msgspec.ValidationError:
                details = strict_json.misfits(value, record, f"$.{self.array}[{number}]")
                self.problems[number] = [Problem(_code(detail), detail.path) for detail in details]
        self.numbers = numbers
        return rows

    def flag(self, code: str, field: str, places: Iterable[int]) -> None:
        """Note a problem with ``field`` in each of these places of ``rows``."""
        for place in places:
            number = self.numbers[place]
            self.problems.setdefault(number, []).append(Problem(code, f"$.{self.array}[{number}].{field}"))

    def good(self) -> Sequence[int]:
        """Return the places of the rows without a problem."""
        if not self.problems:
            return range(len(self.rows))
        return [place for place, number in enumerate(self.numbers) if number not in self.problems]

    def accepted(self, column: Sequence[Value]) -> Sequence[Value]:
        """Return what a column holds of the rows without a problem."""
        return [column[place] for place in self.good()] if self.problems else column

    def quarantined(self) -> Iterator[Quarantined]:
        for number in sorted(self.problems):
            yield Quarantined(self.array, number, tuple(self.problems[number]), self.sent[number])

    # The rules. Each asks of a whole column first, at the speed of a built-in, and looks for places only if it must.

    def check_ids(self, field: str) -> None:
        ids = self.columns[field]
        if not all(map(str.strip, ids)):
            self.flag("MISSING_FIELD", field, [i for i, name in enumerate(ids) if not name.strip()])
        self.check_lengths(field, "ID_TOO_LONG", MAX_ID)
        if len(set(ids)) < len(ids):
            self.flag("DUPLICATE_IN_BATCH", field, self._differing(ids))

    def _differing(self, ids: Sequence[str]) -> Iterator[int]:
        """Yield the places whose id came before with other content: which of the two is true, nobody can tell."""
        first: dict[str, int] = {}
        for place, name in enumerate(ids):
            if self.rows[first.setdefault(name, place)] != self.rows[place]:
                yield place

    def check_lengths(self, field: str, code: str, longest: int) -> None:
        texts = self.columns[field]
        if max(map(len, filter(None, texts)), default=0) > longest:
            self.flag(code, field, [i for i, text in enumerate(texts) if text and len(text) > longest])

    def check_dates(self, field: str, latest: date) -> None:
        dates = self.columns[field]
        if max(dates, default=latest) > latest:
            self.flag("FUTURE_DATE", field, [i for i, day in enumerate(dates) if day > latest])
        if min(dates, default=EARLIEST) < EARLIEST:
            self.flag("DATE_TOO_OLD", field, [i for i, day in enumerate(dates) if day < EARLIEST])

    def check_amounts(self, field: str) -> None:
        """Turn rupees into paise, exactly."""
        rupees = self.columns[field]
        self.paise = paise(rupees)
        if min(rupees, default=1) <= 0 or max(rupees, default=1) > MAX_RUPEES:
            self.flag("AMOUNT_OUT_OF_RANGE", field, [i for i, amount in enumerate(rupees) if not _in_range(amount)])
        if list(rupees) != [amount / 100 for amount in self.paise]:
            places = [i for i, amount in enumerate(rupees) if _in_range(amount) and self.paise[i] / 100 != amount]
            self.flag("AMOUNT_PRECISION", field, places)

    def check_shops(self, *, told_otherwise: Sequence[Any] = ()) -> None:
        """``told_otherwise`` is true where an invoice can tell the shop, should the record not name it."""
        gstins, refs = self.columns["retailer_gst"], self.columns["retailer_ref"]
        tidy: dict[str | None, str | None] = {text: text.strip().upper() or None for text in set(gstins) if text}
        wrong = {text for text, gstin in tidy.items() if gstin and not is_gstin(gstin)}
        if wrong:
            self.flag("INVALID_GSTIN", "retailer_gst", [i for i, text in enumerate(gstins) if text in wrong])
        self.check_lengths("retailer_ref", "ID_TOO_LONG", MAX_ID)
        self.shops = [(gstin, ref or None) for gstin, ref in zip(map(tidy.get, gstins), refs, strict=True)]
        if _NO_SHOP in self.shops:
            unnamed = [i for i, shop in enumerate(self.shops) if shop == _NO_SHOP]
            unnamed = [i for i in unnamed if not (told_otherwise and told_otherwise[i])]
            self.flag("MISSING_RETAILER", "retailer_ref", unnamed)


def paise(rupees: Iterable[float]) -> list[int]:
    """
    Return amounts in paise.

    The nearest double of an amount with at most two decimals is p / 100 for the integer p = paise, and division is
    correctly rounded: an amount that is no such quotient has more decimals. No amount is ever rounded to fit.
    """
    amounts = list(rupees)
    try:
        return [round(amount * 100) for amount in amounts]
    except OverflowError:  # an absurd amount, whose paise no double holds; integers hold any
        return [round(amount * 100) if _in_range(amount) else int(amount) * 100 for amount in amounts]


def _in_range(rupees: float) -> bool:
    return 0 < rupees <= MAX_RUPEES


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
        rows = zip(sheet.accepted(sheet.rows), sheet.accepted(sheet.shops), strict=True)
        return [
            ShopKey(gstin=gstin, ref=ref, phone_hash=row.retailer_phone_hash, name=row.name or None)
            for row, (gstin, ref) in rows
        ]


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
    sheet.check_ids("invoice_id")
    sheet.check_dates("invoice_date", latest)
    sheet.check_amounts("amount_inr")
    sheet.check_shops()
    starts, dues = sheet.columns["invoice_date"], sheet.columns["due_date"]
    dated = range(len(dues)) if None not in dues else [i for i, due in enumerate(dues) if due]
    terms = [dues[i] - starts[i] for i in dated]
    if min(terms, default=_NO_TIME) < _NO_TIME or max(terms, default=_NO_TIME) > MAX_CREDIT:
        sheet.flag(
            "DUE_BEFORE_INVOICE", "due_date", [i for i, term in zip(dated, terms, strict=True) if term < _NO_TIME]
        )
        sheet.flag("DUE_TOO_FAR", "due_date", [i for i, term in zip(dated, terms, strict=True) if term > MAX_CREDIT])
    return sheet


def _payments(sent: list[Any], latest: date) -> Sheet[Payment]:
    sheet = Sheet("payments", sent, Payment)
    sheet.check_ids("payment_id")
    sheet.check_dates("paid_date", latest)
    sheet.check_amounts("amount_paid_inr")
    sheet.check_lengths("invoice_id", "ID_TOO_LONG", MAX_ID)
    allocations = sheet.columns["allocations"]
    told = [bool(one or many) for one, many in zip(sheet.columns["invoice_id"], allocations, strict=True)]
    sheet.check_shops(told_otherwise=told)
    for place, parts in enumerate(allocations):
        if parts:
            _check_allocations(sheet, place, parts)
    return sheet


def _check_allocations(sheet: Sheet[Payment], place: int, parts: list[Allocation]) -> None:
    amounts = paise(part.amount_inr for part in parts)
    for index, (part, amount) in enumerate(zip(parts, amounts, strict=True)):
        here = f"allocations[{index}]"
        if not part.invoice_id.strip():
            sheet.flag("MISSING_FIELD", f"{here}.invoice_id", [place])
        if len(part.invoice_id) > MAX_ID:
            sheet.flag("ID_TOO_LONG", f"{here}.invoice_id", [place])
        if not _in_range(part.amount_inr):
            sheet.flag("AMOUNT_OUT_OF_RANGE", f"{here}.amount_inr", [place])
        elif amount / 100 != part.amount_inr:
            sheet.flag("AMOUNT_PRECISION", f"{here}.amount_inr", [place])
    if sum(amounts) > sheet.paise[place]:
        sheet.flag("ALLOCATION_EXCEEDS_PAYMENT", "allocations", [place])


def _credit_notes(sent: list[Any], latest: date) -> Sheet[CreditNote]:
    sheet = Sheet("credit_notes", sent, CreditNote)
    sheet.check_ids("credit_note_id")
    sheet.check_dates("credit_note_date", latest)
    sheet.check_amounts("amount_inr")
    sheet.check_lengths("invoice_id", "ID_TOO_LONG", MAX_ID)
    sheet.check_shops(told_otherwise=sheet.columns["invoice_id"])
    return sheet


def _retailers(sent: list[Any]) -> Sheet[RetailerLink]:
    sheet = Sheet("retailers", sent, RetailerLink)
    sheet.check_shops()
    hashes = sheet.columns["retailer_phone_hash"]
    wrong = [i for i, text in enumerate(hashes) if text is not None and not _PHONE_HASH.fullmatch(text)]
    sheet.flag("INVALID_PHONE_HASH", "retailer_phone_hash", wrong)
    sheet.check_lengths("name", "NAME_TOO_LONG", MAX_NAME)
    return sheet


def _early_payments(invoices: Sheet[Invoice], payments: Sheet[Payment]) -> Iterator[Warned]:
    ids, dates = invoices.columns["invoice_id"], invoices.columns["invoice_date"]
    billed: dict[str | None, date] = dict(zip(invoices.accepted(ids), invoices.accepted(dates), strict=True))
    if min(payments.columns["paid_date"], default=date.max) >= max(dates, default=date.min):
        return
    rows, numbers = payments.accepted(payments.rows), payments.accepted(payments.numbers)
    for row, number in zip(rows, numbers, strict=True):
        paid = [part.invoice_id for part in row.allocations] if row.allocations else (row.invoice_id,)
        if row.paid_date < max([billed.get(name, EARLIEST) for name in paid]):
            yield Warned("payments", number, "PAYMENT_BEFORE_INVOICE", f"$.payments[{number}].paid_date")


def _code(detail: Detail) -> str:
    """Return the published code for what msgspec says of a field."""
    is_record = detail.problem.startswith("Expected `object`")
    if detail.problem == "is required" or (detail.problem.endswith("got `null`") and not is_record):
        return "MISSING_FIELD"
    if detail.problem.startswith("Invalid RFC3339"):
        return "INVALID_DATE"
    return "INVALID_ENUM" if detail.problem.startswith("Invalid enum value") else "INVALID_TYPE"
