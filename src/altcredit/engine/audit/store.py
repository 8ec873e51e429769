from collections.abc import AsyncIterable, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from altcredit.engine.audit.event import AuditEvent
from altcredit.engine.audit.head import Log, Signed
from altcredit.runtime.db import Connection, Record
from altcredit.runtime.locks import Lock

# Whoever adds a row hands it to the sealer in the same statement (scoring does so for score_access).
APPEND = """
WITH event AS (
    INSERT INTO audit_event (at, actor, action, subject, details) VALUES ($1, $2, $3, $4, $5::jsonb)
    RETURNING at, event_id
)
INSERT INTO audit_unsealed (log, at, row_id) SELECT 'audit_event', at, event_id FROM event
"""

APPEND_ALL = """
WITH event AS (
    INSERT INTO audit_event (at, actor, action, subject, details)
    SELECT $1, $2, $3, subject, details::jsonb FROM unnest($4::text[], $5::text[]) AS n (subject, details)
    RETURNING at, event_id
)
INSERT INTO audit_unsealed (log, at, row_id) SELECT 'audit_event', at, event_id FROM event
"""

READ = """
SELECT event_id, at, actor, action, subject, details::text AS details
FROM audit_event
WHERE ($1::text IS NULL OR actor = $1)
  AND ($2::text IS NULL OR action = $2)
  AND ($3::text IS NULL OR subject = $3)
  AND ($4::timestamptz IS NULL OR at >= $4)
  AND ($5::timestamptz IS NULL OR at < $5)
  AND ($6::timestamptz IS NULL OR (at, event_id) < ($6, $7::bigint))
ORDER BY at DESC, event_id DESC
LIMIT $8
"""

ADD_PARTITION = "SELECT audit_event_partition($1)"

