"""What the user sees: results on stdout, progress on stderr."""

import json
import sys
from collections import Counter
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from altcredit_connector.doctor import Check
from altcredit_connector.push import Reading
from altcredit_connector.quality import Quality
from altcredit_connector.sending import Outcomes

FILE_WIDTH = 160
"""Columns where the output is not a terminal: log files need not break lines."""
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else FILE_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)
ROWS_SHOWN = 20


class Shown:
    """Progress on stderr: a bar on a terminal, a line when something changes elsewhere; nothing with ``--json``."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._last = ""
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self._bar = Bar(*columns, console=err, disable=quiet or not err.is_terminal, transient=True)
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def sent(self, done: int, total: int) -> None:
        """Show how many of the queued batches have gone."""
        if self._task is None:
            self._task = self._bar.add_task("sending batches", total=total)
        self._bar.update(self._task, completed=done, total=total)
        if total and not err.is_terminal:
            self.say(f"sent {done} of {total} batches")

    def say(self, text: str) -> None:
        """Say what is going on, once."""
        if not self._quiet and text != self._last:
            self._last = text
            err.print(escape(text))


def as_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


def quality(report: Quality) -> None:
    """Print the data-quality report."""
    for line in report.summary():
        out.print(escape(line))
    rows = [
        *(
            (thing, f"{n:,}", reason, report.examples[f"{thing}:{reason}"])
            for (thing, reason), n in report.unusable.items()
        ),
        *(("note", f"{n:,}", what, report.examples[what]) for what, n in report.remarks.most_common()),
        *(("skipped", f"{n:,}", what, []) for what, n in report.skipped.most_common()),
    ]
    if rows:
        table = Table("", "count", "what", "for example", box=None, pad_edge=False, header_style="bold")
        for kind, count, what, examples in rows:
            table.add_row(kind, count, escape(what), escape("; ".join(examples[:2])))
        out.print(table)


def quarantine(records: list[dict[str, Any]]) -> None:
    """Print the records that AltScore put aside, with its reasons."""
    if not records:
        return
    table = Table("kind", "record", "field", "reason", box=None, pad_edge=False, header_style="bold")
    for record in records[:ROWS_SHOWN]:
        reason = f"{record.get('code', '')}: {record.get('message', '')}"
        cells = (
            str(record.get("kind", "")),
            str(record.get("record_id") or ""),
            str(record.get("field") or ""),
            reason,
        )
        table.add_row(*map(escape, cells))
    out.print(f"{len(records):,} records were put aside by AltScore; correct them in the ERP and push again:")
    out.print(table)
    if len(records) > ROWS_SHOWN:
        out.print(f"… and {len(records) - ROWS_SHOWN:,} more (all with --json)")


def outcomes(result: Outcomes) -> None:
    """Print what became of the batches."""
    written = sum(int(answer.get("written_to_bronze") or 0) for answer in result.finished.values())
    put_aside = sum(int(answer.get("quarantined") or 0) for answer in result.finished.values())
    out.print(f"{len(result.accepted):,} batches accepted, {written:,} records stored, {put_aside:,} put aside")
    for batch_id, answer in result.refused:
        out.print(
            f"[red]refused[/red] {batch_id}: {escape(json.dumps(answer.get('error', answer), ensure_ascii=False))}"
        )
    if result.unfinished:
        out.print(f"{len(result.unfinished):,} batches are still being processed; the next push will ask again")
    remarks = Counter(
        f"{warning.get('code')}: {warning.get('message')}" if isinstance(warning, dict) else str(warning)
        for answer in result.finished.values()
        for warning in answer.get("warnings") or ()
    )
    for text, count in remarks.most_common():
        out.print(f"[yellow]note[/yellow] {count:,} × {escape(text)}")


def troubles(reading: Reading, result: Outcomes | None) -> None:
    """Say on stderr what is left over and why."""
    for gap in reading.gaps:
        err.print(f"[yellow]gap[/yellow] no documents from {gap}: if there is an export of these days, push it too")
    if reading.failed:
        err.print(f"[red]not all was read[/red]: {escape(reading.failed)}")
    if result and result.stopped:
        err.print(f"[yellow]stopped[/yellow]: {escape(result.stopped)}; what is queued goes with the next push")


def checks(found: list[Check]) -> None:
    """Print one line a check, and under it what to do."""
    colours = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "dim"}
    for check in found:
        out.print(f"[{colours[check.verdict]}]{check.verdict:<4}[/]  {check.name:<20} {escape(check.detail)}")
        if check.todo:
            out.print(f"{'':28}→ {escape(check.todo)}")
