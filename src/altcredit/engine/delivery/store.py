from collections.abc import Sequence
from datetime import datetime

import msgspec

from altcredit.engine.delivery.callback import Attempt, Delivery, Endpoint, Held, Kind
from altcredit.engine.delivery.retry import Next, State
from altcredit.engine.delivery.signature import Kind as KeyKind
from altcredit.runtime.db import Connection, Record

# ruff: noqa: S105 - statements with "secret" in their names, put together from constants here

_ENDPOINT = "partner_id, url, state, verified_at, failing_since, resumes_at, disabled_at, disabled_reason"

SELECT_ENDPOINT = f"SELECT {_ENDPOINT} FROM callback_endpoint WHERE partner_id = $1"
UPSERT_ENDPOINT = """
INSERT INTO callback_endpoint (partner_id, url, state, verified_at) VALUES ($1, $2, 'active', $3)
ON CONFLICT (partner_id) DO UPDATE
SET url = excluded.url, state = 'active', verified_at = excluded.verified_at, failing_since = NULL,
    resumes_at = NULL, disabled_at = NULL, disabled_reason = NULL
"""
# $4: only while this is the URL, or NULL.
DISABLE_ENDPOINT = """
UPDATE callback_endpoint SET state = 'disabled', disabled_at = $2, disabled_reason = $3
WHERE partner_id = $1 AND state = 'active' AND ($4::text IS NULL OR url = $4) RETURNING partner_id
"""
ENABLE_ENDPOINT = """
UPDATE callback_endpoint SET
    state = 'active', disabled_at = NULL, disabled_reason = NULL, failing_since = NULL, resumes_at = NULL
WHERE partner_id = $1 RETURNING partner_id
"""

INSERT_SECRET = """
INSERT INTO callback_secret (secret_id, partner_id, kind, sealed, public_key, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""
SELECT_SECRETS = """
SELECT kind, sealed FROM callback_secret
WHERE partner_id = $1 AND (revoked_at IS NULL OR revoked_at > $2) ORDER BY secret_id
"""
SELECT_PUBLIC_KEYS = """
SELECT public_key FROM callback_secret
WHERE partner_id = $1 AND kind = 'ed25519' AND (revoked_at IS NULL OR revoked_at > $2) ORDER BY created_at DESC
"""
# When successors are issued: the newest live secret of each kind lives on until $2, whatever is older ends now ($3).
END_SECRETS = """
UPDATE callback_secret SET revoked_at = LEAST(revoked_at, CASE WHEN age = 1 THEN $2::timestamptz ELSE $3 END)
FROM (SELECT secret_id AS live, row_number() OVER (PARTITION BY kind ORDER BY created_at DESC, secret_id) AS age
      FROM callback_secret WHERE partner_id = $1 AND (revoked_at IS NULL OR revoked_at > $3::timestamptz)) AS aged
WHERE secret_id = live
"""

INSERT_DELIVERIES = """
INSERT INTO delivery (delivery_id, partner_id, request_id, webhook_id, kind, sealed, state, created_at, next_attempt_at)
SELECT *, 'pending', $7, $7
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[])
"""
WITHHOLD = """
WITH done AS (
    UPDATE delivery SET attempts = 1, tries = 1, next_attempt_at = $3, gives_up_at = $4 WHERE delivery_id = $1
)
INSERT INTO delivery_attempt (delivery_id, number, at, problem, latency_ms)
VALUES ($1, 1, $2, 'kept back by the sandbox', 0)
"""
# $2 now, $3 end of the lease, $4 how many may be under way, $5 when to give up what is tried for the first time.
# No row comes back where the endpoint is not active, or where another claim committed after this statement's snapshot
# was taken: the row of the endpoint is then read again, and `claims` is no longer what the snapshot says. So leases are
# counted exactly, in one statement and without a lock that outlives it. Else a row comes back at least: the endpoint,
# when the rest is due, and when the first lease of somebody else ends.
CLAIM = f"""
WITH endpoint AS (
    UPDATE callback_endpoint SET claims = claims + 1
    WHERE partner_id = $1 AND state = 'active'
      AND claims = (SELECT claims FROM callback_endpoint WHERE partner_id = $1)
    RETURNING {_ENDPOINT}
), taken AS (
    SELECT delivery_id FROM delivery
    WHERE partner_id = $1 AND delivery.state = 'pending' AND next_attempt_at <= $2
      AND (leased_until IS NULL OR leased_until <= $2)
    ORDER BY next_attempt_at
    LIMIT coalesce((
        SELECT greatest(CASE WHEN failing_since IS NULL THEN $4 WHEN resumes_at > $2 THEN 0 ELSE 1 END - (
            SELECT count(*) FROM delivery WHERE partner_id = $1 AND leased_until > $2
        ), 0) FROM endpoint
    ), 0)
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE delivery SET leased_until = $3, gives_up_at = coalesce(gives_up_at, $5)
    WHERE delivery_id IN (SELECT delivery_id FROM taken)
    RETURNING delivery_id, request_id, webhook_id, sealed, tries, gives_up_at
)
SELECT endpoint.*, claimed.*, (
        SELECT next_attempt_at FROM delivery
        WHERE partner_id = $1 AND delivery.state = 'pending' AND (leased_until IS NULL OR leased_until <= $2)
          AND delivery_id NOT IN (SELECT delivery_id FROM taken)
        ORDER BY next_attempt_at LIMIT 1
    ) AS due_at, (
        SELECT min(leased_until) FROM delivery WHERE partner_id = $1 AND leased_until > $2
    ) AS lease_ends_at,
    ARRAY(SELECT kind FROM callback_secret WHERE partner_id = $1 AND (revoked_at IS NULL OR revoked_at > $2)
          ORDER BY secret_id) AS kinds,
    ARRAY(SELECT callback_secret.sealed FROM callback_secret
          WHERE partner_id = $1 AND (revoked_at IS NULL OR revoked_at > $2) ORDER BY secret_id) AS keys
