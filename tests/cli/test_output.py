"""What commands print."""

import pytest

from altcredit.cli.output import emit, say


def test_names_are_printed_as_they_are_whatever_brackets_they_hold(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"name": "Shah [Retail] [/] & Sons"}, json=False)
    say("Wrote [/tmp/x].")
    printed = capsys.readouterr()
    assert "name: Shah [Retail] [/] & Sons" in printed.out
    assert "Wrote [/tmp/x]." in printed.err
