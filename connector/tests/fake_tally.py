"""Tally Prime's HTTP server as the connector meets it: XML collections by period, type and change number."""

import re
import threading
from dataclasses import dataclass, field
from datetime import date
from html import escape
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@dataclass
class Bill:
    kind: str
    amount: str
    name: str = ""
    period: str = ""


@dataclass
class Voucher:
    number: str
    kind: str
    on: date
    party: str
    amount: str
    bills: list[Bill] = field(default_factory=list)
    guid: str = ""
    alter: int = 0
    cancelled: bool = False
    optional: bool = False
    gstin: str = ""
    other: str = "Sales GST 18%"
    raw: str = ""

    def xml(self) -> str:
        flags = f"<ISCANCELLED>{yes(self.cancelled)}</ISCANCELLED><ISOPTIONAL>{yes(self.optional)}</ISOPTIONAL>"
        bills = "".join(
            f"<BILLALLOCATIONS.LIST>{tag('NAME', b.name)}<BILLTYPE>{b.kind}</BILLTYPE>{tag('BILLCREDITPERIOD', b.period)}"
            f"<AMOUNT>{b.amount}</AMOUNT></BILLALLOCATIONS.LIST>"
            for b in self.bills
        )
        turned = self.amount[1:] if self.amount.startswith("-") else f"-{self.amount}"
        entries = (
            f"<ALLLEDGERENTRIES.LIST><LEDGERNAME>{escape(self.party)}</LEDGERNAME><ISPARTYLEDGER>Yes</ISPARTYLEDGER>"
            f"<ISDEEMEDPOSITIVE>{yes(self.amount.startswith('-'))}</ISDEEMEDPOSITIVE><AMOUNT>{self.amount}</AMOUNT>{bills}"
            f"</ALLLEDGERENTRIES.LIST><ALLLEDGERENTRIES.LIST><LEDGERNAME>{self.other}</LEDGERNAME>"
            f"<ISDEEMEDPOSITIVE>{yes(not self.amount.startswith('-'))}</ISDEEMEDPOSITIVE><AMOUNT>{turned}</AMOUNT>"
            "</ALLLEDGERENTRIES.LIST>"
        )
        return (
            f'<VOUCHER VCHTYPE="{self.kind}"><DATE TYPE="Date">{self.on:%Y%m%d}</DATE><GUID>{self.guid}</GUID>'
            f"<ALTERID> {self.alter}</ALTERID><VOUCHERTYPENAME>{self.kind}</VOUCHERTYPENAME>"
            f"<VOUCHERNUMBER>{self.number}</VOUCHERNUMBER><PARTYLEDGERNAME>{escape(self.party)}</PARTYLEDGERNAME>"
            f"{tag('PARTYGSTIN', self.gstin)}{flags}{'' if self.cancelled else entries}{self.raw}</VOUCHER>\n"
        )


def yes(flag: bool) -> str:
    return "Yes" if flag else "No"


def tag(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>" if text else ""


def envelope(content: str) -> str:
    return (
        "<ENVELOPE><HEADER><VERSION>1</VERSION><STATUS>1</STATUS></HEADER><BODY><DATA><COLLECTION>\n"
        f"{content}</COLLECTION></DATA></BODY></ENVELOPE>\n"
    )


class Handler(BaseHTTPRequestHandler):
    server: "FakeTally"
    wbufsize, disable_nagle_algorithm = -1, True

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = body.decode("utf-16" if body.startswith(b"\xff\xfe") else "utf-8")
        self.server.requests.append(request)
        answer = self.server.answer(request).encode(self.server.encoding)
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class FakeTally(HTTPServer):
    """One company with its books; single-threaded, as Tally is."""

    def __init__(self, company: str = "Sharma Distributors") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.company, self.encoding = company, "utf-16-le"
        self.vouchers: dict[str, Voucher] = {}
        self.ledgers: dict[str, str] = {}
        self.types: dict[str, str] = {}
        self.requests: list[str] = []
        self.alter = 8800
        self.tells_change_number = True
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def save(self, voucher: Voucher) -> Voucher:
        """Keep a voucher as Tally does: a GUID for good, a new change number at every saving."""
        voucher.guid = voucher.guid or f"9a1e-{len(self.vouchers) + 1:04d}"
        self.alter += 1
        voucher.alter = self.alter
        self.vouchers[voucher.guid] = voucher
        return voucher

    def customer(self, name: str, *, gstin: str = "", mobile: str = "", guid: str = "") -> None:
        details = f"<GUID>{guid or name}</GUID><PARENT>Sundry Debtors</PARENT>"
        self.ledgers[name] = (
            f'<LEDGER NAME="{escape(name)}" RESERVEDNAME="">{details}{tag("PARTYGSTIN", gstin)}'
            f"{tag('LEDGERMOBILE', mobile)}</LEDGER>\n"
        )

    def answer(self, request: str) -> str:
        company = re.search(r"<SVCURRENTCOMPANY>(.*?)</SVCURRENTCOMPANY>", request)
        if company and company[1] != escape(self.company, quote=False):
            line = f"Could not set 'SVCurrentCompany' to '{company[1]}'"
            return f"<ENVELOPE><HEADER><STATUS>0</STATUS></HEADER><BODY><DATA><LINEERROR>{line}</LINEERROR></DATA></BODY></ENVELOPE>"
        kind = re.search(r"<TYPE>(Voucher|Ledger|VoucherType|Company)</TYPE>", request)
        if not kind:
            return "<RESPONSE>Unknown Request, cannot be processed</RESPONSE>"
        return envelope(
            {"Voucher": self._vouchers, "Ledger": self._ledgers, "VoucherType": self._types, "Company": self._company}[
                kind[1]
            ](request)
        )

    def _company(self, request: str) -> str:
        number = f"<ALTVCHID> {self.alter}</ALTVCHID>" if self.tells_change_number else ""
        return f'<COMPANY NAME="{escape(self.company)}">{number}</COMPANY>'

    def _ledgers(self, request: str) -> str:
        assert "$$GroupSundryDebtors" in request
        return "".join(self.ledgers.values())

    def _types(self, request: str) -> str:
        return "".join(
            f'<VOUCHERTYPE NAME="{name}"><PARENT>{parent}</PARENT></VOUCHERTYPE>' for name, parent in self.types.items()
        )

    def _vouchers(self, request: str) -> str:
        first, last = (
            date.fromisoformat(re.search(rf'<{name} TYPE="Date">(\d+)</{name}>', request)[1])  # type: ignore[index]
            for name in ("SVFROMDATE", "SVTODATE")
        )
        after = re.search(r"\$AlterID &gt; (\d+)", request)
        kinds = {"sales", "receipt", "credit note"}
        return "".join(
            voucher.xml()
            for voucher in self.vouchers.values()
            if first <= voucher.on <= last
            and self.types.get(voucher.kind, voucher.kind).lower() in kinds
            and (not after or voucher.alter > int(after[1]))
        )

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
