"""
From the lake to recorded scores: what a batch, a consent or the night asks for.

Slow parts (DuckDB, XGBoost) run in a thread, so that a worker's heartbeats go on; everything is recorded in one
transaction at the end, so that a run that is killed is simply run again. Only retailers with a live consent are scored,
from the ledgers of the distributors that it names (contract C2), and consent is read again before anything is kept.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from altcredit.engine import consent, ingestion, registry, scoring
from altcredit.pipeline.features.gold import gold, measure_norms, standings
from altcredit.pipeline.lake import compaction, store
from altcredit.pipeline.lake.engine import Lake
from altcredit.pipeline.lake.files import delete, described, write_table
from altcredit.pipeline.lake.progress import Report, silent
from altcredit.pipeline.lake.reading import touched
from altcredit.pipeline.lake.tables import LakeFile, Snapshot
from altcredit.pipeline.models import Model, predict
from altcredit.pipeline.models.warm import Warm
from altcredit.runtime.db import Connection
from altcredit.runtime.platform import Platform

INDIA = ZoneInfo("Asia/Kolkata")
# As many uncompacted batches as a refresh reads without noticing.
COMPACT_AFTER = 64
# No read of the lake lasts longer.
GRACE = timedelta(hours=1)
# Retailers that are computed and recorded together by the nightly run.
CHUNK = 20_000

Scored = tuple[scoring.Assessment, scoring.Standing]
Scope = Mapping[str, Sequence[str]]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did: retailers scored, retailers that were too thin, batches completed; seconds by stage."""

    scored: int
    thin: int
    batches: int
    seconds: dict[str, float]


