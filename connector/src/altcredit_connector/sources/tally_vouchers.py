"""From Tally's vouchers and masters to documents: bills by their reference, receipts spread over the bills they pay."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from altcredit_connector.journal import Journal
from altcredit_connector.quality import Quality
from altcredit_connector.records import (
    CreditNote,
    Document,
    Invoice,
    Payment,
    Record,
    Retailer,
    credible_due,
    misdated,
    settle,
)
from altcredit_connector.sources.tally_xml import Node
from altcredit_connector.text import MAX_NAME, amount, clean, day, gstin, phone_hash

VoucherKind = Literal["bill", "receipt", "return"]
BASE_TYPES: dict[str, VoucherKind] = {"sales": "bill", "receipt": "receipt", "credit note": "return"}
PERIOD = re.compile(r"^(\d{1,4})\s*(day|week|month|year)?s?\b", re.IGNORECASE)
DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}


@dataclass(slots=True)
class Masters:
    """What the masters say: customers by name, and the base type of the user's own voucher types.

    ``debtors_only``: the customers are exactly the ledgers under Sundry Debtors, so any other party is none.
    """

    customers: dict[str, Node] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    debtors_only: bool = False

    def add(self, node: Node) -> None:
        """Take in one master."""
        name = clean(node.attributes.get("NAME") or node.get("NAME"))
        if node.name == "LEDGER" and name:
            self.customers[name] = node
        elif node.name == "VOUCHERTYPE" and name:
            self.types[name.lower()] = clean(node.get("PARENT")).lower()

    def kind(self, voucher: Node) -> VoucherKind | None:
        """Return what a voucher is, by its type's ancestry or, without masters, by its type's name."""
        name = clean(voucher.get("VOUCHERTYPENAME") or voucher.attributes.get("VCHTYPE")).lower()
        seen = set()
        while name not in BASE_TYPES and name in self.types and name not in seen:
            seen.add(name)
            name = self.types[name]
        if name in BASE_TYPES:
            return BASE_TYPES[name]
        by_name = (kind for base, kind in BASE_TYPES.items() if not self.types and re.search(rf"\b{base}\b", name))
        return next(by_name, None) if "order" not in name and "return" not in name else None


@dataclass(frozen=True, slots=True)
class Share:
    """A bill allocation of the party line, positive as the voucher means it."""

    name: str
    new: bool
    against: bool
    amount: Decimal
    period: str


@dataclass(frozen=True, slots=True)
class Line:
    """The line of a voucher that debits or credits a customer."""

    party: str
    amount: Decimal
    shares: tuple[Share, ...]


class Vouchers:
    """Turns vouchers into documents, counting what cannot be used."""

    def __init__(self, masters: Masters, journal: Journal, quality: Quality, *, today: date, names: bool) -> None:
        self._masters, self._journal, self._quality = masters, journal, quality
        self._today, self._names = today, names

    def document(self, voucher: Node) -> Document | None:
        """Return the document of one voucher, empty if it is cancelled; None if it is none of ours."""
        kind = self._masters.kind(voucher)
        if kind is None:
            self._quality.skip(f"vouchers of type {clean(voucher.get('VOUCHERTYPENAME')) or '(none)'}")
            return None
        number, guid = clean(voucher.get("VOUCHERNUMBER")), clean(voucher.get("GUID"))
        on = day(voucher.get("DATE"))
        for state in ("cancelled", "optional"):
            if voucher.yes(f"IS{state.upper()}"):
                self._quality.skip(f"{state} vouchers")
                return Document(day=on, records=(), origin=guid) if on and guid else None
        where = f"{clean(voucher.get('VOUCHERTYPENAME'))} {number or guid}"
        lines = self._lines(voucher, kind, where)
        if not lines:
            self._quality.skip("vouchers without a customer (cash sales, other income)")
            return None
        self._quality.found(kind)
        reason = misdated(on, self._today) or (None if number or guid else "lack numbers")
        if on is None or reason:
            self._quality.refuse(kind, str(reason), where)
            return None
        return Document(
            day=on, records=tuple(self._all(voucher, lines, _Own(kind, guid, number or guid, on, where))), origin=guid
        )

    def _all(self, voucher: Node, lines: list[Line], own: "_Own") -> Iterator[Record]:
        for place, line in enumerate(lines):
            shop = self._shop(voucher, line.party, single=len(lines) == 1)
            yield shop
            yield from self._records(
                replace(own, guid=f"{own.guid}/{place}") if place and own.guid else own, line, shop
            )

    def rank(self, voucher: Node) -> int:
        """Order vouchers so that sales come before what refers to them."""
        return 0 if self._masters.kind(voucher) == "bill" else 1

    # The lines of customers.
    def _lines(self, voucher: Node, kind: VoucherKind, where: str) -> list[Line]:
        entries = voucher.all("ALLLEDGERENTRIES.LIST") or voucher.all("LEDGERENTRIES.LIST")
        party = clean(voucher.get("PARTYLEDGERNAME") or voucher.get("PARTYNAME"))
        chosen = [entry for entry in entries if self._is_customer(entry, party, kind)]
        return [line for entry in chosen if (line := self._line(entry, where)).amount]

    def _is_customer(self, entry: Node, party: str, kind: VoucherKind) -> bool:
        """Tell a customer's line from the bank's, the goods' and the tax's."""
        name = clean(entry.get("LEDGERNAME"))
        if self._masters.debtors_only:
            return name in self._masters.customers
        if kind != "bill" and entry.yes("ISDEEMEDPOSITIVE"):  # money goes to where it is debited: the bank
            return False
        if re.fullmatch(r"cash( a/?c| in hand)?", name, re.IGNORECASE):
            return False
        return name == party or entry.yes("ISPARTYLEDGER") or bool(entry.all("BILLALLOCATIONS.LIST"))

    def _line(self, entry: Node, where: str) -> Line:
        """Read a line by absolute value: its sign, and that of its bills, differs between exports."""
        total = amount(entry.get("AMOUNT")) or Decimal()
        raw = [(bill, amount(bill.get("AMOUNT")) or Decimal()) for bill in entry.all("BILLALLOCATIONS.LIST")]
        signed = sum((value for _, value in raw), Decimal())
        turn = -1 if signed < 0 else 1
        if raw and abs(signed) != abs(total):
            if sum(abs(value) for _, value in raw) == abs(total):
                raw, turn = [(bill, abs(value)) for bill, value in raw], 1
            else:
                self._quality.remark("vouchers whose bills do not sum to the party's line", where)
        shares = tuple(
            Share(
                name=clean(bill.get("NAME")),
                new=clean(bill.get("BILLTYPE")).lower() == "new ref",
                against=clean(bill.get("BILLTYPE")).lower() == "agst ref",
                amount=turn * value,
                period=_period(bill),
            )
            for bill, value in raw
            if value
        )
        return Line(clean(entry.get("LEDGERNAME")), abs(total), shares)

    def _shop(self, voucher: Node, party: str, *, single: bool) -> Retailer:
        """Return the customer: the name first seen for its ledger stays its reference when the ledger is renamed."""
        master = self._masters.customers.get(party)
        code = voucher.get("PARTYGSTIN") if single else ""
        phone = ""
        if master:
            details = next(iter(master.all("LEDGSTREGDETAILS.LIST")), None)
            code = code or master.get("PARTYGSTIN") or (details.get("GSTIN") if details else "")
            phone = master.get("LEDGERMOBILE") or master.get("LEDGERPHONE")
        gst = gstin(code)
        if clean(code) and not gst:
            self._quality.remark("GSTINs are not valid and are left out", f"{party}: {clean(code)}")
        return Retailer(
            retailer_ref=self._journal.lasting_name("retailer", self._scope(party), party),
            retailer_gst=gst,
            retailer_phone_hash=phone_hash(phone),
            name=party[:MAX_NAME] if self._names else None,
        )

    def _scope(self, party: str) -> str:
        master = self._masters.customers.get(party)
        return (clean(master.get("GUID")) if master else "") or party

    # Records.
    def _records(self, own: "_Own", line: Line, shop: Retailer) -> Iterator[Record]:
        if own.kind == "bill":
            yield from self._bills(own, line, shop)
        elif own.kind == "receipt":
            yield self._receipt(own, line, shop)
        else:
            yield from self._notes(own, line, shop)

    def _bills(self, own: "_Own", line: Line, shop: Retailer) -> Iterator[Invoice]:
        """Yield one bill for each new reference; what is left (on account, not bill-wise) is a bill by its number."""
        news = [share for share in line.shares if share.new and share.amount > 0]
        rest = line.amount - sum((share.amount for share in news), Decimal())
        numbers = {share.name or own.number for share in news}
        if rest > 0:
            news.append(Share(own.number if own.number not in numbers else f"{own.number}/R", True, False, rest, ""))
        for share in news:
            due = _due(share.period, own.on)
            if due is None:
                self._quality.remark("bills have no due date; this lowers completeness", own.where)
            yield Invoice(
                invoice_id=self._journal.name("invoice", self._scope(line.party), share.name or own.number, own.on),
                retailer_ref=shop.retailer_ref,
                retailer_gst=shop.retailer_gst,
                invoice_date=own.on,
                amount_inr=share.amount,
                due_date=due,
                terms="credit" if due and due > own.on else None,
            )

    def _paid(self, own: "_Own", line: Line) -> dict[str, Decimal]:
        """Return what goes to which bill, never more than the line: a bill set off against a return counts less."""
        paid: dict[str, Decimal] = {}
        for share in line.shares:
            if share.against and share.name and share.amount > 0:
                bill = self._journal.refer("invoice", self._scope(line.party), share.name, own.on)
                paid[bill] = paid.get(bill, Decimal()) + share.amount
        excess = sum(paid.values(), Decimal()) - line.amount
        for bill in reversed(list(paid)):
            if excess <= 0:
                break
            less = min(excess, paid[bill])
            paid[bill], excess = paid[bill] - less, excess - less
        return {bill: part for bill, part in paid.items() if part}

    def _receipt(self, own: "_Own", line: Line, shop: Retailer) -> Payment:
        invoice_id, allocations = settle(line.amount, self._paid(own, line))
        return Payment(
            payment_id=self._own_name("payment", own),
            retailer_ref=shop.retailer_ref,
            retailer_gst=shop.retailer_gst,
            paid_date=own.on,
            amount_paid_inr=line.amount,
            invoice_id=invoice_id,
            allocations=allocations,
        )

    def _notes(self, own: "_Own", line: Line, shop: Retailer) -> Iterator[CreditNote]:
        """Yield one credit note for each bill that is credited, and one for what names no bill."""
        paid = self._paid(own, line)
        shares: list[tuple[str | None, Decimal]] = list(paid.items())
        if (rest := line.amount - sum(paid.values(), Decimal())) > 0:
            shares.append((None, rest))
        name = self._own_name("credit_note", own)
        for place, (bill, part) in enumerate(shares, start=1):
            yield CreditNote(
                credit_note_id=name if place == 1 else f"{name}/{place}",
                retailer_ref=shop.retailer_ref,
                retailer_gst=shop.retailer_gst,
                credit_note_date=own.on,
                amount_inr=part,
                invoice_id=bill,
            )

    def _own_name(self, kind: Literal["payment", "credit_note"], own: "_Own") -> str:
        """Return the id of the voucher itself: its number, which stays with its GUID if it is renumbered."""
        if not own.guid:
            return self._journal.name(kind, "", own.number, own.on)
        return self._journal.lasting_name(kind, own.guid, own.number)


@dataclass(frozen=True, slots=True)
class _Own:
    """What a voucher says of itself."""

    kind: VoucherKind
    guid: str
    number: str
    on: date
    where: str


def _period(bill: Node) -> str:
    node = next((child for child in bill.children if child.name == "BILLCREDITPERIOD"), None)
    return clean(node.text or node.attributes.get("P")) if node else ""


def _due(period: str, on: date) -> date | None:
    """Return the due day of "30 Days", "30", "2 Weeks", "1 Month" or a date; None if it cannot be true."""
    if found := PERIOD.fullmatch(period):
        return credible_due(on + timedelta(days=int(found[1]) * DAYS[(found[2] or "day").lower()]), on)
    return credible_due(day(period), on)
