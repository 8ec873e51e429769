"""
JSON lines on standard error.

Only the fields of :data:`ALLOWED` are ever written: an identifier, a body or a query string that somebody adds to a
call is dropped, not logged. A route is logged as its template.
"""

import logging
import sys
import traceback
from typing import Any, Literal

import msgspec

from altcredit.runtime import clock

ALLOWED = frozenset(
    {
        "at",
        "level",
        "event",
        "method",
        "route",
        "status",
        "code",
        "ms",
        "request_id",
        "caller",
        "error",
        "traceback",
        "process",
        "pid",
        "address",
        "job",
        "job_id",
        "batch_id",
        "attempt",
        "count",
        "rows",
        "stage",
        "stages",
        "seconds",
        "version",
        "kid",
        "signal",
        "reason",
        "schedule",
        "topic",
        "port",
        "environment",
    }
)
Level = Literal["debug", "info", "warning", "error"]

_LEVELS: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_encode = msgspec.json.Encoder().encode
_threshold = 20


def configure(level: Level = "info") -> None:
    """Set up logging for this process; the standard library's loggers of our dependencies join at warning."""
    global _threshold  # noqa: PLW0603 - one logger a process
    _threshold = _LEVELS[level]
    logging.basicConfig(level=logging.WARNING, handlers=[_Bridge()], force=True)


class _Bridge(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        warning("library", reason=record.name, error=record.getMessage()[:300])


def _write(level: Level, event: str, fields: dict[str, Any]) -> None:
    if _LEVELS[level] < _threshold:
        return
    line = {"event": event, **{name: value for name, value in fields.items() if name in ALLOWED}}
    line["level"], line["at"] = level, clock.now()
    # One write a line: lines of several processes that share a file never mix.
    sys.stderr.write(_encode(line).decode() + "\n")
    sys.stderr.flush()


def request(**fields: Any) -> None:
    """Log one answered request; the fields are those of the allow-list."""
    _write("info", "request", fields)


def info(event: str, **fields: Any) -> None:
    """Log something worth knowing."""
    _write("info", event, fields)


def warning(event: str, **fields: Any) -> None:
    """Log something an operator should look at."""
    _write("warning", event, fields)


def exception(event: str, problem: BaseException, **fields: Any) -> None:
    """Log a bug with the places it came through. The message of the exception may hold data and is left out."""
    places = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in _frames(problem)]
    _write("error", event, {"error": type(problem).__name__, "traceback": places[-12:], **fields})


def _frames(problem: BaseException) -> traceback.StackSummary:
    return traceback.extract_tb(problem.__traceback__)
