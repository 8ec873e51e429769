from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import msgspec

from altcredit.engine.audit import store
from altcredit.engine.audit.event import AuditEvent
from altcredit.runtime.db import Connection


async def append(
    db: Connection, *, actor: str, action: str, subject: str, details: dict[str, Any], now: datetime
) -> None:
    """
    Record an action in the transaction of that action: neither happens without the other.

    ``actor`` and ``subject`` are ids (``lender_…``, ``staff:<name>``, ``cli:<user>``), ``action`` is
    ``<noun>.<past tense>``. ``details`` holds identifiers and plain values, never a secret and never personal data:
    rows cannot be changed or deleted.
    """
    await store.append(
        db, at=now, actor=actor, action=action, subject=subject, details=msgspec.json.encode(details).decode()
    )


async def append_all(
    db: Connection, *, actor: str, action: str, details: Mapping[str, dict[str, Any]], now: datetime
) -> None:
    """Record the same action on several subjects, each with its own details, as :func:`append` does for one."""
    await store.append_all(
        db,
        at=now,
        actor=actor,
        action=action,
        subjects=list(details),
        details=[msgspec.json.encode(one).decode() for one in details.values()],
    )


async def read(
    db: Connection,
    *,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: AuditEvent | None = None,
    limit: int = 100,
) -> list[AuditEvent]:
    """
    Return at most ``limit`` events, the newest first, that match every filter given.

    ``since`` is inclusive, ``until`` is not. ``before``: the last event of the page that came before this one.
    """
    position = (before.at, before.event_id) if before else (None, None)
    return await store.read(db, actor, action, subject, since, until, *position, limit)


async def prepare_partitions(db: Connection, *, now: datetime) -> None:
    """Make the partitions of this month and the next two. For a daily schedule; doing it again changes nothing."""
    months = [now.year * 12 + now.month - 1 + ahead for ahead in range(3)]
    for month in months:
        await store.add_partition(db, month=date(month // 12, month % 12 + 1, 1))
