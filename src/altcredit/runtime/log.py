"""
JSON lines on standard error, by structlog.

Only the fields of :data:`ALLOWED` are ever written: an identifier, a body or a query string that somebody adds to a
call is dropped, not logged. A route is logged as its template.
"""

import logging
import sys
import traceback
from typing import Any

import msgspec
import structlog

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
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_encode = msgspec.json.Encoder().encode
_threshold = 20


def _allow(_logger: Any, _method: str, fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {name: value for name, value in fields.items() if name in ALLOWED}


def _render(_logger: Any, _method: str, fields: structlog.typing.EventDict) -> str:
    return _encode(fields).decode()


def configure(level: str = "info") -> None:
    """Set up logging for this process; the standard library's loggers of our dependencies join at warning."""
    global _threshold  # noqa: PLW0603 - one logger a process
    _threshold = _LEVELS[level]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _allow,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_threshold),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Bridge()], force=True)


class _Bridge(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _logger.warning("library", reason=record.name, error=record.getMessage()[:300])


_logger = structlog.get_logger()


def request(**fields: Any) -> None:
    """Log one answered request; the fields are those of the allow-list."""
    _logger.info("request", **fields)


def info(event: str, **fields: Any) -> None:
    """Log something worth knowing."""
    _logger.info(event, **fields)


def warning(event: str, **fields: Any) -> None:
    """Log something an operator should look at."""
    _logger.warning(event, **fields)


def exception(event: str, problem: BaseException, **fields: Any) -> None:
    """Log a bug with the places it came through. The message of the exception may hold data and is left out."""
    places = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in _frames(problem)]
    _logger.error(event, error=type(problem).__name__, traceback=places[-12:], **fields)


def _frames(problem: BaseException) -> traceback.StackSummary:
    return traceback.extract_tb(problem.__traceback__)