class Scorer:
    """Scores retailers; one a process, with the lake's engine open and the champion loaded."""

    def __init__(self, platform: Platform, *, threads: int = 2, policy: scoring.Policy = scoring.POLICY) -> None:
        self.platform = platform
        self.policy = policy
        self.lake = Lake(platform.settings.lake_path, threads=threads)
        models = platform.settings.home_path / "models"
        self.warm = Warm(models, verify=partial(platform.signing.verify, "model"), threads=threads)

    def close(self) -> None:
        """Close the lake's engine."""
        self.lake.close()

    async def refresh(self, *, batch_ids: Sequence[str], retailer_ids: Sequence[str], now: datetime) -> Run:
        """
        Score the retailers that these batches touched, and these retailers; then call the batches complete.

        :raises ModelUnknown: no model is champion yet. The batches are completed all the same.
        """
        clock = _Stages()
        database = self.platform.database
        async with database.transaction() as db:
            snapshot = await store.snapshot(db)
            files = await store.batch_files(db, batch_ids=batch_ids)
            feeds = await ingestion.feeds(db)
        wanted = set(retailer_ids)
        wanted |= await asyncio.to_thread(touched, self.lake, snapshot, files)
        clock.at("touched")
        scored, thin = await self._score(snapshot, wanted, now, clock) if wanted else ([], 0)
        completeness = await asyncio.to_thread(self._completeness, feeds, files)
        async with database.transaction() as db:
            kept = await self._keep(scored, db, now)
            for batch_id in batch_ids:
                await ingestion.complete(db, batch_id=batch_id, completeness=completeness.get(batch_id), now=now)
        clock.at("recorded")
        return Run(scored=kept, thin=thin, batches=len(batch_ids), seconds=clock.seconds)

    async def nightly(self, *, now: datetime, report: Callable[[str, int, int], None] = lambda *_: None) -> Run:
        """Measure the distributors' norms and score everybody with a live consent, chunk by chunk."""
        clock = _Stages()
        async with self.platform.database.transaction() as db:
            scope = await consent.scorable(db, now=now)
            snapshot = await store.snapshot(db)
        if scope:
            snapshot = await self._measure_norms(snapshot, scope, now)
        clock.at("norms")
        everybody, kept, thin = sorted(scope), 0, 0
        for start in range(0, len(everybody), CHUNK):
            scored, few = await self._score(snapshot, set(everybody[start : start + CHUNK]), now, clock)
            async with self.platform.database.transaction() as db:
                kept += await self._keep(scored, db, now)
            thin += few
            report("scored", min(start + CHUNK, len(everybody)), len(everybody))
        clock.at("recorded")
        return Run(scored=kept, thin=thin, batches=0, seconds=clock.seconds)

    async def compact(self, *, now: datetime, rebuild: bool = False, report: Report = silent) -> int:
        """Fold the batches since the base into a new base; return how many. With ``rebuild``, all of bronze anew."""
        async with self.platform.database.transaction() as db:
            snapshot = await store.snapshot(db, rebuild=rebuild)
        if not snapshot.deltas:
            return 0
        done = await asyncio.to_thread(partial(compaction.compact, self.lake, snapshot, rebuild=rebuild, report=report))
        async with self.platform.database.transaction() as db:
            await store.publish_base(
                db, added=done.files, replaces=snapshot, covers=done.covers, buckets=done.buckets, now=now
            )
        await asyncio.to_thread(compaction.finish, self.lake, base_version=snapshot.base_version)
        return len(snapshot.deltas)

    async def collect_garbage(self, *, now: datetime) -> int:
        """Delete files that were taken off the manifest an hour ago, and so have no reader left; return how many."""
        async with self.platform.database.transaction() as db:
            old = await store.garbage(db, removed_before=now - GRACE)
        for _, path in old:
            await asyncio.to_thread(delete, self.lake.root, path)
        async with self.platform.database.transaction() as db:
            await store.forget(db, file_ids=[file_id for file_id, _ in old])
        return len(old)

    async def uncompacted(self) -> int:
        """Return how many batches wait to be folded into the base."""
        async with self.platform.database.transaction() as db:
            return len((await store.snapshot(db)).deltas)

    async def _score(
        self, snapshot: Snapshot, wanted: set[str], now: datetime, clock: "_Stages"
    ) -> tuple[list[Scored], int]:
        async with self.platform.database.transaction() as db:
            scope = await consent.scorable(db, now=now, retailer_ids=sorted(wanted))
            if not scope:
                return [], 0
            try:
                model = await self.warm.champion(db)
            except registry.ModelUnknown:
                return [], 0
        return await asyncio.to_thread(self._assess, snapshot, scope, model, now, clock)

    def _assess(
        self, snapshot: Snapshot, scope: Scope, model: Model, now: datetime, clock: "_Stages"
    ) -> tuple[list[Scored], int]:
        norms = self._norms(snapshot)
        scored: list[Scored] = []
        thin = 0
        for as_of, pairs in _by_day(snapshot, scope, now.astimezone(INDIA).date()).items():
            table = gold(self.lake, snapshot, as_of=as_of, scope=pairs, distributor_norms=norms)
            clock.at("features")
            standing = list(standings(table))
            assessable = [not scoring.is_thin(one) and scoring.why_insufficient(one) is None for one in standing]
            estimates = iter(predict(table.filter(pa.array(assessable, pa.bool_())).to_pandas(), model))
            clock.at("predicted")
            for one, has_estimate in zip(standing, assessable, strict=True):
                estimate = next(estimates) if has_estimate else None
                assessment = scoring.assess(one, estimate, model=model.info, policy=self.policy)
                if assessment is None:
                    thin += 1
                else:
                    scored.append((assessment, one))
            clock.at("assessed")
        return scored, thin

    async def _keep(self, scored: list[Scored], db: Connection, now: datetime) -> int:
        """Record what still may be: a consent that ended meanwhile keeps its retailer's score from being kept."""
        if not scored:
            return 0
        live = await consent.scorable(db, now=now, retailer_ids=[one.retailer_id for one, _ in scored])
        kept = [(one, standing) for one, standing in scored if one.retailer_id in live]
        await scoring.record(db, assessments=kept, now=now)
        return len(kept)

    def _norms(self, snapshot: Snapshot) -> pa.Table | None:
        if not snapshot.norms:
            return None
        return pq.read_table(self.lake.path(snapshot.norms[0][1]))

    async def _measure_norms(self, snapshot: Snapshot, scope: Scope, now: datetime) -> Snapshot:
        today = now.astimezone(INDIA).date()
        pairs = [(retailer, distributor) for retailer, distributors in scope.items() for distributor in distributors]
        table = await asyncio.to_thread(
            partial(measure_norms, self.lake, snapshot, as_of=_latest(snapshot, today), scope=pairs)
        )
        relative = store.norms_path(_latest(snapshot, today), snapshot.version)
        await asyncio.to_thread(write_table, self.lake.path(relative), table)
        async with self.platform.database.transaction() as db:
            file = _described_norms(self.lake.root, relative, table.num_rows)
            await store.publish_norms(db, file=file, now=now)
            return await store.snapshot(db)

    def _completeness(self, feeds: Mapping[str, ingestion.Feed], files: Sequence[LakeFile]) -> dict[str, float]:
        return {
            file.batch_id: batch_completeness(
                pq.read_table(self.lake.path(file.path)), feeds.get(file.distributor_id or "")
            )
            for file in files
            if file.batch_id is not None
        }


