import asyncio

import asyncpg
import pytest

from altcredit.runtime.db import UNAVAILABLE, Database

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
