"""
Replay of stored answers to repeated state-changing requests (contract A4).

The key is claimed in the request's own transaction: a second request with the same key waits for the first to commit
and then finds its answer, and a request that is refused leaves nothing behind.
"""

import hashlib
from datetime import datetime, timedelta

import msgspec

from altcredit.runtime.db import Connection
from altcredit.runtime.refusal import Refusal

CLAIM = """
INSERT INTO idempotent_answer AS a (caller, path, key, body_sha256, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (caller, path, key) DO UPDATE SET body_sha256 = $4, status = NULL, answer = NULL, created_at = $5
    WHERE a.created_at < $6
RETURNING true
"""
FIND = "SELECT body_sha256, status, answer FROM idempotent_answer WHERE caller = $1 AND path = $2 AND key = $3"
STORE = "UPDATE idempotent_answer SET status = $4, answer = $5 WHERE caller = $1 AND path = $2 AND key = $3"
PURGE = "DELETE FROM idempotent_answer WHERE created_at < $1"

KEPT = timedelta(hours=24)


class IdempotencyConflict(Refusal):
    """The key was used within 24 hours for a request with another body."""


class Key(msgspec.Struct, frozen=True):
    """What makes two requests the same: who asks, where, under which key."""

    caller: str
    path: str
    key: str


class Stored(msgspec.Struct, frozen=True):
    """An answer given before."""

    status: int
    answer: bytes


async def claim(db: Connection, *, key: Key, body: bytes, now: datetime) -> Stored | None:
    """
    Claim ``key`` for this request, or return the answer stored under it.

    :raises IdempotencyConflict: the key belongs to a request with another body.
    """
    digest = hashlib.sha256(body).digest()
    if await db.fetchval(CLAIM, key.caller, key.path, key.key, digest, now, now - KEPT):
        return None
    row = await db.fetchrow(FIND, key.caller, key.path, key.key)
    if row["body_sha256"] != digest:
        raise IdempotencyConflict
    return Stored(row["status"], row["answer"])


async def store(db: Connection, *, key: Key, status: int, answer: bytes) -> None:
    """Keep the answer for replay."""
    await db.execute(STORE, key.caller, key.path, key.key, status, answer)


async def purge(db: Connection, *, now: datetime) -> None:
    """Drop keys older than 24 hours."""
    await db.execute(PURGE, now - KEPT)
