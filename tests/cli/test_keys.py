"""The commands around keys, as an operator types them."""

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from altcredit.cli import app
from altcredit.runtime import clock
from altcredit.runtime.certificates import Authority
from altcredit.runtime.keys import KeyProvider, Keyring
from altcredit.runtime.settings import Settings

PRODUCTION = Settings(environment="production")


def altcredit(*arguments: object) -> int:
    return app.main([str(one) for one in arguments], {}, lambda _product: b"")


def test_a_created_key_file_is_fit_for_production_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "altcredit.keys"
    assert altcredit("keys", "create", file) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    root = KeyProvider.from_file(file, PRODUCTION).root
    assert altcredit("keys", "create", file) == app.REFUSED
    assert KeyProvider.from_file(file, PRODUCTION).root == root


@pytest.fixture
def at_home(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("ALTCREDIT_DATABASE_URL", database_url)
    monkeypatch.setenv("ALTCREDIT_HOME", str(tmp_path))
    monkeypatch.setenv("ALTCREDIT_KEY_FILE", str(tmp_path / "altcredit.keys"))

    async def run(*arguments: object) -> int:
        return await asyncio.to_thread(altcredit, *arguments)

    return run


async def test_an_older_key_goes_when_nothing_is_sealed_under_it_and_no_sooner(
    at_home: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "altcredit.keys"
    assert await at_home("keys", "create", file) == 0
    assert await at_home("keys", "list") == 0  # the first look makes signing keys, which are sealed
    first = KeyProvider.from_file(file, PRODUCTION)
    assert await at_home("keys", "add-kek", file) == 0
    assert await at_home("keys", "drop-keks") == app.REFUSED
    assert "signing_key.sealed_private" in capsys.readouterr().err
    assert await at_home("keys", "rewrap") == 0
    assert await at_home("keys", "drop-keks") == 0
    left = KeyProvider.from_file(file, PRODUCTION)
    assert (len(left.kek_ids), left.root) == (1, first.root)
    assert left.kek_id != first.kek_id
    assert await at_home("keys", "rotate", "--purpose", "consent") == 0, "what was sealed before still opens"


async def test_dropping_keys_brings_the_authority_that_lies_in_a_file_along(at_home: Any, tmp_path: Path) -> None:
    file = tmp_path / "altcredit.keys"
    assert await at_home("keys", "create", file) == 0
    settings = Settings(home=str(tmp_path), key_file=str(file))
    before = Authority.open(settings, keyring=Keyring.open(settings), now=clock.now()).pem
    for command in (("add-kek", file), ("rewrap",), ("drop-keks",)):
        assert await at_home("keys", *command) == 0
    assert Authority.open(settings, keyring=Keyring.open(settings), now=clock.now()).pem == before


async def test_doctor_says_in_whose_custody_the_keys_are(
    at_home: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "altcredit.keys"
    assert await at_home("keys", "create", file) == 0
    assert await at_home("keys", "add-kek", file) == 0
    await at_home("doctor", "--json")
    (said,) = [one for one in json.loads(capsys.readouterr().out) if one["check"] == "custody"]
    assert said["ok"]
    assert "not wrapped" in said["finding"]
    assert "1 older" in said["finding"]


async def test_a_leaked_signing_key_is_rotated_then_withdrawn(
    at_home: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await at_home("keys", "create", tmp_path / "altcredit.keys") == 0
    assert await at_home("keys", "rotate", "--json") == 0
    states = {one["state"]: one["kid"] for one in json.loads(capsys.readouterr().out)}
    assert await at_home("keys", "withdraw", states["active"]) == app.REFUSED
    assert await at_home("keys", "withdraw", states["retiring"]) == 0
    capsys.readouterr()
    assert await at_home("keys", "list", "--json") == 0
    assert [one["kid"] for one in json.loads(capsys.readouterr().out) if one["state"] == "gone"] == [states["retiring"]]
