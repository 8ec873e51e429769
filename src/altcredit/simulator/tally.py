"""
The ledger as a running Tally Prime exports it: vouchers and customers' ledgers, XML as in the samples of the design.

What real exports do is kept: entities that are no XML (``&#4;``), raw control characters, UTF-16, credit periods as
"14 Days" or a bare number, ledgers that are not bill-wise, cancelled and optional vouchers. A disputed bill cannot be
told from others here, and a receipt whose cheque came back is a cancelled voucher.
"""

from collections.abc import Iterator
from datetime import date
from html import escape
from typing import Literal

import numpy as np

from altcredit.simulator import feed
from altcredit.simulator.batches import document_id
from altcredit.simulator.feed import CREDIT_NOTE, INVOICE, Documents
from altcredit.simulator.ledger import Ints, take
from altcredit.simulator.seasons import calendar_day, day_number
from altcredit.simulator.shops import Account
from altcredit.simulator.world import World

Encoding = Literal["utf-8", "utf-16"]
Part = tuple[int, int]
"""Bill number (-1 for on account) and paise."""

TYPES = ("Sales", "Receipt", "Credit Note")
HEAD = "<ENVELOPE><HEADER><VERSION>1</VERSION><STATUS>1</STATUS></HEADER><BODY><DATA><COLLECTION>\n"
TAIL = "</COLLECTION></DATA></BODY></ENVELOPE>\n"
JUNK = "<GSTAPPLICABLE>&#4; Applicable</GSTAPPLICABLE><NARRATION>\x04 by van &#31;</NARRATION>"


def tally_vouchers(
    world: World,
    distributor: int,
    *,
    first: date | None = None,
    last: date | None = None,
    encoding: Encoding = "utf-8",
) -> bytes:
    """Return the vouchers dated ``first`` to ``last`` (SVFROMDATE, SVTODATE; default: all), as Tally answers."""
    rows = world.ledger_of(distributor)
    begin, end = day_number(first or world.start), day_number(last or world.today)
    inside = (rows.day >= begin) & (rows.day <= end)
    company = world.distributors[distributor].distributor_id[-8:]
    vouchers = _vouchers(world.accounts, take(rows, inside), _alter_ids(rows)[inside], company)
    return (HEAD + "".join(vouchers) + TAIL).encode(encoding)


def tally_ledgers(world: World, distributor: int, *, encoding: Encoding = "utf-8") -> bytes:
    """Return the customers' ledgers (parent "Sundry Debtors") with GSTIN and mobile number, as Tally answers."""
    ledgers = (_ledger(account) for account in world.accounts if account.distributor == distributor)
    return (HEAD + "".join(ledgers) + TAIL).encode(encoding)


def _ledger(account: Account) -> str:
    name = escape(account.party)
    gstin = f"<PARTYGSTIN>{account.gstin}</PARTYGSTIN>" if account.gstin else ""
    mobile = f"<LEDGERMOBILE>{account.phone[2:]}</LEDGERMOBILE>" if account.phone else ""
    return (
        f'<LEDGER NAME="{name}"><GUID>{account.line:08x}-ledger</GUID><PARENT>Sundry Debtors</PARENT>'
        f"<ISBILLWISEON>Yes</ISBILLWISEON>{gstin}{mobile}</LEDGER>\n"
    )


def _alter_ids(rows: Documents) -> Ints:
    """Return Tally's change counter for each row: it grows in order of the last change."""
    order = np.lexsort((rows.number, rows.kind, rows.posted))
    ids = np.empty(len(rows), np.int64)
    ids[order] = 8_801 + 2 * np.arange(len(rows))
    return ids


def _vouchers(accounts: tuple[Account, ...], rows: Documents, alter_ids: Ints, company: str) -> Iterator[str]:
    begin = feed.starts(rows).tolist()
    columns = (rows.kind, rows.number, rows.line, rows.day, rows.due, rows.returned, alter_ids)
    values = list(zip(*(column.tolist() for column in columns), strict=True))
    parts = list(zip(rows.bill.tolist(), rows.amount.tolist(), strict=True))
    for i, j in zip(begin, [*begin[1:], len(values)], strict=True):
        kind, number, line, day, due, returned, alter = values[i]
        voucher = _Voucher(company, kind, number, day, alter, accounts[line])
        if kind == INVOICE:
            days = due - day if due >= 0 else None
            yield voucher.write(_sale(accounts[line], number, parts[i][1], days), total=parts[i][1])
        else:
            settled = parts[i:j]
            total = sum(amount for _, amount in settled)
            yield voucher.write(_settlement(accounts[line], number, kind, settled), total=total, cancelled=returned)
        if number % 89 == 0:
            yield voucher.noise()


