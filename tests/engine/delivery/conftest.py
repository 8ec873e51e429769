"""A partner with secrets and an HTTPS receiver that its callbacks go to."""

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.receivers import Receiver, context_for, receiving, sending

from altcredit.engine import delivery
from altcredit.runtime.certificates import Authority
from altcredit.runtime.db import Database
from altcredit.runtime.http import Sender
from altcredit.runtime.keys import KeyProvider, Keyring

PARTNER = "par_1"
BODY = b'{"customerUuid":"c-1","serviceType":"GUARD_SCORE"}'


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **time: float) -> None:
        self.now += timedelta(**time)


class Post:
    """What the tests do with deliveries, on one database."""

    def __init__(self, database: Database, keyring: Keyring, sender: Sender, clock: Clock) -> None:
        self.database, self.keyring, self.sender, self.clock = database, keyring, sender, clock
        self.by: dict[str, Any] = {"keyring": keyring, "sender": sender, "actor": "cli:root", "clock": clock}

    async def partner(self, receiver: Receiver | None, partner_id: str = PARTNER) -> delivery.IssuedSecrets:
        async with self.database.transaction() as db:
            issued = await delivery.issue_secrets(
                db, keyring=self.keyring, partner_id=partner_id, actor="cli:root", now=self.clock()
            )
        if receiver is not None:
            await delivery.set_endpoint(self.database, partner_id=partner_id, url=receiver.url(), **self.by)
            receiver.requests.clear()
        return issued

    async def submit(self, partner_id: str = PARTNER, body: bytes = BODY, request_id: str = "uwr_1") -> str:
        async with self.database.transaction() as db:
            return await delivery.submit(
                db,
                keyring=self.keyring,
                partner_id=partner_id,
                request_id=request_id,
                kind="result",
                body=body,
                now=self.clock(),
            )

    async def drain(self, partner_id: str = PARTNER, **changes: Any) -> int:
        means: dict[str, Any] = {"keyring": self.keyring, "sender": self.sender, "clock": self.clock} | changes
        return await delivery.drain(self.database, partner_id=partner_id, **means)

    async def listed(self, partner_id: str = PARTNER, **filters: Any) -> tuple[delivery.Delivery, ...]:
        async with self.database.reads.acquire() as db:
            return (await delivery.list_deliveries(db, partner_id=partner_id, **filters)).deliveries

    async def jobs(self) -> list[float]:
        """In how many seconds the waiting jobs start."""
        rows = await self.database.reads.fetch(
            "SELECT extract(epoch FROM execute_after - now()) AS s FROM pgqueuer WHERE entrypoint = 'delivery.send'"
        )
        return [float(row["s"]) for row in rows]

    async def clear_jobs(self) -> None:
        async with self.database.transaction() as db:
            await db.execute("DELETE FROM pgqueuer")


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x01" * 32,)))


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.create(now=datetime.now(UTC))


@pytest.fixture(scope="session")
def context(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return context_for(authority, Path(tmp_path_factory.mktemp("certificates")), "localhost", "127.0.0.1")


@pytest.fixture
async def receiver(context: ssl.SSLContext) -> AsyncIterator[Receiver]:
    async with receiving(context) as one:
        yield one


@pytest.fixture
async def post(database: Database, keyring: Keyring, authority: Authority) -> AsyncIterator[Post]:
    async with sending(authority, seconds=5) as sender:
        yield Post(database, keyring, sender, Clock())
