from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

import asyncpg
import msgspec

from altcredit.runtime.db import Connection

DATABASE_FULL: Final = asyncpg.DiskFullError

FIND = """
SELECT batch_id, body_sha256, accepted, quarantined, status
FROM ingest_batch WHERE distributor_id = $1 AND client_batch_id = $2
"""

# One statement, so that it costs one round trip: claims the client's id (a second sender waits here for the first),
# and only if it was free stores the batch's own rows, its coverage and what it put in quarantine.
ACCEPT = """
WITH batch AS (
    INSERT INTO ingest_batch (
        batch_id, distributor_id, client_batch_id, body_sha256, erp_type, received_at, sync_from, sync_to, status,
        accepted, quarantined, written, touched, warnings
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'processing', $9, $10, $11, $12, $13)
    ON CONFLICT (distributor_id, client_batch_id) DO NOTHING
    RETURNING batch_id
), feed AS (
    INSERT INTO distributor_feed AS f (
        distributor_id, coverage, watermark, lag_days, lag_p90_days, returns_seen, last_batch_at
    )
    SELECT $2, datemultirange(daterange($14, $15, '[]')), $15, $16::int[], lag_p90($16, $17), $18, $6 FROM batch
    ON CONFLICT (distributor_id) DO UPDATE SET
        coverage = f.coverage + excluded.coverage,
        watermark = (SELECT upper(run) - 1 FROM unnest(f.coverage + excluded.coverage) AS run LIMIT 1),
        lag_days = lag_sum(f.lag_days, excluded.lag_days),
        lag_p90_days = lag_p90(lag_sum(f.lag_days, excluded.lag_days), $17),
        returns_seen = f.returns_seen OR excluded.returns_seen,
        last_batch_at = greatest(f.last_batch_at, excluded.last_batch_at)
), quarantine AS (
    INSERT INTO ingest_quarantine (batch_id, kind, row_number, problems)
    SELECT batch_id, kind, row_number, problems
    FROM batch, unnest($19::text[], $20::int[], $21::jsonb[]) AS bad (kind, row_number, problems)
), bodies AS (
    INSERT INTO ingest_quarantine_body (batch_id, distributor_id, sealed, purge_at)
    SELECT batch_id, $2, $22, $23 FROM batch WHERE $22::bytea IS NOT NULL
)
SELECT batch_id FROM batch
"""

# Last before the commit: the counter's row is locked until then, and every batch passes through it.
LIST = """
WITH next AS (UPDATE lake_version SET version = version + 1 RETURNING version)
INSERT INTO lake_file (
    layer, kind, path, distributor_id, batch_id, rows, bytes, sha256, created_at, added_version
)
SELECT 'bronze', 'batch', $1, $2, $3, $4, $5, $6, $7, version FROM next
"""

STATUS = """
SELECT batch_id, client_batch_id, status, received_at, accepted, written, quarantined, completeness, completed_at,
    warnings
FROM ingest_batch
WHERE distributor_id = $1 AND (batch_id = $2 OR client_batch_id = $3)
"""
PROBLEMS = "SELECT kind, row_number, problems FROM ingest_quarantine WHERE batch_id = $1 ORDER BY kind, row_number"
SEALED = "SELECT distributor_id, sealed FROM ingest_quarantine_body WHERE batch_id = $1"

PENDING = """
SELECT batch_id, distributor_id, received_at, touched
FROM ingest_batch WHERE status = 'processing' ORDER BY received_at, batch_id LIMIT $1
"""
COMPLETE = """
UPDATE ingest_batch SET status = 'complete', completeness = $2, completed_at = $4,
    warnings = warnings || $3::jsonb
WHERE batch_id = $1 AND status = 'processing'
"""

PURGE = """
WITH due AS (DELETE FROM ingest_quarantine_body WHERE purge_at <= $1 RETURNING batch_id), gone AS (
    DELETE FROM ingest_quarantine q USING due WHERE q.batch_id = due.batch_id
)
SELECT count(*) FROM due
"""

QUARANTINED_OF = """
SELECT batch_id, distributor_id, sealed FROM ingest_quarantine_body WHERE distributor_id = ANY($1::text[])
  AND batch_id > $2 ORDER BY batch_id LIMIT $3 FOR UPDATE
"""
RESEAL = "UPDATE ingest_quarantine_body SET sealed = $2 WHERE batch_id = $1"
DROP_BODY = "DELETE FROM ingest_quarantine_body WHERE batch_id = $1"
UNTOUCH = """
UPDATE ingest_batch SET touched = ARRAY(SELECT one FROM unnest(touched) AS one WHERE one <> ALL($2::text[]))
WHERE distributor_id = ANY($1::text[]) AND touched && $2::text[]
"""