# The canonical form of a row: the text of a jsonb value, one line. PostgreSQL keeps neither the spaces nor the order
# that a value came with, and prints numbers exactly, so the same row gives the same bytes for ever.
_TIME = """to_char({alias}.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_EVENT_LINE = f"""jsonb_build_object('log', 'audit_event', 'id', e.event_id, 'at', {_TIME.format(alias="e")},
    'actor', e.actor, 'action', e.action, 'subject', e.subject, 'details', e.details)::text"""
_ACCESS_LINE = f"""jsonb_build_object('log', 'score_access', 'id', a.access_id, 'at', {_TIME.format(alias="a")},
    'lender_id', a.lender_id, 'operation', a.operation, 'requested_id', a.requested_id, 'retailer_id', a.retailer_id,
    'purpose', a.purpose, 'outcome', a.outcome, 'consent_id', a.consent_id, 'score_id', a.score_id,
    'request_id', a.request_id)::text"""
_LINE = f"CASE WHEN e.event_id IS NOT NULL THEN {_EVENT_LINE} WHEN a.access_id IS NOT NULL THEN {_ACCESS_LINE} END"
_ROWS = """
LEFT JOIN audit_event e ON r.log = 'audit_event' AND e.at = r.at AND e.event_id = r.row_id
LEFT JOIN score_access a ON r.log = 'score_access' AND a.at = r.at AND a.access_id = r.row_id
"""

TRY_LOCK = f"SELECT pg_try_advisory_xact_lock({Lock.SEALING})"
LOCK = f"SELECT pg_advisory_xact_lock({Lock.SEALING})"
IS_WAITING = "SELECT EXISTS (SELECT FROM audit_unsealed)"
# An entry whose row is gone stays behind: ``verify`` names it.
TAKE = f"""
WITH taken AS (
    DELETE FROM audit_unsealed WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM audit_unsealed u WHERE CASE u.log
            WHEN 'audit_event' THEN EXISTS (SELECT FROM audit_event e WHERE e.at = u.at AND e.event_id = u.row_id)
            ELSE EXISTS (SELECT FROM score_access a WHERE a.at = u.at AND a.access_id = u.row_id) END
        LIMIT $1))
    RETURNING log, at, row_id
)
SELECT r.log, r.at, r.row_id, {_LINE} AS line FROM taken r {_ROWS} ORDER BY r.at, r.log, r.row_id
"""
ADD_HEAD = "INSERT INTO audit_head (tree_size, record, key_id, signature) VALUES ($1, $2, $3, $4)"
LAST_HEAD = "SELECT record, key_id, signature FROM audit_head ORDER BY tree_size DESC LIMIT 1"
HEAD_AT = "SELECT record, key_id, signature FROM audit_head WHERE tree_size = $1"
HEADS = """
SELECT tree_size, record, key_id, signature FROM audit_head WHERE tree_size > $1 AND tree_size <= $2 ORDER BY tree_size
LIMIT $3
"""
HEAD_BEFORE = """
SELECT record, key_id, signature FROM audit_head WHERE tree_size <= $1 ORDER BY tree_size DESC LIMIT 1
"""
HEAD_AFTER = """
SELECT record, key_id, signature FROM audit_head WHERE tree_size > $1 ORDER BY tree_size LIMIT 1
"""
COUNT_HEADS = "SELECT count(*) FROM audit_head"

# One moment for the whole of a verification, whatever the sealer does meanwhile.
ONE_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
BOUNDS = "SELECT min(leaf) AS first, max(leaf) AS last FROM audit_leaf"
LEAVES = f"""
SELECT r.leaf, r.log, r.at, r.row_id, r.sha256, r.proof, {_LINE} AS line
FROM audit_leaf r {_ROWS} WHERE r.leaf >= $1 AND r.leaf < $2 ORDER BY r.leaf
"""
LEAF_RANGE = """
SELECT min(leaf) AS first, max(leaf) AS last FROM audit_leaf
WHERE ($1::timestamptz IS NULL OR at >= $1) AND ($2::timestamptz IS NULL OR at < $2)
"""
# Rows that never went through ``append``, and rows that were handed to the sealer and then taken away.
STRAYS = f"""
SELECT 'audit_event' AS log, e.at, e.event_id AS row_id, true AS is_there FROM audit_event e
WHERE ($1::timestamptz IS NULL OR e.at >= $1)
  AND NOT EXISTS (SELECT FROM audit_leaf l WHERE l.log = 'audit_event' AND l.row_id = e.event_id)
  AND NOT EXISTS (SELECT FROM audit_unsealed u WHERE u.log = 'audit_event' AND u.row_id = e.event_id)
UNION ALL
SELECT 'score_access', a.at, a.access_id, true FROM score_access a
WHERE ($1::timestamptz IS NULL OR a.at >= $1)
  AND NOT EXISTS (SELECT FROM audit_leaf l WHERE l.log = 'score_access' AND l.row_id = a.access_id)
  AND NOT EXISTS (SELECT FROM audit_unsealed u WHERE u.log = 'score_access' AND u.row_id = a.access_id)
