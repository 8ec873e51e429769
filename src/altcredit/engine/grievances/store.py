"""
The SQL of grievances.

``MAY_FILE`` reads tables of other capabilities (consent_head, assessment, retailer_alias) in one statement, so that a
lender without consent, an unknown shop and another shop's score cost the same two look-ups and give the same answer.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from altcredit.engine.grievances.case import Case, Clock, Escalation
from altcredit.runtime.db import Connection, Record

_COLUMNS = """
    g.grievance_id, g.retailer_id, g.score_id, g.filed_by, g.filer_id, g.channel, g.grievance_type,
    g.sealed_description, g.contact, g.language, g.filed_at, g.ack_by, g.resolve_by, g.escalate_by, g.set_back,
    g.status, g.acknowledged_at, g.reviewer, g.corrected_at, g.resolved_at, g.outcome, g.sealed_resolution,
    g.new_score_id,
    ARRAY(SELECT clock FROM grievance_escalation e WHERE e.grievance_id = g.grievance_id ORDER BY due_at) AS escalated
"""
# $1 the lender's head key, $2 now, $3 the score. Each look-up reads the row at its key or else the next one, whoever's
# that is: finding something takes as long as finding nothing.
MAY_FILE = """
SELECT head.retailer_id, head.head_key = $1 AND scored.score_id = $3 AND scored.retailer_id = head.retailer_id
    AND $2 < ANY (head.expires_at) AS may
FROM (SELECT) AS asked
LEFT JOIN (
    SELECT head_key, retailer_id, expires_at FROM consent_head WHERE head_key >= $1 ORDER BY head_key LIMIT 1
) AS head ON true
LEFT JOIN (
    SELECT s.score_id, coalesce(a.retailer_id, s.retailer_id) AS retailer_id
    FROM (
        SELECT score_id, retailer_id FROM assessment WHERE score_id >= $3 ORDER BY score_id LIMIT 1
    ) AS s LEFT JOIN retailer_alias a ON a.alias_id = s.retailer_id
) AS scored ON true
"""
INSERT = """
INSERT INTO grievance (grievance_id, retailer_id, score_id, filed_by, filer_id, channel, grievance_type,
    sealed_description, contact, language, filed_at, ack_by, resolve_by, escalate_by, set_back)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
"""
FIND = f"SELECT {_COLUMNS} FROM grievance g WHERE g.grievance_id = $1"
LOCK = FIND + " FOR UPDATE OF g"
NOTES = "SELECT at, author, visible, sealed_text FROM grievance_note WHERE grievance_id = $1 ORDER BY note_id"
ADD_NOTE = "INSERT INTO grievance_note (grievance_id, at, author, visible, sealed_text) VALUES ($1, $2, $3, $4, $5)"
ACKNOWLEDGE = """
UPDATE grievance SET acknowledged_at = $2, status = CASE status WHEN 'open' THEN 'acknowledged' ELSE status END
WHERE grievance_id = $1 AND acknowledged_at IS NULL
"""
REVIEW = "UPDATE grievance SET status = 'under_review', reviewer = $2 WHERE grievance_id = $1"
CORRECT = "UPDATE grievance SET corrected_at = $2 WHERE grievance_id = $1"
RESOLVE = """
UPDATE grievance SET status = 'resolved', resolved_at = $2, outcome = $3, sealed_resolution = $4, new_score_id = $5
WHERE grievance_id = $1
"""
# $1: time on the system's clock plus everything it was ever set back; $2, $3: the page before ended here
OPEN = f"""
SELECT {_COLUMNS} FROM grievance g
WHERE g.resolved_at IS NULL AND (g.filed_at, g.grievance_id) > ($2, $3)
  AND (NOT $4::bool
       OR CASE WHEN g.acknowledged_at IS NULL THEN g.ack_by ELSE g.resolve_by END <= $1::timestamptz - g.set_back)
ORDER BY g.filed_at, g.grievance_id LIMIT $5
"""
OF_RETAILERS = f"SELECT {_COLUMNS} FROM grievance g WHERE g.retailer_id = ANY ($1) ORDER BY g.filed_at DESC LIMIT $2"
ESCALATE = """
WITH due AS (
    SELECT g.grievance_id, g.retailer_id, c.clock, c.due_at
    FROM grievance g
    CROSS JOIN LATERAL (VALUES
        ('acknowledgement', g.ack_by, g.acknowledged_at IS NULL),
        ('resolution', g.resolve_by, true),
        ('escalation', g.escalate_by, true)
    ) AS c (clock, due_at, waits)
    WHERE g.resolved_at IS NULL AND c.waits AND c.due_at <= $1::timestamptz - g.set_back
), escalated AS (
    INSERT INTO grievance_escalation (grievance_id, clock, due_at, escalated_at)
    SELECT grievance_id, clock, due_at, $2 FROM due
    ON CONFLICT (grievance_id, clock) DO NOTHING
    RETURNING grievance_id, clock, due_at
)
SELECT grievance_id, retailer_id, clock, due_at FROM escalated JOIN due USING (grievance_id, clock, due_at)
ORDER BY due_at, grievance_id
"""
# The tolerance is that of case.TOLERANCE.
TICK = """
INSERT INTO grievance_clock AS c (read_at) VALUES ($1)
ON CONFLICT (singleton) DO UPDATE SET
    set_back = c.set_back + CASE WHEN $1 < c.read_at - $2::interval THEN c.read_at - $1 ELSE '0' END,
    read_at = CASE WHEN $1 < c.read_at - $2::interval THEN $1 ELSE greatest(c.read_at, $1) END
