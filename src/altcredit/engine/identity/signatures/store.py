from collections.abc import Collection
from datetime import datetime

from altcredit.runtime.db import Connection

# Nothing comes back where somebody else's live signature, or one's own, is there already; its row is then locked.
SIGN_FIRST = """
INSERT INTO staff_first_signature AS s (action, subject, staff_id, signed_at, standing)
SELECT $1, $2, staff_id, $4, standing FROM staff WHERE staff_id = $3
ON CONFLICT (action, subject) DO UPDATE
SET staff_id = EXCLUDED.staff_id, signed_at = EXCLUDED.signed_at, standing = EXCLUDED.standing
WHERE s.signed_at <= $5 OR s.signed_at > $6 OR NOT EXISTS (
    SELECT FROM staff
    WHERE staff.staff_id = s.staff_id AND standing = s.standing AND status = 'active' AND roles && $7::text[]
)
RETURNING staff_id
"""
FIRST = "SELECT staff_id FROM staff_first_signature WHERE action = $1 AND subject = $2"
USE_FIRST = "DELETE FROM staff_first_signature WHERE action = $1 AND subject = $2"

STANDING = "SELECT standing, status = 'active' AND roles && $2::text[] AS may FROM staff WHERE name_id = $1"


async def sign_first(
    db: Connection,
    *,
    action: str,
    subject: str,
    staff_id: str,
    now: datetime,
    live: tuple[datetime, datetime],
    roles: Collection[str],
) -> str | None:
    """
    Record a first signature and return None, or return who has given a live one.

    ``live``: after which moment that was, and until which one; ``roles``: one of them its signer still has.
    """
    if await db.fetchval(SIGN_FIRST, action, subject, staff_id, now, *live, list(roles)) is not None:
        return None
    first: str = await db.fetchval(FIRST, action, subject)
    return first


async def use_first(db: Connection, *, action: str, subject: str) -> None:
    await db.execute(USE_FIRST, action, subject)


async def standing(db: Connection, *, name_id: str, roles: Collection[str]) -> tuple[int, bool] | None:
    """Return the standing of a member of staff, and whether they are active in one of ``roles``."""
    row = await db.fetchrow(STANDING, name_id, list(roles))
    return (row["standing"], row["may"]) if row else None
