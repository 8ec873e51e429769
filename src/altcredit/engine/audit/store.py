from datetime import date, datetime
from typing import Any

import msgspec

from altcredit.engine.audit.event import AuditEvent
from altcredit.runtime.db import Connection

APPEND = "INSERT INTO audit_event (at, actor, action, subject, details) VALUES ($1, $2, $3, $4, $5::jsonb)"

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


async def append(db: Connection, *, at: datetime, actor: str, action: str, subject: str, details: str) -> None:
    await db.execute(APPEND, at, actor, action, subject, details)


async def read(db: Connection, *arguments: Any) -> list[AuditEvent]:
    rows = await db.fetch(READ, *arguments)
    return [AuditEvent(**{**row, "details": msgspec.json.decode(row["details"])}) for row in rows]


async def add_partition(db: Connection, *, month: date) -> None:
    await db.execute(ADD_PARTITION, month)
