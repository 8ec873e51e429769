"""CSV exports: one line a bill with its receipt and return, lists of one kind, or registers told by voucher type."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from altcredit_connector.config import Config, ConfigError, Csv
from altcredit_connector.journal import Journal
from altcredit_connector.quality import Quality
from altcredit_connector.records import CreditNote, Document, Invoice, Payment, credible_due, misdated, settle
from altcredit_connector.sources.calendar import found
from altcredit_connector.sources.csv_shops import CASH, Shops
from altcredit_connector.sources.csv_table import Table, parse
from altcredit_connector.sources.presets import FIELDS, PRESETS, Preset, plain
from altcredit_connector.staging import Window
from altcredit_connector.text import amount, clean, day, is_day_first

DATES = ("invoice_date", "due_date", "receipt_date", "return_date", "date")
TOTAL = re.compile(r"^(grand |sub ?|page |net |report )?totals?\b|^(opening|closing) balance\b|^carried|^brought", re.I)
BOUNCED = re.compile(r"bounce|return|dishono", re.I)
YES = ("yes", "y", "true", "1", "disputed")

Thing = Literal["bill", "receipt", "return", "bounce"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One bill, receipt or return as it stands in a line, read but not yet put together with other lines."""

    thing: Thing
    where: str
    row: list[str]
    ref: str
    number: str
    day: date
    amount: Decimal
    bill: str


def check(config: Csv) -> Preset:
    """Return the preset; raises ``ConfigError`` for an unknown one or an unknown field among the columns."""
    if config.preset not in PRESETS:
        raise ConfigError(f"csv.preset must be one of {', '.join(PRESETS)}, not {config.preset!r}")
    if unknown := set(config.columns) - set(FIELDS):
        raise ConfigError(f"csv.columns: unknown {', '.join(sorted(unknown))}; known are {', '.join(FIELDS)}")
    return PRESETS[config.preset]


def windows(config: Config, journal: Journal, quality: Quality, *, today: date) -> Iterator[Window]:
    """Yield one window a file; what did not change since an earlier export is sorted out in staging."""
    preset = check(config.csv)
    for path in found(config.csv.files):
        table = parse(path, path.read_bytes(), preset, config.csv.columns)
        reader = Reader(table, preset, journal, quality, today=today, names=config.send_names)
        yield Window(documents=reader.documents(), marks={})


