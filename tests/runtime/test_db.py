import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from altcredit.runtime.db import UNAVAILABLE, Database, DatabaseAway

PID = "SELECT pg_backend_pid()"


async def test_a_statement_that_fails_leaves_its_connection_usable(database: Database) -> None:
    before = await database.reads.fetchval(PID)
    with pytest.raises(asyncpg.PostgresError):
        await database.reads.fetchval("SELECT 1 / 0")
    assert await database.reads.fetchval(PID) == before


async def test_a_lost_connection_is_replaced_at_the_next_statement(database: Database) -> None:
    lost = await database.reads.fetchval(PID)
    async with database.transaction() as db:
        await db.execute("SELECT pg_terminate_backend($1)", lost)
    found = None
    while found is None:  # a statement that meets the end of the connection is refused; the next has a new one
        try:
            found = await database.reads.fetchval(PID)
        except UNAVAILABLE:
            continue
    assert found != lost


async def test_a_statement_whose_caller_left_never_answers_another(database: Database) -> None:
    waiting = asyncio.create_task(database.reads.fetchval("SELECT 'his' FROM pg_sleep(30)"))
    while not await database.reads.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%his%pg_sleep(30)%' AND pid <> pg_backend_pid()"
    ):
        pass
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.gather(*(database.reads.fetchval("SELECT 'mine'") for _ in range(16))) == ["mine"] * 16


async def test_more_callers_than_connections_take_turns(database: Database) -> None:
    pids = await asyncio.gather(*(database.reads.fetchval(PID) for _ in range(database.reads.size * 4)))
    assert len(set(pids)) <= database.reads.size


@asynccontextmanager
async def of_either_kind(database: Database, kind: str) -> AsyncIterator[asyncpg.Connection]:
    lent = database.transaction() if kind == "transaction" else database.reads.acquire()
    async with lent as connection:
        yield connection


kinds = pytest.mark.parametrize("kind", ["transaction", "read"])


@kinds
async def test_a_bug_never_looks_like_a_database_that_is_away(database: Database, kind: str) -> None:
    async def wrong_argument(connection: asyncpg.Connection) -> None:
        await connection.fetchval("SELECT $1::int", "one")

    async def two_at_once(connection: asyncpg.Connection) -> None:
        both = (connection.fetchval("SELECT pg_sleep(0.01)") for _ in range(2))
        _, second = await asyncio.gather(*both, return_exceptions=True)
        raise second

    async def wrong_path(_connection: asyncpg.Connection) -> None:
        await asyncio.to_thread(Path("/nowhere/at-all").read_bytes)

    async def peer_of_its_own(_connection: asyncpg.Connection) -> None:
        raise ConnectionResetError("somebody else's connection")

    for bug in (wrong_argument, two_at_once, wrong_path, peer_of_its_own):
        with pytest.raises((asyncpg.DataError, asyncpg.InterfaceError, OSError)) as found:
            async with of_either_kind(database, kind) as connection:
                await bug(connection)
        assert not isinstance(found.value, UNAVAILABLE), bug
    async with of_either_kind(database, kind) as connection:
        assert await connection.fetchval("SELECT 1") == 1


@kinds
async def test_a_connection_that_is_lost_amid_a_statement_or_between_two_is_a_database_that_is_away(
    database: Database, kind: str
) -> None:
    async def lose(under_way: str) -> None:
        async with of_either_kind(database, kind) as connection:
            pid = await connection.fetchval(PID)
            waiting = asyncio.create_task(connection.fetchval(under_way))
            await asyncio.wait([waiting], timeout=0.1)
            admin = await asyncpg.connect(database.dsn)
            await admin.execute("SELECT pg_terminate_backend($1, 30000)", pid)
            await admin.close()
            await waiting
            while True:  # until the loss is noticed here
                await connection.fetchval("SELECT 1")

    for under_way in ("SELECT pg_sleep(60)", "SELECT 1"):
        with pytest.raises(UNAVAILABLE):
            await lose(under_way)
    async with of_either_kind(database, kind) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_database_that_refuses_connections_is_away() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(DatabaseAway):
            await Database.connect(f"postgresql://u:p@127.0.0.1:{nobody.getsockname()[1]}/d")


async def test_a_statement_that_is_not_answered_in_time_is_a_database_that_is_away(database: Database) -> None:
    with pytest.raises(DatabaseAway):
        async with database.transaction() as db:
            await db.fetchval("SELECT pg_sleep(60)", timeout=0.05)
    with pytest.raises(DatabaseAway):
        async with database.reads.acquire() as connection:
            await connection.fetchval("SELECT pg_sleep(60)", timeout=0.05)
