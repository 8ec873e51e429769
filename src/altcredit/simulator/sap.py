"""
The ledger as SAP Business One's Service Layer holds it: four collections that a fake server can filter and page.

Field names as in the sample of the design. Documents refer to one another by ``DocEntry``; a receipt without
``PaymentInvoices`` is on account, a returned cheque is a cancelled receipt, and a bill whose due date nobody entered
has ``DocDueDate`` null. A disputed bill cannot be told from others here.
"""

from typing import Any

import numpy as np

from altcredit.simulator import feed
from altcredit.simulator.batches import rupees
from altcredit.simulator.feed import CREDIT_NOTE, INVOICE, PAYMENT, Documents
from altcredit.simulator.ledger import Ints, take
from altcredit.simulator.seasons import calendar_day
from altcredit.simulator.shops import Account, Shop
from altcredit.simulator.world import World

Collections = dict[str, list[dict[str, Any]]]

FIRST_ENTRY = (45_000, 9_000, 300)
"""DocEntry of an invoice, receipt or credit note is its number plus this."""


def sap_collections(world: World, distributor: int) -> Collections:
    """Return ``Invoices``, ``IncomingPayments``, ``CreditNotes`` and ``BusinessPartners``, each by DocEntry or code."""
    rows = world.ledger_of(distributor)
    by_number = take(rows, np.lexsort((rows.number, rows.kind)))
    return {
        "Invoices": _invoices(world.accounts, by_number),
        "IncomingPayments": _payments(world.accounts, by_number),
        "CreditNotes": _credit_notes(world.accounts, by_number),
        "BusinessPartners": [
            _partner(shop, account)
            for shop in world.shops
            for account in shop.accounts
            if account.distributor == distributor
        ],
    }


def _entry(kind: int, number: int) -> int:
    return number + FIRST_ENTRY[kind]


def _head(kind: int, number: int, account: Account, day: int, changed: int) -> dict[str, Any]:
    return {
        "DocEntry": _entry(kind, number),
        "DocNum": number,
        "CardCode": account.retailer_ref,
        "DocDate": calendar_day(day).isoformat(),
        "UpdateDate": calendar_day(changed).isoformat(),
    }


def _settled(rows: Documents) -> tuple[Ints, Ints]:
    """Return, by bill number, what was applied to it, and the last day on which something was."""
    applied = take(rows, (rows.kind != INVOICE) & (rows.bill >= 0) & ~rows.returned)
    size = int(max(rows.number.max(initial=0), applied.bill.max(initial=0))) + 1
    amount = np.bincount(applied.bill, applied.amount, minlength=size).astype(np.int64)
    changed = np.zeros(size, np.int64)
    np.maximum.at(changed, applied.bill, applied.posted)
    return amount, changed


def _invoices(accounts: tuple[Account, ...], rows: Documents) -> list[dict[str, Any]]:
    paid, changed = _settled(rows)
    bills = take(rows, rows.kind == INVOICE)
    columns = (bills.number, bills.line, bills.day, bills.due, bills.amount, bills.posted)
    found = []
    for number, line, day, due, amount, posted in zip(*(c.tolist() for c in columns), strict=True):
        settled = min(int(paid[number]), amount)
        found.append(
            _head(INVOICE, number, accounts[line], day, max(posted, int(changed[number])))
            | {
                "DocDueDate": calendar_day(due).isoformat() if due >= 0 else None,
                "DocTotal": float(rupees(amount)),
                "PaidToDate": float(rupees(settled)),
                "DocumentStatus": "bost_Close" if settled == amount else "bost_Open",
                "Cancelled": "tNO",
            }
        )
    return found


def _payments(accounts: tuple[Account, ...], rows: Documents) -> list[dict[str, Any]]:
    money = take(rows, rows.kind == PAYMENT)
    begin = feed.starts(money).tolist()
    found = []
    for i, j in zip(begin, [*begin[1:], len(money)], strict=True):
        number, total = int(money.number[i]), int(money.amount[i:j].sum())
        applied = [(int(b), int(a)) for b, a in zip(money.bill[i:j], money.amount[i:j], strict=True) if b >= 0]
        in_cash = number % 3 == 0
        found.append(
            _head(PAYMENT, number, accounts[money.line[i]], int(money.day[i]), int(money.posted[i]))
            | {
                "DocType": "rCustomer",
                "Cancelled": "tYES" if money.returned[i] else "tNO",
                "CashSum": float(rupees(total)) if in_cash else 0.0,
                "TransferSum": 0.0 if in_cash else float(rupees(total)),
                "PaymentInvoices": [
                    {
                        "LineNum": n,
                        "DocEntry": _entry(INVOICE, bill),
                        "InvoiceType": "it_Invoice",
                        "SumApplied": float(rupees(amount)),
                    }
                    for n, (bill, amount) in enumerate(applied)
                ],
            }
        )
    return found


def _credit_notes(accounts: tuple[Account, ...], rows: Documents) -> list[dict[str, Any]]:
    notes = take(rows, rows.kind == CREDIT_NOTE)
    columns = (notes.number, notes.line, notes.bill, notes.day, notes.amount, notes.posted)
    found = []
    for number, line, bill, day, amount, posted in zip(*(c.tolist() for c in columns), strict=True):
        total = float(rupees(amount))
        based = {"LineNum": 0, "BaseType": 13, "BaseEntry": _entry(INVOICE, bill), "BaseLine": 0, "LineTotal": total}
        head = _head(CREDIT_NOTE, number, accounts[line], day, posted)
        found.append(head | {"DocTotal": total, "Cancelled": "tNO", "DocumentLines": [based]})
    return found


def _partner(shop: Shop, account: Account) -> dict[str, Any]:
    mobile = account.phone and (f"+91 {account.phone[2:]}" if account.line % 7 == 0 else account.phone[2:])
    address = {"AddressName": "Bill", "AddressType": "bo_BillTo", "State": shop.state, "GSTIN": account.gstin}
    if account.gstin:
        address["GstType"] = "gstRegularTDSISD"
    return {
        "CardCode": account.retailer_ref,
        "CardName": account.party,
        "CardType": "cCustomer",
        "Cellular": mobile,
        "BPAddresses": [address],
    }