FEEDS = """
SELECT distributor_id, coverage, watermark, lag_p90_days, returns_seen, last_batch_at
FROM distributor_feed WHERE $1::text[] IS NULL OR distributor_id = ANY($1)
"""

LISTED = "SELECT path FROM lake_file WHERE path = ANY($1::text[])"


class Earlier(msgspec.Struct, frozen=True):
    """A batch that was received under the same id."""

    batch_id: str
    body_sha256: bytes
    accepted: int
    quarantined: int
    status: str


class NewBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is stored of a batch but its file. JSON columns are given as JSON text."""

    batch_id: str
    distributor_id: str
    client_batch_id: str
    body_sha256: bytes
    erp_type: str
    received_at: datetime
    sync_from: datetime
    sync_to: datetime
    accepted: int
    quarantined: int
    written: int
    touched: list[str]
    warnings: str
    first_day: date
    last_day: date
    lag_days: list[int]
    unknown_lag_days: int
    returns_seen: bool
    bad_kinds: list[str]
    bad_rows: list[int]
    bad_problems: list[str]
    sealed: bytes | None
    purge_at: datetime


async def find(db: Connection, *, distributor_id: str, client_batch_id: str) -> Earlier | None:
    row = await db.fetchrow(FIND, distributor_id, client_batch_id)
    return Earlier(*row) if row else None


async def accept(db: Connection, batch: NewBatch) -> bool:
    """Store a batch, unless the distributor has sent one under this id: then return False, and store nothing."""
    return await db.fetchval(ACCEPT, *msgspec.structs.astuple(batch)) is not None


async def list_file(
    db: Connection, *, path: str, distributor_id: str, batch_id: str, rows: int, size: int, sha256: str, now: datetime
) -> None:
    """Put a bronze file on the lake's manifest."""
    await db.execute(LIST, path, distributor_id, batch_id, rows, size, sha256, now)


async def status(db: Connection, *, distributor_id: str, batch_id: str | None, client_batch_id: str | None) -> Any:
    return await db.fetchrow(STATUS, distributor_id, batch_id, client_batch_id)


async def problems(db: Connection, *, batch_id: str) -> list[Any]:
    rows: list[Any] = await db.fetch(PROBLEMS, batch_id)
    return rows


async def sealed(db: Connection, *, batch_id: str) -> tuple[str, bytes] | None:
    """Return the distributor and the sealed records of a batch in quarantine."""
    row = await db.fetchrow(SEALED, batch_id)
    return (row["distributor_id"], row["sealed"]) if row else None


async def pending(db: Connection, *, limit: int) -> list[Any]:
    rows: list[Any] = await db.fetch(PENDING, limit)
    return rows


async def complete(db: Connection, *, batch_id: str, completeness: float | None, warnings: str, now: datetime) -> bool:
    done: str = await db.execute(COMPLETE, batch_id, completeness, warnings, now)
    return done.endswith(" 1")


async def purge(db: Connection, *, now: datetime) -> int:
    purged: int = await db.fetchval(PURGE, now)
    return purged


async def feeds(db: Connection, *, distributor_ids: Sequence[str] | None) -> list[Any]:
    rows: list[Any] = await db.fetch(FEEDS, distributor_ids)
    return rows


async def listed(db: Connection, *, paths: list[str]) -> set[str]:
    return {row["path"] for row in await db.fetch(LISTED, paths)}


async def quarantined_of(db: Connection, *, distributor_ids: list[str], after: str, limit: int) -> list[Any]:
    rows: list[Any] = await db.fetch(QUARANTINED_OF, distributor_ids, after, limit)
    return rows


async def reseal(db: Connection, *, batch_id: str, sealed: bytes | None) -> None:
    """Replace what is sealed of a batch in quarantine; None: nothing is left of it."""
    if sealed is None:
        await db.execute(DROP_BODY, batch_id)
    else:
        await db.execute(RESEAL, batch_id, sealed)


async def untouch(db: Connection, *, distributor_ids: list[str], retailer_ids: list[str]) -> None:
    await db.execute(UNTOUCH, distributor_ids, retailer_ids)
