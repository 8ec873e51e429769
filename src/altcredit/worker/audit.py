"""The sealer of the audit log, and the purge of what its retention is over for."""

import asyncio
from datetime import datetime

from altcredit.engine import audit
from altcredit.runtime import log
from altcredit.runtime.jobs import Payload
from altcredit.worker.work import Work

# How long a committed row waits for its seal at most, while the worker is well.
SEAL_SECONDS = 3.0


async def keep_sealing(work: Work) -> None:
    """Seal what was committed, every few seconds, for as long as the worker runs; one worker of the fleet at a time."""
    while True:
        try:
            await seal_all(work, now=work.clock())
        except (audit.HeadBroken, audit.HeadsDisagree) as problem:
            # For an operator, who is told again and again; everything else goes on.
            log.warning("audit_not_sealed", reason=str(problem))
            await work.platform.refresh_keys()  # it may be no more than a key that was made elsewhere
        await asyncio.sleep(SEAL_SECONDS)


async def seal_all(work: Work, *, now: datetime) -> int:
    """
    Seal all that waits, a transaction and a head for every few thousand rows; return how many heads that made.

    :raises HeadBroken, HeadsDisagree: the tree is not ours to go on with, and nothing is sealed.
    """
    platform = work.platform
    path = platform.settings.audit_heads_path
    heads = 0
    async with platform.database.transaction() as db:
        await audit.keep_heads(db, path=path)
    while True:
        async with platform.database.transaction() as db:
            head = await audit.seal(db, keyring=platform.keyring, signing=platform.signing, now=now)
        if head is None:
            return heads
        heads += 1
        log.info("audit_sealed", rows=head.tree_size)
        async with platform.database.transaction() as db:
            await audit.keep_heads(db, path=path)


async def purge(work: Work, _payloads: list[Payload]) -> None:
    """Destroy the rows of the oldest month of each log that its retention is over for."""
    platform = work.platform
    async with platform.database.transaction() as db:
        purged = await audit.purge(db, signing=platform.signing, actor="system:schedule", now=work.clock())
    log.info("audit_purged", count=len(purged), rows=sum(one.rows for one in purged))
