import asyncio
import uuid
from datetime import timedelta

import pytest
from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.models import Job
from pgqueuer.domain.types import QueueEntrypoint, QueueManagerId
from pgqueuer.ports.repository import EntrypointExecutionParameter

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


async def pick(database: Database, name: str, worker: uuid.UUID) -> list[Job]:
    """Take what a worker would take."""
    return await Queries(AsyncpgPoolDriver(database.writes)).dequeue(
        batch_size=10,
        entrypoints={QueueEntrypoint(name): EntrypointExecutionParameter(concurrency_limit=0)},
        queue_manager_id=QueueManagerId(worker),
        global_concurrency_limit=None,
        heartbeat_timeout=timedelta(minutes=1),
    )


async def test_a_job_that_takes_another_in_starts_after_its_transaction(database: Database) -> None:
    worker = uuid.uuid4()
    async with database.transaction() as db:
        first = await jobs.enqueue(db, "keyed", {}, dedupe_key="k")
    async with database.transaction() as db:
        assert await jobs.enqueue(db, "keyed", {}, dedupe_key="k") == first
        assert await pick(database, "keyed", worker) == []
    (job,) = await pick(database, "keyed", worker)
    async with database.transaction() as db:
        await jobs.begin(database.reads, job_ids=[job.id])
    async with database.transaction() as db:
        assert await jobs.enqueue(db, "keyed", {}, dedupe_key="k") != first


async def test_a_job_that_begins_while_another_joins_it_waits_for_it(database: Database) -> None:
    """Between being picked and being begun a job still takes others in; beginning then waits for their transactions."""
    async with database.transaction() as db:
        await jobs.enqueue(db, "keyed", {}, dedupe_key="k")
    (job,) = await pick(database, "keyed", uuid.uuid4())

    async with database.transaction() as db:
        await jobs.enqueue(db, "keyed", {"n": 2})
    (other,) = await pick(database, "keyed", uuid.uuid4())

    async def begin() -> list[jobs.Payload]:
        return await jobs.begin_alone(database.reads, job_id=job.id)

    async with database.transaction() as db:
        assert await jobs.enqueue(db, "keyed", {}, dedupe_key="k") == job.id
        together = await jobs.begin(database.reads, job_ids=[job.id, other.id])
        assert together == {other.id: [{"n": 2}]}, "it holds up no other"
        beginning = asyncio.create_task(begin())
        done, _ = await asyncio.wait([beginning], timeout=0.3)
        assert not done
    assert await beginning == [{}]


async def test_a_merged_job_is_halved_at_each_further_try(database: Database) -> None:
    async with database.transaction() as db:
        for n in range(5):
            await jobs.enqueue(db, "merged", {"n": n})
    job_id = await database.reads.fetchval("SELECT min(id) FROM pgqueuer")
    await database.writes.execute("UPDATE pgqueuer SET status = 'picked' WHERE id = $1", job_id)

    async def begin(attempts: int) -> list[int]:
        async with database.transaction() as db:
            await db.execute("UPDATE pgqueuer SET attempts = $2 WHERE id = $1", job_id, attempts)
            payloads = await jobs.begin_merging(db, job_id=job_id, name="merged", attempts=attempts)
        return [payload["n"] for payload in payloads]

    assert await begin(0) == [0, 1, 2, 3, 4]
    assert await begin(1) == [0, 1]
    assert await begin(2) == [0]
    assert await begin(3) == [0]
    left = [tuple(row) for row in await database.reads.fetch(WAITING.replace("entrypoint,", "attempts,"))]
    assert left == [(1, '[{"n":2},{"n":3},{"n":4}]'), (2, '[{"n":1}]')]


async def test_only_the_jobs_of_workers_that_are_gone_are_adopted(database: Database) -> None:
    alive, gone = uuid.uuid4(), uuid.uuid4()
    jobs_of: dict[uuid.UUID, int] = {}
    async with jobs.alive(database.dsn, workers=[str(alive)]):
        for worker in (alive, gone):
            async with database.transaction() as db:
                jobs_of[worker] = await jobs.enqueue(db, "any", {})
            assert len(await pick(database, "any", worker)) == 1
        async with database.transaction() as db:
            assert await jobs.adopt(db) == 1
        queued = await database.reads.fetch("SELECT id, attempts FROM pgqueuer WHERE status = 'queued'")
        assert [tuple(row) for row in queued] == [(jobs_of[gone], 1)]
    async with database.transaction() as db:
        assert await jobs.adopt(db) == 1
