from datetime import timedelta

import pytest
from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from pgqueuer.adapters.persistence.queries import Queries

from altcredit.runtime import jobs
from altcredit.runtime.db import Database

WAITING = (
    "SELECT entrypoint, convert_from(payload, 'utf8') AS payload FROM pgqueuer WHERE status = 'queued' ORDER BY id"
)


async def test_the_migrated_queue_is_the_one_that_the_installed_pgqueuer_declares(database: Database) -> None:
    plan = await Queries(AsyncpgPoolDriver(database.writes)).plan_upgrade()
    assert (plan.statements, plan.notes) == ((), ())


async def test_a_job_vanishes_with_the_transaction_that_queued_it(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as db:
            await jobs.enqueue(db, "altscore.refresh", {"batch_id": "bat_1"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await database.reads.fetch(WAITING) == []


async def test_a_waiting_job_takes_in_another_of_its_key_and_the_earlier_time_counts(database: Database) -> None:
    async with database.transaction() as db:
        first = await jobs.enqueue(db, "altscore.nightly", {}, execute_after=timedelta(hours=1), dedupe_key="nightly")
    async with database.transaction() as db:
        assert await jobs.enqueue(db, "altscore.nightly", {}, dedupe_key="nightly") == first
    assert len(await database.reads.fetch(WAITING)) == 1
    assert await database.reads.fetchval("SELECT execute_after <= now() FROM pgqueuer")
    assert await database.reads.fetchval("SELECT count(*) FROM pgqueuer_log") == 1
