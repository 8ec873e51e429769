"""
Fixed-window quotas in PostgreSQL (API-ALTSCORE-001, section 09; contract A15).

A window is counted in the caller's transaction, so that what is rolled back was not used. The Score API counts inside
its one statement (see ``engine/scoring/store.py``); everything else counts here.
"""

from datetime import UTC, datetime, timedelta

import msgspec

from altcredit.runtime.db import Connection
from altcredit.runtime.refusal import Refusal

TAKE = """
INSERT INTO quota_window AS q (subject, window_start, taken) VALUES ($1, $2, 1)
ON CONFLICT (subject, window_start) DO UPDATE SET taken = q.taken + 1
RETURNING taken
"""
# Windows of a minute are kept where the Score API's are: without a write-ahead log, and for minutes only. Anybody can
# name client ids that do not exist to the token endpoint, and each of them is a row.
TAKE_MINUTE = TAKE.replace("quota_window", "quota_minute")
PEEK = "SELECT taken FROM quota_window WHERE subject = $1 AND window_start = $2"
PEEK_MINUTE = PEEK.replace("quota_window", "quota_minute")
PURGE = "DELETE FROM quota_window WHERE window_start < $1"
PURGE_MINUTES = "DELETE FROM quota_minute WHERE window_start < $1"

_MINUTE = 60


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of ``limit`` requests in each ``seconds`` long window; ``name`` is shown in X-RateLimit-Policy."""

    name: str
    limit: int
    seconds: int

    def start(self, now: datetime) -> datetime:
        """Return when the window that holds ``now`` began; windows are aligned to the Unix epoch."""
        stamp = int(now.timestamp())
        return datetime.fromtimestamp(stamp - stamp % self.seconds, UTC)


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller has left: shown in the X-RateLimit headers."""

    policy: str
    limit: int
    remaining: int
    reset: datetime


class RateLimitExceeded(Refusal):
    """The caller used up a window. ``allowance`` says which, and when it resets."""

    def __init__(self, allowance: Allowance) -> None:
        super().__init__(f"{allowance.limit} requests per {allowance.policy}")
        self.allowance = allowance


def allowance(quota: Quota, taken: int, now: datetime) -> Allowance:
    """Return what is left of the window after ``taken`` requests."""
    return Allowance(
        policy=quota.name,
        limit=quota.limit,
        remaining=max(quota.limit - taken, 0),
        reset=quota.start(now) + timedelta(seconds=quota.seconds),
    )


async def take(db: Connection, *, quota: Quota, subject: str, now: datetime) -> Allowance:
    """
    Count one request of ``subject`` ("ingest|dist_…").

    :raises RateLimitExceeded: the window is used up.
    """
    taken = await db.fetchval(TAKE_MINUTE if quota.seconds <= _MINUTE else TAKE, subject, quota.start(now))
    left = allowance(quota, taken, now)
    if taken > quota.limit:
        raise RateLimitExceeded(left)
    return left


async def peek(db: Connection, *, quota: Quota, subject: str, now: datetime) -> Allowance:
    """Return what ``subject`` has left without counting."""
    statement = PEEK_MINUTE if quota.seconds <= _MINUTE else PEEK
    return allowance(quota, await db.fetchval(statement, subject, quota.start(now)) or 0, now)


async def purge(db: Connection, *, now: datetime) -> None:
    """Drop windows that no limit looks at any more."""
    await db.execute(PURGE_MINUTES, now - timedelta(minutes=5))
    await db.execute(PURGE, now - timedelta(days=2))
