"""Which days to ask an ERP for, and which files to read."""

import glob
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from altcredit_connector.config import ConfigError

DAY = timedelta(days=1)
FIRST_LOAD = timedelta(days=731)
"""How far back a first load reads unless told otherwise: two years."""


def default_start(today: date) -> date:
    """Return the first day of a first load."""
    return today - FIRST_LOAD


def periods(first: date, today: date, *, days: int) -> Iterator[tuple[date, date, date | None]]:
    """Yield ``(from, to, complete)`` from ``first`` to ``today`` in pieces of at most ``days`` days.

    ``complete`` is the last day of the piece that is over: today is read, but read again tomorrow; None if no day is.
    """
    while first <= today:
        last = min(first + timedelta(days=days - 1), today)
        complete = min(last, today - DAY)
        yield first, last, complete if complete >= first else None
        first = last + DAY


def found(patterns: tuple[str, ...]) -> list[Path]:
    """Return the files that the patterns name, oldest first; raises ``ConfigError`` if there are none."""
    paths = {Path(name) for pattern in patterns for name in glob.glob(pattern)}
    if not paths:
        raise ConfigError(f"no file matches {', '.join(patterns) or 'nothing: name the export files'}")
    return sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name))