RETURNING set_back
"""
READ_CLOCK = "SELECT read_at, set_back FROM grievance_clock"
FORGET = """
UPDATE grievance SET sealed_description = NULL, sealed_resolution = NULL, contact = NULL WHERE retailer_id = ANY ($1)
"""
FORGET_NOTES = """
UPDATE grievance_note SET sealed_text = NULL
WHERE grievance_id IN (SELECT grievance_id FROM grievance WHERE retailer_id = ANY ($1))
"""


async def may_file(db: Connection, head_key: bytes, score_id: str, now: datetime) -> str | None:
    """Return the retailer that a lender may complain for, if it consented and the score is that retailer's."""
    row = await db.fetchrow(MAY_FILE, head_key, now, score_id)
    found: str | None = row["retailer_id"] if row["may"] else None
    return found


async def insert(
    db: Connection,
    case: Case,
    *,
    sealed: bytes,
    due: Sequence[datetime],
    set_back: timedelta,
) -> None:
    """Store a case; ``due``: when the clocks of acknowledgement, resolution and escalation run out."""
    await db.execute(
        INSERT,
        case.grievance_id,
        case.retailer_id,
        case.score_id,
        case.filed_by,
        case.filer_id,
        case.channel,
        case.grievance_type,
        sealed,
        case.contact,
        case.language,
        case.filed_at,
        *due,
        set_back,
    )


async def find(db: Connection, grievance_id: str, *, lock: bool = False) -> Record | None:
    return await db.fetchrow(LOCK if lock else FIND, grievance_id)


async def notes(db: Connection, grievance_id: str) -> list[Record]:
    rows: list[Record] = await db.fetch(NOTES, grievance_id)
    return rows


async def add_note(
    db: Connection, grievance_id: str, *, at: datetime, author: str, visible: bool, sealed: bytes
) -> None:
    await db.execute(ADD_NOTE, grievance_id, at, author, visible, sealed)


async def acknowledge(db: Connection, grievance_id: str, at: datetime) -> None:
    await db.execute(ACKNOWLEDGE, grievance_id, at)


async def review(db: Connection, grievance_id: str, reviewer: str) -> None:
    await db.execute(REVIEW, grievance_id, reviewer)


async def correct(db: Connection, grievance_id: str, at: datetime) -> None:
    await db.execute(CORRECT, grievance_id, at)


async def resolve(
    db: Connection, grievance_id: str, *, at: datetime, outcome: str, sealed: bytes, new_score_id: str | None
) -> None:
    await db.execute(RESOLVE, grievance_id, at, outcome, sealed, new_score_id)


async def unresolved(
    db: Connection, latest: datetime, *, after: tuple[datetime, str], overdue: bool, limit: int
) -> Any:
    return await db.fetch(OPEN, latest, *after, overdue, limit)


async def of_retailers(db: Connection, retailer_ids: Sequence[str], limit: int) -> list[Record]:
    rows: list[Record] = await db.fetch(OF_RETAILERS, list(retailer_ids), limit)
    return rows


async def escalate(db: Connection, latest: datetime, at: datetime) -> list[Escalation]:
    return [Escalation(**row) for row in await db.fetch(ESCALATE, latest, at)]


async def tick(db: Connection, now: datetime, tolerance: timedelta) -> timedelta:
    """Read the clock for the record; return by how much it was set back in all."""
    set_back: timedelta = await db.fetchval(TICK, now, tolerance)
    return set_back


async def last_read(db: Connection) -> tuple[datetime | None, timedelta]:
    row = await db.fetchrow(READ_CLOCK)
    return (None, timedelta()) if row is None else (row["read_at"], row["set_back"])


async def forget(db: Connection, retailer_ids: Sequence[str]) -> None:
    await db.execute(FORGET, list(retailer_ids))
    await db.execute(FORGET_NOTES, list(retailer_ids))


def due_of(row: Record) -> dict[Clock, datetime]:
    return {"acknowledgement": row["ack_by"], "resolution": row["resolve_by"], "escalation": row["escalate_by"]}
