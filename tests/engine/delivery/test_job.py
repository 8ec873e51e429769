"""The worker's jobs, on a development installation of its own."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.engine.delivery.conftest import Post
from tests.receivers import context_for, hangs, receiving

from altcredit.runtime import clock
from altcredit.runtime.certificates import Authority
from altcredit.runtime.platform import Platform
from altcredit.runtime.settings import Settings
from altcredit.worker import delivery as jobs
from altcredit.worker.work import Kept, Work


@pytest.fixture
async def work(database_url: str, tmp_path: Path) -> AsyncIterator[Work]:
    settings = Settings(database_url=database_url, home=str(tmp_path))
    platform = await Platform.open(settings, database_url, now=clock.now())
    kept = Kept()
    yield Work(platform=platform, clock=clock.now, kept=kept)
    await kept.close()
    await platform.close()


async def test_the_job_sends_to_receivers_of_the_development_authority(work: Work, tmp_path: Path) -> None:
    """One partner's receiver hangs; the other's has its callback long before that one's time is over."""
    platform = work.platform
    authority = Authority.open(platform.settings, keyring=platform.keyring, now=clock.now())
    context = context_for(authority, tmp_path, "localhost")
    sender = await work.keep(jobs._sender)
    post = Post(platform.database, platform.keyring, sender, clock.now)  # type: ignore[arg-type]
    async with receiving(context) as well, receiving(context) as dead:
        await post.partner(well, "par_1")
        await post.partner(dead, "par_2")
        dead.behave = hangs
        dead.came.clear()
        well.came.clear()
        for partner_id in ("par_1", "par_2"):
            await post.submit(partner_id)
        payloads: list[dict[str, Any]] = [{"partner_id": "par_1"}, {"partner_id": "par_2"}]
        running = asyncio.create_task(jobs.send(work, payloads))
        async with asyncio.timeout(10):
            await well.came.wait()
            await dead.came.wait()
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert len(well.requests) == 1


async def test_what_lost_its_job_is_found(work: Work) -> None:
    platform = work.platform
    moment = datetime(2026, 11, 22, 12, tzinfo=UTC)
    post = Post(platform.database, platform.keyring, await work.keep(jobs._sender), lambda: moment)  # type: ignore[arg-type]
    await post.submit("par_1")
    await post.submit("par_2")
    async with platform.database.transaction() as db:
        await db.execute(
            "INSERT INTO callback_endpoint (partner_id, url, state, verified_at) VALUES ('par_1', 'https://a.example/', 'active', $1)",
            moment,
        )
    await post.clear_jobs()
    await jobs.sweep(Work(platform=platform, kept=work.kept, clock=lambda: moment + timedelta(minutes=4)), [{}])
    assert await post.jobs() == []
    await jobs.sweep(Work(platform=platform, kept=work.kept, clock=lambda: moment + timedelta(minutes=6)), [{}])
    payloads = await platform.database.reads.fetch("SELECT convert_from(payload, 'utf8') AS payload FROM pgqueuer")
    assert [row["payload"] for row in payloads] == ['{"partner_id":"par_1"}'], "nothing can be sent to the other one"