FROM endpoint LEFT JOIN claimed ON true
"""
# Several attempts at one partner, in the order in which they ended. How the endpoint does is what the last
# of them says. A partner that has been failing for a while is left alone, between attempts, for a tenth of that time,
# at most a minute: however many callbacks wait for the dead, they take little of a worker's time. $11: now.
# A sender that was held up past its lease may report late: what arrived has arrived, and what is settled stays so.
RECORD = """
WITH ended AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::int[], $6::text[],
                         $7::int[], $8::text[], $9::text[])
        WITH ORDINALITY AS n (delivery_id, state, next_at, at, status, problem, latency_ms, answer, url, place)
), done AS (
    UPDATE delivery d SET
        attempts = attempts + 1, tries = tries + 1, leased_until = NULL,
        state = CASE WHEN n.state = 'delivered' OR d.state = 'pending' THEN n.state ELSE d.state END,
        next_attempt_at = CASE WHEN n.state = 'pending' AND d.state = 'pending' THEN n.next_at END,
        delivered_at = CASE WHEN n.state = 'delivered' THEN coalesce(delivered_at, n.at) ELSE delivered_at END
    FROM ended n WHERE d.delivery_id = n.delivery_id RETURNING d.delivery_id, attempts
), last AS (
    SELECT state, at, url FROM ended ORDER BY place DESC LIMIT 1
), health AS (
    UPDATE callback_endpoint SET
        failing_since = CASE WHEN last.state <> 'delivered' THEN coalesce(failing_since, last.at) END,
        resumes_at = CASE WHEN last.state <> 'delivered' THEN $11::timestamptz + least(
            ($11::timestamptz - coalesce(failing_since, $11)) / 10, interval '1 minute'
        ) END
    FROM last
    WHERE partner_id = $10 AND callback_endpoint.url = last.url
      AND (last.state <> 'delivered' OR failing_since IS NOT NULL)
)
INSERT INTO delivery_attempt (delivery_id, number, at, status, problem, latency_ms, answer)
SELECT delivery_id, attempts, at, status, problem, latency_ms, answer FROM done JOIN ended USING (delivery_id)
"""
# $1: overdue since before then; behind a partner that was left alone, or is being sent to, it rightly waits.
SELECT_OVERDUE = """
SELECT DISTINCT partner_id FROM delivery JOIN callback_endpoint USING (partner_id)
WHERE delivery.state = 'pending' AND next_attempt_at < $1 AND (leased_until IS NULL OR leased_until < $1)
  AND callback_endpoint.state = 'active' AND (resumes_at IS NULL OR resumes_at < $1)
  AND NOT EXISTS (
      SELECT FROM delivery AS busy WHERE busy.partner_id = callback_endpoint.partner_id AND busy.leased_until > $1
  )
"""

_DELIVERY = """
SELECT delivery_id, request_id, webhook_id, kind, state, created_at, next_attempt_at, delivered_at FROM delivery
"""
LIST_DELIVERIES = f"""
{_DELIVERY}
WHERE partner_id = $1 AND ($2::text IS NULL OR request_id = $2) AND ($3::text IS NULL OR state = $3)
  AND ($4::timestamptz IS NULL OR created_at >= $4)
  AND ($5::timestamptz IS NULL OR (created_at, delivery_id) < ($5, $6))
