"""What every part of the demo plays on: the steps as they are shown, and why it would not go on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from altcredit.cli.output import errors
from altcredit.runtime.refusal import Refusal


class DemoRefused(Refusal):
    """The demo will not run here; the message says why."""


class Steps:
    """Shows each step with the time it took."""

    def __init__(self) -> None:
        self.number = 0

    @contextmanager
    def __call__(self, title: str) -> "Iterator[Note]":
        """Show a step around a block; the block may note what came of it."""
        self.number += 1
        began, note = time.monotonic(), Note()
        with errors.status(f"[bold]{self.number:2}[/] {title} …"):
            yield note
        seconds = time.monotonic() - began
        errors.print(f"[green]✓[/] [bold]{self.number:2}[/] {title} [dim]{seconds:.1f} s[/]")
        for line in note.lines:
            errors.print(f"      [dim]{line}[/]", soft_wrap=True)


class Note:
    """What came of a step, a line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        """Add a line."""
        self.lines.append(line)
