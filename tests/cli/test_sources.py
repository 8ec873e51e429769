"""The commands around sources, as an operator types them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from altcredit.cli import app

ROOT = Path(__file__).parents[2]
CPF = "39549600017"


def altcredit(*arguments: object) -> int:
    return app.main([str(one) for one in arguments], {}, lambda: b"")


@contextmanager
def _simulator(config: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTCREDIT_")}
    environ |= {"PYTHONPATH": str(ROOT / "src"), "ALTCREDIT_HOME": str(config.parent)}
    command = [sys.executable, "-m", "altcredit", "sources", "serve", "--port", "0", "--write-config", str(config)]
    process = subprocess.Popen([*command, *options], env=environ, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 30
        while not config.exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_the_simulator_is_checked_and_stops_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "sources.toml"
    with _simulator(config) as process:
        monkeypatch.setenv("ALTCREDIT_SOURCES", str(config))
        assert altcredit("sources", "check", "--cpf", CPF, "--json") == 0
        rows = json.loads(capsys.readouterr().out)
        assert {row["source"]: row["state"] for row in rows if row["state"] != "answered"} == {
            "scr": "not_asked",
            "open_finance": "not_asked",
        }
        assert altcredit("sources", "check", "--cpf", CPF, "--authorisation", "aut-1", "--json") == 0
        rows = json.loads(capsys.readouterr().out)
        assert (len(rows), sum(row["price_centavos"] for row in rows)) == (7, 560)

        base_url = config.read_text().split('base_url = "')[1].split('"')[0]
        httpx2.put(f"{base_url}/control", json={"source": "registration", "down": True}).raise_for_status()
        assert altcredit("sources", "check", "--cpf", CPF, "--json") == 1
        rows = {row["source"]: row for row in json.loads(capsys.readouterr().out)}
        assert (rows["registration"]["state"], rows["registration"]["problem"]) == ("failed", "status 503")

        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_the_list_shows_terms_and_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sources.toml"
    file.write_text("[scr]\nbase_url = 'https://provider.example'\npath = '/scr'\nprice_centavos = 77\n")
    monkeypatch.setenv("ALTCREDIT_SOURCES", str(file))
    assert altcredit("sources", "list", "--json") == 0
    rows = {row["source"]: row for row in json.loads(capsys.readouterr().out)}
    assert len(rows) == 7
    assert (rows["scr"]["address"], rows["scr"]["price_centavos"]) == ("https://provider.example/scr", 77)
    assert (rows["registration"]["address"], rows["registration"]["price_centavos"]) == (None, 15)


@pytest.mark.parametrize("options", [["--errors", "2"], ["--client-ca", "x.pem"], ["--cert", "none.pem"]])
def test_a_simulator_that_makes_no_sense_is_refused(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert altcredit("sources", "serve", "--port", "0", *options) == app.REFUSED


@pytest.mark.parametrize("cpf", ["3954960001", "395.496.000-17", "abcdefghijk", "٣٩٥٤٩٦٠٠٠١٧", ""])
def test_no_provider_is_paid_for_a_mistyped_cpf(cpf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert altcredit("sources", "check", f"--cpf={cpf}") == 3
    assert "eleven digits" in capsys.readouterr().err
