"""The breach register and its 72-hour clock (DPDP Act s. 8(6), DPDP Rules 2025 rule 7)."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from altcredit.engine import audit, grievances
from altcredit.engine.compliance import events, store
from altcredit.engine.compliance.breach import NOTIFY_WITHIN, Breach, Severity
from altcredit.runtime import outbox
from altcredit.runtime.db import Connection
from altcredit.runtime.ids import new_id
from altcredit.runtime.refusal import Detail, Refusal

Told = Literal["board", "principals", "both"]


class BreachUnknown(Refusal):
    """There is no such breach."""


class BreachInvalid(Refusal):
    """What is said of a breach cannot be."""


class BreachNotNotified(Refusal):
    """A breach is closed only once the Board and the people concerned were told."""


class BreachClosed(Refusal):
    """The breach is closed; nothing more is noted on it."""


async def add_breach(
    db: Connection,
    *,
    nature: str,
    severity: Severity,
    affected: int,
    occurred_at: datetime,
    aware_at: datetime,
    reported_by: str,
    now: datetime,
) -> Breach:
    """
    Register a breach; the clock runs from ``aware_at``. ``nature``: what happened, without personal data.

    :raises BreachInvalid: it became known before it happened, or in the future, or affects fewer than nobody.
    """
    problems = []
    if not occurred_at <= aware_at <= now:
        problems.append(Detail("$.aware_at", "is before occurred_at or in the future"))
    if affected < 0:
        problems.append(Detail("$.affected", "is negative"))
    if problems:
        raise BreachInvalid("The breach cannot be as described.", details=tuple(problems))
    breach = Breach(
        breach_id=new_id("brc"),
        nature=nature,
        severity=severity,
        affected=affected,
        reported_by=reported_by,
        occurred_at=occurred_at,
        aware_at=aware_at,
        notify_by=aware_at + NOTIFY_WITHIN,
        set_back=await grievances.read_clock(db, now=now),
    )
    await store.add_breach(db, breach)
    await _say(db, events.BreachRegistered, reported_by, breach, now)
    return breach


async def note_told(db: Connection, *, breach_id: str, told: Told, actor: str, now: datetime) -> Breach:
    """
    Note that the Board, the people concerned, or both were told now. The first time stands.

    :raises BreachUnknown:
    :raises BreachClosed:
    """
    await grievances.read_clock(db, now=now)
    own = now + (await _open(db, breach_id)).behind
    await store.notified(
        db,
        breach_id,
        board=own if told in ("board", "both") else None,
        principals=own if told in ("principals", "both") else None,
    )
    breach = await _open(db, breach_id)
    await _say(db, events.BreachNotified, actor, breach, now)
    return breach


async def close_breach(db: Connection, *, breach_id: str, note: str, actor: str, now: datetime) -> Breach:
    """
    Close a breach with what was learnt and done.

    :raises BreachUnknown:
    :raises BreachClosed:
    :raises BreachNotNotified:
    """
    breach = await _open(db, breach_id)
    if breach.board_at is None or breach.principals_at is None:
        raise BreachNotNotified("Tell the Board and the people concerned first.")
    await store.close_breach(db, breach_id, at=now, note=note)
    closed = await store.breach(db, breach_id)
    assert closed is not None
    await _say(db, events.BreachClosed, actor, closed, now)
    return closed


async def breaches(db: Connection, *, open_only: bool = False) -> list[Breach]:
    """Return the register: the open ones first, the most urgent of them on top."""
    set_back = await grievances.set_back(db)
    return [_timed(one, set_back) for one in await store.breaches(db, open_only=open_only)]


async def watch_breaches(db: Connection, *, now: datetime) -> list[Breach]:
    """Announce, once each, the breaches of which somebody has not been told in time; return those."""
    set_back = await grievances.read_clock(db, now=now)
    late = [_timed(one, set_back) for one in await store.newly_overdue(db, now=now, set_back=set_back)]
    for breach in late:
        await _say(db, events.BreachOverdue, "system:schedule", breach, now)
    return late


async def _open(db: Connection, breach_id: str) -> Breach:
    breach = await store.breach(db, breach_id)
    if breach is None:
        raise BreachUnknown("There is no such breach.")
    if breach.closed_at is not None:
        raise BreachClosed("The breach is closed.")
    return _timed(breach, await grievances.set_back(db))


def _timed(breach: Breach, set_back: timedelta) -> Breach:
    """Return a breach that knows its own time."""
    return msgspec.structs.replace(breach, behind=max(set_back - breach.set_back, timedelta()))


async def _say(db: Connection, kind: type[events.BreachFact], actor: str, breach: Breach, now: datetime) -> None:
    fact = kind(
        breach_id=breach.breach_id,
        severity=breach.severity,
        affected=breach.affected,
        notify_by=breach.notify_by,
        overdue=breach.overdue(now),
    )
    details = {name: value for name, value in msgspec.structs.asdict(fact).items() if name != "breach_id"}
    await audit.append(db, actor=actor, action=kind.TYPE, subject=breach.breach_id, details=details, now=now)
    await outbox.publish(db, fact, now=now)
