"""Receivers that are dead, slow or hostile, beside one that is well: nobody but themselves pays for it."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.receivers import Behaviour, Receiver, Request, context_for, hangs, raw, receiving, says, sending

from altcredit.engine import delivery
from altcredit.runtime import clock
from altcredit.runtime.certificates import Authority
from altcredit.runtime.db import Database
from altcredit.runtime.http import Sender
from altcredit.runtime.keys import KeyProvider, Keyring

LEASE = timedelta(seconds=30)
KEYRING = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x01" * 32,)))


async def floods(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 100000000\r\n\r\n")
    for _ in range(1_000):
        writer.write(b"x" * 100_000)
        await writer.drain()


async def resets(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def drips(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"H")
        await writer.drain()
        await asyncio.sleep(0.1)


HOSTILE: dict[str, Behaviour] = {
    "hangs": hangs,
    "fails": says(500),
    "redirects": says(302, b"", "Location: http://169.254.169.254/"),
    "resets": resets,
    "floods": floods,
    "drips": drips,
    "garbage": raw(b"\x16\x03\x01" * 1_000),
    "headers": raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000),
}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create(now=datetime.now(UTC))


@pytest.fixture(scope="module")
def context(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return context_for(authority, Path(tmp_path_factory.mktemp("certificates")), "localhost")


@pytest.fixture
async def sender(authority: Authority) -> AsyncIterator[Sender]:
    async with sending(authority, seconds=2) as one:
        yield one


async def a_partner(database: Database, sender: Sender, partner_id: str, receiver: Receiver) -> None:
    async with database.transaction() as db:
        await delivery.issue_secrets(db, keyring=KEYRING, partner_id=partner_id, actor="cli:root", now=clock.now())
    await delivery.set_endpoint(
        database,
        keyring=KEYRING,
        sender=sender,
        partner_id=partner_id,
        url=receiver.url(),
        actor="cli:root",
        clock=clock.now,
    )
    receiver.requests.clear()


async def submit(database: Database, partner_id: str) -> None:
    async with database.transaction() as db:
        await delivery.submit(
            db,
            keyring=KEYRING,
            partner_id=partner_id,
            request_id="uwr_1",
            kind="result",
            body=b"{}",
            now=clock.now(),
        )


async def drain(database: Database, sender: Sender, partner_id: str) -> int:
    return await delivery.drain(database, keyring=KEYRING, partner_id=partner_id, sender=sender, clock=clock.now)


async def states(database: Database, partner_id: str) -> list[str]:
    async with database.reads.acquire() as db:
        page = await delivery.list_deliveries(db, partner_id=partner_id, limit=200)
    return [item.state for item in page.deliveries]


async def latencies(database: Database, sender: Sender, partner_id: str, *, count: int) -> list[float]:
    """Submit and drain one after the other; return how long each took, in seconds, sorted."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        await submit(database, partner_id)
        await drain(database, sender, partner_id)
        taken.append(time.perf_counter() - began)
    return sorted(taken)


async def test_hostile_receivers_harm_nobody(database: Database, sender: Sender, context: ssl.SSLContext) -> None:
    async with AsyncExitStack() as stack:
        receivers = {name: await stack.enter_async_context(receiving(context)) for name in ("well", *HOSTILE)}
        for name, receiver in receivers.items():
            await a_partner(database, sender, name, receiver)
        alone = await latencies(database, sender, "well", count=20)
        for name, behaviour in HOSTILE.items():
            receivers[name].behave = behaviour
            for _ in range(10):
                await submit(database, name)
        hostile = [asyncio.create_task(drain(database, sender, name)) for name in HOSTILE]
        await receivers["hangs"].came.wait()
        beside = []
        while not all(task.done() for task in hostile) and len(beside) < 500:
            beside += await latencies(database, sender, "well", count=10)
        attempts = await asyncio.gather(*hostile)
        assert min(attempts) >= 8, "each was tried"
        assert set(await states(database, "well")) == {"delivered"}
        for name in HOSTILE:
            assert set(await states(database, name)) == {"pending"}, name
        # Hanging receivers take two seconds an attempt here; the well one's callbacks wait for none of those.
        assert max(beside) < 1.5
        assert sorted(beside)[len(beside) // 2] < 0.25 + 5 * alone[len(alone) // 2]
        # Each of them is well again, and gets what is pending.
        for name, receiver in receivers.items():
            receiver.behave = says(200)
            async with database.transaction() as db:
                now = clock.now()
                await delivery.replay_since(
                    db, partner_id=name, since=datetime(2026, 1, 1, tzinfo=UTC), state="pending", actor="cli", now=now
                )
            await drain(database, sender, name)
            assert set(await states(database, name)) == {"delivered"}, name


async def test_a_callback_survives_workers_that_are_killed_as_they_send_it(
    database: Database, sender: Sender, context: ssl.SSLContext
) -> None:
    """Ten workers die in the middle, one after the other; the eleventh delivers the same id and body."""
    async with receiving(context) as receiver:
        await a_partner(database, sender, "p", receiver)
        await submit(database, "p")
        now = clock.now()
        receiver.behave = hangs
        for _ in range(10):
            receiver.came.clear()
            dying = asyncio.create_task(_drain_at(database, sender, now))
            await receiver.came.wait()
            dying.cancel()
            await asyncio.gather(dying, return_exceptions=True)
            now += LEASE
        receiver.behave = says(200)
        assert await _drain_at(database, sender, now) == 1
        assert len(receiver.requests) == 11
        assert len({(request.headers["webhook-id"], request.body) for request in receiver.requests}) == 1
    assert await states(database, "p") == ["delivered"]


async def _drain_at(database: Database, sender: Sender, now: datetime) -> int:
    return await delivery.drain(database, keyring=KEYRING, partner_id="p", sender=sender, clock=lambda: now)
