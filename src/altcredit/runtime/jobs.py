"""
Background jobs, queued in the transaction that needs them and run by a worker (pgqueuer on the same database).

This module only writes and reads the queue, in plain SQL, so that a process which merely enqueues loads nothing of
pgqueuer. ``worker`` runs the jobs.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import msgspec

from altcredit.runtime.db import Connection, Reads

Payload: TypeAlias = dict[str, Any]

# Tries of a job before it is held for an operator, with pauses of 1, 2, 4 … 600 seconds: about half an hour.
ATTEMPTS = 12
# As many waiting jobs as one run takes on at most.
_MERGED = 500

# A waiting job of the same key takes the new one in. The update, where one might expect DO NOTHING, locks that job
# until the caller's transaction ends, and workers skip locked jobs: whoever runs it sees what this transaction writes.
# A worker drops the key before it starts a job, so a job that is under way never takes a new one in.
ENQUEUE = """
WITH job AS (
    INSERT INTO pgqueuer AS waiting (priority, entrypoint, payload, execute_after, dedupe_key, status)
    VALUES (0, $1, $2, now() + $3::interval, $4, 'queued')
    ON CONFLICT (dedupe_key) WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL
    DO UPDATE SET execute_after = least(waiting.execute_after, excluded.execute_after)
    RETURNING id, entrypoint, priority, xmax = 0 AS is_new
), logged AS (
    INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority)
    SELECT id, 'queued', entrypoint, priority FROM job WHERE is_new
)
SELECT id FROM job
"""


# Several at once: those that take another in at this moment are left out, and hold nobody up but themselves.
BEGIN = """
WITH keyed AS (
    SELECT id FROM pgqueuer WHERE id = ANY($1::bigint[]) AND dedupe_key IS NOT NULL FOR UPDATE SKIP LOCKED
), dropped AS (
    UPDATE pgqueuer SET dedupe_key = NULL WHERE id IN (SELECT id FROM keyed)
)
SELECT id, payload FROM pgqueuer
WHERE id = ANY($1::bigint[]) AND (dedupe_key IS NULL OR id IN (SELECT id FROM keyed))
"""

START = """
WITH dropped AS (UPDATE pgqueuer SET dedupe_key = NULL WHERE id = $1 AND dedupe_key IS NOT NULL)
SELECT payload FROM pgqueuer WHERE id = $1
"""

# Jobs that failed before are left alone: merged with others, one that cannot succeed would hold those up too.
MERGE = """
WITH waiting AS (
    SELECT id FROM pgqueuer
    WHERE entrypoint = $1 AND status = 'queued' AND execute_after <= now() AND attempts = 0
    ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
), merged AS (
    DELETE FROM pgqueuer WHERE id IN (SELECT id FROM waiting) RETURNING id, entrypoint, priority, payload
), logged AS (
    INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority)
    SELECT id, 'deleted', entrypoint, priority FROM merged
)
SELECT payload FROM merged ORDER BY id
"""

SPLIT_OFF = """
INSERT INTO pgqueuer (priority, entrypoint, payload, status, attempts)
SELECT priority, entrypoint, $2, 'queued', attempts FROM pgqueuer WHERE id = $1
"""

REWRITE = "UPDATE pgqueuer SET payload = $2 WHERE id = $1"

# A worker holds a session lock on its number for as long as it lives. The database drops the lock with the connection,
# and the operating system drops that with the process: a job picked by a number without a lock has lost its worker.
LIVE = "SELECT pg_advisory_lock(hashtextextended($1, 0))"

ADOPT = """
WITH lost AS (
    SELECT id FROM pgqueuer job WHERE status = 'picked' AND NOT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND (classid::bigint << 32) | objid::bigint = hashtextextended(job.queue_manager_id::text, 0)
    ) FOR UPDATE SKIP LOCKED
), adopted AS (
    UPDATE pgqueuer SET
        status = CASE WHEN attempts + 1 < $1 THEN 'queued' ELSE 'failed' END::pgqueuer_status,
        attempts = attempts + 1, queue_manager_id = NULL, execute_after = now(), updated = now()
    WHERE id IN (SELECT id FROM lost) RETURNING id, status, entrypoint, priority
), logged AS (
    INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority) SELECT id, status, entrypoint, priority FROM adopted
)
SELECT id FROM adopted
"""

# pgqueuer's own trigger stays silent on updates.
WAKE = """
SELECT pg_notify('ch_pgqueuer', json_build_object('channel', 'ch_pgqueuer', 'operation', 'update', 'sent_at', now(),
    'table', 'pgqueuer', 'type', 'table_changed_event')::text)
"""

HELD = """
SELECT id, entrypoint, convert_from(payload, 'utf8') AS payload, attempts, updated, (
    SELECT traceback ->> 'exception_message' FROM pgqueuer_log
    WHERE job_id = job.id AND traceback IS NOT NULL ORDER BY created DESC LIMIT 1
) AS problem
FROM pgqueuer job WHERE status = 'failed' ORDER BY id LIMIT $1
"""

RELEASE = """
UPDATE pgqueuer SET status = 'queued', attempts = 0, execute_after = now(), updated = now()
WHERE id = ANY($1::bigint[]) AND status = 'failed'
"""

KEEP_SCHEDULES = """
DELETE FROM pgqueuer_schedules
WHERE (entrypoint, expression) NOT IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""

