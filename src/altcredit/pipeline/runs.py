"""
What a worker runs: a refresh after a batch, the nightly run, a full rebuild; as far as lake and features go.

What follows gold (predicting, recording) is passed in as ``score``; which accounts may be used is asked of ``scope_of``
(consent, contract C2). Both belong to the caller, on whose event loop they run; the computing happens on a thread.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import date, datetime, timedelta
from functools import partial

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from altcredit.pipeline.features.gold import Scope, gold, measure_norms
from altcredit.pipeline.lake import compaction, files, store
from altcredit.pipeline.lake.engine import Lake
from altcredit.pipeline.lake.progress import Report, silent
from altcredit.pipeline.lake.reading import touched
from altcredit.pipeline.lake.tables import Snapshot
from altcredit.runtime.db import Database

ScopeOf = Callable[[Collection[str] | None], Awaitable[Scope]]
"""Accounts (retailer_id, distributor_id) that consents allow, of some retailers or (None) of all."""

Score = Callable[[pa.Table], Awaitable[int]]
"""Takes rows of gold, predicts, records; returns how many assessments it stored."""

MAX_DELTAS = 64
"""A refresh reads every batch since the base: with more than so many, they are folded into it."""

GRACE = timedelta(hours=1)
"""How long a file that is off the list stays on disk: longer than any reader holds a snapshot."""


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did, and how long it took: seconds by stage."""

    retailers: int
    scored: int
    seconds: dict[str, float]


async def refresh(
    database: Database,
    lake: Lake,
    *,
    batch_ids: Collection[str],
    today: date,
    scope_of: ScopeOf,
    score: Score,
    retailer_ids: Collection[str] = (),
) -> Timings:
    """
    Refresh the scores of the retailers that some batches concern, and of those named besides.

    Retailers without consent are left out: ``scope_of`` does not name their accounts. A repeated run does the same
    again. Compaction is not part of it: see :func:`compact_if_due`.
    """
    clock = _Stages()
    async with database.transaction() as db:
        snapshot = await store.snapshot(db)
        batches = await store.batch_files(db, batch_ids=batch_ids)
    concerned = await asyncio.to_thread(touched, lake, snapshot, batches)
    concerned |= {snapshot.aliases.get(retailer, retailer) for retailer in retailer_ids}
    clock.done("touched")
    scope = await scope_of(concerned)
    if not scope:
        return clock.timings(retailers=0, scored=0)
    retailers = scored = 0
    for as_of, accounts in by_day(snapshot, scope, today).items():
        norms = await asyncio.to_thread(stored_norms, lake, snapshot, as_of)
        table = await asyncio.to_thread(
            partial(gold, lake, snapshot, as_of=as_of, scope=accounts, distributor_norms=norms, known_now=True)
        )
        clock.done("gold")
        retailers += table.num_rows
        scored += await score(table)
        clock.done("score")
    return clock.timings(retailers=retailers, scored=scored)


def rehearse(lake: Lake, snapshot: Snapshot, *, today: date) -> None:
    """Compute what a refresh computes, of nobody: the engine is open then, and its queries are compiled for the day."""
    reached = (feed.watermark for feed in snapshot.feeds.values())
    as_of = min(max((day for day in reached if day is not None), default=today), today)
    touched(lake, snapshot, ())
    gold(lake, snapshot, as_of=as_of, scope=(), distributor_norms=stored_norms(lake, snapshot, as_of), known_now=True)


def by_day(snapshot: Snapshot, scope: Scope, today: date) -> dict[date, list[tuple[str, str]]]:
    """
    Return the accounts by the day as of which their shop is judged: the newest day that any of its feeds reaches.

    A bill whose receipt cannot have arrived yet is not a late bill: a ledger is judged at the end of what is known of
    it, never later. How old that is, the reader of a score is told (contract A7). Shops without a feed are left out.
    """
    accounts: dict[str, list[tuple[str, str]]] = {}
    for retailer, distributor in scope:
        accounts.setdefault(retailer, []).append((retailer, distributor))
    days: dict[date, list[tuple[str, str]]] = {}
    for pairs in accounts.values():
        feeds = [snapshot.feeds[distributor].watermark for _, distributor in pairs if distributor in snapshot.feeds]
        reached = max((day for day in feeds if day is not None), default=None)
        if reached is not None:
            days.setdefault(min(reached, today), []).extend(pairs)
    return days


async def nightly(
    database: Database,
    lake: Lake,
    *,
    today: date,
    now: datetime,
    scope_of: ScopeOf,
    score: Score,
    report: Report = silent,
    rows_per_score: int = 20_000,
) -> Timings:
    """Compact, measure the distributors' norms and store them, score every retailer in scope, tidy up."""
    clock = _Stages()
    await compact(database, lake, now=now, report=report)
    clock.done("compact")
    timings = await _score_all(
        database, lake, clock=clock, today=today, now=now, scope_of=scope_of, score=score, rows_per_score=rows_per_score
    )
    await sweep(database, lake, now=now)
    return timings


