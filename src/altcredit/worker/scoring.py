"""Jobs that need the pipeline, which is loaded once the worker is up, or when the first of them runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from altcredit.runtime import log
from altcredit.runtime.jobs import Payload
from altcredit.runtime.platform import Platform
from altcredit.worker.work import Work

if TYPE_CHECKING:
    from altcredit.pipeline.scores import Scorer


@asynccontextmanager
async def open_scorer(platform: Platform) -> AsyncIterator[Scorer]:
    """Lend the lake's engine, the compiled queries and the champion."""
    scorer = await asyncio.to_thread(_made, platform)  # loading takes seconds, in which other jobs go on
    try:
        yield scorer
    finally:
        scorer.close()


def _made(platform: Platform) -> Scorer:
    from altcredit.pipeline.scores import Scorer

    return Scorer(platform)


async def preload(work: Work) -> None:
    """Get ready for the first batch, where there is a distributor to send one, so that it need not wait for that."""
    from altcredit.engine import identity

    async with work.platform.database.transaction() as db:
        expected = bool(await identity.list_distributors(db))
    if expected:
        await (await work.keep(open_scorer)).prepare(now=work.clock())
        log.info("pipeline_loaded")


async def refresh(work: Work, payloads: list[Payload]) -> None:
    """Score what accepted batches touched, and retailers who have just consented; all that wait, at once."""
    scorer = await work.keep(open_scorer)
    batch_ids = [one["batch_id"] for one in payloads if "batch_id" in one]
    retailer_ids = [retailer_id for one in payloads for retailer_id in one.get("retailer_ids", ())]
    done = await scorer.refresh(batch_ids=batch_ids, retailer_ids=retailer_ids, now=work.clock())
    stages = {stage: round(seconds, 4) for stage, seconds in done.seconds.items()}
    log.info("refreshed", count=done.scored, rows=len(batch_ids), seconds=_total(done.seconds), stages=stages)
    await scorer.compact_if_due(now=work.clock())


async def nightly(work: Work, _payloads: list[Payload]) -> None:
    """Compact the lake and score everybody who consented by the champion; the month's snapshot comes with it."""
    done = await (await work.keep(open_scorer)).nightly(now=work.clock())
    log.info("scored_everybody", count=done.scored, seconds=_total(done.seconds))


async def purge_quarantine(work: Work, _payloads: list[Payload]) -> None:
    """Destroy records that were in quarantine for 90 days, and files of batches that never came about."""
    from altcredit.engine import ingestion

    platform = work.platform
    async with platform.database.transaction() as db:
        purged = await ingestion.purge_quarantine(db, now=work.clock())
    strays = await ingestion.sweep_lake(platform.database, lake=platform.settings.lake_path, now=work.clock())
    log.info("quarantine_purged", count=purged, rows=len(strays))


def _total(seconds: dict[str, Any]) -> float:
    return float(round(sum(seconds.values()), 3))
