"""SAP Business One: invoices, incoming payments and credit notes through the Service Layer."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from altcredit_connector.config import Config, Secrets
from altcredit_connector.journal import Journal
from altcredit_connector.quality import Quality, Thing
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
from altcredit_connector.sources.calendar import DAY, default_start, periods
from altcredit_connector.sources.sap_session import Entity, SapError, Session
from altcredit_connector.staging import Window
from altcredit_connector.text import MAX_NAME, PAISA, clean, day, gstin, phone_hash

HEAD = "DocEntry,DocNum,CardCode,DocDate,DocDueDate,DocTotal,PaidToDate,DocumentStatus,Cancelled,UpdateDate"
SELECTS = {
    # The second is for versions that do not know CancelStatus, which tells a cancellation document from a bill.
    "Invoices": (f"{HEAD},CancelStatus", HEAD),
    "CreditNotes": (f"{HEAD},CancelStatus,DocumentLines", f"{HEAD},DocumentLines"),
    "IncomingPayments": (None,),
}
PARTNER = "CardCode,CardName,Cellular,Phone1,BPAddresses"
UNDATED_OVERLAP = timedelta(days=90)
"""Days of payments read again where the version cannot filter payments by the day of their change."""


class Partners:
    """The customers by code: all at once, and one by one what that did not bring."""

    def __init__(self, session: Session, quality: Quality, *, names: bool) -> None:
        self._session, self._quality, self._names = session, quality, names
        self._known: dict[str, Retailer] | None = None

    def retailer(self, code: str) -> Retailer:
        """Return the customer; what SAP does not know of it stays unknown."""
        if self._known is None:
            query = {"$select": PARTNER, "$filter": "CardType eq 'cCustomer'", "$orderby": "CardCode"}
            try:
                found = list(self._session.each("BusinessPartners", query))
            except SapError as error:
                if error.status not in (400, 404):
                    raise
                found = []
            self._known = {str(partner["CardCode"]): self._read(partner) for partner in found}
        if code not in self._known:
            quoted = code.replace("'", "''")
            partner = self._session.get(f"BusinessPartners('{quoted}')", {"$select": PARTNER})
            self._known[code] = self._read(partner)
        return self._known[code]

    def _read(self, partner: Entity) -> Retailer:
        code = str(partner["CardCode"])
        addresses = sorted(partner.get("BPAddresses") or (), key=lambda a: a.get("AddressType") != "bo_BillTo")
        written = [clean(address.get("GSTIN")) for address in addresses if clean(address.get("GSTIN"))]
        valid = [gst for text in written if (gst := gstin(text))]
        phones = [clean(partner.get(name)) for name in ("Cellular", "Phone1")]
        if written and not valid:
            self._quality.remark("GSTINs are not valid and are left out", f"{code}: {written[0]}")
        hashed = next((h for phone in phones if (h := phone_hash(phone))), None)
        if any(phones) and not hashed:
            self._quality.remark("mobiles are masked or incomplete and are left out", code)
        return Retailer(
            retailer_ref=code,
            retailer_gst=valid[0] if valid else None,
            retailer_phone_hash=hashed,
            name=(clean(partner.get("CardName"))[:MAX_NAME] or None) if self._names else None,
        )


class Reader:
    """Turns SAP's documents into ours. Ids are DocEntry, which is unique and never changes."""

    def __init__(self, partners: Partners, quality: Quality, *, today: date) -> None:
        self._partners, self._quality, self._today = partners, quality, today

    def document(self, entity: str, found: Entity) -> Document | None:
        """Return the document, empty if it is cancelled; None if it is none of ours or cannot be used."""
        thing: Thing = {"Invoices": "bill", "IncomingPayments": "receipt", "CreditNotes": "return"}[entity]
        where = f"{entity} {found.get('DocNum')}"
        on = day(str(found.get("DocDate") or ""))
        origin = f"{entity}/{found['DocEntry']}"
        if found.get("CancelStatus") == "csCancellation":
            self._quality.skip("cancellation documents")
            return None
        if found.get("Cancelled") == "tYES":
            self._quality.skip("cancelled documents")
            return Document(day=on, records=(), origin=origin) if on else None
        if entity == "IncomingPayments" and found.get("DocType") not in (None, "rCustomer"):
            self._quality.skip("payments that are not from customers")
            return None
        self._quality.found(thing)
        reason = misdated(on, self._today) or (None if found.get("CardCode") else "name no shop")
        if on is None or reason:
            self._quality.refuse(thing, str(reason), where)
            return None
        shop = self._partners.retailer(str(found["CardCode"]))
        records = tuple({"bill": _bill, "receipt": _receipt, "return": _notes}[thing](found, on, shop))
        if not records:
            self._quality.refuse(thing, "have an amount of zero", where)
            return None
        if isinstance(records[0], Invoice) and records[0].due_date is None:
            self._quality.remark("bills have no due date; this lowers completeness", where)
        return Document(day=on, records=(shop, *records), origin=origin)


def _money(value: object) -> Decimal:
    return Decimal(str(value or 0)).quantize(PAISA, ROUND_HALF_UP)


def _bill(found: Entity, on: date, shop: Retailer) -> Iterator[Record]:
    total, due = _money(found.get("DocTotal")), day(str(found.get("DocDueDate") or ""))
    if total > 0:
        yield Invoice(
            invoice_id=str(found["DocEntry"]),
            retailer_ref=shop.retailer_ref,
            retailer_gst=shop.retailer_gst,
            invoice_date=on,
            amount_inr=total,
            due_date=credible_due(due, on),
        )


