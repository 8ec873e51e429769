"""Workers as real processes on a real database."""

import asyncio
import os
import re
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import psutil
import pytest
from pgqueuer.core.executors import ScheduleExecutorFactoryParameters
from pgqueuer.domain.types import CronEntrypoint, CronExpression

from altcredit import subscriptions
from altcredit.engine import identity
from altcredit.runtime import jobs, outbox, schema
from altcredit.runtime.certificates import Authority
from altcredit.runtime.db import Database
from altcredit.runtime.platform import opened
from altcredit.runtime.postgres import Server
from altcredit.runtime.settings import load
from altcredit.worker import HANDLERS, SCHEDULES
from altcredit.worker.queue import InIndia
from tests.happening import Happened
from tests.worker.conftest import Fleet, until

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
OUTCOMES = "SELECT status::text FROM pgqueuer_log WHERE job_id = $1 ORDER BY id"


async def test_a_committed_job_is_run_once_and_leaves_the_queue(database: Database, fleet: Fleet) -> None:
    fleet.start()
    await fleet.ready()
    async with database.transaction() as db:
        job_id = await jobs.enqueue(db, "test.note", {"n": 7})
    await until(lambda: fleet.noted("note"))
    await until(lambda: database.reads.fetchval("SELECT count(*) = 0 FROM pgqueuer"))
    assert await fleet.noted("note") == [7]
    outcomes = [row["status"] for row in await database.reads.fetch(OUTCOMES, job_id)]
    assert outcomes == ["queued", "picked", "successful"]


