"""
The ledger as bodies of ``POST /v1/ingest/batch``: API-ALTSCORE-001, section 05, with the fields of contract C1 and I3.

Batches are in order of posting, hold at most 1,000 records of all kinds together (I6), and their windows
``sync_from`` … ``sync_to`` follow one another without a hole, except where the feed has a gap.
"""

import itertools
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from altcredit.simulator import feed
from altcredit.simulator.feed import CREDIT_NOTE, INVOICE, Documents
from altcredit.simulator.identity import phone_hash
from altcredit.simulator.ledger import Flags, Ints, take
from altcredit.simulator.seasons import EPOCH, calendar_day, day_number
from altcredit.simulator.shops import Account, Distributor
from altcredit.simulator.world import World

MAX_RECORDS = 1_000
MIDNIGHT = datetime(EPOCH.year, EPOCH.month, EPOCH.day, tzinfo=UTC)
DAY = 86_400


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One request: its ``X-Batch-ID``, ``X-ERP-Type``, body, and the moment after which it can have been sent."""

    batch_id: str
    erp: str
    sync_from: datetime
    sync_to: datetime
    records: int
    body: dict[str, Any]

    def encode(self) -> bytes:
        """Return the JSON bytes that are sent and signed."""
        return msgspec.json.encode(self.body)


def document_id(kind: int, number: int) -> str:
    """Return a document's id as its distributor writes it."""
    return f"{('INV', 'RCP', 'CN')[kind]}-{number:06d}"


def rupees(paise: int) -> int | float:
    """Return an amount as JSON has it: whole rupees as integers, else two decimals."""
    return paise // 100 if paise % 100 == 0 else paise / 100


def batches(
    world: World,
    distributor: int,
    *,
    distributor_id: str | None = None,
    every_days: int | None = None,
    max_records: int = MAX_RECORDS,
) -> Iterator[Batch]:
    """
    Yield all batches of a distributor, oldest first.

    ``distributor_id`` replaces the simulated id by the one under which the distributor was onboarded;
    ``every_days=1`` makes the batches of a connector that runs nightly, None those of a first load (all full).
    """
    firm = world.distributors[distributor]
    for window, rows, new in windows(world, distributor, every_days=every_days, max_records=max_records):
        yield _batch(world, firm, distributor_id or firm.distributor_id, window, rows, new)


def windows(
    world: World, distributor: int, *, every_days: int | None = None, max_records: int = MAX_RECORDS
) -> Iterator[tuple[tuple[int, int], Documents, list[int]]]:
    """Yield, for each batch of a distributor, its window (in seconds since 1970), rows, and new lines."""
    firm = world.distributors[distributor]
    documents = world.documents_of(distributor)
    first, last = day_number(world.start), day_number(world.today) - 1
    known: set[int] = set()
    for begin, end in _stretches(firm, first, last):
        mine = take(documents, (documents.posted >= begin) & (documents.posted <= end))
        yield from _cut(mine, known, begin, end, every_days, max_records)


