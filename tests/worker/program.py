"""A worker over jobs made for tests: ``python -m tests.worker.program DSN [SETTING=VALUE …]``."""

import asyncio
import os
import signal
import sys
import time

from altcredit.runtime import jobs, log
from altcredit.runtime.db import Connection
from altcredit.runtime.jobs import Payload
from altcredit.runtime.outbox import Event
from altcredit.runtime.settings import load
from altcredit.worker import HANDLERS, Handler, Schedule, Work, run

NOTE = "INSERT INTO noted (job, n) VALUES ($1, $2)"


async def note(work: Work, payloads: list[Payload]) -> None:
    async with work.platform.database.transaction() as db:
        for payload in payloads:
            await db.execute(NOTE, "note", payload.get("n"))


async def slow(work: Work, payloads: list[Payload]) -> None:
    """Keep a processor busy for a while, in a thread."""
    (payload,) = payloads
    async with work.platform.database.transaction() as db:
        await db.execute(NOTE, "begun", payload["n"])
    await asyncio.to_thread(busy, payload["seconds"])
    async with work.platform.database.transaction() as db:
        await db.execute(NOTE, "slow", payload["n"])


def busy(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


async def merge(work: Work, payloads: list[Payload]) -> None:
    """Note how many came together, then each of them; a bad one spoils the run."""
    async with work.platform.database.transaction() as db:
        await db.execute(NOTE, "run", len(payloads))
    await asyncio.sleep(max(payload.get("seconds", 0) for payload in payloads))
    if any(payload.get("bad") for payload in payloads):
        raise ValueError("a bad payload")
    async with work.platform.database.transaction() as db:
        for payload in payloads:
            await db.execute(NOTE, "merge", payload["n"])


async def fail(work: Work, payloads: list[Payload]) -> None:
    """Fail until a note of the job's number allows it to succeed."""
    async with work.platform.database.transaction() as db:
        if not await db.fetchval("SELECT count(*) FROM noted WHERE job = 'allowed' AND n = $1", payloads[0]["n"]):
            raise RuntimeError("not allowed yet")
        await db.execute(NOTE, "fail", payloads[0]["n"])


async def kill(_work: Work, _payloads: list[Payload]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def on_event(db: Connection, event: Event) -> None:
    await jobs.enqueue(db, "test.note", {"n": event.data["n"]})


def main() -> None:
    log.configure("info")
    dsn, *rest = sys.argv[1:]
    environ = dict(one.split("=", 1) for one in rest)
    ours = {
        "test.note": Handler(run=note),
        "test.slow": Handler(run=slow),
        "test.merge": Handler(run=merge, merging=True, at_once=1),
        "test.fail": Handler(run=fail),
        "test.kill": Handler(run=kill),
    }
    schedules = (Schedule(job="test.note", cron="* * * * * *"),) if "TEST_SCHEDULE" in environ else ()
    settings = load({"ALTCREDIT_DATABASE_URL": dsn} | environ)
    run(settings, dsn, {"thing.happened": (on_event,)}, handlers={**HANDLERS, **ours}, schedules=schedules)


if __name__ == "__main__":
    main()
