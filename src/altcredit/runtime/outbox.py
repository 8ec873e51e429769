"""
Domain events: written in the transaction that makes them true, delivered afterwards, in order and at least once.

``publish`` inserts a row and commits or vanishes with the caller's transaction. Two readers mark the rows they are done
with, each in a column of its own, so that neither waits for the other:

* ``react`` runs the reactions of ``subscriptions.py`` and marks ``reacted_at`` in the same transaction;
* the relay (``runtime/kafka.py``) hands events to Kafka and marks ``published_at`` once the broker has them.

Marks rather than a cursor on (transaction id, id), for three reasons. A row that commits late is simply not marked yet,
so it cannot be skipped; no long transaction elsewhere holds events back, as waiting for ``pg_snapshot_xmin`` does; and
transaction ids start afresh in a restored database, where a cursor on them would skip what follows. Reading in order of
``id`` keeps cause before effect: an event published after another one committed has the higher id, and whoever sees it
sees the other too.
"""

from datetime import datetime
from typing import Any

import msgspec

from altcredit.runtime.db import Connection
from altcredit.runtime.ids import new_id

CHANNEL = "altcredit_outbox"

# The notice goes out on commit, once a transaction however many events it publishes.
PUBLISH = """
WITH event AS (
    INSERT INTO outbox (event_id, type, key, data, created_at) VALUES ($1, $2, $3, $4::text::jsonb, $5)
)
SELECT pg_notify('altcredit_outbox', '')
"""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. ``key`` names what it happened to: events of one key stay in order."""

    id: int
    event_id: str
    type: str
    key: str
    data: dict[str, Any]
    created_at: datetime
    attempts: int = 0


async def publish(db: Connection, *, type: str, key: str, data: dict[str, Any], now: datetime) -> str:  # noqa: A002
    """
    Say that something happened, on the caller's transaction; return the event's id, ``evt_`` and 16 hex digits.

    :param type: what happened, as ``consent.granted``.
    :param key: what it happened to; events of one key reach a subscriber in the order of their transactions.
    :param data: facts as JSON. Opaque ids only: the outbox is kept for days and leaves the house by Kafka.
    """
    event_id = new_id("evt")
    await db.execute(PUBLISH, event_id, type, key, msgspec.json.encode(data).decode(), now)
    return event_id
