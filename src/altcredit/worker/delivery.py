"""The jobs of callbacks: ``delivery.send``, queued for a partner, and ``delivery.sweep`` by a schedule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from altcredit.engine import delivery
from altcredit.runtime import clock, log
from altcredit.runtime.http import Sender
from altcredit.runtime.jobs import Payload
from altcredit.runtime.platform import Platform
from altcredit.worker.work import Work


@asynccontextmanager
async def _sender(platform: Platform) -> AsyncIterator[Sender]:
    sender = Sender.of(platform.settings, keyring=platform.keyring, now=clock.now())
    try:
        yield sender
    finally:
        await sender.close()


async def send(work: Work, payloads: list[Payload]) -> None:
    """Send what is due to the partners that the payloads name; one that is slow or dead holds up no other job."""
    sender = await work.keep(_sender)
    async with asyncio.TaskGroup() as group:
        for partner_id in sorted({str(one["partner_id"]) for one in payloads}):
            group.create_task(
                delivery.drain(
                    work.platform.database,
                    keyring=work.platform.keyring,
                    partner_id=partner_id,
                    sender=sender,
                    clock=work.clock,
                )
            )


async def sweep(work: Work, _payloads: list[Payload]) -> None:
    """Queue what is overdue and, against all expectation, has no job."""
    async with work.platform.database.transaction() as db:
        count = await delivery.wake_overdue(db, now=work.clock())
    if count:
        log.warning("callbacks_overdue", count=count)
