"""The commands around jobs that gave up, as an operator types them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from altcredit.cli import app
from altcredit.runtime import jobs
from altcredit.runtime.db import Database


@pytest.fixture
def altcredit(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    monkeypatch.setenv("ALTCREDIT_DATABASE_URL", database_url)
    monkeypatch.setenv("ALTCREDIT_HOME", str(tmp_path))

    async def run(*arguments: str) -> tuple[int, str]:
        code = await asyncio.to_thread(app.main, arguments, {}, lambda _product: b"")
        return code, capsys.readouterr().out

    return run


async def gave_up(database: Database, count: int) -> None:
    async with database.transaction() as db:
        for number in range(count):
            await jobs.enqueue(db, "underwriting.run", {"request_id": f"uw_{number:016x}"})
        await db.execute("UPDATE pgqueuer SET status = 'failed', attempts = 12")


async def event_gave_up(database: Database) -> None:
    async with database.transaction() as db:
        await db.execute(
            "INSERT INTO outbox (event_id, type, key, data, created_at, attempts, problem)"
            " VALUES ('evt_1', 'thing.happened', 'dist_1', '{}', now(), 10, 'ValueError: no')"
        )


async def test_what_gave_up_is_listed_and_tried_again_one_by_one_or_all(altcredit: Any, database: Database) -> None:
    await gave_up(database, 3)
    await event_gave_up(database)
    rows = json.loads((await altcredit("jobs", "held", "--json"))[1])
    assert [row["kind"] for row in rows] == ["underwriting.run"] * 3 + ["thing.happened"]
    assert "uw_0000000000000001" in rows[1]["what"]
    assert (rows[3]["what"], rows[3]["problem"]) == ("dist_1", "ValueError: no")
    assert (await altcredit("jobs", "release", rows[1]["id"], "999999999"))[0] == 0
    waiting = "SELECT id::text FROM pgqueuer WHERE status = 'queued' AND attempts = 0"
    assert [row["id"] for row in await database.reads.fetch(waiting)] == [rows[1]["id"]]
    assert (await altcredit("jobs", "release", "--all"))[0] == 0
    assert json.loads((await altcredit("jobs", "held", "--json"))[1]) == []
    assert len(await database.reads.fetch(waiting)) == 3


@pytest.mark.parametrize("arguments", [(), ("1", "--all")])
async def test_what_is_to_be_tried_again_must_be_said(altcredit: Any, arguments: tuple[str, ...]) -> None:
    assert (await altcredit("jobs", "release", *arguments))[0] == app.REFUSED
