"""The sealer in the worker, and the commands, as an operator meets them."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.engine.audit.test_bundle import verified

from altcredit.cli import app
from altcredit.engine import audit
from altcredit.runtime.db import Database
from altcredit.runtime.platform import Platform, opened
from altcredit.runtime.settings import load
from altcredit.worker.audit import keep_sealing, seal_all
from altcredit.worker.work import Kept, Work


async def altcredit(*arguments: object) -> int:
    return await asyncio.to_thread(app.main, [str(one) for one in arguments], {}, lambda _product: b"")


@pytest.fixture
def environ(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    chosen = {
        "ALTCREDIT_HOME": str(tmp_path / "home"),
        "ALTCREDIT_DATABASE_URL": database_url,
        "ALTCREDIT_AUDIT_HEADS": str(tmp_path / "elsewhere" / "heads.jsonl"),
    }
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    return chosen


def work(platform: Platform) -> Work:
    return Work(platform=platform, clock=lambda: datetime.now(UTC), kept=Kept())


async def add(platform: Platform, count: int) -> None:
    async with platform.database.transaction() as db:
        for number in range(count):
            await audit.append(
                db, actor="cli:root", action="a.b", subject=str(number), details={}, now=datetime.now(UTC)
            )


async def test_an_operator_verifies_exports_and_is_told_what_is_broken(
    environ: dict[str, str], database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(load(environ), database.dsn) as platform:
        await add(platform, 12)
        assert await seal_all(work(platform), now=datetime.now(UTC)) == 1
        assert await seal_all(work(platform), now=datetime.now(UTC)) == 0
    assert len(Path(environ["ALTCREDIT_AUDIT_HEADS"]).read_bytes().splitlines()) == 1  # noqa: ASYNC240
    assert await altcredit("audit", "verify") == 0
    assert "12 rows, 0 purged, under 1 heads, 1 in the second place" in capsys.readouterr().err
    assert await altcredit("audit", "export", "--out", tmp_path / "bundle", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 12
    assert verified(tmp_path / "bundle")[0] == 0
    async with database.transaction() as db:
        await db.execute("SET LOCAL session_replication_role = replica")
        await db.execute("UPDATE audit_event SET actor = 'x' WHERE subject = '7'")
    assert await altcredit("audit", "verify", "--json") == app.FAILED
    said = json.loads(capsys.readouterr().out)
    assert (said["holds"], [(one["kind"], one["leaf"]) for one in said["findings"]]) == (False, [("edited", 7)])
    assert await altcredit("audit", "verify") == app.FAILED
    assert "edited: leaf 7: audit_event row" in capsys.readouterr().err


async def test_a_worker_seals_by_itself_and_goes_on_when_heads_disagree(
    environ: dict[str, str], database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("altcredit.worker.audit.SEAL_SECONDS", 0.01)
    second = Path(environ["ALTCREDIT_AUDIT_HEADS"])

    async def sealed(count: int) -> None:
        async with asyncio.timeout(20):
            while await database.reads.fetchval("SELECT count(*) FROM audit_leaf") != count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async with opened(load(environ), database.dsn) as platform:
        await add(platform, 3)
        sealing = asyncio.create_task(keep_sealing(work(platform)))
        await sealed(3)
        async with asyncio.timeout(20):
            while not second.exists():  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.01)
        good = second.read_bytes()  # noqa: ASYNC240
        second.write_bytes(good.replace(b'tree_size\\":3', b'tree_size\\":2'))  # noqa: ASYNC240
        await add(platform, 2)
        async with asyncio.timeout(20):
            while "audit_not_sealed" not in capsys.readouterr().err:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await database.reads.fetchval("SELECT count(*) FROM audit_leaf") == 3
        second.write_bytes(good)  # noqa: ASYNC240
        await sealed(5)
        sealing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sealing
