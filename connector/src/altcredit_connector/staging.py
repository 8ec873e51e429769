"""From the documents of a source to queued batches: what is new or changed, in order of day, with its days covered."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from itertools import pairwise

from altcredit_connector import wire
from altcredit_connector.journal import Journal
from altcredit_connector.records import CreditNote, Document, Kind, Record, fields_of, id_of, kind_of

MAX_RECORDS = 1000
"""Records a batch, over all its arrays (API-ALTSCORE-001, section 09; contract I6)."""
SILENCE_DAYS = 45
"""Within one export, days before a silence longer than this are sent but not claimed as complete."""
BRIDGED_DAYS = 7
"""A gap between two exports up to this long is taken for holidays; a longer one is left open and reported."""
ENOUGH_BATCHES = 5
"""A group of windows is staged once it fills this many batches, so at most one in five or so is not full."""
DAY = timedelta(days=1)
IST = timezone(timedelta(hours=5, minutes=30), "IST")
"""The time zone of the books: India has one."""


class SourceError(Exception):
    """The ERP or its export cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of the ledger that is complete when its documents have been read.

    ``since`` and ``until`` are the days it covers, inclusive; None: as far as its documents reach. ``marks`` are kept
    with the documents: where to go on next time. ``joins``: it may share batches with the window after it.
    """

    documents: Iterable[Document]
    marks: dict[str, str]
    since: date | None = None
    until: date | None = None
    joins: bool = False


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


def chunks(
    items: list[Item], since: date, until: date, limit: int, *, covered: bool
) -> Iterator[tuple[list[Item], date, date]]:
    """Cut ``items`` into batches with the days each one completes, contiguous from ``since`` to ``until``.

    A batch never claims a day whose records are still to come in a later batch, because the server takes the claimed
    days for complete (contract A7). A batch that completes no new day claims the last completed one again: the day
    before ``since`` if that is ``covered``; the very first batch of all has none before it, and claims its own.
    """
    items = sorted(items, key=lambda item: (item.day, item.kind != "retailer"))
    start, floor = since, since - DAY if covered else since
    for at in range(0, len(items), limit):
        last = at + limit >= len(items)
        end = until if last else min(items[at + limit].day - DAY, until)
        if end >= start:
            yield items[at : at + limit], start, end
            start = end + DAY
        else:
            again = max(start - DAY, floor)
            yield items[at : at + limit], again, again


class Stage:
    """Queues what is new in a source's windows; each group of windows in one transaction with how far it was read."""

    def __init__(
        self, journal: Journal, *, distributor_id: str, now: datetime, new_id: Callable[[], str], limit: int
    ) -> None:
        self._journal, self._distributor_id = journal, distributor_id
        self._now, self._new_id, self._limit = now, new_id, limit

    def run(self, windows: Iterator[Window]) -> Iterator[Staged]:
        """Stage all windows, group by group; a source that fails loses only the window that failed.

        Windows that may be joined are, until they fill enough batches: a quiet week alone would waste a batch of the
        hourly quota.
        """
        failure: SourceError | None = None
        more = True
        while more and failure is None:
            with self._journal.transaction():
                group, changes = _Group(), Changes(self._journal)
                try:
                    more = self._fill(group, changes, windows)
                except SourceError as error:
                    failure = error
                staged = self._queue(group, changes)
            yield staged
        if failure:
            raise failure

    def _fill(self, group: "_Group", changes: Changes, windows: Iterator[Window]) -> bool:
        """Read windows into the group until it is full; False when there are no more."""
        for window in windows:
            documents = list(window.documents)  # whole or not at all
            for document in documents:
                changes.add(document)
            group.add(window, documents)
            if not window.joins or len(changes.items) >= ENOUGH_BATCHES * self._limit:
                return True
        return False

    def _queue(self, group: "_Group", changes: Changes) -> Staged:
        journal, gap, batches = self._journal, None, 0
        if changes.items:
            since, until, covered, gap = self._days(group)
            for chunk, start, end in chunks(list(changes.items.values()), since, until, self._limit, covered=covered):
                self._add(chunk, start, end)
                batches += 1
            journal.set_mark("covered_to", max(until, _covered(journal) or until).isoformat())
        for name, value in group.marks.items():
            journal.set_mark(name, value)
        return Staged(
            batches=batches,
            records=len(changes.items),
            unchanged=changes.unchanged,
            reversed=changes.reversed,
            gap=gap,
        )

    def _add(self, chunk: list[Item], start: date, end: date) -> None:
        """Queue one batch: from the first second of ``start`` to the last of ``end``, but never later than now."""
        sync_to = min(datetime.combine(end, time(23, 59, 59), UTC), self._now)
        sync_from = min(datetime.combine(start, time(), UTC), sync_to)
        body = wire.body(self._distributor_id, sync_from, sync_to, ((item.kind, item.body) for item in chunk))
        moments = wire.timestamp(sync_from), wire.timestamp(sync_to)
        seq = self._journal.add_batch(self._new_id(), *moments, len(chunk), body)
        for item in chunk:
            self._journal.remember(item.kind, item.record_id, item.origin, item.body, seq)

    def _days(self, group: "_Group") -> tuple[date, date, bool, tuple[date, date] | None]:
        """Return the days that a group completes, whether the day before them is covered, and the gap it leaves.

        Today is not complete before it is over: what it brought so far is sent, and the day is claimed tomorrow.
        """
        covered = _covered(self._journal)
        since, until = group.since or group.first, group.until or group.final
        until = min(until, self._now.astimezone(IST).date() - DAY)
        if covered is None:
            return since, max(since, until), False, None
        following = covered + DAY
        if group.since is None and since > following + BRIDGED_DAYS * DAY:
            return since, max(since, until), False, (following, since - DAY)
        if until < following:  # old days once more: corrections
            return min(since, until), until, False, None
        return following, until, True, None


class _Group:
    """Windows that are staged together: what they cover, their marks, and the days of their documents."""

    def __init__(self) -> None:
        self.since: date | None = None
        self.until: date | None = None
        self._days: set[date] = set()
        self.marks: dict[str, str] = {}

    def add(self, window: Window, documents: list[Document]) -> None:
        self.since = self.since or window.since
        self.until = window.until or self.until
        self._days.update(document.day for document in documents)
        self.marks |= window.marks

    @property
    def final(self) -> date:
        """The last day that has a document."""
        return max(self._days)

    @property
    def first(self) -> date:
        """The day from which documents run to the end without a long silence: a mistyped year claims no decade."""
        days = sorted(self._days, reverse=True)
        breaks = (later for later, earlier in pairwise(days) if later - earlier > SILENCE_DAYS * DAY)
        return next(breaks, days[-1])


def _covered(journal: Journal) -> date | None:
    mark = journal.mark("covered_to")
    return date.fromisoformat(mark) if mark else None