UNION ALL
SELECT r.log, r.at, r.row_id, false FROM audit_unsealed r {_ROWS} WHERE e.event_id IS NULL AND a.access_id IS NULL
ORDER BY at LIMIT $2
"""
# Two rows under one number: the leaf stands for the one that has its time as well.
DOUBLES = """
SELECT 'audit_event' AS log, e.at, e.event_id AS row_id FROM audit_event e
JOIN audit_leaf l ON l.log = 'audit_event' AND l.row_id = e.event_id AND l.at <> e.at
WHERE ($1::timestamptz IS NULL OR e.at >= $1)
UNION ALL
SELECT 'score_access', a.at, a.access_id FROM score_access a
JOIN audit_leaf l ON l.log = 'score_access' AND l.row_id = a.access_id AND l.at <> a.at
WHERE ($1::timestamptz IS NULL OR a.at >= $1)
ORDER BY at LIMIT $2
"""
WAITING = "SELECT count(*) AS rows, min(at) AS oldest FROM audit_unsealed"

PURGES = "SELECT log, month, record, key_id, signature FROM audit_purge ORDER BY month, log, first_leaf"
ADD_PURGE = """
INSERT INTO audit_purge (log, month, first_leaf, record, key_id, signature) VALUES ($1, $2, $3, $4, $5, $6)
"""
LEAVES_OF_MONTH = """
SELECT leaf, sha256 FROM audit_leaf
WHERE log = $1 AND at >= $2 AND at < $3 AND leaf >= $4 AND leaf <= $5 ORDER BY leaf
"""
ROWS_OF_MONTH = f"""
SELECT r.leaf, r.row_id, r.sha256, {_LINE} AS line FROM audit_leaf r {_ROWS}
WHERE r.log = $1 AND r.at >= $2 AND r.at < $3 AND (e.event_id IS NOT NULL OR a.access_id IS NOT NULL) ORDER BY r.leaf
"""
OLDEST = {
    "audit_event": "SELECT min(at) FROM audit_event",
    "score_access": "SELECT min(at) FROM score_access",
}
COUNT_ROWS = {
    "audit_event": "SELECT count(*) FROM audit_event WHERE at >= $1 AND at < $2",
    "score_access": "SELECT count(*) FROM score_access WHERE at >= $1 AND at < $2",
}
WAITING_OF_MONTH = """
SELECT EXISTS (SELECT FROM audit_unsealed WHERE log = $1 AND at >= $2 AND at < $3)
"""
DELETE_ROWS = {
    "audit_event": "DELETE FROM audit_event_default WHERE at >= $1 AND at < $2",
    "score_access": "DELETE FROM score_access_default WHERE at >= $1 AND at < $2",
}
ALLOW_PURGE = "SELECT set_config('altcredit.purging', $1, true), set_config('lock_timeout', '5s', true)"
DROP_PARTITION = "DROP TABLE IF EXISTS {log}_{month:%Y_%m}"

LEAF_COLUMNS = ("leaf", "log", "at", "row_id", "sha256", "proof")


def _signed(row: Record | None) -> Signed | None:
    if row is None:
        return None
    return Signed(record=row["record"], key_id=row["key_id"], signature=row["signature"])


async def append(db: Connection, *, at: datetime, actor: str, action: str, subject: str, details: str) -> None:
    await db.execute(APPEND, at, actor, action, subject, details)


async def append_all(
    db: Connection, *, at: datetime, actor: str, action: str, subjects: Sequence[str], details: Sequence[str]
) -> None:
    await db.execute(APPEND_ALL, at, actor, action, subjects, details)


async def read(db: Connection, *arguments: Any) -> list[AuditEvent]:
    rows = await db.fetch(READ, *arguments)
    return [AuditEvent(**{**row, "details": msgspec.json.decode(row["details"])}) for row in rows]


async def add_partition(db: Connection, *, month: date) -> None:
    await db.execute(ADD_PARTITION, month)


async def try_lock(db: Connection) -> bool:
    held: bool = await db.fetchval(TRY_LOCK)
    return held


async def lock(db: Connection) -> None:
    await db.execute(LOCK)


async def is_waiting(db: Connection) -> bool:
    waiting: bool = await db.fetchval(IS_WAITING)
    return waiting


async def take(db: Connection, most: int) -> list[Record]:
    rows: list[Record] = await db.fetch(TAKE, most)
    return rows


async def add_leaves(db: Connection, leaves: Sequence[tuple[Any, ...]]) -> None:
    await db.copy_records_to_table("audit_leaf", records=leaves, columns=LEAF_COLUMNS)


async def add_head(db: Connection, tree_size: int, head: Signed) -> None:
    await db.execute(ADD_HEAD, tree_size, head.record, head.key_id, head.signature)


async def last_head(db: Connection) -> Signed | None:
    return _signed(await db.fetchrow(LAST_HEAD))


async def head_at(db: Connection, tree_size: int) -> Signed | None:
    return _signed(await db.fetchrow(HEAD_AT, tree_size))


async def head_before(db: Connection, leaf: int) -> Signed | None:
    return _signed(await db.fetchrow(HEAD_BEFORE, leaf))


async def head_after(db: Connection, leaf: int) -> Signed | None:
    return _signed(await db.fetchrow(HEAD_AFTER, leaf))


async def heads(db: Connection, *, above: int, upto: int, limit: int | None = None) -> list[tuple[int, Signed]]:
    found = []
    for row in await db.fetch(HEADS, above, upto, limit):
        signed = _signed(row)
        assert signed is not None
        found.append((row["tree_size"], signed))
    return found


async def count_heads(db: Connection) -> int:
    count: int = await db.fetchval(COUNT_HEADS)
    return count


async def hold_still(db: Connection) -> None:
    await db.execute(ONE_MOMENT)


async def last_leaf(db: Connection) -> int:
    """Return the highest leaf number, -1 where there is none."""
    row = await db.fetchrow(BOUNDS)
    assert row is not None
    return -1 if row["last"] is None else int(row["last"])


async def leaves(db: Connection, first: int, beyond: int) -> list[Record]:
    rows: list[Record] = await db.fetch(LEAVES, first, beyond)
    return rows


async def leaf_range(db: Connection, since: datetime | None, until: datetime | None) -> Record | None:
    row = await db.fetchrow(LEAF_RANGE, since, until)
    return None if row is None or row["first"] is None else row


async def strays(db: Connection, since: datetime | None, limit: int) -> list[Record]:
    rows: list[Record] = await db.fetch(STRAYS, since, limit)
    return rows


async def doubles(db: Connection, since: datetime | None, limit: int) -> list[Record]:
    rows: list[Record] = await db.fetch(DOUBLES, since, limit)
    return rows


async def waiting(db: Connection) -> tuple[int, datetime | None]:
    row = await db.fetchrow(WAITING)
    assert row is not None
    return row["rows"], row["oldest"]


async def purges(db: Connection) -> list[tuple[str, date, Signed]]:
    found = []
    for row in await db.fetch(PURGES):
        signed = _signed(row)
        assert signed is not None
        found.append((row["log"], row["month"], signed))
    return found


async def add_purge(db: Connection, log: Log, month: date, first_leaf: int, purge: Signed) -> None:
    await db.execute(ADD_PURGE, log, month, first_leaf, purge.record, purge.key_id, purge.signature)


async def oldest(db: Connection, log: Log) -> datetime | None:
    at: datetime | None = await db.fetchval(OLDEST[log])
    return at


async def count_rows(db: Connection, log: Log, first: datetime, beyond: datetime) -> int:
    count: int = await db.fetchval(COUNT_ROWS[log], first, beyond)
    return count


async def is_waiting_of_month(db: Connection, log: Log, first: datetime, beyond: datetime) -> bool:
    waits: bool = await db.fetchval(WAITING_OF_MONTH, log, first, beyond)
    return waits


async def leaves_of_month(
    db: Connection, log: Log, month: tuple[datetime, datetime], purged: tuple[int, int]
) -> list[bytes]:
    """Return the hashes, in order, of a month's leaves within a range of numbers (both ends included)."""
    return [row["sha256"] for row in await db.fetch(LEAVES_OF_MONTH, log, *month, *purged)]


def rows_of_month(db: Connection, log: Log, first: datetime, beyond: datetime) -> AsyncIterable[Record]:
    rows: AsyncIterable[Record] = db.cursor(ROWS_OF_MONTH, log, first, beyond, prefetch=1_000)
    return rows


async def destroy(db: Connection, log: Log, first: datetime, beyond: datetime) -> None:
    """Drop a month's partition, and delete what of it strayed into the default one."""
    await db.execute(ALLOW_PURGE, "yes")
    await db.execute(DROP_PARTITION.format(log=log, month=first.date()))
    await db.execute(DELETE_ROWS[log], first, beyond)
    await db.execute(ALLOW_PURGE, "")