class _Voucher:
    """What all vouchers share: head, party and the other side of the entry."""

    def __init__(self, company: str, kind: int, number: int, day: int, alter: int, account: Account) -> None:
        self.kind, self.number, self.account = kind, number, account
        self.guid = f"{company}-{kind}-{number:08x}"
        self.alter, self.label = alter, document_id(kind, number)
        self.date = calendar_day(day).strftime("%Y%m%d")

    def write(self, party: str, *, total: int, cancelled: bool = False, optional: bool = False) -> str:
        name, kind = escape(self.account.party), TYPES[self.kind]
        known = self.kind == INVOICE and self.account.gstin is not None
        gstin = f"<PARTYGSTIN>{self.account.gstin}</PARTYGSTIN>" if known else ""
        other = ("Sales GST 18%", "HDFC Bank", "Sales Return")[self.kind]
        return (
            f'<VOUCHER VCHTYPE="{kind}"><DATE TYPE="Date">{self.date}</DATE><GUID>{self.guid}</GUID>'
            f"<ALTERID>{self.alter}</ALTERID><VOUCHERTYPENAME>{kind}</VOUCHERTYPENAME>"
            f"<VOUCHERNUMBER>{self.label}</VOUCHERNUMBER>"
            f"<PARTYLEDGERNAME>{name}</PARTYLEDGERNAME>{gstin}"
            f"<ISCANCELLED>{_yes(cancelled)}</ISCANCELLED><ISOPTIONAL>{_yes(optional)}</ISOPTIONAL>"
            f"{JUNK if self.number % 11 == 0 else ''}\n{party}"
            f" <ALLLEDGERENTRIES.LIST><LEDGERNAME>{other}</LEDGERNAME>"
            f"<AMOUNT>{_rupees(total if self.kind == INVOICE else -total)}</AMOUNT></ALLLEDGERENTRIES.LIST></VOUCHER>\n"
        )

    def noise(self) -> str:
        """Return a voucher that counts for nothing: written again as a memorandum, or cancelled."""
        self.guid, self.alter, self.label = self.guid + "-x", self.alter + 1, self.label + "/M"
        party = _party(self.account, _rupees(-99_900), "")
        return self.write(party, total=99_900, optional=self.number % 2 == 0, cancelled=self.number % 2 == 1)


def _party(account: Account, amount: str, allocations: str) -> str:
    positive = _yes(amount.startswith("-"))
    return (
        f" <ALLLEDGERENTRIES.LIST><LEDGERNAME>{escape(account.party)}</LEDGERNAME><ISPARTYLEDGER>Yes</ISPARTYLEDGER>"
        f"<ISDEEMEDPOSITIVE>{positive}</ISDEEMEDPOSITIVE><AMOUNT>{amount}</AMOUNT>{allocations}"
        f"</ALLLEDGERENTRIES.LIST>\n"
    )


def _allocation(kind: str, amount: int, name: str = "", period: str = "") -> str:
    named = f"<NAME>{name}</NAME>" if name else ""
    credit = f"<BILLCREDITPERIOD>{period}</BILLCREDITPERIOD>" if period else ""
    return (
        f"\n  <BILLALLOCATIONS.LIST>{named}<BILLTYPE>{kind}</BILLTYPE>{credit}"
        f"<AMOUNT>{_rupees(amount)}</AMOUNT></BILLALLOCATIONS.LIST>"
    )


def _sale(account: Account, number: int, amount: int, days: int | None) -> str:
    period = "" if days is None else str(days) if number % 3 == 0 else f"{days} Days"
    return _party(account, _rupees(-amount), _allocation("New Ref", -amount, document_id(INVOICE, number), period))


def _settlement(account: Account, number: int, kind: int, parts: list[Part]) -> str:
    """A receipt or credit note; one that names no bill has an "On Account" line or none (not bill-wise)."""
    total = sum(amount for _, amount in parts)
    unnamed = all(bill < 0 for bill, _ in parts)
    if unnamed and number % 2 == 0 and kind != CREDIT_NOTE:
        return _party(account, _rupees(total), "")
    named = (
        _allocation("Agst Ref", amount, document_id(INVOICE, bill)) if bill >= 0 else _allocation("On Account", amount)
        for bill, amount in parts
    )
    return _party(account, _rupees(total), "".join(named))


def _rupees(paise: int) -> str:
    return f"{'-' if paise < 0 else ''}{abs(paise) // 100}.{abs(paise) % 100:02d}"


def _yes(flag: bool) -> str:
    return "Yes" if flag else "No"
