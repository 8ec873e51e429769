import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from altcredit.runtime.db import Database

ROOT = Path(__file__).parents[2]


async def until(condition: Callable[[], Awaitable[Any]], *, seconds: float = 120) -> Any:
    """Wait until a condition holds and return what it returned; fail when it does not hold in time."""
    async with asyncio.timeout(seconds):
        while not (value := await condition()):  # noqa: ASYNC110 - the condition is in another process
            await asyncio.sleep(0.02)
        return value


class Fleet:
    """Worker processes on a test's database, and what their jobs noted."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.workers: list[subprocess.Popen[bytes]] = []
        self.home = tempfile.mkdtemp(prefix="altcredit-worker-")
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the fixture

    def start(self, *settings: str, dsn: str = "") -> subprocess.Popen[bytes]:
        environ = os.environ | {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("src", "."))}
        argv = [sys.executable, "-m", "tests.worker.program", dsn or self.database.dsn]
        argv += [f"ALTCREDIT_HOME={self.home}", *settings]
        worker = subprocess.Popen(argv, env=environ, stdout=self.log, stderr=self.log)
        self.workers.append(worker)
        return worker

    async def noted(self, job: str) -> list[int]:
        rows = await self.database.reads.fetch("SELECT n FROM noted WHERE job = $1 ORDER BY n", job)
        return [row["n"] for row in rows]

    async def ready(self, count: int = 1) -> None:
        """Wait until so many workers hold the lock that shows them alive."""
        live = "SELECT count(*) >= $1 FROM pg_stat_activity WHERE application_name = 'altcredit worker' AND datname = current_database()"
        await until(lambda: self.database.reads.fetchval(live, count))


@pytest.fixture
async def fleet(database: Database) -> AsyncIterator[Fleet]:
    await database.writes.execute("CREATE TABLE noted (job text, n int, at timestamptz DEFAULT clock_timestamp())")
    fleet = Fleet(database)
    yield fleet
    for worker in fleet.workers:
        worker.kill()
        worker.wait()
    fleet.log.seek(0)
    print(fleet.log.read().decode()[-6000:])  # noqa: T201 - shown by pytest where a test fails
    fleet.log.close()
    shutil.rmtree(fleet.home)
