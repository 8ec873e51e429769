"""
Sessions of staff: opaque, server-side, 15 minutes from sign-in, never renewed (section 02; contract, U1 of staff).

A session is judged by the clock both ways. At and after ``expires_at`` it is over; and so it is where the clock shows a
time before the sign-in or before a moment at which the session was already seen: a clock that was set back would
otherwise lengthen it. Where it was set back with nobody looking, the host's uptime, which nobody can set, still tells.
"""

import re
from datetime import datetime, timedelta

from altcredit.engine.identity.people import store
from altcredit.engine.identity.people.staff import (
    SESSION_LIFETIME,
    IssuedSession,
    SessionExpired,
    SessionInvalid,
    SessionMissing,
    StaffMember,
    StaffSession,
)
from altcredit.runtime import ids
from altcredit.runtime.clock import Uptime, outlived
from altcredit.runtime.db import Connection, Database
from altcredit.runtime.keys import Keyring

_TOKEN = re.compile(r"ses_[0-9a-f]{64}")
# Clocks of several servers differ, and requests overtake each other: this much is no clock that was set back.
_DRIFT = timedelta(seconds=2)


async def staff_by_session(
    database: Database, *, keyring: Keyring, token: str, now: datetime, uptime: Uptime | None = None
) -> StaffSession:
    """
    Return the living session of a token, ``ses_…``; one statement. Roles are those of this moment.

    ``uptime``: that of this host, which counts where the session began on it; None judges by ``now`` alone.

    :raises SessionMissing: there is no token.
    :raises SessionInvalid: there is no such session.
    :raises SessionExpired: there was one, or the clock was set back since it was last seen.
    """
    if not token:
        raise SessionMissing
    if not _TOKEN.fullmatch(token):
        raise SessionInvalid
    found = await store.session_by_token(database.reads, token_hmac=_hashed(keyring, token), now=now)
    if found is None:
        raise SessionInvalid
    session = found.session
    if found.ended or now >= session.expires_at or now < max(session.signed_in_at, found.seen_at) - _DRIFT:
        raise SessionExpired
    if outlived(found.began, uptime, SESSION_LIFETIME):
        raise SessionExpired
    return session


def _hashed(keyring: Keyring, token: str) -> bytes:
    return keyring.hmac("staff_session", token)


async def open_session(
    db: Connection,
    *,
    keyring: Keyring,
    member: StaffMember,
    key_id: str,
    now: datetime,
    uptime: Uptime | None = None,
) -> IssuedSession:
    """Open a session for somebody who has just proven both factors; only the end of a sign-in may call this."""
    token = f"ses_{ids.new_secret()}"
    session = StaffSession(
        staff_id=member.staff_id,
        name_id=member.name_id,
        roles=member.roles,
        session_id=ids.new_id("sen"),
        signed_in_at=now,
        expires_at=now + SESSION_LIFETIME,
    )
    await store.insert_session(db, session, token_hmac=_hashed(keyring, token), key_id=key_id, uptime=uptime)
    return IssuedSession(session=session, token=token)