def _stretches(firm: Distributor, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield the days between the gaps of a feed."""
    for gap_first, gap_last in sorted(firm.quality.gaps):
        if gap_first > first:
            yield first, gap_first - 1
        first = gap_last + 1
    if first <= last:
        yield first, last


def _cut(
    rows: Documents, known: set[int], first: int, last: int, every_days: int | None, max_records: int
) -> Iterator[tuple[tuple[int, int], Documents, list[int]]]:
    begin = feed.starts(rows)
    introduces = _first_seen(rows.line[begin], known)
    posted = rows.posted[begin]
    weight = np.cumsum(1 + introduces)
    cuts = [0]
    while cuts[-1] < len(begin):
        i = cuts[-1]
        spent = weight[i - 1] if i else 0
        j = int(np.searchsorted(weight, spent + max_records, side="right"))
        if every_days is not None:
            evening = posted[i] - (posted[i] - first) % every_days + every_days
            j = min(j, int(np.searchsorted(posted, evening)))
        cuts.append(j)
    if len(begin) == 0:
        return
    opening = [first * DAY, *(_moment(posted, i) for i in cuts[1:-1]), (last + 1) * DAY]
    ends = np.append(begin, len(rows))
    for n, (i, j) in enumerate(itertools.pairwise(cuts)):
        part = take(rows, np.arange(ends[i], ends[j]))
        yield (opening[n], opening[n + 1] - 1), part, [int(x) for x in rows.line[begin[i:j]][introduces[i:j]]]


def _first_seen(line: Ints, known: set[int]) -> Flags:
    """Return where a line stands for the first time, and remember it."""
    lines, first = np.unique(line, return_index=True)
    new = [int(position) for number, position in zip(lines, first, strict=True) if int(number) not in known]
    known.update(int(number) for number in lines)
    flags = np.zeros(len(line), np.bool_)
    flags[new] = True
    return flags


def _moment(posted: Ints, i: int) -> int:
    """Return when the window of document i opens: midnight, or its share of a day that one batch cannot hold."""
    day = int(posted[i])
    first, after = np.searchsorted(posted, [day, day + 1])
    return day * DAY + int((i - first) * DAY // (after - first))


def _batch(
    world: World, firm: Distributor, distributor_id: str, window: tuple[int, int], rows: Documents, new: list[int]
) -> Batch:
    sync_from, sync_to = (MIDNIGHT + timedelta(seconds=second) for second in window)
    body: dict[str, Any] = {
        "distributor_id": distributor_id,
        "sync_from": sync_from.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "sync_to": sync_to.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "retailers": [retailer_record(world.accounts[line]) for line in new],
        **records(world.accounts, rows),
    }
    return Batch(
        batch_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{world.seed}/{firm.distributor_id}/{window[0]}")),
        erp=firm.erp,
        sync_from=sync_from,
        sync_to=sync_to,
        records=sum(len(body[key]) for key in ("retailers", "invoices", "payments", "credit_notes")),
        body=body,
    )


def retailer_record(account: Account) -> dict[str, str]:
    """Return the entry of ``retailers[]`` that links an account's code, GSTIN and phone (contract C1)."""
    entry = {"retailer_ref": account.retailer_ref, "name": account.party}
    if account.gstin is not None:
        entry["retailer_gst"] = account.gstin
    if account.phone is not None:
        entry["retailer_phone_hash"] = phone_hash(account.phone)
    return entry


def records(accounts: tuple[Account, ...], rows: Documents) -> dict[str, list[dict[str, Any]]]:
    """Return the arrays ``invoices``, ``payments`` and ``credit_notes`` of a batch, in order of posting."""
    days = {int(day): calendar_day(day).isoformat() for day in np.unique(np.concatenate([rows.day, rows.due]))}
    found: dict[str, list[dict[str, Any]]] = {"invoices": [], "payments": [], "credit_notes": []}
    begin = feed.starts(rows).tolist()
    columns = (rows.kind, rows.number, rows.bill, rows.line, rows.day, rows.due, rows.amount)
    flags = (rows.cash, rows.disputed, rows.returned)
    values = list(zip(*(c.tolist() for c in (*columns, *flags)), strict=True))
    for i, j in zip(begin, [*begin[1:], len(values)], strict=True):
        kind, number, bill, line, day, due, amount, cash, disputed, returned = values[i]
        if kind == INVOICE:
            found["invoices"].append(_invoice(accounts[line], number, days[day], days[due], amount, cash, disputed))
        elif kind == CREDIT_NOTE:
            found["credit_notes"].append(_credit_note(accounts[line], number, bill, days[day], amount))
        else:
            parts = [(v[2], v[6]) for v in values[i:j]]
            found["payments"].append(_payment(accounts[line], number, days[day], parts, returned))
    return found


def _shop(account: Account) -> dict[str, str]:
    if account.gstin is None:
        return {"retailer_ref": account.retailer_ref}
    return {"retailer_gst": account.gstin, "retailer_ref": account.retailer_ref}


def _invoice(
    account: Account, number: int, day: str, due: str, amount: int, cash: bool, disputed: bool
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "invoice_id": document_id(INVOICE, number),
        **_shop(account),
        "invoice_date": day,
        "amount_inr": rupees(amount),
    }
    if due >= day:  # the day number -1 stands for a due date that nobody wrote down
        record["due_date"] = due
    if cash or due == day:
        record["terms"] = "cash" if cash else "credit"  # unless it is said, a bill that is due at once reads as cash
    if disputed:
        record["disputed"] = True
    return record


def _payment(account: Account, number: int, day: str, parts: list[tuple[int, int]], returned: bool) -> dict[str, Any]:
    """One bill: the published form. Several, or none: ``allocations`` and the shop; what they leave is on account."""
    named = [part for part in parts if part[0] >= 0]
    record: dict[str, Any] = {
        "payment_id": document_id(feed.PAYMENT, number),
        "invoice_id": document_id(INVOICE, parts[0][0]) if len(parts) == 1 and named else None,
        "paid_date": day,
        "amount_paid_inr": rupees(sum(amount for _, amount in parts)),
    }
    if record["invoice_id"] is None:
        record |= _shop(account)
        if named:
            record["allocations"] = [
                {"invoice_id": document_id(INVOICE, bill), "amount_inr": rupees(amount)} for bill, amount in named
            ]
    if returned:
        record["status"] = "returned"
    return record


def _credit_note(account: Account, number: int, bill: int, day: str, amount: int) -> dict[str, Any]:
    return {
        "credit_note_id": document_id(CREDIT_NOTE, number),
        "invoice_id": document_id(INVOICE, bill) if bill >= 0 else None,
        "credit_note_date": day,
        "amount_inr": rupees(amount),
        **_shop(account),
    }
