"""Two different people for what nobody may do alone (API-ALTSCORE-001, section 07)."""

from datetime import datetime, timedelta

from altcredit.engine.identity.people.staff import PermissionDenied, SecondPersonNeeded, StaffSession
from altcredit.engine.identity.permissions import PERMISSIONS
from altcredit.engine.identity.signatures import store
from altcredit.runtime.db import Connection

# The second person signs for what the first one meant.
SIGNATURE_LASTS = timedelta(days=7)
# Clocks of several servers differ by this much; a signature from further ahead is from a clock that was set back since.
_DRIFT = timedelta(seconds=2)


async def sign_with(
    db: Connection,
    *,
    session: StaffSession,
    action: str,
    subject: str,
    now: datetime,
    lasts: timedelta = SIGNATURE_LASTS,
) -> str | None:
    """
    Sign for an action on a subject: None if this is the first signature, else the ``stf_…`` who signed first.

    ``action`` is the permission that it takes. The second signature uses the first one up. A first signature counts as
    long as it ``lasts``, and as long as whoever gave it is active, has the permission, and was not suspended, given
    other roles or deprived of a key in between. Whether the person may do the action, and has proven it with a key, is
    for the caller to know.

    :raises SecondPersonNeeded: both would be by the same person.
    """
    first = await store.sign_first(
        db,
        action=action,
        subject=subject,
        staff_id=session.staff_id,
        now=now,
        live=(now - lasts, now + _DRIFT),
        roles=PERMISSIONS[action],
    )
    if first == session.staff_id:
        raise SecondPersonNeeded(f"{first} has signed for this already")
    if first is not None:
        await store.use_first(db, action=action, subject=subject)
    return first


async def standing(db: Connection, *, name_id: str, permission: str) -> int | None:
    """
    Return the standing of a member of staff who has a permission, None where nobody has this NameID.

    It changes when they are suspended, given other roles, or deprived of a key: what they approved before is not what
    they approve now.

    :raises PermissionDenied: they are suspended, or their roles do not allow it.
    """
    found = await store.standing(db, name_id=name_id, roles=PERMISSIONS[permission])
    if found is None:
        return None
    number, may = found
    if not may:
        raise PermissionDenied(f"{name_id} is suspended, or has no role with {permission}")
    return number
