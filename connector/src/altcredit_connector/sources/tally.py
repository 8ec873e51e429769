"""Tally Prime: asked over HTTP week by week, or read from files exported from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from html import escape
from pathlib import Path

import httpx2

from altcredit_connector.config import Config
from altcredit_connector.journal import Journal
from altcredit_connector.quality import Quality
from altcredit_connector.records import Document
from altcredit_connector.sources.calendar import DAY, default_start, found, periods
from altcredit_connector.sources.tally_vouchers import Masters, Vouchers
from altcredit_connector.sources.tally_xml import CHUNK, Node, TallyXmlError, read
from altcredit_connector.staging import SourceError, Window

ALTER_OVERLAP = 200
"""Change numbers read again: on a shared company they are given before the voucher is saved, so not in strict order."""
BLIND_OVERLAP = timedelta(days=56)
"""Days read again at every run where Tally gives no change number."""
TIMEOUT = httpx2.Timeout(300, connect=10)
VOUCHER_FIELDS = (
    "Date,VoucherNumber,VoucherTypeName,PartyLedgerName,PartyGSTIN,GUID,AlterID,MasterID,IsCancelled,IsOptional",
    "AllLedgerEntries.LedgerName,AllLedgerEntries.Amount,AllLedgerEntries.IsPartyLedger,"
    "AllLedgerEntries.IsDeemedPositive",
    "AllLedgerEntries.BillAllocations.Name,AllLedgerEntries.BillAllocations.BillType,"
    "AllLedgerEntries.BillAllocations.Amount,AllLedgerEntries.BillAllocations.BillCreditPeriod",
)
LEDGER_FIELDS = ("Name,GUID,Parent,PartyGSTIN,LedgerMobile,LedgerPhone,LedGSTRegDetails",)
OUR_TYPES = "$$IsSales:$VoucherTypeName OR $$IsReceipt:$VoucherTypeName OR $$IsCreditNote:$VoucherTypeName"


class TallyError(SourceError):
    """Tally cannot be reached or does not answer as Tally does."""


def request(
    name: str,
    kind: str,
    fields: tuple[str, ...],
    company: str,
    *,
    span: tuple[date, date] | None = None,
    under: str = "",
    filters: dict[str, str] | None = None,
) -> bytes:
    """Build an export request for a collection; UTF-16 only if the company's name needs it."""
    period = ""
    if span:
        first, last = (day.strftime("%Y%m%d") for day in span)
        period = f'<SVFROMDATE TYPE="Date">{first}</SVFROMDATE><SVTODATE TYPE="Date">{last}</SVTODATE>'
    company = f"<SVCURRENTCOMPANY>{escape(company)}</SVCURRENTCOMPANY>" if company else ""
    filters = filters or {}
    xml = (
        f"<ENVELOPE><HEADER><VERSION>1</VERSION><TALLYREQUEST>Export</TALLYREQUEST><TYPE>Collection</TYPE><ID>{name}</ID>"
        f"</HEADER><BODY><DESC><STATICVARIABLES>{company}<SVEXPORTFORMAT>$$SysName:XML</SVEXPORTFORMAT>{period}"
        f'</STATICVARIABLES><TDL><TDLMESSAGE><COLLECTION NAME="{name}" ISMODIFY="No"><TYPE>{kind}</TYPE>{under}'
        + "".join(f"<FETCH>{names}</FETCH>" for names in fields)
        + (f"<FILTERS>{','.join(filters)}</FILTERS>" if filters else "")
        + "</COLLECTION>"
        + "".join(f'<SYSTEM TYPE="Formulae" NAME="{key}">{escape(rule)}</SYSTEM>' for key, rule in filters.items())
        + "</TDLMESSAGE></TDL></DESC></BODY></ENVELOPE>"
    )
    return xml.encode() if xml.isascii() else b"\xff\xfe" + xml.encode("utf-16-le")


