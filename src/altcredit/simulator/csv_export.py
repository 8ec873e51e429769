"""
The ledger as a distributor's spreadsheet export: one row for each bill and receipt.

Columns as in the sample of the design (Bill No … Mode). Dates are written in another way in every column, amounts of
₹10,000 and more with Indian separators, and a bill that was paid in several receipts stands in as many rows. Money on
account has a row without a bill. The export shows what the books hold in the end: corrected amounts, and no receipt
whose cheque came back.
"""

import csv
import io

import numpy as np

from altcredit.simulator import feed
from altcredit.simulator.batches import document_id
from altcredit.simulator.feed import CREDIT_NOTE, INVOICE, Documents
from altcredit.simulator.ledger import Flags, Ints, take
from altcredit.simulator.seasons import calendar_day
from altcredit.simulator.shops import Account
from altcredit.simulator.world import World

HEADER = (
    *("Bill No", "Bill Date", "Party Name", "Party GSTIN", "Mobile", "Bill Amt", "Due Date"),
    *("Receipt No", "Receipt Date", "Receipt Amt", "Return Amt", "Mode"),
)
MODES = ("UPI", "NEFT", "Cheque")


def csv_export(world: World, distributor: int) -> str:
    """Return a distributor's export as text (UTF-8, CRLF, header first), bills in order of their date."""
    rows = world.ledger_of(distributor)
    kept = take(rows, ~rows.returned)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEADER)
    invoice = kept.kind == INVOICE
    receipts, returned = _receipts(kept), _returned(kept)
    for number, line, day, due, amount in _columns(kept, invoice):
        paid = receipts.pop(number, [("", "", "", "")])
        for n, receipt in enumerate(paid):
            back = rupees_text(returned[number]) if n == 0 and number in returned else ""
            writer.writerow(_row(world.accounts[line], number, day, due, amount, receipt, back))
    for line, receipt in _on_account(kept, kept.number[invoice]):
        account = world.accounts[line]
        writer.writerow(
            ["", "", account.party, account.gstin or "", mobile(account), "", "", *receipt[:3], "", receipt[3]]
        )
    return out.getvalue()


def mobile(account: Account) -> str:
    """Return the ten digits that a distributor has on file, or nothing."""
    return account.phone[2:] if account.phone else ""


def rupees_text(paise: int) -> str:
    """Return an amount as the export writes it: ``6500``, ``42,000.00``, ``1,05,000.00``."""
    if paise < 10_000_00:
        return str(paise // 100) if paise % 100 == 0 else f"{paise / 100:.2f}"
    whole, fraction = divmod(paise, 100)
    head, tail = divmod(whole, 1000)
    groups = f"{head:,}" if head < 100 else f"{head // 100},{head % 100:02d}"
    return f"{groups},{tail:03d}.{fraction:02d}"


def _row(
    account: Account, number: int, day: int, due: int, amount: int, receipt: tuple[str, ...], back: str
) -> list[str]:
    return [
        document_id(INVOICE, number),
        calendar_day(day).strftime("%d-%m-%Y"),
        account.party,
        account.gstin or "",
        mobile(account),
        rupees_text(amount),
        calendar_day(due).strftime("%d/%m/%Y") if due >= 0 else "",
        *receipt[:3],
        back,
        receipt[3],
    ]


def _columns(rows: Documents, chosen: Flags) -> list[tuple[int, ...]]:
    columns = (rows.number, rows.line, rows.day, rows.due, rows.amount)
    return list(zip(*(column[chosen].tolist() for column in columns), strict=True))


def _receipt(number: int, day: int, amount: int) -> tuple[str, str, str, str]:
    day_text = calendar_day(day).strftime("%d-%b-%y")
    return document_id(feed.PAYMENT, number), day_text, rupees_text(amount), MODES[number % len(MODES)]


def _receipts(rows: Documents) -> dict[int, list[tuple[str, ...]]]:
    """Return by bill the parts of receipts that settle it."""
    chosen = (rows.kind == feed.PAYMENT) & (rows.bill >= 0)
    by_bill: dict[int, list[tuple[str, ...]]] = {}
    for bill, (number, _, day, _, amount) in zip(rows.bill[chosen].tolist(), _columns(rows, chosen), strict=True):
        by_bill.setdefault(bill, []).append(_receipt(number, day, amount))
    return by_bill


def _on_account(rows: Documents, bills: Ints) -> list[tuple[int, tuple[str, ...]]]:
    """Return receipts without a bill, or for one that the export does not hold."""
    chosen = (rows.kind == feed.PAYMENT) & ~np.isin(rows.bill, bills)
    return [(line, _receipt(number, day, amount)) for number, line, day, _, amount in _columns(rows, chosen)]


def _returned(rows: Documents) -> dict[int, int]:
    """Return by bill the value of goods sent back."""
    chosen = rows.kind == CREDIT_NOTE
    sums: dict[int, int] = {}
    for bill, amount in zip(rows.bill[chosen].tolist(), rows.amount[chosen].tolist(), strict=True):
        sums[bill] = sums.get(bill, 0) + amount
    return sums