ORDER BY created_at DESC, delivery_id DESC LIMIT $7
"""
SELECT_POSITION = "SELECT created_at FROM delivery WHERE partner_id = $1 AND delivery_id = $2"
SELECT_ATTEMPTS = """
SELECT delivery_id, at, status, latency_ms, problem, answer FROM delivery_attempt
WHERE delivery_id = ANY($1::text[]) ORDER BY delivery_id, number
"""
_BEGIN_ANEW = """
UPDATE delivery SET state = 'pending', next_attempt_at = $2, tries = 0, gives_up_at = NULL, delivered_at = NULL
WHERE partner_id = $1
"""
RESUME = "UPDATE callback_endpoint SET resumes_at = NULL WHERE partner_id = $1 AND resumes_at IS NOT NULL"
REPLAY = f"{_BEGIN_ANEW} AND delivery_id = $3"
REPLAY_SINCE = f"{_BEGIN_ANEW} AND created_at >= $3 AND ($4::text IS NULL OR state = $4)"
RESTART = f"{_BEGIN_ANEW} AND state = 'pending'"
PURGE = "DELETE FROM delivery WHERE created_at < $1 AND state <> 'pending'"
ERASE = "DELETE FROM delivery WHERE request_id = $1"
HELD = """
SELECT count(*) FILTER (WHERE state = 'pending') AS pending,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       min(created_at) FILTER (WHERE state = 'pending') AS oldest_pending_at,
       (SELECT count(*) FROM callback_endpoint
        WHERE failing_since IS NOT NULL AND state = 'active') AS endpoints_failing,
       (SELECT count(*) FROM callback_endpoint WHERE state = 'disabled') AS endpoints_disabled
FROM delivery WHERE state <> 'delivered'
"""


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A signing key of a partner, as it is kept."""

    kind: KeyKind
    sealed: bytes


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A new delivery."""

    delivery_id: str
    partner_id: str
    request_id: str
    webhook_id: str
    kind: Kind
    sealed: bytes


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is ours to send until its lease ends; ``tries`` are those before."""

    delivery_id: str
    request_id: str
    webhook_id: str
    sealed: bytes
    tries: int
    gives_up_at: datetime


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that was made at a URL, and what follows from it."""

    delivery_id: str
    url: str
    attempt: Attempt
    then: Next


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What was claimed, when the first of the rest is due, and when the first lease of somebody else ends."""

    endpoint: Endpoint
    keys: tuple[Sealed, ...]
    deliveries: tuple[Claimed, ...]
    due_at: datetime | None
    lease_ends_at: datetime | None


_ROW = Row.__struct_fields__
_ATTEMPT = ("at", "status", "problem", "latency_ms", "answer")


def _endpoint(row: Record) -> Endpoint:
    return Endpoint(**{name: row[name] for name in Endpoint.__struct_fields__})


async def select_endpoint(db: Connection, partner_id: str) -> Endpoint | None:
    row = await db.fetchrow(SELECT_ENDPOINT, partner_id)
    return _endpoint(row) if row else None


async def upsert_endpoint(db: Connection, partner_id: str, *, url: str, now: datetime) -> None:
    await db.execute(UPSERT_ENDPOINT, partner_id, url, now)


async def disable_endpoint(
    db: Connection, partner_id: str, *, reason: str, url: str | None = None, now: datetime
) -> bool:
    return await db.fetchval(DISABLE_ENDPOINT, partner_id, now, reason, url) is not None


async def enable_endpoint(db: Connection, partner_id: str) -> bool:
    return await db.fetchval(ENABLE_ENDPOINT, partner_id) is not None


async def insert_secret(
    db: Connection,
    partner_id: str,
    *,
    secret_id: str,
    kind: KeyKind,
    sealed: bytes,
    public_key: str | None,
    now: datetime,
) -> None:
    await db.execute(INSERT_SECRET, secret_id, partner_id, kind, sealed, public_key, now)


async def select_secrets(db: Connection, partner_id: str, *, now: datetime) -> tuple[Sealed, ...]:
    return tuple(Sealed(**row) for row in await db.fetch(SELECT_SECRETS, partner_id, now))


