"""The jobs that come with the worker, each run once on a real installation."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from altcredit.runtime import jobs, outbox, quotas
from altcredit.runtime.platform import Platform
from altcredit.runtime.settings import Settings
from altcredit.worker import HANDLERS, Work
from altcredit.worker.work import Kept
from tests.happening import Happened

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.fixture
async def work(database_url: str, tmp_path: Path) -> AsyncIterator[Work]:
    settings = Settings(database_url=database_url, home=str(tmp_path))
    platform = await Platform.open(settings, database_url, now=NOW)
    yield Work(platform=platform, clock=lambda: NOW, kept=Kept())
    await platform.close()


@pytest.mark.parametrize(
    "job",
    ["keys.rotate", "partitions.create", "records.purge", "messaging.sweep", "messaging.purge", "grievances.escalate"],
)
async def test_a_scheduled_job_can_be_run_again_and_again(work: Work, job: str) -> None:
    for _ in range(2):
        await HANDLERS[job].run(work, [{}])


async def test_partitions_of_the_coming_months_are_made(work: Work) -> None:
    await HANDLERS["partitions.create"].run(work, [{}])
    for table in ("score_access_2026_12", "score_access_2027_01", "audit_event_2027_01"):
        assert await work.platform.database.reads.fetchval("SELECT to_regclass($1) IS NOT NULL", table), table


async def test_signing_keys_rotate_when_their_six_months_are_over(work: Work) -> None:
    keys = "SELECT array_agg(kid ORDER BY kid) FROM signing_key WHERE state = 'active'"
    before = await work.platform.database.reads.fetchval(keys)
    later = Work(platform=work.platform, clock=lambda: NOW + timedelta(days=200), kept=Kept())
    await HANDLERS["keys.rotate"].run(work, [{}])
    assert await work.platform.database.reads.fetchval(keys) == before
    await HANDLERS["keys.rotate"].run(later, [{}])
    after = await work.platform.database.reads.fetchval(keys)
    assert set(after).isdisjoint(before)
    audited = "SELECT subject FROM audit_event WHERE action = 'signing_key.active' AND actor = 'system:schedule'"
    assert {row["subject"] for row in await work.platform.database.reads.fetch(audited)} == set(after)


async def test_what_has_served_is_purged_and_nothing_else(work: Work) -> None:
    database = work.platform.database
    async with database.transaction() as db:
        for age in (8, 6):
            await outbox.publish(db, Happened(what=f"{age}"), now=NOW - timedelta(days=age))
        await outbox.react(db, {}, now=NOW)
        await jobs.enqueue(db, "any", {})
        await db.execute(
            "INSERT INTO pgqueuer_log (created, job_id, status, priority, entrypoint, aggregated) VALUES ($1, 0, 'successful', 0, 'old', true)",
            NOW - timedelta(days=15),
        )
    await HANDLERS["records.purge"].run(work, [{}])
    assert [row["key"] for row in await database.reads.fetch("SELECT key FROM outbox")] == ["6"]
    assert [row["entrypoint"] for row in await database.reads.fetch("SELECT entrypoint FROM pgqueuer_log")] == ["any"]


async def test_tries_of_a_minute_are_forgotten_within_the_hour_and_those_of_a_day_are_not(work: Work) -> None:
    counted = {
        name: quotas.Quota(name=name, limit=5, seconds=seconds) for name, seconds in (("minute", 60), ("day", 86_400))
    }
    then = NOW - timedelta(minutes=6)
    async with work.platform.database.transaction() as db:
        for quota in counted.values():
            await quotas.take(db, quota=quota, subject="token|lender_nobody", now=then)
    await HANDLERS["records.purge"].run(work, [{}])
    async with work.platform.database.transaction() as db:
        left = {
            name: (await quotas.peek(db, quota=quota, subject="token|lender_nobody", now=then)).remaining
            for name, quota in counted.items()
        }
    assert left == {"minute": 5, "day": 4}