class Reader:
    """Reads one table: lines to entries, entries to bills first, because receipts and returns refer to them."""

    def __init__(
        self, table: Table, preset: Preset, journal: Journal, quality: Quality, *, today: date, names: bool
    ) -> None:
        self._table, self._preset, self._journal, self._quality = table, preset, journal, quality
        self._latest = today + timedelta(days=1)  # the books may be kept in a time zone ahead of this computer's
        self._day_first = {name: is_day_first(table.column(name)) for name in DATES if name in table.columns}
        self._shops = Shops(table, journal, quality, names=names)
        self._bills: dict[str, Invoice] = {}

    def documents(self) -> Iterator[Document]:
        """Yield the documents of the file, bills first."""
        entries: dict[Thing, list[Entry]] = defaultdict(list)
        for number, row in self._rows():
            for entry in self._entries(f"{self._table.path.name} line {number}", row):
                entries[entry.thing].append(entry)
        self._read_bills(entries["bill"])
        for bill in self._bills.values():
            yield Document(day=bill.invoice_date, records=(self._shops.retailer(bill.retailer_ref or ""), bill))
        for note in self._returns(entries["return"]):
            yield Document(day=note.credit_note_date, records=(self._shops.retailer(note.retailer_ref or ""), note))
        for receipt in self._receipts(entries["receipt"], self._bounced(entries["bounce"])):
            yield Document(day=receipt.paid_date, records=(self._shops.retailer(receipt.retailer_ref or ""), receipt))

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Leave out total lines, and lines that stand in the file twice, letter by letter."""
        seen: set[tuple[str, ...]] = set()
        for number, row in self._table.rows:
            if self._is_total(row):
                self._quality.skip("total lines")
            elif tuple(row) in seen:
                self._quality.skip("lines that repeat another one exactly")
            else:
                seen.add(tuple(row))
                yield number, row

    def _is_total(self, row: list[str]) -> bool:
        """Tell a line of totals: it says so and has no date (a shop may be called Total Mart)."""
        names = ("number", "invoice_id", "receipt_id", "party_name", "party_ref", "date", "invoice_date")
        first = next((text for cell in row if (text := clean(cell))), "")
        says = any(TOTAL.match(cell) for cell in (first, *(self._table.cell(row, name) for name in names)))
        return says and not any(self._date(row, name) for name in DATES)

    # Lines to entries.
    def _entries(self, where: str, row: list[str]) -> Iterator[Entry]:
        ref = self._shops.reference(row)
        parts = self._register_parts(row) if self._preset.register else self._wide_parts(row)
        for thing, number, date_field, value, bill in parts:
            if CASH.match(ref):
                self._quality.skip("cash sales without a shop")
                continue
            noun = "receipt" if thing == "bounce" else thing
            self._quality.found(noun)
            on, money = self._date(row, date_field), amount(value)
            if reason := self._objection(thing, number, ref, self._table.cell(row, date_field), on, value, money):
                self._quality.refuse(noun, reason, where)
                continue
            assert on is not None
            assert money is not None
            yield Entry(thing=thing, where=where, row=row, ref=ref, number=number, day=on, amount=abs(money), bill=bill)

    def _objection(
        self, thing: Thing, number: str, ref: str, date_text: str, on: date | None, value: str, money: Decimal | None
    ) -> str | None:
        """Say why an entry cannot be sent, to follow "2 bills"; None if it can."""
        wrong_day = misdated(on, self._latest)
        reasons = (
            (not ref, "name no shop"),
            (thing == "bill" and not number, "lack numbers"),
            (not date_text, "lack dates"),
            (on is None, "have unreadable dates"),
            (wrong_day is not None, wrong_day or ""),
            (not value, "lack amounts"),
            (money is None, "have unreadable amounts"),
            (money is not None and not money, "have an amount of zero"),
            (
                thing == "bill" and money is not None and money < 0 and not self._preset.register,
                "have a negative amount",
            ),
        )
        return next((reason for applies, reason in reasons if applies), None)

    def _wide_parts(self, row: list[str]) -> Iterator[tuple[Thing, str, str, str, str]]:
        """Yield ``(thing, number, field of its date, amount, bill)`` for what stands in a line of the wide layout."""
        cell = self._table.cell
        bill = cell(row, "invoice_id")
        paid, back = cell(row, "receipt_amount"), cell(row, "return_amount")
        has_paid, has_back = self._is_money(paid), self._is_money(back)
        if "amount" in self._table.columns and (
            cell(row, "amount") or cell(row, "invoice_date") or not (has_paid or has_back)
        ):
            yield "bill", bill, "invoice_date", cell(row, "amount"), bill
        if has_paid or ("amount" not in self._table.columns and "receipt_amount" in self._table.columns):
            yield "receipt", cell(row, "receipt_id"), "receipt_date", paid, bill
        if has_back:
            dates = [name for name in ("return_date", "receipt_date", "invoice_date") if cell(row, name)]
            yield "return", cell(row, "return_id"), dates[0] if dates else "return_date", back, bill

    @staticmethod
    def _is_money(text: str) -> bool:
        """Tell an amount, or something that was meant as one, from an empty cell, a dash or a zero."""
        return bool(text.strip("-–. ")) and amount(text) != 0

    def _register_parts(self, row: list[str]) -> Iterator[tuple[Thing, str, str, str, str]]:
        """As ``_wide_parts``, for a line of a register; other voucher types are counted and left out."""
        cell = self._table.cell
        kind = self._preset.kinds.get(plain(cell(row, "type")))
        value = next((text for name in ("value", "debit", "credit") if self._is_money(text := cell(row, name))), "")
        thing: Thing | None = {"sale": "bill", "receipt": "receipt", "return": "return", "bounce": "bounce"}.get(
            kind or ""
        )  # type: ignore[assignment]
        if thing is None:
            self._quality.skip(f"vouchers of type {cell(row, 'type') or '(none)'}")
            return
        number = cell(row, "number")
        yield thing, number, "date", value, number if thing == "bill" else cell(row, "against")

    def _date(self, row: list[str], name: str) -> date | None:
        return day(self._table.cell(row, name), day_first=self._day_first.get(name, True))

    # Entries to records.
    def _gst(self, ref: str) -> str | None:
        return self._shops.retailer(ref).retailer_gst

    def _read_bills(self, entries: list[Entry]) -> None:
        """Fill ``_bills``; a bill that stands on several lines (with several receipts) is one bill."""
        first: dict[str, tuple[date, Decimal, str]] = {}
        for entry in entries:
            bill = self._bill(entry)
            key = (bill.invoice_date, bill.amount_inr, entry.ref)
            known = first.setdefault(bill.invoice_id, key)
            if known != key:
                self._quality.refuse("bill", "repeat a bill number with another date, amount or shop", entry.where)
            elif bill.invoice_id in self._bills:
                self._quality.seen["bill"] -= 1
            else:
                self._bills[bill.invoice_id] = bill

    def _bill(self, entry: Entry) -> Invoice:
        terms, due = self._terms(entry)
        disputed = self._table.cell(entry.row, "disputed").lower() in YES
        return Invoice(
            invoice_id=self._journal.name("invoice", "", entry.number, entry.day),
            retailer_ref=entry.ref,
            retailer_gst=self._gst(entry.ref),
            invoice_date=entry.day,
            amount_inr=entry.amount,
            due_date=due,
            terms=terms,
            disputed=True if disputed else None,
        )

    def _terms(self, entry: Entry) -> tuple[Literal["cash", "credit"] | None, date | None]:
        """Return cash or credit, and the due day: as written, or from the days of credit."""
        text = self._table.cell(entry.row, "terms").lower()
        terms: Literal["cash", "credit"] | None = None
        if "cash" in text and "credit" not in text:
            terms = "cash"
        elif text:
            terms = "credit" if "credit" in text or re.search(r"\d", text) else None
        due = self._date(entry.row, "due_date")
        days = re.match(r"^\D{0,12}(\d{1,3})\b", self._table.cell(entry.row, "credit_days") or text)
        if due is None and days:
            due = entry.day + timedelta(days=int(days[1]))
        if due is not None and not credible_due(due, entry.day):
            self._quality.remark("due dates are before the bill or over a year after it; left out", entry.where)
            due = None
        if due is None and terms != "cash":
            self._quality.remark("bills have no due date; this lowers completeness", entry.where)
        return terms, due

    def _returns(self, entries: list[Entry]) -> Iterator[CreditNote]:
        for entry in entries:
            bill = self._journal.refer("invoice", "", entry.bill, entry.day) if entry.bill else None
            number = entry.number or f"{bill or entry.ref + ' ' + entry.day.isoformat()}-RET"
            yield CreditNote(
                credit_note_id=self._journal.name("credit_note", "", number, entry.day),
                retailer_ref=entry.ref,
                retailer_gst=self._gst(entry.ref),
                credit_note_date=entry.day,
                amount_inr=entry.amount,
                invoice_id=bill,
            )

    def _bounced(self, entries: list[Entry]) -> dict[str, Entry]:
        """Return the receipts that a line says were returned by the bank."""
        bounced = {}
        for entry in entries:
            if entry.bill:
                bounced[self._journal.refer("payment", "", entry.bill, entry.day)] = entry
            else:
                self._quality.remark("returned cheques name no receipt and are left out", entry.where)
        return bounced

    def _receipts(self, entries: list[Entry], bounced: dict[str, Entry]) -> Iterator[Payment]:
        """Put the lines of one receipt together: what goes to which bill, and what is on account."""
        groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        shops: dict[str, set[str]] = defaultdict(set)
        for entry in entries:
            number = entry.number or f"{entry.bill or entry.ref}-RCP-{entry.day.isoformat()}"
            groups[number, entry.ref].append(entry)
            shops[number].add(entry.ref)
        known = set()
        for (number, ref), lines in groups.items():
            shown = number if len(shops[number]) == 1 else f"{number}/{ref}"
            payment_id = self._journal.name("payment", "", shown, lines[0].day)
            known.add(payment_id)
            yield self._receipt(payment_id, lines, bounced)
        for payment_id in bounced.keys() - known:
            if last := self._journal.last("payment", payment_id):
                yield replace(self._earlier(last), retailer_ref=bounced[payment_id].ref, status="returned")
            else:
                self._quality.remark(
                    "returned cheques name an unknown receipt and are left out", bounced[payment_id].where
                )

    @staticmethod
    def _earlier(body: str) -> Payment:
        """Return a receipt as it was sent before."""
        fields = json.loads(body, parse_float=Decimal)
        return Payment(
            payment_id=fields["payment_id"],
            retailer_ref=fields.get("retailer_ref"),
            retailer_gst=fields.get("retailer_gst"),
            paid_date=date.fromisoformat(fields["paid_date"]),
            amount_paid_inr=Decimal(fields["amount_paid_inr"]),
            invoice_id=fields["invoice_id"],
            allocations=tuple(
                (part["invoice_id"], Decimal(part["amount_inr"])) for part in fields.get("allocations", ())
            ),
        )

    def _receipt(self, payment_id: str, lines: list[Entry], bounced: dict[str, Entry]) -> Payment:
        self._quality.seen["receipt"] -= len(lines) - 1
        parts: dict[str | None, Decimal] = self._elsewhere(payment_id)
        fresh: dict[str | None, Decimal] = defaultdict(Decimal)
        for line in lines:
            fresh[self._journal.refer("invoice", "", line.bill, line.day) if line.bill else None] += line.amount
        parts |= fresh
        total = sum(parts.values(), Decimal())
        invoice_id, allocations = settle(total, {bill: part for bill, part in parts.items() if bill is not None})
        returned = payment_id in bounced or any(
            BOUNCED.search(self._table.cell(line.row, "receipt_status")) for line in lines
        )
        return Payment(
            payment_id=payment_id,
            retailer_ref=lines[0].ref,
            retailer_gst=self._gst(lines[0].ref),
            paid_date=lines[0].day,
            amount_paid_inr=total,
            invoice_id=invoice_id,
            allocations=allocations,
            status="returned" if returned else None,
        )

    def _elsewhere(self, payment_id: str) -> dict[str | None, Decimal]:
        """Return what an earlier file said this receipt paid, of bills that this file does not hold."""
        last = self._journal.last("payment", payment_id)
        if last is None or "amount" not in self._table.columns:  # a list of receipts has all lines of each receipt
            return {}
        receipt = self._earlier(last)
        parts = dict(receipt.allocations)
        if receipt.invoice_id:
            parts[receipt.invoice_id] = receipt.amount_paid_inr
        return {bill: part for bill, part in parts.items() if bill not in self._bills}