PURGE_LOG = "DELETE FROM pgqueuer_log WHERE created < $1 AND aggregated"

PURGE_STATISTICS = "DELETE FROM pgqueuer_statistics WHERE created < $1"


class HeldJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that failed, or lost its worker, too often to be tried again unasked (``release``)."""

    id: int
    job: str
    payload: str
    attempts: int
    since: datetime
    problem: str | None


async def enqueue(
    db: Connection,
    name: str,
    payload: Payload,
    *,
    execute_after: timedelta | None = None,
    dedupe_key: str | None = None,
) -> int:
    """
    Queue a job on the caller's transaction; return its number.

    :param name: a name in the worker's table, as ``altscore.refresh``.
    :param payload: what the handler gets, as JSON.
    :param execute_after: wait at least this long before running it.
    :param dedupe_key: a job of this key that has not started yet takes this one in, and keeps its payload and the
        earlier of the two times. It runs after this transaction commits, so it sees what this transaction writes.
    """
    delay = execute_after or timedelta()
    job_id: int = await db.fetchval(ENQUEUE, name, msgspec.json.encode(payload), delay, dedupe_key)
    return job_id


async def begin(reads: Reads, *, job_ids: Sequence[int]) -> dict[int, list[Payload]]:
    """
    Return the payload of each job that is about to run, alone in a list, by one statement.

    Missing are those that no longer exist, and those that take another one in just now: :func:`begin_alone` waits.
    """
    return {row["id"]: _payloads(row["payload"]) for row in await reads.fetch(BEGIN, job_ids)}


async def begin_alone(reads: Reads, *, job_id: int) -> list[Payload]:
    """Return the payload of a job that is about to run, alone in a list; none when it no longer exists."""
    stored = await reads.fetchval(START, job_id)
    return [] if stored is None else _payloads(stored)


async def begin_merging(db: Connection, *, job_id: int, name: str, attempts: int) -> list[Payload]:
    """
    Settle what a job that is about to run stands for; return the payloads, none when it no longer exists.

    It takes the waiting jobs of the same name on, so that one run does the work of all. Where a merged job fails or
    loses its worker, each further try halves it, so that one bad payload ends up alone.
    """
    stored = await db.fetchval(START, job_id)
    if stored is None:
        return []
    payloads = _payloads(stored)
    if attempts == 0:
        for row in await db.fetch(MERGE, name, _MERGED):
            payloads += _payloads(row["payload"])
    elif len(payloads) > 1:
        half = len(payloads) // 2
        await db.execute(SPLIT_OFF, job_id, msgspec.json.encode(payloads[half:]))
        payloads = payloads[:half]
    if len(payloads) > 1 or attempts:
        await db.execute(REWRITE, job_id, msgspec.json.encode(payloads))
    return payloads


def _payloads(stored: bytes) -> list[Payload]:
    decoded = msgspec.json.decode(stored, type=Payload | list[Payload])
    return decoded if isinstance(decoded, list) else [decoded]


def pause_after(attempts: int) -> timedelta:
    """Return how long a job waits that failed after so many earlier failures: 1, 2, 4 … 600 seconds."""
    return timedelta(seconds=min(2**attempts, 600))


@asynccontextmanager
async def alive(dsn: str, *, workers: Iterable[str]) -> AsyncIterator[Connection]:
    """
    Show the fleet that a worker lives for as long as the block runs; lend the connection that shows it.

    :param workers: the numbers that its jobs are picked under, one a lane, UUIDs in canonical text form.
    """
    connection = await asyncpg.connect(dsn, server_settings={"application_name": "altcredit worker"}, timeout=10)
    try:
        for worker in workers:
            await connection.execute(LIVE, worker)
        yield connection
    finally:
        await connection.close()


async def adopt(db: Connection) -> int:
    """
    Queue the jobs of workers that are no more again, at once; return how many.

    Losing its worker counts as a failure, or a job that kills its worker would do so for ever.
    """
    adopted = await db.fetch(ADOPT, ATTEMPTS)
    if adopted:
        await db.execute(WAKE)
    return len(adopted)


async def held(db: Connection, *, limit: int = 100) -> list[HeldJob]:
    """Return the jobs, oldest first, that wait for an operator."""
    return [
        HeldJob(
            id=row["id"],
            job=row["entrypoint"],
            payload=row["payload"],
            attempts=row["attempts"],
            since=row["updated"],
            problem=row["problem"],
        )
        for row in await db.fetch(HELD, limit)
    ]


async def release(db: Connection, *, job_ids: Iterable[int]) -> int:
    """Have held jobs tried again; return how many those were."""
    count = int((await db.execute(RELEASE, list(job_ids))).split()[-1])
    await db.execute(WAKE)
    return count


async def keep_schedules(db: Connection, *, schedules: Sequence[tuple[str, str]]) -> None:
    """Drop all schedules but these (job name, cron expression): the code no longer has them."""
    await db.execute(KEEP_SCHEDULES, [name for name, _ in schedules], [expression for _, expression in schedules])


async def purge(db: Connection, *, before: datetime) -> int:
    """Delete the log of jobs from before a time; return how many rows. Statistics by the second go with it."""
    await db.execute(PURGE_STATISTICS, before)
    return int((await db.execute(PURGE_LOG, before)).split()[-1])