async def test_variables_with_common_names_do_not_mislead_the_queue(
    database: Database, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CHANNEL", "QUEUE_TABLE", "SCHEDULES_TABLE", "PGQUEUER_PREFIX"):
        monkeypatch.setenv(name, "elsewhere_")
    fleet.start()
    await fleet.ready()
    async with database.transaction() as db:
        await jobs.enqueue(db, "test.note", {"n": 7})
    await until(lambda: fleet.noted("note"), seconds=4)


async def test_a_killed_workers_job_is_done_by_another_within_seconds(database: Database, fleet: Fleet) -> None:
    first = fleet.start()
    await fleet.ready()
    async with database.transaction() as db:
        await jobs.enqueue(db, "test.slow", {"n": 1, "seconds": 1})
    await until(lambda: fleet.noted("begun"))
    fleet.start()
    await fleet.ready(2)
    first.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    await until(lambda: fleet.noted("slow"))
    assert await fleet.noted("slow") == [1]
    assert time.monotonic() - killed < 15  # by its heartbeat it would be missed after 60


async def test_a_worker_that_is_told_to_stop_finishes_what_it_has_begun(database: Database, fleet: Fleet) -> None:
    worker = fleet.start()
    await fleet.ready()
    async with database.transaction() as db:
        await jobs.enqueue(db, "test.slow", {"n": 1, "seconds": 1})
    await until(lambda: fleet.noted("begun"))
    worker.send_signal(signal.SIGTERM)
    async with database.transaction() as db:
        await jobs.enqueue(db, "test.note", {"n": 2})
    assert await asyncio.to_thread(worker.wait, 15) == 0
    assert await fleet.noted("slow") == [1]
    left = await database.reads.fetch("SELECT entrypoint FROM pgqueuer WHERE status = 'queued'")
    assert [row["entrypoint"] for row in left] == ["test.note"]


async def test_a_failing_job_is_tried_again_until_it_succeeds(database: Database, fleet: Fleet) -> None:
    fleet.start()
    await fleet.ready()
    async with database.transaction() as db:
        await jobs.enqueue(db, "test.fail", {"n": 1})
    await until(lambda: database.reads.fetchval("SELECT attempts FROM pgqueuer"))
    await database.writes.execute("INSERT INTO noted (job, n) VALUES ('allowed', 1)")
    await until(lambda: fleet.noted("fail"))
    await until(lambda: database.reads.fetchval("SELECT count(*) = 0 FROM pgqueuer"))


async def test_a_job_that_keeps_failing_is_held_and_runs_when_released(database: Database, fleet: Fleet) -> None:
    async with database.transaction() as db:
        job_id = await jobs.enqueue(db, "test.fail", {"n": 1})
        await db.execute("UPDATE pgqueuer SET attempts = $1", jobs.ATTEMPTS - 1)
    fleet.start()

    async def held() -> list[jobs.HeldJob]:
        async with database.transaction() as db:
            return await jobs.held(db)

    (job,) = await until(held)
    assert (job.id, job.job, job.payload, job.problem) == (job_id, "test.fail", '{"n":1}', "not allowed yet")
    await database.writes.execute("INSERT INTO noted (job, n) VALUES ('allowed', 1)")
    async with database.transaction() as db:
        assert await jobs.release(db, job_ids=[job_id]) == 1
    await until(lambda: fleet.noted("fail"))


async def test_a_job_that_kills_its_worker_does_not_do_so_for_ever(database: Database, fleet: Fleet) -> None:
    async with database.transaction() as db:
        await jobs.enqueue(db, "test.kill", {})
        await db.execute("UPDATE pgqueuer SET attempts = $1", jobs.ATTEMPTS - 2)
    for _ in range(2):
        worker = fleet.start()
        assert await asyncio.to_thread(worker.wait, 20) == -signal.SIGKILL
    fleet.start()
    await until(lambda: database.reads.fetchval("SELECT status = 'failed' FROM pgqueuer"))


async def test_jobs_that_wait_are_merged_into_one_run(database: Database, fleet: Fleet) -> None:
    fleet.start()
    await fleet.ready()
    async with database.transaction() as db:
        await jobs.enqueue(db, "test.merge", {"n": 0, "seconds": 1})
    await until(lambda: fleet.noted("run"))
    for n in range(1, 41):
        async with database.transaction() as db:
            await jobs.enqueue(db, "test.merge", {"n": n})
    await until(lambda: database.reads.fetchval("SELECT count(*) = 41 FROM noted WHERE job = 'merge'"))
    assert await fleet.noted("merge") == list(range(41))
    assert await fleet.noted("run") == [1, 40]


async def test_a_bad_payload_does_not_hold_up_those_it_was_merged_with(database: Database, fleet: Fleet) -> None:
    async with database.transaction() as db:
        for n in range(8):
            await jobs.enqueue(db, "test.merge", {"n": n, "bad": n == 5})
    fleet.start()
    good = [n for n in range(8) if n != 5]
    await until(lambda: database.reads.fetchval("SELECT count(*) = 7 FROM noted WHERE job = 'merge'"), seconds=40)
    assert await fleet.noted("merge") == good
    await until(lambda: database.reads.fetchval("SELECT count(*) = 1 FROM pgqueuer"))
    (left,) = await database.reads.fetch("SELECT convert_from(payload, 'utf8') AS payload FROM pgqueuer")
    assert left["payload"] == '[{"n":5,"bad":true}]'


async def test_nothing_is_lost_or_left_when_workers_are_killed_again_and_again(
    database: Database, fleet: Fleet
) -> None:
    for n in range(300):
        async with database.transaction() as db:
            await jobs.enqueue(db, "test.note", {"n": n})
    for kill in range(1, 5):
        worker = fleet.start()
        done = 50 * kill
        await until(lambda done=done: database.reads.fetchval("SELECT count(*) >= $1 FROM noted", done))
        worker.kill()
    fleet.start()
    await until(lambda: database.reads.fetchval("SELECT count(*) = 0 FROM pgqueuer"), seconds=40)
    assert set(await fleet.noted("note")) == set(range(300))


async def test_a_schedule_queues_its_job(database: Database, fleet: Fleet) -> None:
    fleet.start("TEST_SCHEDULE=1")
    await until(lambda: fleet.noted("note"))


async def test_a_reaction_follows_its_event_at_once(database: Database, fleet: Fleet) -> None:
    fleet.start()
    await fleet.ready()
    async with database.transaction() as db:
        await outbox.publish(db, Happened(what="k", n=3), now=NOW)
    published = time.monotonic()
    await until(lambda: fleet.noted("note"))
    assert time.monotonic() - published < 4  # by polling it would be 5
    await until(lambda: database.reads.fetchval("SELECT reacted_at IS NOT NULL FROM outbox"))


async def test_an_idle_worker_is_small(fleet: Fleet) -> None:
    worker = fleet.start()
    await fleet.ready()
    resident = psutil.Process(worker.pid).memory_info().rss / 1e6
    print(f"idle worker: {resident:.0f} MB")  # noqa: T201
    assert resident < 90


async def test_a_worker_that_may_get_batches_loads_the_pipeline_before_the_first(
    database: Database, fleet: Fleet
) -> None:
    settings = load({"ALTCREDIT_DATABASE_URL": database.dsn, "ALTCREDIT_HOME": fleet.home})
    async with opened(settings, database.dsn) as platform, platform.database.transaction() as db:
        authority = Authority.open(settings, keyring=platform.keyring, now=NOW)
        await identity.add_distributor(
            db, keyring=platform.keyring, authority=authority, name="One", actor="test", now=NOW
        )
    worker = fleet.start()

    async def loaded() -> bool:
        # Not by seeking: the worker writes at the place that this file stands at.
        return b'"event":"pipeline_loaded"' in os.pread(fleet.log.fileno(), 1_000_000, 0)

    await until(loaded, seconds=240)
    resident = psutil.Process(worker.pid).memory_info().rss / 1e6
    print(f"worker with the pipeline: {resident:.0f} MB")  # noqa: T201
    assert resident < 350


@pytest.fixture
def restartable() -> Iterator[Server]:
    home = Path(tempfile.mkdtemp(prefix="altcredit-restart-"))
    home.chmod(0o755)
    server = Server(home)
    yield server
    server.stop()
    shutil.rmtree(home)


async def test_a_worker_outlives_a_restart_of_the_database(fleet: Fleet, restartable: Server) -> None:
    server = restartable
    dsn = await asyncio.to_thread(server.start)
    await schema.upgrade(dsn)
    database = await Database.connect(dsn)
    await database.writes.execute("CREATE TABLE noted (job text, n int)")
    worker = fleet.start(dsn=dsn)
    async with database.transaction() as db:
        await jobs.enqueue(db, "test.slow", {"n": 1, "seconds": 4})
    await until(lambda: database.reads.fetchval("SELECT count(*) FROM noted"))
    await database.close()

    await asyncio.to_thread(server.stop)
    assert await asyncio.to_thread(server.start) == dsn

    database = await Database.connect(dsn)
    async with database.transaction() as db:
        await jobs.enqueue(db, "test.note", {"n": 2})
    for job in ("note", "slow"):
        await until(lambda job=job: database.reads.fetchval("SELECT count(*) FROM noted WHERE job = $1", job))
    await until(lambda: database.reads.fetchval("SELECT count(*) = 0 FROM pgqueuer"))
    await database.close()
    assert worker.poll() is None


async def test_kafka_being_away_holds_up_neither_jobs_nor_reactions(database: Database, fleet: Fleet) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        fleet.start(f"ALTCREDIT_KAFKA_BOOTSTRAP=127.0.0.1:{nobody.getsockname()[1]}")
        await fleet.ready()
        async with database.transaction() as db:
            await outbox.publish(db, Happened(what="k", n=3), now=NOW)
        await until(lambda: fleet.noted("note"))
        assert await database.reads.fetchval("SELECT published_at IS NULL FROM outbox")


async def test_a_worker_refuses_kafka_settings_that_it_could_never_use(fleet: Fleet) -> None:
    worker = fleet.start("ALTCREDIT_KAFKA_BOOTSTRAP=127.0.0.1:1", "ALTCREDIT_KAFKA_PROPERTIES=/nowhere/at-all")
    assert await asyncio.to_thread(worker.wait, 60) != 0
    fleet.log.seek(0)
    assert b"KafkaUnusable: ALTCREDIT_KAFKA_PROPERTIES: /nowhere/at-all cannot be read" in fleet.log.read()


def test_a_schedule_goes_by_the_clock_in_india() -> None:
    parameters = ScheduleExecutorFactoryParameters(
        entrypoint=CronEntrypoint("altscore.nightly"),
        expression=CronExpression("30 1 * * *"),
        func=note,
        clean_old=False,
    )
    late_evening_utc = datetime(2026, 11, 22, 19, 59, tzinfo=UTC)
    due = InIndia(parameters, clock=lambda: late_evening_utc).get_next()
    assert due == datetime(2026, 11, 22, 20, 0, tzinfo=UTC)


async def note(_due: object) -> None:
    raise AssertionError("never due")


def test_every_schedule_and_every_reaction_names_a_job_that_has_a_handler() -> None:
    assert {schedule.job for schedule in SCHEDULES} <= set(HANDLERS)
    queued = set(re.findall(r'enqueue\(db, "([a-z.]+)"', Path(subscriptions.__file__).read_text()))
    assert queued
    assert queued <= set(HANDLERS)


async def test_a_worker_tells_what_it_has_counted_over_tls(database: Database, fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    fleet.start(f"ALTCREDIT_WORKER_PORT={port}")
    fleet.start(f"ALTCREDIT_WORKER_PORT={port}")  # the second finds the address taken, and works all the same
    await fleet.ready(2)
    async with database.transaction() as db:
        await jobs.enqueue(db, "test.note", {"n": 7})
    await until(lambda: fleet.noted("note"))

    async def counted() -> bool:
        async with httpx2.AsyncClient(verify=False) as client:
            try:
                answer = await client.get(f"https://127.0.0.1:{port}/metrics")
            except httpx2.ConnectError:
                return False
            assert (await client.get(f"https://127.0.0.1:{port}/")).status_code == 404
        return answer.status_code == 200 and "altcredit_jobs_total" in answer.text

    await until(counted)
