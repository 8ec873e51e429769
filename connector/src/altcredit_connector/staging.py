"""From the documents of a source to queued batches: what is new or changed, in order of day, with its days covered."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from altcredit_connector import wire
from altcredit_connector.journal import Journal
from altcredit_connector.records import CreditNote, Document, Kind, Record, fields_of, id_of, kind_of

MAX_RECORDS = 1000
"""Records a batch, over all its arrays (API-ALTSCORE-001, section 09; contract I6)."""
BRIDGED_DAYS = 7
"""A gap between two exports up to this long is taken for holidays; a longer one is left open and reported."""
DAY = timedelta(days=1)


class SourceError(Exception):
    """The ERP or its export cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of the ledger that is complete when its documents have been read.

    ``since`` and ``until`` are the days it covers, inclusive; None: as far as its documents reach. ``marks``, filled
    while the documents are read, are kept with them: where to go on next time.
    """

    documents: Iterable[Document]
    marks: dict[str, str]
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Item:
    day: date
    kind: Kind
    record_id: str
    origin: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What staging a window did. ``gap``: days before it that nothing covers."""

    batches: int
    records: int
    unchanged: int
    reversed: int
    gap: tuple[date, date] | None


class Changes:
    """Collects what differs from the journal; within one window the last version of a record wins."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.items: dict[tuple[Kind, str], Item] = {}
        self.unchanged = 0
        self.reversed = 0

    def add(self, document: Document) -> None:
        """Take in a document: its new and changed records, and a reversal of records it no longer holds."""
        kept = set()
        for record in document.records:
            kept.add((kind_of(record), id_of(record)))
            self._put(document, record)
        for kind, record_id, body in self._journal.of_origin(document.origin):
            if (kind, record_id) not in kept and kind != "retailer":
                self._take_back(document, kind, record_id, body)

    def _put(self, document: Document, record: Record) -> bool:
        kind, record_id = kind_of(record), id_of(record)
        fields = fields_of(record)
        last = self._last(kind, record_id)
        if kind == "retailer" and last is not None:
            fields = json.loads(last) | fields  # what was once known of a shop is not forgotten for a poorer line
        body = wire.encode(fields)
        if body == last:
            self.unchanged += 1
            return False
        self._set(Item(document.day, kind, record_id, "" if kind == "retailer" else document.origin, body))
        return True

    def _last(self, kind: Kind, record_id: str) -> str | None:
        pending = self.items.get((kind, record_id))
        return pending.body if pending else self._journal.last(kind, record_id)

    def _set(self, item: Item) -> None:
        key = (item.kind, item.record_id)
        if key in self.items and item.kind == "retailer":
            item = Item(min(item.day, self.items[key].day), *key, item.origin, item.body)
        self.items[key] = item

    def _take_back(self, document: Document, kind: Kind, record_id: str, body: str) -> None:
        """A cancelled receipt becomes ``returned``; a cancelled bill is credited in full: the API has no deletion."""
        fields = json.loads(body, parse_float=Decimal)
        if kind == "payment" and fields.get("status") != "returned":
            self._set(
                Item(document.day, kind, record_id, document.origin, wire.encode(fields | {"status": "returned"}))
            )
            self.reversed += 1
        if kind == "invoice":
            note = CreditNote(
                credit_note_id=f"CANCEL-{record_id}",
                retailer_ref=fields.get("retailer_ref"),
                retailer_gst=fields.get("retailer_gst"),
                credit_note_date=date.fromisoformat(fields["invoice_date"]),
                amount_inr=Decimal(fields["amount_inr"]),
                invoice_id=record_id,
            )
            self.reversed += self._put(Document(day=document.day, records=()), note)


def chunks(items: list[Item], since: date, until: date, limit: int) -> Iterator[tuple[list[Item], date, date]]:
    """Cut ``items`` into batches with the days each one completes, contiguous from ``since`` to ``until``.

    A batch never claims a day whose records are still to come in a later batch, because the server takes the claimed
    days for complete (contract A7). A batch that completes no new day claims the last completed one again; the very
    first has none before it, and claims its own.
    """
    items = sorted(items, key=lambda item: (item.day, item.kind != "retailer"))
    start = since
    for at in range(0, len(items), limit):
        last = at + limit >= len(items)
        end = until if last else min(items[at + limit].day - DAY, until)
        if end >= start:
            yield items[at : at + limit], start, end
            start = end + DAY
        else:
            again = max(start - DAY, since)
            yield items[at : at + limit], again, again


def stage(
    journal: Journal, window: Window, *, distributor_id: str, now: datetime, new_id: Callable[[], str], limit: int
) -> Staged:
    """Read a window, queue what is new in it, and remember how far the ledger was read: all in one transaction."""
    with journal.transaction():
        changes = Changes(journal)
        first, final = date.max, date.min
        for document in window.documents:
            first, final = min(first, document.day), max(final, document.day)
            changes.add(document)
        gap, batches = None, 0
        if changes.items:
            since, until, gap = _days(journal, window, first, final)
            for chunk, start, end in chunks(list(changes.items.values()), since, until, limit):
                sync_from, sync_to = _moments(start, end, now)
                body = wire.body(distributor_id, sync_from, sync_to, ((item.kind, item.body) for item in chunk))
                moments = wire.timestamp(sync_from), wire.timestamp(sync_to)
                seq = journal.add_batch(new_id(), *moments, len(chunk), body)
                for item in chunk:
                    journal.remember(item.kind, item.record_id, item.origin, item.body, seq)
                batches += 1
            journal.set_mark("covered_to", max(until, _covered(journal) or until).isoformat())
        for name, value in window.marks.items():
            journal.set_mark(name, value)
    return Staged(
        batches=batches,
        records=len(changes.items),
        unchanged=changes.unchanged,
        reversed=changes.reversed,
        gap=gap,
    )


def _covered(journal: Journal) -> date | None:
    mark = journal.mark("covered_to")
    return date.fromisoformat(mark) if mark else None


def _days(journal: Journal, window: Window, first: date, final: date) -> tuple[date, date, tuple[date, date] | None]:
    """Return the days that a window completes: contiguous with those before, unless it leaves a real gap."""
    covered = _covered(journal)
    since, until = window.since or first, window.until or final
    if covered is None:
        return since, max(since, until), None
    following = covered + DAY
    if window.since is None and since > following + BRIDGED_DAYS * DAY:
        return since, max(since, until), (following, since - DAY)
    if until < following:  # old days once more: corrections
        return min(since, until), until, None
    return following, until, None


def _moments(start: date, end: date, now: datetime) -> tuple[datetime, datetime]:
    """From the first second of ``start`` to the last of ``end``, but never later than ``now``."""
    sync_to = min(datetime.combine(end, time(23, 59, 59), UTC), now)
    return min(datetime.combine(start, time(), UTC), sync_to), sync_to
