"""A log to seal, and ways to tamper with it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from altcredit.engine import audit
from altcredit.runtime import signing
from altcredit.runtime.db import Database
from altcredit.runtime.keys import KeyProvider, Keyring
from altcredit.runtime.signing import SigningKeys

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Log:
    """An installation's sealed logs: database, keys, and the second place."""

    def __init__(self, database: Database, keyring: Keyring, keys: SigningKeys, second: Path) -> None:
        self.database, self.keyring, self.keys, self.second = database, keyring, keys, second
        self.events = 0

    async def add(self, count: int = 1, *, at: datetime = NOW, **details: Any) -> None:
        async with self.database.transaction() as db:
            for _ in range(count):
                self.events += 1
                await audit.append(
                    db, actor="cli:root", action="client.added", subject=f"lender_{self.events}",
                    details={"name": 'Ä "quoted" \\ name', **details}, now=at,
                )  # fmt: skip

    async def access(self, count: int = 1, *, at: datetime = NOW) -> None:
        """Add reads to the log of reads, as the statement that answers them does."""
        async with self.database.transaction() as db:
            await db.execute(
                "WITH a AS (INSERT INTO score_access (at, lender_id, operation, requested_id, outcome, request_id)"
                " SELECT $1, 'lender_a', 'score', 'ret_' || n, 'OK', 'req_' || n FROM generate_series(1, $2::int) n"
                " RETURNING at, access_id)"
                " INSERT INTO audit_unsealed SELECT 'score_access', at, access_id FROM a",
                at, count,
            )  # fmt: skip

    async def seal(self, *, now: datetime = NOW, most: int = 5_000, keep: bool = True) -> audit.Head | None:
        async with self.database.transaction() as db:
            head = await audit.seal(db, keyring=self.keyring, signing=self.keys, now=now, most=most)
        if keep:
            async with self.database.transaction() as db:
                await audit.keep_heads(db, path=self.second)
        return head

    async def verify(self, *, now: datetime = NOW, **more: Any) -> audit.Verification:
        async with self.database.transaction() as db:
            return await audit.verify(db, keyring=self.keyring, signing=self.keys, second=self.second, now=now, **more)

    async def looked(self, *, new: bool = True, now: datetime = NOW) -> audit.Verification:
        """Verify and remember, as the command does."""
        since = audit.recall(self.second, signing=self.keys) if new else None
        found = await self.verify(now=now, since=since)
        async with self.database.transaction() as db:
            await audit.remember(db, signing=self.keys, path=self.second, found=found, actor="test", now=now)
        return found

    async def resume(self, *, second: Path | None = None) -> audit.Break:
        async with self.database.transaction() as db:
            return await audit.resume(
                db, signing=self.keys, second=second or self.second, reason="restored", actor="test", now=NOW
            )

    async def export(self, out: Path, **range_: Any) -> audit.Bundle:
        async with self.database.transaction() as db:
            return await audit.export_bundle(db, signing=self.keys, out=out, **range_)

    async def rotate(self, *, now: datetime = NOW + timedelta(days=1)) -> None:
        async with self.database.transaction() as db:
            await signing.rotate(db, keyring=self.keyring, purpose="audit", now=now)
            await self.keys.refresh(db, keyring=self.keyring, now=now)

    async def tamper(self, *statements: str) -> None:
        """Change what must not be changed, as somebody could who owns the tables."""
        async with self.database.transaction() as db:
            await db.execute("SET LOCAL session_replication_role = replica")
            for statement in statements:
                await db.execute(statement)


async def opened(database: Database, second: Path) -> Log:
    """Return the log of a test's database, with the same keys whichever process asks."""
    keyring = Keyring(KeyProvider(root=b"r" * 32, keks=(b"k" * 32,)))
    async with database.transaction() as db:
        await signing.maintain(db, keyring=keyring, now=NOW)
        keys = await signing.load(db, keyring=keyring, issuer="altscore.in", now=NOW)
    return Log(database, keyring, keys, second)


@pytest.fixture
async def log(database: Database, tmp_path: Path) -> Log:
    return await opened(database, tmp_path / "heads" / "heads.jsonl")
