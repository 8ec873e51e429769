"""Two different people for what nobody may do alone (API-ALTSCORE-001, section 07)."""

from datetime import datetime, timedelta

from altcredit.engine.identity.people.staff import SecondPersonNeeded, StaffSession
from altcredit.engine.identity.signatures import store
from altcredit.runtime.db import Connection

# The second person signs for what the first one meant.
SIGNATURE_LASTS = timedelta(days=7)


async def sign_with(db: Connection, *, session: StaffSession, action: str, subject: str, now: datetime) -> str | None:
    """
    Sign for an action on a subject: None if this is the first signature, else the ``stf_…`` who signed first.

    The second signature uses the first one up. A first signature lapses after seven days, and when whoever gave it is
    suspended. Whether the person may do the action, and has proven it with a key, is for the caller to know.

    :raises SecondPersonNeeded: both would be by the same person.
    """
    first = await store.sign_first(
        db, action=action, subject=subject, staff_id=session.staff_id, now=now, live_since=now - SIGNATURE_LASTS
    )
    if first == session.staff_id:
        raise SecondPersonNeeded(f"{first} has signed for this already")
    if first is not None:
        await store.use_first(db, action=action, subject=subject)
    return first
