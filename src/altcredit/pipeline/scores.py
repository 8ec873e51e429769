"""
From the lake to recorded scores: what a batch, a consent or the night asks for.

``runs.py`` computes; here is what it is computed for: who may be scored (a live consent, from the ledgers of the
distributors that it names, contract C2), by which model, and how the outcome is kept. Consent is read again in the
transaction that keeps it, and a run that is killed is simply run again.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from altcredit.engine import consent, ingestion, registry, scoring
from altcredit.pipeline import runs
from altcredit.pipeline.features.gold import Scope, standings
from altcredit.pipeline.lake import store
from altcredit.pipeline.lake.engine import EngineName, Lake
from altcredit.pipeline.lake.progress import Report, silent
from altcredit.pipeline.lake.reading import waiting
from altcredit.pipeline.lake.tables import LakeFile
from altcredit.pipeline.models import Model, predict
from altcredit.pipeline.models.warm import Warm
from altcredit.pipeline.runs import Timings
from altcredit.runtime.platform import Platform

INDIA = ZoneInfo("Asia/Kolkata")

# The distributors whose ledgers a run used, by retailer.
Used = dict[str, tuple[str, ...]]
Assessed = list[tuple[scoring.Assessment, scoring.Standing]]


class Scorer:
    """Scores retailers; one a process, with the lake's engine open and the champion loaded."""

    def __init__(
        self,
        platform: Platform,
        *,
        threads: int = 2,
        engine: EngineName = "duckdb",
    ) -> None:
        """:raises EngineMissing: the engine asked for is not installed."""
        self.platform = platform
        self.policy = scoring.policy_of(platform.settings)
        self.lake = Lake(platform.settings.lake_path, threads=threads, engine=engine)
        models = platform.settings.home_path / "models"
        verify = partial(platform.signing.verify, "model")
        self.warm = Warm(models, verify=verify, product="altscore", threads=threads)

    def close(self) -> None:
        """Close the lake's engine."""
        self.lake.close()

    async def prepare(self, *, now: datetime) -> None:
        """Open the lake, compile what a refresh runs, load the champion: a first batch pays for all this otherwise."""
        async with self.platform.database.transaction() as db:
            snapshot = await store.snapshot(db)
            with suppress(registry.ModelUnknown):
                await self.warm.champion(db)
        await asyncio.to_thread(runs.rehearse, self.lake, snapshot, today=now.astimezone(INDIA).date())

    async def refresh(self, *, batch_ids: Sequence[str], retailer_ids: Sequence[str], now: datetime) -> Timings:
        """Score the retailers that these batches touched, and these retailers; then call the batches complete."""
        used: Used = {}
        timings = await runs.refresh(
            self.platform.database,
            self.lake,
            batch_ids=batch_ids,
            retailer_ids=retailer_ids,
            today=now.astimezone(INDIA).date(),
            scope_of=partial(self._scope, now, used),
            score=partial(self._score, now, used),
        )
        async with self.platform.database.transaction() as db:
            snapshot = await store.snapshot(db)
            files = await store.batch_files(db, batch_ids=batch_ids)
            feeds = await ingestion.feeds(db)
        unknown = await asyncio.to_thread(waiting, self.lake, snapshot, files)
        completeness = await asyncio.to_thread(self._completeness, feeds, files)
        async with self.platform.database.transaction() as db:
            for batch_id in batch_ids:
                await ingestion.complete(
                    db,
                    batch_id=batch_id,
                    completeness=completeness.get(batch_id),
                    warnings=[_unknown_invoice(kind, row) for kind, row in unknown.get(batch_id, ())],
                    now=now,
                )
        return timings

    async def nightly(self, *, now: datetime, rebuild: bool = False, report: Report = silent) -> Timings:
        """Compact the lake and score everybody with a live consent. With ``rebuild``, silver is made anew."""
        run = runs.rebuild if rebuild else runs.nightly
        used: Used = {}
        return await run(
            self.platform.database,
            self.lake,
            today=now.astimezone(INDIA).date(),
            now=now,
            scope_of=partial(self._scope, now, used),
            score=partial(self._score, now, used),
            report=report,
        )

    async def compact(self, *, now: datetime, report: Report = silent) -> None:
        """Fold the batches since the base of silver into a new base."""
        await runs.compact(self.platform.database, self.lake, now=now, report=report)
        await runs.sweep(self.platform.database, self.lake, now=now)

    async def compact_if_due(self, *, now: datetime) -> bool:
        """Compact when a refresh would have to read many batches."""
        return await runs.compact_if_due(self.platform.database, self.lake, now=now)

    async def _scope(self, now: datetime, used: Used, retailer_ids: Collection[str] | None) -> Scope:
        async with self.platform.database.transaction() as db:
            wanted = None if retailer_ids is None else sorted(retailer_ids)
            found = await consent.scorable(db, now=now, retailer_ids=wanted)
        used.update(found)
        return [(retailer, distributor) for retailer, distributors in found.items() for distributor in distributors]

    async def _score(self, now: datetime, used: Used, table: pa.Table) -> int:
        """Predict, explain, assess and record rows of gold; without a champion there is nothing to say yet."""
        async with self.platform.database.transaction() as db:
            try:
                model = await self.warm.champion(db)
            except registry.ModelUnknown:
                return 0
        assessed, thin = await asyncio.to_thread(self._assess, table, model)
        async with self.platform.database.transaction() as db:
            # What is kept was made under the consents of this moment: one that ended or was narrowed meanwhile keeps
            # its retailer's score from being kept, and the run that its event asks for makes the next one.
            wanted = [*(one.retailer_id for one, _ in assessed), *thin]
            live = await consent.scorable(db, now=now, retailer_ids=wanted)
            kept = [
                (one, standing) for one, standing in assessed if live.get(one.retailer_id) == used.get(one.retailer_id)
            ]
            await scoring.record(db, assessments=kept, now=now)
            await scoring.withdraw(db, retailer_ids=thin)
        return len(kept)

    def _assess(self, table: pa.Table, model: Model) -> tuple[Assessed, list[str]]:
        """Return the assessments, and the retailers of whose trade too little is known for one."""
        found = list(standings(table))
        scorable = [not scoring.is_thin(one) and scoring.why_insufficient(one) is None for one in found]
        estimates = iter(predict(table.filter(pa.array(scorable, pa.bool_())).to_pandas(), model))
        assessed: Assessed = []
        thin: list[str] = []
        for standing, has_estimate in zip(found, scorable, strict=True):
            estimate = next(estimates) if has_estimate else None
            assessment = scoring.assess(standing, estimate, model=model.info, policy=self.policy)
            if assessment is None:
                thin.append(standing.retailer_id)
            else:
                assessed.append((assessment, standing))
        return assessed, thin

    def _completeness(self, feeds: Mapping[str, ingestion.Feed], files: Sequence[LakeFile]) -> dict[str, float]:
        return {
            file.batch_id: batch_completeness(
                pq.read_table(self.lake.path(file.path)), feeds.get(file.distributor_id or "")
            )
            for file in files
            if file.batch_id is not None
        }


def _unknown_invoice(kind: str, row: int) -> ingestion.Warned:
    array: Literal["payments", "credit_notes"] = "payments" if kind == "payment" else "credit_notes"
    return ingestion.Warned(array, row, "UNKNOWN_INVOICE", f"$.{array}[{row}].invoice_id")


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
