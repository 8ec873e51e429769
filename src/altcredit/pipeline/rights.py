"""
What erasure and portability need of the lake, for worker and command line.

Each step is committed by itself, and may be run again after a kill.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from altcredit.engine import compliance
from altcredit.pipeline import runs
from altcredit.pipeline.lake import erasure, store
from altcredit.pipeline.lake.engine import Lake
from altcredit.pipeline.lake.portability import ledger_of
from altcredit.runtime.platform import Platform


async def advance(platform: Platform, lake: Lake, *, now: datetime) -> list[compliance.Due]:
    """Carry out every step that is due, and what that makes due; return what was done."""
    done: list[compliance.Due] = []
    waiting: set[str] = set()
    while True:
        async with platform.database.transaction() as db:
            due = [one for one in await compliance.due_steps(db, now=now) if one.erasure_id not in waiting]
        if not due:
            return done
        for one in due:
            facts = await _clear_lake(platform, lake, one, now) if one.step == "lake" else {}
            if facts is None or not await _carry_out(platform, one, facts, now):
                waiting.add(one.erasure_id)
            else:
                done.append(one)


async def _carry_out(platform: Platform, due: compliance.Due, facts: Mapping[str, Any], now: datetime) -> bool:
    try:
        async with platform.database.transaction() as db:
            await compliance.carry_out(
                db,
                keyring=platform.keyring,
                signing=platform.signing,
                erasure_id=due.erasure_id,
                step=due.step,
                facts=facts,
                now=now,
            )
    except compliance.StepNotDue:
        return False  # another process has just done it
    return True


async def _clear_lake(platform: Platform, lake: Lake, due: compliance.Due, now: datetime) -> dict[str, Any] | None:
    """
    Make a pass over the lake; return the facts of the step when nothing is left, on the list or on disk, else None.

    A later pass finds what a batch that was under way at the halt has brought since.
    """
    facts = {"bronze_rows": 0, "silver_rows": 0, "files_rewritten": 0, **due.facts}
    passed = await erasure.erase(
        platform.database, lake, retailer_ids=due.retailer_ids, distributor_ids=due.distributor_ids, now=now
    )
    if passed.files:
        facts["bronze_rows"] += passed.bronze_rows
        facts["silver_rows"] += passed.silver_rows
        facts["files_rewritten"] += passed.files
        facts["rewritten_at"] = now
        async with platform.database.transaction() as db:
            await compliance.note_progress(db, erasure_id=due.erasure_id, step="lake", facts=facts)
        return None
    await runs.sweep(platform.database, lake, now=now)
    rewritten_at = facts.get("rewritten_at")
    if rewritten_at is None:
        return facts
    since = datetime.fromisoformat(rewritten_at)
    return facts if await erasure.swept(platform.database, removed_until=since) else None


async def produce(platform: Platform, lake: Lake, *, export_id: str, now: datetime) -> compliance.Export | None:
    """Put an export together from the ledger and the database; None where it was cancelled meanwhile."""
    try:
        async with platform.database.transaction() as db:
            retailer_id = await compliance.shop_of(db, keyring=platform.keyring, export_id=export_id)
            snapshot = await store.snapshot(db)
        ledger = await asyncio.to_thread(ledger_of, lake, snapshot, retailer_id)
        async with platform.database.transaction() as db:
            return await compliance.produce(
                db,
                keyring=platform.keyring,
                signing=platform.signing,
                export_id=export_id,
                ledger=ledger,
                now=now,
            )
    except compliance.ExportUnknown:
        return None
