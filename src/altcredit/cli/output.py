"""What commands print: results on standard output, everything else on standard error."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

errors = Console(stderr=True, highlight=False)
_console = Console(highlight=False)


def emit(data: Any, *, json: bool) -> None:
    """Print a result: JSON for machines, and otherwise a table (on a terminal) or ``key: value`` lines."""
    plain = msgspec.to_builtins(data)
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(plain), indent=2).decode() + os.linesep)
    elif isinstance(plain, Mapping):
        for name, value in plain.items():
            _console.print(f"[bold]{name}[/]: {escape(_text(value))}", soft_wrap=True)
    elif plain and sys.stdout.isatty():
        _console.print(_table(plain))
    else:
        for row in plain:
            sys.stdout.write("\t".join(_text(value) for value in row.values()) + os.linesep)


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table()
    for name in rows[0]:
        table.add_column(name)
    for row in rows:
        table.add_row(*(escape(_text(value)) for value in row.values()))
    return table


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(_text(one) for one in value)
    return str(value)


def say(text: str) -> None:
    """Tell the person at the terminal how it goes."""
    errors.print(text, markup=False, soft_wrap=True)
