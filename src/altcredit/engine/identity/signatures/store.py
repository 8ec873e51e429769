from datetime import datetime

from altcredit.runtime.db import Connection

# Nothing comes back where somebody else's live signature, or one's own, is there already; its row is then locked.
SIGN_FIRST = """
INSERT INTO staff_first_signature AS s (action, subject, staff_id, signed_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (action, subject) DO UPDATE SET staff_id = EXCLUDED.staff_id, signed_at = EXCLUDED.signed_at
WHERE s.signed_at < $5
   OR NOT EXISTS (SELECT FROM staff WHERE staff.staff_id = s.staff_id AND status = 'active')
RETURNING staff_id
"""
FIRST = "SELECT staff_id FROM staff_first_signature WHERE action = $1 AND subject = $2"
USE_FIRST = "DELETE FROM staff_first_signature WHERE action = $1 AND subject = $2"


async def sign_first(
    db: Connection, *, action: str, subject: str, staff_id: str, now: datetime, live_since: datetime
) -> str | None:
    """Record a first signature and return None, or return who has given a live one."""
    if await db.fetchval(SIGN_FIRST, action, subject, staff_id, now, live_since) is not None:
        return None
    first: str = await db.fetchval(FIRST, action, subject)
    return first


async def use_first(db: Connection, *, action: str, subject: str) -> None:
    await db.execute(USE_FIRST, action, subject)
