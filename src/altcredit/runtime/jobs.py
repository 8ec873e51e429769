"""
Background jobs, queued in the transaction that needs them and run by a worker (pgqueuer on the same database).

This module only writes and reads the queue, in plain SQL, so that a process which merely enqueues loads nothing of
pgqueuer. ``worker`` runs the jobs.
"""

from datetime import timedelta
from typing import Any

import msgspec

from altcredit.runtime.db import Connection

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


async def enqueue(
    db: Connection,
    name: str,
    payload: dict[str, Any],
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
