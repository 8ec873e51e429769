"""What a person at the terminal reads when a command is refused."""

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