class Tally:
    """A running Tally. It does one thing at a time while its owner types, so requests are few and small."""

    def __init__(self, url: str, company: str) -> None:
        self._url, self._company = url, company
        self._http = httpx2.Client(timeout=TIMEOUT, trust_env=False)  # it is on this network: never through a proxy

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def companies(self) -> list[str]:
        """Return the names of the companies that are open in Tally."""
        return [_name(node) for node in self._ask(request("AltCompanies", "Company", ("Name",), ""), ("COMPANY",))]

    def change_number(self) -> int | None:
        """Return the highest change number (ALTERID) given to a voucher so far; None if Tally does not tell."""
        body = request("AltCompany", "Company", ("Name,GUID,AltVchId",), self._company)
        for node in self._ask(body, ("COMPANY",)):
            if (number := node.get("ALTVCHID")).isdecimal() and _name(node) in (self._company, ""):
                return int(number)
        return None

    def masters(self) -> Masters:
        """Return the customers (the ledgers under Sundry Debtors) and the user's voucher types."""
        masters = Masters()
        under = "<CHILDOF>$$GroupSundryDebtors</CHILDOF><BELONGSTO>Yes</BELONGSTO>"
        for body, kind in (
            (request("AltLedgers", "Ledger", LEDGER_FIELDS, self._company, under=under), "LEDGER"),
            (request("AltVoucherTypes", "VoucherType", ("Name,Parent",), self._company), "VOUCHERTYPE"),
        ):
            for node in self._ask(body, (kind,)):
                masters.add(node)
        masters.debtors_only = bool(masters.customers)
        return masters

    def vouchers(self, first: date, last: date, *, changed_after: int | None = None) -> Iterator[Node]:
        """Yield the sales, receipts and credit notes of the days given."""
        filters = {"AltTypes": OUR_TYPES}
        if changed_after is not None:
            filters["AltChanged"] = f"$AlterID > {changed_after}"
        body = request("AltVouchers", "Voucher", VOUCHER_FIELDS, self._company, span=(first, last), filters=filters)
        yield from self._ask(body, ("VOUCHER",))

    def _ask(self, body: bytes, wanted: tuple[str, ...]) -> Iterator[Node]:
        charset = "utf-16" if body.startswith(b"\xff\xfe") else "utf-8"
        headers = {"Content-Type": f"text/xml;charset={charset}"}
        with reachable(self._url), self._http.stream("POST", self._url, content=body, headers=headers) as answer:
            if answer.status_code != 200:
                raise TallyError(f"{self._url} answered HTTP {answer.status_code}: is this Tally's port?")
            yield from read(answer.iter_bytes(CHUNK), wanted=wanted)


@contextmanager
def reachable(url: str) -> Iterator[None]:
    """Turn failures of the network and of the answer into a sentence that says what to do."""
    try:
        yield
    except httpx2.TransportError as error:
        raise TallyError(
            f"Tally does not answer at {url} ({type(error).__name__}): start Tally, open the company, and under "
            "F1 > Settings > Connectivity let Tally act as Both or Server on this port"
        ) from error
    except TallyXmlError as error:
        raise TallyError(f"{url}: {error}") from error


def _name(node: Node) -> str:
    return node.attributes.get("NAME") or node.get("NAME")


def windows(config: Config, journal: Journal, quality: Quality, *, today: date) -> Iterator[Window]:
    """Yield what changed in days already read, then the days not read yet week by week; or the files."""
    if config.tally.files:
        yield from _files(config, journal, quality, today=today)
        return
    tally = Tally(config.tally.url, config.tally.company)
    try:
        yield from _weeks(config, tally, journal, quality, today=today)
    finally:
        tally.close()


def _weeks(config: Config, tally: Tally, journal: Journal, quality: Quality, *, today: date) -> Iterator[Window]:
    # Asked before anything is read: a voucher altered while we read has a higher number, and is read next time.
    number = tally.change_number()
    vouchers = Vouchers(tally.masters(), journal, quality, today=today, names=config.send_names)
    start = config.tally.start or default_start(today)
    read_to, mark = journal.mark("tally.read_to"), journal.mark("tally.alterid")
    marks = {} if number is None else {"tally.alterid": str(number)}
    following = date.fromisoformat(read_to) + DAY if read_to else start
    if read_to and mark and number is not None:
        old = tally.vouchers(start, following - DAY, changed_after=max(0, int(mark) - ALTER_OVERLAP))
        yield Window(documents=_documents(vouchers, list(old)), marks=marks, joins=True)
        marks = {}
    elif read_to and number is None:
        following = max(start, following - BLIND_OVERLAP)
    for first, last, complete in periods(following, today, days=7):
        nodes = list(tally.vouchers(first, last))
        progress = {"tally.read_to": max(complete.isoformat(), read_to or "")} if complete else {}
        yield Window(
            documents=_documents(vouchers, nodes),
            marks=marks | progress,
            since=first,
            until=complete or first - DAY,
            joins=True,
        )
        marks = {}  # set with the first window already, so that an interrupted first load loses no change either


def _documents(vouchers: Vouchers, nodes: list[Node]) -> Iterator[Document]:
    """Read sales first, so that receipts and returns of the same week know their bills."""
    nodes.sort(key=lambda node: vouchers.rank(node))
    for node in nodes:
        if document := vouchers.document(node):
            yield document


def _files(config: Config, journal: Journal, quality: Quality, *, today: date) -> Iterator[Window]:
    """Read exported files as streams, three times: masters, then sales, then what refers to sales."""
    paths = found(config.tally.files)
    masters = Masters()
    for path in paths:
        for node in _nodes(path, ("LEDGER", "VOUCHERTYPE")):
            masters.add(node)
    vouchers = Vouchers(masters, journal, quality, today=today, names=config.send_names)
    for path in paths:
        yield Window(documents=_file_documents(vouchers, path), marks={})


def _file_documents(vouchers: Vouchers, path: Path) -> Iterator[Document]:
    for sales in (True, False):
        for node in _nodes(path, ("VOUCHER",)):
            if (vouchers.rank(node) == 0) is sales and (document := vouchers.document(node)):
                yield document


def _nodes(path: Path, wanted: tuple[str, ...]) -> Iterator[Node]:
    try:
        with path.open("rb") as file:
            yield from read(iter(lambda: file.read(CHUNK), b""), wanted=wanted)
    except TallyXmlError as error:
        raise TallyError(f"{path}: {error}") from error
