"""What a person at the terminal reads when a command is refused."""

from pathlib import Path

import pytest

from altcredit.cli import app
from altcredit.runtime.refusal import Detail, Refusal


class Refused(Refusal):
    """As a command refuses."""


def said(refusal: Refusal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    def build(*_: object, **__: object) -> object:
        def run(*_arguments: object, **_options: object) -> None:
            raise refusal

        return run

    monkeypatch.setattr(app, "build", build)
    assert app.main([], {}, lambda _product: b"") == app.REFUSED
    return capsys.readouterr().err.splitlines()


def test_a_refusal_is_one_line_however_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "a word and another " * 20
    assert said(Refused(text.strip()), monkeypatch, capsys) == [f"Refused: Refused: {text.strip()}"]


def test_a_detail_that_says_nothing_new_is_not_said_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    details = (Detail("$.url", "no TLS"), Detail("$.name", "too long"))
    lines = said(Refused("no TLS", details=details), monkeypatch, capsys)
    assert lines == ["Refused: Refused: no TLS", "  $.name: too long"]


@pytest.mark.parametrize(
    "command",
    ["keys list", "keys rewrap", "keys drop-keks", "db upgrade", "db dump {}/dump", "backup {}/backup", "audit verify"],
)
def test_a_database_that_is_away_is_said_in_a_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALTCREDIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ALTCREDIT_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    arguments = [word.format(tmp_path) for word in command.split()]
    assert app.main(arguments, {}, lambda _product: b"") == app.FAILED
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("The database is away: no connection")
    assert not any("Traceback" in line for line in said)
