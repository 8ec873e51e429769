"""The job that sends callbacks: ``delivery.send``, queued for a partner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from altcredit.runtime.jobs import Payload
from altcredit.worker.work import Work

if TYPE_CHECKING:
    from altcredit.runtime.http import Sender

# Connections to receivers are kept between jobs; a worker has one platform at a time.
_open: dict[int, Sender] = {}


async def _sender(work: Work) -> Sender:
    key = id(work.platform)
    if key not in _open:
        made = _made(work)
        for old in list(_open.values()):
            await old.close()
        _open.clear()
        _open[key] = made
    return _open[key]


def _made(work: Work) -> Sender:
    from altcredit.runtime.certificates import Authority
    from altcredit.runtime.http import Sender

    settings = work.platform.settings
    authority = None
    if settings.environment == "development":
        authority = Authority.open(settings, keyring=work.platform.keyring, now=work.clock()).pem
    return Sender.open(settings, authority_pem=authority)


async def send(work: Work, payloads: list[Payload]) -> None:
    """Send what is due to the partners that the payloads name; one that is slow or dead holds up no other job."""
    from altcredit.engine import delivery

    sender = await _sender(work)
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
