"""The drill of docs/operating.md: an installation is lost, and goes on elsewhere from its backup."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from tests.api.conftest import PURPOSE, Feed, Installation, Shop, running
from tests.conftest import at, new_database
from tests.journeys.books import bills, period

from altcredit.cli import app
from altcredit.engine import audit, compliance, identity, retailers
from altcredit.runtime.certificates import Authority
from altcredit.runtime.keys import Keyring, create_key_file
from altcredit.runtime.settings import Settings

TODAY = datetime.now(UTC).date()
Altcredit = Callable[..., Awaitable[int]]


@pytest.fixture
async def elsewhere(server: str) -> AsyncIterator[str]:
    """Address of an empty database, as an operator makes one."""
    connection = await asyncpg.connect(server)
    await connection.execute("CREATE DATABASE elsewhere TEMPLATE template0")
    try:
        yield at(server, "elsewhere")
    finally:
        await connection.execute("DROP DATABASE elsewhere WITH (FORCE)")
        await connection.close()


@pytest.fixture
def altcredit(monkeypatch: pytest.MonkeyPatch) -> Altcredit:
    """Run a command as an operator does, with the settings in the environment."""

    async def run(settings: Settings, *arguments: object) -> int:
        for name, value in msgspec.to_builtins(settings).items():
            monkeypatch.setenv(f"ALTCREDIT_{name.upper()}", str(value))
        return await asyncio.to_thread(app.main, [str(one) for one in arguments], {}, lambda _product: b"")

    return run


async def seal(here: Installation) -> None:
    """Seal what is committed, as the worker does every few seconds."""
    path = here.platform.settings.audit_heads_path
    async with here.platform.database.transaction() as db:
        await audit.keep_heads(db, path=path)
    async with here.platform.database.transaction() as db:
        await audit.seal(db, keyring=here.platform.keyring, signing=here.platform.signing, now=datetime.now(UTC))
    async with here.platform.database.transaction() as db:
        await audit.keep_heads(db, path=path)


async def erase(here: Installation, shop: Shop) -> compliance.Erasure:
    async with here.platform.database.transaction() as db:
        return await compliance.request_erasure(
            db,
            keyring=here.platform.keyring,
            retailer_id=shop.retailer_id,
            requested_by="staff:stf_1",
            reason="asked",
            now=datetime.now(UTC),
        )


async def read(here: Installation, issued: identity.IssuedClient, shop: Shop) -> tuple[int, Any]:
    async with await here.signed_in(issued) as lender:
        answer = await lender.post("/v1/score", json={"retailer_id": shop.retailer_id, "purpose": PURPOSE})
        return answer.status_code, answer.json()


async def send(feed: Feed, mark: str) -> None:
    shop = {"retailer_ref": mark, "retailer_name": f"Shop {mark}"}
    first = TODAY - timedelta(days=60)
    sent = await feed.send(invoices=bills(shop, first=first, weeks=4, mark=mark), **period(first, TODAY))
    assert sent.status_code == 200, sent.text
    status = await feed.status(sent.json()["batch_id"])
    assert status.json()["accepted"] == 4, status.text


async def test_an_installation_that_is_lost_goes_on_elsewhere_from_its_backup(
    server: str, elsewhere: str, altcredit: Altcredit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, folder, listed = tmp_path / "safe" / "altcredit.keys", tmp_path / "backup", tmp_path / "erasures.json"
    create_key_file(keys)
    home = tmp_path / "here"
    async with new_database(server) as dsn:
        first = Settings(home=str(home), port=0, admin_port=0, database_url=dsn, key_file=str(keys), log_level="error")
        async with running(first) as here:
            lender = await here.lender()
            kept, known, late = [await here.shop() for _ in range(3)]
            for shop in (kept, known, late):
                await here.score(shop)
                await here.consent(shop, lender.client_id)
            before = await read(here, lender, kept)
            assert before[0] == 200, before
            pem = here.authority.pem
            async with here.distributor() as feed:
                issued = feed.issued
                await send(feed, "A")
                await erase(here, known)
                await seal(here)
                (home / "models" / "m").mkdir(parents=True)
                (home / "models" / "m" / "card.json").write_text("{}")
                assert await altcredit(first, "backup", folder) == 0
                assert await altcredit(first, "restore", folder, "--check") == 0
                # What comes after the backup is lost, and must not come back to haunt anybody.
                await erase(here, late)
                await send(feed, "B")
                await seal(here)
            capsys.readouterr()
            assert await altcredit(first, "compliance", "erasure", "status", "--json") == 0
            listed.write_text(capsys.readouterr().out)
            heads = here.platform.settings.audit_heads_path.read_bytes()
    shutil.rmtree(home)

    there = tmp_path / "there"
    second = Settings(
        home=str(there), port=0, admin_port=0, database_url=elsewhere, key_file=str(keys), log_level="error"
    )
    assert await altcredit(second, "restore", folder) == 0
    capsys.readouterr()
    assert await altcredit(second, "doctor", "--json") in (0, 1)
    found = {one["check"]: one for one in json.loads(capsys.readouterr().out)}
    assert all(found[name]["ok"] for name in ("settings", "database", "keys", "custody", "lake", "audit", "jobs")), (
        found
    )
    assert await altcredit(second, "audit", "verify") == 0
    capsys.readouterr()
    assert await altcredit(second, "compliance", "erasure", "repeat", listed, "--json") == 0
    again = {one["retailer_id"]: one["now"] for one in json.loads(capsys.readouterr().out)}
    assert again[known.retailer_id] == "known"
    assert again[late.retailer_id].startswith("era_")
    assert await altcredit(second, "compliance", "erasure", "repeat", listed) == 0, "again changes nothing"
    assert (there / "models" / "m" / "card.json").read_text() == "{}"

    async with running(second) as restored:
        assert restored.authority.pem == pem
        after = await read(restored, lender, kept)
        assert (after[0], after[1]["score_id"], after[1]["altscore"]) == (
            200,
            before[1]["score_id"],
            before[1]["altscore"],
        )
        assert (await read(restored, lender, known))[0] == 403
        assert (await read(restored, lender, late))[0] == 403
        async with restored.platform.database.transaction() as db:
            opened = await retailers.profile(db, keyring=restored.platform.keyring, retailer_id=kept.retailer_id)
            erasures = await compliance.erasures(db, open_only=True)
        assert opened.gstins == (kept.gstin,)
        assert {one.retailer_id for one in erasures} == {known.retailer_id, late.retailer_id}
        # The distributor's certificate, key and secret are those it has, and the batch that was lost comes again.
        async with restored.presenting(issued.certificate) as client:
            await send(Feed(issued, client), "B")
        await seal(restored)
        assert second.audit_heads_path.exists()
    assert await altcredit(second, "audit", "verify") == 0

    # Where the old file of heads is still there, it knows more than the database, and nothing is sealed past it.
    old = tmp_path / "independent" / "heads.jsonl"
    old.parent.mkdir()
    old.write_bytes(heads)
    third = Settings(
        home=str(there), database_url=elsewhere, key_file=str(keys), audit_heads=str(old), log_level="error"
    )
    capsys.readouterr()
    assert await altcredit(third, "doctor", "--json") == 1
    said = {one["check"]: one for one in json.loads(capsys.readouterr().out)}["audit"]
    assert not said["ok"]
    assert "altcredit audit resume" in said["finding"]
    assert await altcredit(third, "audit", "verify") == 1
    assert old.read_bytes() == heads
    assert await altcredit(third, "audit", "resume", "--reason", "the disk was lost") == 0
    assert heads in [path.read_bytes() for path in old.parent.iterdir()], "what was lost stays on record"
    assert await altcredit(third, "audit", "verify") == 0


async def test_a_backup_does_not_open_without_its_keys(
    server: str, elsewhere: str, altcredit: Altcredit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, other, folder = tmp_path / "keys", tmp_path / "other", tmp_path / "backup"
    create_key_file(keys)
    create_key_file(other)
    async with new_database(server) as dsn:
        first = Settings(home=str(tmp_path / "here"), database_url=dsn, key_file=str(keys), log_level="error")
        assert await altcredit(first, "keys", "list") == 0
        Authority.open(first, keyring=Keyring.open(first), now=datetime.now(UTC))
        assert await altcredit(first, "backup", folder) == 0
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for secret in (json.loads(keys.read_bytes())["root"], *json.loads(keys.read_bytes())["keks"]):
        assert secret.encode() not in everything
        assert bytes.fromhex(secret) not in everything
    wrong = Settings(home=str(tmp_path / "there"), database_url=elsewhere, key_file=str(other), log_level="error")
    assert await altcredit(wrong, "restore", folder) == app.REFUSED
    assert "key file of that time" in capsys.readouterr().err
    connection = await asyncpg.connect(elsewhere)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    finally:
        await connection.close()
    assert not (tmp_path / "there").exists()
