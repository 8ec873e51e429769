"""How long the sealed logs are kept, as data (``retention.toml``)."""

from collections.abc import Mapping
from datetime import date
from importlib.resources import files
from typing import Annotated

import msgspec

from altcredit.engine.audit.head import Log


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One log's retention: ``months`` whole months after that of the row, and the reason."""

    name: Log
    months: Annotated[int, msgspec.Meta(ge=1, le=1200)]
    why: Annotated[str, msgspec.Meta(min_length=1)]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    log: tuple[Retention, ...]


def retention_from(text: str | bytes) -> Mapping[Log, Retention]:
    """Read a policy. Raises msgspec.DecodeError: it is not one."""
    return {one.name: one for one in msgspec.toml.decode(text, type=_File).log}


RETENTION: Mapping[Log, Retention] = retention_from(
    files("altcredit.engine.audit").joinpath("retention.toml").read_bytes()
)


def first_kept(today: date, months: int) -> date:
    """Return the first day of the oldest month that is kept."""
    number = today.year * 12 + today.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)