def _receipt(found: Entity, on: date, shop: Retailer) -> Iterator[Record]:
    total = sum((_money(found.get(name)) for name in ("CashSum", "TransferSum", "BillOfExchangeAmount")), Decimal())
    total += sum((_money(check.get("CheckSum")) for check in found.get("PaymentChecks") or ()), Decimal())
    total += sum((_money(card.get("CreditSum")) for card in found.get("PaymentCreditCards") or ()), Decimal())
    paid: dict[str, Decimal] = {}
    for line in found.get("PaymentInvoices") or ():
        applied = _money(line.get("SumApplied"))
        if line.get("InvoiceType") == "it_Invoice" and applied > 0:
            # What a bill was set off with a credit note is not money: no more is allocated than was received.
            bill = str(line["DocEntry"])
            paid[bill] = paid.get(bill, Decimal()) + min(applied, total - sum(paid.values(), Decimal()))
    if total > 0:
        invoice_id, allocations = settle(total, {bill: part for bill, part in paid.items() if part > 0})
        yield Payment(
            payment_id=str(found["DocEntry"]),
            retailer_ref=shop.retailer_ref,
            retailer_gst=shop.retailer_gst,
            paid_date=on,
            amount_paid_inr=total,
            invoice_id=invoice_id,
            allocations=allocations,
        )


def _notes(found: Entity, on: date, shop: Retailer) -> Iterator[Record]:
    """Yield a credit note for each bill that its lines are based on; lines are net of tax, so by proportion."""
    total = _money(found.get("DocTotal"))
    lines: dict[str | None, Decimal] = {}
    for line in found.get("DocumentLines") or ():
        bill = str(line["BaseEntry"]) if line.get("BaseType") == 13 and line.get("BaseEntry") is not None else None
        lines[bill] = lines.get(bill, Decimal()) + abs(_money(line.get("LineTotal")))
    net, left = sum(lines.values(), Decimal()), total
    shares = list(lines.items()) if net else [(None, Decimal(1))]
    for place, (bill, part) in enumerate(shares, start=1):
        credited = left if place == len(shares) else (total * part / net).quantize(PAISA, ROUND_HALF_UP)
        left -= credited
        if credited > 0:
            yield CreditNote(
                credit_note_id=str(found["DocEntry"]) if place == 1 else f"{found['DocEntry']}/{place}",
                retailer_ref=shop.retailer_ref,
                retailer_gst=shop.retailer_gst,
                credit_note_date=on,
                amount_inr=credited,
                invoice_id=bill,
            )


class Service:
    """The three collections, by day of document or by day of change."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._selects: dict[str, str | None] = {}

    def dated(self, entity: str, first: date, last: date) -> Iterator[Entity]:
        """Yield the documents of the days given."""
        yield from self._each(entity, f"DocDate ge '{first}' and DocDate le '{last}'")

    def changed(self, entity: str, since: date, read_to: date) -> Iterator[Entity]:
        """Yield the documents of days already read that were changed since."""
        try:
            yield from self._each(entity, f"UpdateDate ge '{since}' and DocDate le '{read_to}'")
        except SapError as error:
            if error.status != 400 or entity != "IncomingPayments":
                raise
            yield from self.dated(entity, read_to - UNDATED_OVERLAP, read_to)

    def _each(self, entity: str, condition: str) -> Iterator[Entity]:
        query = {"$filter": condition, "$orderby": "DocEntry"}
        if entity not in self._selects:
            self._selects[entity] = self._select(entity)
        if select := self._selects[entity]:
            query["$select"] = select
        yield from self._session.each(entity, query)

    def _select(self, entity: str) -> str | None:
        """Return the fullest list of fields that this version of the Service Layer knows."""
        for select in SELECTS[entity][:-1]:
            try:
                self._session.get(entity, {"$select": str(select), "$top": "1"})
                return select
            except SapError as error:
                if error.status != 400:
                    raise
        return SELECTS[entity][-1]


def windows(config: Config, secrets: Secrets, journal: Journal, quality: Quality, *, today: date) -> Iterator[Window]:
    """Yield what changed in days already read, then the days not read yet month by month."""
    session = Session(config.sap, secrets.sap_password)
    reader = Reader(Partners(session, quality, names=config.send_names), quality, today=today)
    service = Service(session)
    read_to, mark = journal.mark("sap.read_to"), journal.mark("sap.changed")
    marks = {"sap.changed": today.isoformat()}
    following = date.fromisoformat(read_to) + DAY if read_to else config.sap.start or default_start(today)
    try:
        if read_to and mark:
            since, last = date.fromisoformat(mark) - DAY, following - DAY
            old = ((entity, found) for entity in SELECTS for found in service.changed(entity, since, last))
            yield Window(documents=_documents(reader, old), marks=marks, joins=True)
            marks = {}
        for first, last, complete in periods(following, today, days=31):
            new = ((entity, found) for entity in SELECTS for found in service.dated(entity, first, last))
            progress = {"sap.read_to": complete.isoformat()} if complete else {}
            yield Window(
                documents=_documents(reader, new),
                marks=marks | progress,
                since=first,
                until=complete or first - DAY,
                joins=True,
            )
            marks = {}  # set with the first window already, so that an interrupted first load loses no change either
    finally:
        session.close()


def _documents(reader: Reader, found: Iterator[tuple[str, Entity]]) -> Iterator[Document]:
    for entity, each in found:
        if document := reader.document(entity, each):
            yield document
