"""The jobs of compliance: ``compliance.run`` by a schedule, ``compliance.export`` when a shop asks for its data."""

from __future__ import annotations

from altcredit.runtime import log
from altcredit.runtime.jobs import Payload
from altcredit.worker.scoring import open_scorer
from altcredit.worker.work import Work


async def run(work: Work, _payloads: list[Payload]) -> None:
    """Carry out the steps of erasures that are due, and destroy exports whose keeping is over."""
    from altcredit.engine import compliance
    from altcredit.pipeline import rights

    lake, now = (await work.keep(open_scorer)).lake, work.clock()
    done = await rights.advance(work.platform, lake, now=now)
    async with work.platform.database.transaction() as db:
        late = [one for one in await compliance.erasures(db, open_only=True) if one.overdue(now)]
        expired = await compliance.drop_expired(db, now=now)
        await compliance.watch_breaches(db, now=now)
    log.info("erasures_advanced", count=len(done), rows=expired)
    if late:
        log.warning("erasures_overdue", count=len(late))


async def export(work: Work, payloads: list[Payload]) -> None:
    """Read a shop's ledger and put its export together."""
    from altcredit.pipeline import rights

    (payload,) = payloads
    lake = (await work.keep(open_scorer)).lake
    await rights.produce(work.platform, lake, export_id=payload["export_id"], now=work.clock())
