"""
Sending what is due to a partner.

``drain`` is what the job ``delivery.send`` does. At any time, a partner with a pending delivery has such a job waiting
or running: whoever makes something due queues one, and a drain that ends with something left queues the next.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from random import SystemRandom

from altcredit.engine import audit
from altcredit.engine.delivery import retry, store
from altcredit.engine.delivery.callback import Attempt, Endpoint, shown
from altcredit.engine.delivery.signature import SigningKey, signed_headers
from altcredit.runtime import jobs, log, telemetry
from altcredit.runtime.db import Connection, Database
from altcredit.runtime.destinations import NotSent
from altcredit.runtime.http import Sender
from altcredit.runtime.keys import Keyring
from altcredit.runtime.shared import Shared

AT_ONCE = 8  # callbacks under way to one partner
LEASE = timedelta(seconds=30)  # twice the time of an exchange
OVERDUE = timedelta(minutes=5)
USER_AGENT = "AltCredit-GUARD/1"

BODY = "callback"  # what a sealed body is for
SECRET = "callback_secret"  # noqa: S105 - what a sealed secret is for

_JOB = "delivery.send"
# Callbacks that end almost together are recorded before the next claim, which then fills all their places.
_GATHERED_SECONDS = 0.01
_SOON = timedelta(seconds=1)
_GONE = 410

Clock = Callable[[], datetime]
_random = SystemRandom().random


async def wake(db: Connection, partner_id: str, *, after: timedelta | None = None) -> None:
    payload = {"partner_id": partner_id}
    await jobs.enqueue(db, _JOB, payload, execute_after=after, dedupe_key=f"delivery|{partner_id}")


async def wake_overdue(db: Connection, *, now: datetime) -> int:
    """
    Queue the job of every partner with something long overdue; return how many. For a schedule.

    There is nothing to find, unless an operator deleted a job, or one failed so often that it is held.
    """
    partners = await store.overdue(db, before=now - OVERDUE)
    for partner_id in partners:
        await wake(db, partner_id)
    return len(partners)


async def drain(
    database: Database,
    *,
    keyring: Keyring,
    partner_id: str,
    sender: Sender,
    clock: Clock,
    chance: Callable[[], float] = _random,
) -> int:
    """
    Send what is due to a partner, for as long as something is; return how many attempts were made.

    At most ``AT_ONCE`` callbacks are under way to one partner, over all workers; one, while its last attempt failed.
    Each is leased before it is sent: where a worker dies, the lease runs out and the same webhook-id and body are sent
    again. At the end, the job is queued for when the next attempt is due or the next lease ends.

    :param chance: uniform in [0, 1), for the jitter of retries.
    """
    sending = _Sending(
        database=database, keyring=keyring, partner_id=partner_id, sender=sender, clock=clock, chance=chance
    )
    running: set[asyncio.Task[bool]] = set()
    attempts = 0
    try:
        while True:
            claim = await sending.claim()
            if claim is not None:
                running |= sending.calls(claim)
            if not running:
                if claim is not None:
                    await sending.queue_next(claim)
                return attempts
            done, running = await _some(running)
            attempts += len(done)
            arrived = [task.result() for task in done]
            # What is submitted after a claim has a job of its own; then nothing is left to be seen to.
            if all(arrived) and not running and claim and claim.due_at is claim.lease_ends_at is None:
                return attempts
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _some(running: set[asyncio.Task[bool]]) -> tuple[set[asyncio.Task[bool]], set[asyncio.Task[bool]]]:
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    return await asyncio.wait(running, timeout=_GATHERED_SECONDS)


class _Sending:
    def __init__(
        self,
        *,
        database: Database,
        keyring: Keyring,
        partner_id: str,
        sender: Sender,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self.database = database
        self.keyring = keyring
        self.partner_id = partner_id
        self.sender = sender
        self.clock = clock
        self.chance = chance
        self.record: Shared[str, store.Ended, None] = Shared(self.record_all)

    async def record_all(self, ended: Sequence[store.Ended]) -> dict[str, None]:
        """Record attempts by one statement."""
        async with self.database.reads.acquire() as db:
            await store.record(db, self.partner_id, ended, now=self.clock())
        return {}

    async def claim(self) -> store.Claim | None:
        """Lease what may be sent now, by one statement."""
        now = self.clock()
        async with self.database.reads.acquire() as db:
            return await store.claim(
                db,
                self.partner_id,
                now=now,
                leased_until=now + LEASE,
                at_once=AT_ONCE,
                gives_up_at=now + retry.GIVEN_UP_AFTER,
            )

    async def queue_next(self, claim: store.Claim) -> None:
        """Queue the job for when there is something to do again; unless nothing is pending."""
        wait = _wait(claim, self.clock())
        if wait is not None:
            async with self.database.transaction() as db:
                await wake(db, self.partner_id, after=wait)

    def calls(self, claim: store.Claim) -> set[asyncio.Task[bool]]:
        """Begin to send what was claimed."""
        keys = unsealed(self.keyring, self.partner_id, claim.keys) if claim.deliveries else []
        return {asyncio.create_task(self.send(one, claim.endpoint, keys)) for one in claim.deliveries}

    async def send(self, claimed: store.Claimed, endpoint: Endpoint, keys: list[SigningKey]) -> bool:
        """Make one attempt and record it; tell whether the callback arrived."""
        body = self.keyring.unseal(claimed.sealed, owner=self.partner_id, purpose=BODY)
        attempt, wait = await post_signed(
            self.sender,
            endpoint.url,
            webhook_id=claimed.webhook_id,
            body=body,
            keys=keys,
            partner_id=self.partner_id,
            request_id=claimed.request_id,
            now=self.clock(),
        )
        now = self.clock()
        then = retry.after(
            attempt.status,
            tries=claimed.tries + 1,
            gives_up_at=claimed.gives_up_at,
            now=now,
            chance=self.chance(),
            retry_after=wait,
        )
        ended = store.Ended(delivery_id=claimed.delivery_id, url=endpoint.url, attempt=attempt, then=then)
        if attempt.status == _GONE:
            await self.record_gone(ended, now)
        else:
            await self.record(ended.delivery_id, ended)
        return attempt.is_success

    async def record_gone(self, ended: store.Ended, now: datetime) -> None:
        """Disable the endpoint, unless the partner has moved to another one meanwhile; what is pending stays so."""
        reason = f"the receiver answered {_GONE}"
        async with self.database.transaction() as db:
            await store.record(db, self.partner_id, [ended], now=now)
            if await store.disable_endpoint(db, self.partner_id, reason=reason, url=ended.url, now=now):
                await audit.append(
                    db,
                    actor="system:delivery",
                    action="callback.disabled",
                    subject=self.partner_id,
                    details={"reason": reason},
                    now=now,
                )
        log.warning("callback_disabled", reason=reason)


def _wait(claim: store.Claim, now: datetime) -> timedelta | None:
    """Return how long there is nothing to do, None: until something is submitted."""
    due_at = claim.due_at
    if due_at is not None and claim.endpoint.resumes_at is not None:
        due_at = max(due_at, claim.endpoint.resumes_at)
    ahead = [at for at in (due_at, claim.lease_ends_at) if at is not None and at > now]
    if ahead:
        return min(ahead) - now
    return _SOON if due_at else None  # due, but held by a transaction that is about to end


def unsealed(keyring: Keyring, partner_id: str, sealed: Iterable[store.Sealed]) -> list[SigningKey]:
    return [
        SigningKey(kind=one.kind, key=keyring.unseal(one.sealed, owner=partner_id, purpose=SECRET)) for one in sealed
    ]


async def post_signed(
    sender: Sender,
    url: str,
    *,
    webhook_id: str,
    body: bytes,
    keys: list[SigningKey],
    partner_id: str,
    request_id: str | None,
    now: datetime,
) -> tuple[Attempt, float | None]:
    """
    Send one signed callback; never raises for what the receiver does.

    With the attempt come the seconds for which the receiver asks to be left alone, None: it does not.
    """
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        **signed_headers(webhook_id=webhook_id, body=body, keys=keys, now=now),
    }
    if request_id is not None:
        headers["X-Guard-Request-Id"] = request_id
    status, problem, answer, wait = None, None, b"", None
    began = time.perf_counter()
    try:
        answered = await sender.post(url, body=body, headers=headers, pool=partner_id)
        status, answer, wait = answered.status, answered.body, answered.retry_after
        outcome = "delivered" if 200 <= status < 300 else "refused"
    except NotSent as not_sent:
        problem, outcome = str(not_sent), not_sent.cause
    seconds = time.perf_counter() - began
    telemetry.CALLBACKS.labels(outcome).inc()
    telemetry.CALLBACK_SECONDS.observe(seconds)
    latency = round(seconds * 1000)
    return Attempt(at=now, status=status, latency_ms=latency, problem=problem, answer=shown(answer)), wait