def batch_completeness(table: pa.Table, feed: ingestion.Feed | None) -> float:
    """
    Return how complete a batch's records are, 0 to 100: contract A8 applied to one batch.

    30 share of bills with a due date, 30 share of receipt value stated for bills, 20 whether the feed is without a gap,
    10 share of records that name their shop or its bill, 10 whether the feed carries returns. What a batch has none of
    is not held against it.
    """
    bills = table.filter(pc.equal(table["kind"], "invoice"))
    receipts = table.filter(pc.equal(table["kind"], "payment"))
    with_due = _share(pc.sum(pc.cast(pc.is_valid(bills["due_date"]), pa.int64())).as_py(), bills.num_rows)
    stated = receipts.filter(pc.or_(pc.is_valid(receipts["invoice_id"]), pc.is_valid(receipts["allocations"])))
    allocated = _share(pc.sum(stated["amount_paise"]).as_py(), pc.sum(receipts["amount_paise"]).as_py() or 0)
    named = pc.or_(pc.is_valid(table["retailer_id"]), pc.is_valid(table["invoice_id"]))
    identified = _share(pc.sum(pc.cast(named, pa.int64())).as_py(), table.num_rows)
    whole = 1.0 if feed is None or len(feed.coverage) <= 1 else 0.0
    returns = 1.0 if feed is None or feed.returns_seen else 0.0
    return 30 * with_due + 30 * allocated + 20 * whole + 10 * identified + 10 * returns


def _share(part: float | None, whole: float) -> float:
    return (part or 0) / whole if whole else 1.0


def _latest(snapshot: Snapshot, today: date) -> date:
    days = [feed.watermark for feed in snapshot.feeds.values() if feed.watermark is not None]
    return min(max(days, default=today), today)


def _by_day(snapshot: Snapshot, scope: Scope, today: date) -> dict[date, list[tuple[str, str]]]:
    """
    Return the accounts to score, by the day as of which: the newest day that any of the shop's feeds reaches.

    A bill whose receipt cannot have arrived yet is not a late bill: a ledger is judged at the end of what is known of
    it, never later. How old that is, the reader is told (contract A7).
    """
    days: dict[date, list[tuple[str, str]]] = defaultdict(list)
    for retailer_id, distributors in scope.items():
        known = [snapshot.feeds[one].watermark for one in distributors if one in snapshot.feeds]
        reached = max((day for day in known if day is not None), default=None)
        if reached is not None:
            days[min(reached, today)] += [(retailer_id, distributor) for distributor in distributors]
    return days


def _described_norms(root: Path, relative: str, rows: int) -> LakeFile:
    return described(root, root / relative, layer="gold", kind="norms", rows=rows)


class _Stages:
    """Adds up the seconds that each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def at(self, stage: str) -> None:
        """Book the time since the last call on ``stage``."""
        now = time.perf_counter()
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + now - self._last, 4)
        self._last = now
