"""
Domain events: written in the transaction that makes them true, delivered afterwards, in order and at least once.

``publish`` inserts a row and commits or vanishes with the caller's transaction. What an event may say is declared as a
``Fact`` beside the operation that publishes it; ``spec/events.json`` is made of these. Two readers mark the rows they
are done with, each in a column of its own, so that neither waits for the other:

* ``react`` runs the reactions of ``subscriptions.py`` and marks ``reacted_at`` in the same transaction;
* the relay (``runtime/kafka.py``) hands events to Kafka and marks ``published_at`` once the broker has them.

Marks rather than a cursor on (transaction id, id), for three reasons. A row that commits late is simply not marked yet,
so it cannot be skipped; no long transaction elsewhere holds events back, as waiting for ``pg_snapshot_xmin`` does; and
transaction ids start afresh in a restored database, where a cursor on them would skip what follows. Reading in order of
``id`` keeps cause before effect: an event published after another one committed has the higher id, and whoever sees it
sees the other too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeAlias

import msgspec

from altcredit.runtime import log
from altcredit.runtime.db import Connection, Record
from altcredit.runtime.ids import new_id
from altcredit.runtime.locks import Lock

CHANNEL = "altcredit_outbox"
# Tries of an event's reactions before it is held for an operator, with pauses of 2, 4, 8 … seconds, about half an hour.
ATTEMPTS = 10
_BATCH = 200
_LARGEST = 900_000  # bytes; Kafka's default limit is 1,048,576 for a message with its headers

# The notice goes out on commit, once a transaction however many events it publishes.
PUBLISH = """
WITH event AS (
    INSERT INTO outbox (event_id, type, key, data, created_at) VALUES ($1, $2, $3, $4::text::jsonb, $5)
)
SELECT pg_notify('altcredit_outbox', '')
"""

ALONE = "SELECT pg_try_advisory_xact_lock($1)"

UNREACTED = """
SELECT id, event_id, type, key, data::text AS data, created_at, attempts FROM outbox
WHERE reacted_at IS NULL AND attempts < $1 AND (retry_at IS NULL OR retry_at <= $2)
ORDER BY id LIMIT $3
"""

REACTED = "UPDATE outbox SET reacted_at = $2, retry_at = NULL, problem = NULL WHERE id = ANY($1::bigint[])"

NOT_REACTED = "UPDATE outbox SET attempts = attempts + 1, retry_at = $2, problem = $3 WHERE id = $1"

HELD = """
SELECT id, event_id, type, key, data::text AS data, created_at, attempts, problem FROM outbox
WHERE reacted_at IS NULL AND attempts >= $1 ORDER BY id LIMIT $2
"""

RELEASE = """
WITH released AS (
    UPDATE outbox SET attempts = 0, retry_at = NULL WHERE event_id = ANY($1::text[]) AND reacted_at IS NULL RETURNING id
)
SELECT count(*), pg_notify('altcredit_outbox', '') FROM released
"""

UNPUBLISHED = """
SELECT id, event_id, type, key, data::text AS data, created_at, attempts FROM outbox
WHERE published_at IS NULL ORDER BY id LIMIT $1
"""

PUBLISHED = "UPDATE outbox SET published_at = $2 WHERE id = ANY($1::bigint[])"

PURGE = """
DELETE FROM outbox WHERE created_at < $1 AND reacted_at IS NOT NULL AND (published_at IS NOT NULL OR NOT $2)
"""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """
    What an event says, in flat fields of opaque ids: the outbox is kept for days and leaves the house by Kafka.

    Each type of event is a subclass, beside the operation that publishes it. Its fields are a contract with whoever
    consumes it: they may be added to, and a change of meaning is a new type.
    """

    TYPE: ClassVar[str]
    """What happened, as ``consent.granted``."""
    KEY: ClassVar[str]
    """The field that names what it happened to; events of one key reach a reader in the order of their transactions."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. ``key`` names what it happened to: events of one key stay in order."""

    id: int
    event_id: str
    type: str
    key: str
    data: dict[str, Any]
    created_at: datetime
    attempts: int = 0

    @classmethod
    def of(cls, row: Record) -> "Event":
        """Read a row of the outbox whose data was selected as text."""
        return cls(
            id=row["id"],
            event_id=row["event_id"],
            type=row["type"],
            key=row["key"],
            data=msgspec.json.decode(row["data"]),
            created_at=row["created_at"],
            attempts=row["attempts"],
        )


class HeldEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event whose reactions failed too often: it waits for an operator (``release``)."""

    event: Event
    problem: str


Reaction: TypeAlias = Callable[[Connection, Event], Awaitable[None]]
Subscriptions: TypeAlias = Mapping[str, tuple[Reaction, ...]]


async def publish(db: Connection, fact: Fact, *, now: datetime) -> str:
    """
    Say that something happened, on the caller's transaction; return the event's id, ``evt_`` and 16 hex digits.

    :raises ValueError: the data is larger than brokers take.
    """
    encoded = msgspec.json.encode(fact)
    if len(encoded) > _LARGEST:
        raise ValueError(f"An event of {len(encoded)} bytes: publish what changed, not all that there is.")
    event_id = new_id("evt")
    await db.execute(PUBLISH, event_id, fact.TYPE, getattr(fact, fact.KEY), encoded.decode(), now)
    return event_id


async def react(db: Connection, subscriptions: Subscriptions, *, now: datetime) -> int:
    """
    Run the reactions to the next events, in order, on the caller's transaction; return how many events it looked at.

    Only one transaction in the database reacts at a time; beside it this returns 0. Reactions write to the database and
    nothing else, so they happen exactly once; slow or outside work is a job that a reaction queues. Where one fails,
    what the event's reactions wrote is undone and the event tried again later, while others go on.
    """
    if not await db.fetchval(ALONE, Lock.REACTING):
        return 0
    events = [Event.of(row) for row in await db.fetch(UNREACTED, ATTEMPTS, now, _BATCH)]
    done = []
    for event in events:
        try:
            async with db.transaction():  # a savepoint
                for reaction in subscriptions.get(event.type, ()):
                    await reaction(db, event)
            done.append(event.id)
        except Exception as problem:
            if db.is_closed():
                raise
            pause = timedelta(seconds=2 ** (event.attempts + 1))
            reason = f"{type(problem).__name__}: {problem}"[:500]
            await db.execute(NOT_REACTED, event.id, now + pause, reason)
            log.exception("reaction_failed", problem, topic=event.type, attempt=event.attempts + 1)
    await db.execute(REACTED, done, now)
    return len(events)


async def held(db: Connection, *, limit: int = 100) -> list[HeldEvent]:
    """Return the events, oldest first, whose reactions have failed too often to be tried again unasked."""
    rows = await db.fetch(HELD, ATTEMPTS, limit)
    return [HeldEvent(event=Event.of(row), problem=row["problem"]) for row in rows]


async def release(db: Connection, *, event_ids: Iterable[str]) -> int:
    """Have the reactions of held events tried again; return how many events that were."""
    count: int = await db.fetchval(RELEASE, list(event_ids))
    return count


async def unpublished(db: Connection, *, limit: int) -> list[Event]:
    """Return the next events that no Kafka broker has acknowledged, in order."""
    return [Event.of(row) for row in await db.fetch(UNPUBLISHED, limit)]


async def mark_published(db: Connection, *, events: Iterable[Event], now: datetime) -> None:
    """Note that a Kafka broker has acknowledged the events."""
    await db.execute(PUBLISHED, [event.id for event in events], now)


async def purge(db: Connection, *, before: datetime, relayed: bool) -> int:
    """
    Delete events from before a time that every reader is done with; return how many.

    :param relayed: whether Kafka is a reader; where it is, what it has not got yet is kept however old it is.
    """
    return int((await db.execute(PURGE, before, relayed)).split()[-1])


class Bell:
    """Rings when events are committed, or the connection it listens on is lost. Polling covers for missed notices."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    async def listen(self, connection: Connection) -> None:
        """Listen on a connection of one's own, which must stay open."""
        await connection.add_listener(CHANNEL, lambda *_: self._rung.set())
        connection.add_termination_listener(lambda *_: self._rung.set())

    async def wait(self, seconds: float) -> None:
        """Return when it has rung since the last time, or after so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)
        self._rung.clear()