async def rebuild(
    database: Database,
    lake: Lake,
    *,
    today: date,
    now: datetime,
    scope_of: ScopeOf,
    score: Score,
    report: Report = silent,
    rows_per_score: int = 20_000,
) -> Timings:
    """As :func:`nightly`, with silver made anew from all of bronze."""
    clock = _Stages()
    await compact(database, lake, now=now, rebuild=True, report=report)
    clock.done("silver")
    timings = await _score_all(
        database, lake, clock=clock, today=today, now=now, scope_of=scope_of, score=score, rows_per_score=rows_per_score
    )
    await sweep(database, lake, now=now)
    return timings


async def _score_all(
    database: Database,
    lake: Lake,
    *,
    clock: "_Stages",
    today: date,
    now: datetime,
    scope_of: ScopeOf,
    score: Score,
    rows_per_score: int,
) -> Timings:
    async with database.transaction() as db:
        snapshot = await store.snapshot(db)
    scope = await scope_of(None)
    retailers = scored = 0
    days = sorted(by_day(snapshot, scope, today).items())
    norms = {
        as_of: await asyncio.to_thread(partial(measure_norms, lake, snapshot, as_of=as_of, scope=scope, known_now=True))
        for as_of, _ in days
    }
    await _store_norms(database, lake, snapshot, norms=norms, now=now)
    clock.done("norms")
    for as_of, accounts in days:
        table = await asyncio.to_thread(
            partial(gold, lake, snapshot, as_of=as_of, scope=accounts, distributor_norms=norms[as_of], known_now=True)
        )
        clock.done("gold")
        retailers += table.num_rows
        for start in range(0, table.num_rows, rows_per_score):
            scored += await score(table.slice(start, rows_per_score))
        clock.done("score")
    return clock.timings(retailers=retailers, scored=scored)


async def compact(
    database: Database, lake: Lake, *, now: datetime, rebuild: bool = False, report: Report = silent
) -> Snapshot:
    """
    Fold all batches into the base (``rebuild``: make it anew from bronze) and return the snapshot that has it.

    A compaction that was interrupted goes on where it stopped, and covers what it set out to cover. One that another
    process overtakes is given up: the base is then the other's.
    """
    async with database.transaction() as db:
        current = await store.snapshot(db)
        begun = compaction.pending(lake, base_version=current.base_version)
        resumed = begun is not None and begun.rebuild == rebuild
        version = begun.covers if begun is not None and resumed else None
        source = await store.snapshot(db, version=version, rebuild=rebuild)
    if not source.deltas and not rebuild:
        return current
    made = await asyncio.to_thread(compaction.compact, lake, source, rebuild=rebuild, report=report)
    try:
        async with database.transaction() as db:
            await store.publish_base(db, added=made.files, replaces=current, covers=made.covers, now=now)
    except store.BaseMoved:
        pass  # the other's base may be these very files, where both set out from the same version
    async with database.transaction() as db:
        listed = await store.listed(db, paths=[file.path for file in made.files])
    await asyncio.to_thread(compaction.finish, lake, made, base_version=current.base_version, listed=listed)
    async with database.transaction() as db:
        return await store.snapshot(db)


async def compact_if_due(
    database: Database, lake: Lake, *, now: datetime, max_deltas: int = MAX_DELTAS, report: Report = silent
) -> bool:
    """Compact when more than ``max_deltas`` batches are newer than the base; return whether it was done."""
    async with database.transaction() as db:
        due = len((await store.snapshot(db)).deltas) > max_deltas
    if due:
        await compact(database, lake, now=now, report=report)
        await sweep(database, lake, now=now)
    return due


async def sweep(database: Database, lake: Lake, *, now: datetime, grace: timedelta = GRACE) -> int:
    """Delete the files that have been off the list for longer than any reader can take; return how many."""
    async with database.transaction() as db:
        gone = await store.garbage(db, removed_before=now - grace)
    for _, path in gone:
        await asyncio.to_thread(files.delete, lake.root, path)
    async with database.transaction() as db:
        await store.forget(db, file_ids=[file_id for file_id, _ in gone])
    return len(gone)


def stored_norms(lake: Lake, snapshot: Snapshot, as_of: date) -> pa.Table | None:
    """Return the norms of distributors that were stored for the day nearest to ``as_of``; None when there are none."""
    nearest = min(snapshot.norms, key=lambda stored: abs((stored[0] - as_of).days), default=None)
    return None if nearest is None else pq.read_table(lake.path(nearest[1]))


async def _store_norms(
    database: Database, lake: Lake, snapshot: Snapshot, *, norms: dict[date, pa.Table], now: datetime
) -> None:
    """Store norms by day in the place of all stored before."""
    made = []
    for as_of, table in norms.items():
        path = lake.path(store.norms_path(as_of, snapshot.version))
        await asyncio.to_thread(files.write_table, path, table)
        made.append(files.described(lake.root, path, layer="gold", kind="norms", rows=table.num_rows))
    async with database.transaction() as db:
        await store.publish_norms(db, files=made, now=now)


class _Stages:
    """Seconds of each stage of a run."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def done(self, stage: str) -> None:
        """Note that a stage has ended."""
        at = time.perf_counter()
        self.seconds[stage], self.started = at - self.started, at

    def timings(self, *, retailers: int, scored: int) -> Timings:
        return Timings(retailers=retailers, scored=scored, seconds=self.seconds)
