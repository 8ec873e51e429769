"""The commands of compliance, as an operator types them."""

import json
from pathlib import Path

import pytest

from altcredit.cli import app


@pytest.fixture
def installation(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALTCREDIT_HOME", str(tmp_path))
    monkeypatch.setenv("ALTCREDIT_DATABASE_URL", database_url)
    monkeypatch.setenv("ALTCREDIT_RESIDENCY", "IN")
    return tmp_path


def altcredit(*arguments: object) -> int:
    return app.main([str(one) for one in arguments], {}, lambda _: b"")


def test_a_report_is_written_as_json_and_as_a_page(installation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = installation / "report.html"
    assert altcredit("compliance", "report", "--from", "2026-01-01", "--to", "2026-02-01") == 0
    said = json.loads(capsys.readouterr().out)
    assert len(said["sections"]) == 15
    assert next(one["value"] for one in said["sections"][0]["figures"] if one["name"] == "residency") == "IN"
    arguments = ("--from", "2026-01-01", "--to", "2026-02-01", "--format", "html", "--out", page)
    assert altcredit("compliance", "report", *arguments) == 0
    assert "15. Exceptions" in page.read_text()
    assert page.stat().st_mode & 0o077 == 0
    assert altcredit("compliance", "report", "--from", "2026-02-01", "--to", "2026-01-01") == app.REFUSED


def test_a_breach_goes_from_entry_to_close(installation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert installation
    add = ("compliance", "breach", "add", "disk lost", "--occurred", "2026-01-01T00:00", "--severity", "low", "--json")
    assert altcredit(*add) == 0
    breach_id = json.loads(capsys.readouterr().out)["breach_id"]
    assert altcredit("compliance", "breach", "close", breach_id, "--note", "n") == app.REFUSED
    assert altcredit("compliance", "breach", "told", breach_id, "both") == 0
    assert altcredit("compliance", "breach", "close", breach_id, "--note", "n") == 0
    capsys.readouterr()
    assert altcredit("compliance", "breach", "list", "--json") == 0
    assert [one["overdue"] for one in json.loads(capsys.readouterr().out)] == [False]


def test_erasures_and_exports_of_nobody_are_refused(installation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert installation
    assert altcredit("compliance", "erasure", "run", "--json") == 0
    assert altcredit("compliance", "erasure", "status", "--json") == 0
    assert capsys.readouterr().out.split() == ["[]", "[]"]
    assert altcredit("compliance", "erasure", "status", "era_0000000000000000") == app.REFUSED
    assert altcredit("compliance", "export", "ret_0000000000000000") == app.REFUSED