async def public_keys(db: Connection, *, partner_id: str, now: datetime) -> list[str]:
    """Return the partner's live public keys (``whpk_…``), the newest first."""
    return [row["public_key"] for row in await db.fetch(SELECT_PUBLIC_KEYS, partner_id, now)]


async def end_secrets(db: Connection, partner_id: str, *, until: datetime, now: datetime) -> None:
    await db.execute(END_SECRETS, partner_id, until, now)


async def insert_deliveries(db: Connection, rows: Sequence[Row], *, now: datetime) -> None:
    await db.execute(INSERT_DELIVERIES, *([getattr(row, name) for row in rows] for name in _ROW), now)


async def withhold(
    db: Connection, delivery_id: str, *, now: datetime, again_at: datetime, gives_up_at: datetime
) -> None:
    await db.execute(WITHHOLD, delivery_id, now, again_at, gives_up_at)


async def claim(
    db: Connection, partner_id: str, *, now: datetime, leased_until: datetime, at_once: int, gives_up_at: datetime
) -> Claim | None:
    """Lease what is due, as far as there is room; None where the partner has no active endpoint."""
    while not (rows := await db.fetch(CLAIM, partner_id, now, leased_until, at_once, gives_up_at)):
        endpoint = await select_endpoint(db, partner_id)
        if endpoint is None or endpoint.state != "active":
            return None
    first = rows[0]
    return Claim(
        endpoint=_endpoint(first),
        keys=tuple(Sealed(kind=k, sealed=sealed) for k, sealed in zip(first["kinds"], first["keys"], strict=True)),
        deliveries=tuple(
            Claimed(**{name: row[name] for name in Claimed.__struct_fields__}) for row in rows if row["delivery_id"]
        ),
        due_at=first["due_at"],
        lease_ends_at=first["lease_ends_at"],
    )


async def record(db: Connection, partner_id: str, ended: Sequence[Ended], *, now: datetime) -> None:
    await db.execute(
        RECORD,
        [one.delivery_id for one in ended],
        [one.then.state for one in ended],
        [one.then.at for one in ended],
        *([getattr(one.attempt, name) for one in ended] for name in _ATTEMPT),
        [one.url for one in ended],
        partner_id,
        now,
    )


async def list_deliveries(
    db: Connection,
    partner_id: str,
    *,
    request_id: str | None,
    state: State | None,
    since: datetime | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> tuple[Delivery, ...]:
    rows = await db.fetch(LIST_DELIVERIES, partner_id, request_id, state, since, *(after or (None, None)), limit)
    attempts: dict[str, list[Attempt]] = {row["delivery_id"]: [] for row in rows}
    for row in await db.fetch(SELECT_ATTEMPTS, list(attempts)) if attempts else ():
        values = dict(row)
        attempts[values.pop("delivery_id")].append(Attempt(**values))
    return tuple(
        Delivery(id=row["delivery_id"], attempts=tuple(attempts[row["delivery_id"]]), **dict(list(row.items())[1:]))
        for row in rows
    )


async def select_position(db: Connection, partner_id: str, delivery_id: str) -> datetime | None:
    at: datetime | None = await db.fetchval(SELECT_POSITION, partner_id, delivery_id)
    return at


def _count(tag: str) -> int:
    return int(tag.rsplit(maxsplit=1)[-1])


async def replay(db: Connection, partner_id: str, *, delivery_id: str, now: datetime) -> bool:
    return _count(await db.execute(REPLAY, partner_id, now, delivery_id)) == 1


async def replay_since(db: Connection, partner_id: str, *, since: datetime, state: State | None, now: datetime) -> int:
    return _count(await db.execute(REPLAY_SINCE, partner_id, now, since, state))


async def resume(db: Connection, partner_id: str) -> None:
    await db.execute(RESUME, partner_id)


async def restart(db: Connection, partner_id: str, *, now: datetime) -> int:
    return _count(await db.execute(RESTART, partner_id, now))


async def overdue(db: Connection, *, before: datetime) -> list[str]:
    return [row["partner_id"] for row in await db.fetch(SELECT_OVERDUE, before)]


async def held(db: Connection) -> Held:
    """Return what waits to be delivered, over all partners."""
    return Held(**dict(await db.fetchrow(HELD)))


async def purge(db: Connection, *, before: datetime) -> int:
    """Delete deliveries from before a time, with their attempts, unless they are pending; return how many."""
    return _count(await db.execute(PURGE, before))


async def erase(db: Connection, *, request_id: str) -> int:
    """Delete an application's deliveries with their attempts, whether they arrived or not; return how many."""
    return _count(await db.execute(ERASE, request_id))
