import asyncio
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from tests.conftest import at
from tests.happening import Happened

from altcredit.runtime import backup, jobs, outbox, schema
from altcredit.runtime.db import Database
from altcredit.runtime.settings import Settings

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def of(dsn: str) -> Settings:
    return Settings(database_url=dsn)


async def dump(database: Database, file: Path) -> None:
    await asyncio.to_thread(backup.dump, of(database.dsn), file)


@pytest.fixture
async def empty(server: str) -> str:
    """Address of a database without any table."""
    connection = await asyncpg.connect(server)
    await connection.execute("DROP DATABASE IF EXISTS restored WITH (FORCE)")
    await connection.execute("CREATE DATABASE restored TEMPLATE template0")
    await connection.close()
    return at(server, "restored")


async def ask(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_a_dump_restored_elsewhere_goes_on_where_it_was(database: Database, empty: str, tmp_path: Path) -> None:
    async with database.transaction() as db:
        await outbox.publish(db, Happened(what="ret_1"), now=NOW)
        await jobs.enqueue(db, "altscore.refresh", {"batch_id": "bat_1"})
    file, tables = tmp_path / "backup.dump", []

    def note(place: int, total: int, table: str) -> None:
        tables.append((place <= total, table))

    await asyncio.to_thread(backup.dump, of(database.dsn), file, progress=note)
    assert (True, "public.outbox") in tables
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    tables.clear()
    await asyncio.to_thread(backup.restore, of(empty), file, progress=note)
    assert (True, "public.outbox") in tables

    restored = await Database.connect(empty)
    try:
        async with restored.transaction() as db:
            await schema.require(db)
            await outbox.publish(db, Happened(what="ret_2"), now=NOW)
            seen: list[str] = []

            async def collect(_db: object, event: outbox.Event) -> None:
                seen.append(event.key)

            await outbox.react(db, {"thing.happened": (collect,)}, now=NOW)
            assert seen == ["ret_1", "ret_2"]
            assert await jobs.enqueue(db, "altscore.refresh", {}) == 2
    finally:
        await restored.close()


async def test_a_dump_is_of_one_moment_however_much_is_written_meanwhile(
    database: Database, empty: str, tmp_path: Path
) -> None:
    await database.writes.execute("CREATE TABLE a (n int); CREATE TABLE z (n int)")
    await database.writes.execute(
        "INSERT INTO outbox (event_id, type, key, data, created_at) SELECT 'e', 't', 'k', to_jsonb(repeat('x', 500)), now() FROM generate_series(1, 20000)"
    )
    done = asyncio.Event()
    written = 0

    async def write() -> None:
        nonlocal written
        while not done.is_set():
            async with database.transaction() as db:
                await db.execute("INSERT INTO a VALUES (1)")
                await db.execute("INSERT INTO z VALUES (1)")
            written += 1

    writing = asyncio.create_task(write())
    await dump(database, tmp_path / "backup.dump")
    done.set()
    await writing
    await asyncio.to_thread(backup.restore, of(empty), tmp_path / "backup.dump")
    count = await ask(empty, "SELECT count(*) FROM a")
    assert await ask(empty, "SELECT count(*) FROM z") == count
    assert isinstance(count, int)
    assert 0 <= count < written


async def test_a_database_that_holds_something_is_replaced_by_force_alone(
    database: Database, empty: str, tmp_path: Path
) -> None:
    file = tmp_path / "backup.dump"
    await dump(database, file)
    await ask(empty, "CREATE TABLE precious (n int)")
    with pytest.raises(backup.DatabaseNotEmpty, match="--force"):
        await asyncio.to_thread(backup.restore, of(empty), file)
    assert await ask(empty, "SELECT to_regclass('precious') IS NOT NULL")
    for _ in range(2):  # the second time over a database that was restored itself
        await asyncio.to_thread(backup.restore, of(empty), file, force=True)
        await asyncio.to_thread(backup.dump, of(empty), file)
    assert await ask(empty, "SELECT to_regclass('precious') IS NULL AND to_regclass('outbox') IS NOT NULL")


async def test_a_damaged_dump_changes_nothing(database: Database, empty: str, tmp_path: Path) -> None:
    await database.writes.execute(
        "INSERT INTO outbox (event_id, type, key, data, created_at) SELECT gen_random_uuid(), 't', 'k', to_jsonb(gen_random_uuid()), now() FROM generate_series(1, 20000)"
    )
    file = tmp_path / "backup.dump"
    await dump(database, file)
    whole = file.read_bytes()
    await ask(empty, "CREATE TABLE precious (n int)")
    for damaged in (b"no dump at all", whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(backup.BackupFailed):
            await asyncio.to_thread(backup.restore, of(empty), file, force=True)
        assert await ask(empty, "SELECT to_regclass('precious') IS NOT NULL AND to_regclass('outbox') IS NULL")


async def test_a_dump_that_fails_leaves_the_last_good_one(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "backup.dump"
    await dump(database, file)
    good = file.read_bytes()
    await database.writes.execute("CREATE ROLE stranger LOGIN PASSWORD 'x'")
    stranger = database.dsn.split("@")[1]
    try:
        with pytest.raises(backup.BackupFailed, match="permission denied"):
            await asyncio.to_thread(backup.dump, of(f"postgresql://stranger:x@{stranger}"), file)
    finally:
        await database.writes.execute("DROP ROLE stranger")
    assert file.read_bytes() == good
    assert os.listdir(tmp_path) == ["backup.dump"]
