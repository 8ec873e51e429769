from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from altcredit.engine.identity.people.staff import StaffMember, StaffSession
from altcredit.runtime.db import Connection, Reads, Record

# ruff: noqa: S105 - statements with "token" in their names

_STAFF = "staff_id, name_id, name, roles, status, created_at"

INSERT_STAFF = f"""
INSERT INTO staff ({_STAFF}, user_handle) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (name_id) DO NOTHING RETURNING staff_id
"""

INSERT_KEY = """
INSERT INTO staff_key (key_id, credential_id, staff_id, credential, attested_by, sign_count, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (credential_id) DO NOTHING RETURNING key_id
"""
LIVE_KEYS = """
SELECT key_id, credential_id, credential, sign_count FROM staff_key
WHERE staff_id = $1 AND revoked_at IS NULL ORDER BY created_at, key_id
"""
LOCK_KEY = """
SELECT key_id, credential_id, credential, sign_count FROM staff_key
WHERE staff_id = $1 AND credential_id = $2 AND revoked_at IS NULL FOR UPDATE
"""
KEY_USED = "UPDATE staff_key SET sign_count = $2, last_used_at = $3 WHERE key_id = $1"

_SESSION = "staff_id, name_id, roles, session_id, signed_in_at, expires_at"
INSERT_SESSION = """
INSERT INTO staff_session (session_id, token_hmac, staff_id, key_id, signed_in_at, expires_at, seen_at)
VALUES ($1, $2, $3, $4, $5, $6, $5)
"""
# Every look moves `seen_at` on, never back, in the statement that judges the session by what it was before.
SESSION_BY_TOKEN = """
UPDATE staff_session AS seen SET seen_at = GREATEST(before.seen_at, $2)
FROM (SELECT * FROM staff_session WHERE token_hmac = $1 FOR UPDATE) AS before JOIN staff USING (staff_id)
WHERE seen.session_id = before.session_id
RETURNING before.staff_id, staff.name_id, staff.roles, before.session_id, before.signed_in_at, before.expires_at,
          before.seen_at, before.ended_at IS NOT NULL OR staff.status <> 'active' AS ended
"""

INSERT_ASSERTION = """
INSERT INTO staff_assertion (challenge, session_id, action, request_sha256, rp_id, origin, asked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
LOCK_ASSERTION = """
SELECT action, request_sha256, rp_id, origin, asked_at, used_at FROM staff_assertion
WHERE challenge = $1 AND session_id = $2 FOR UPDATE
"""
ASSERTION_USED = "UPDATE staff_assertion SET used_at = $2, key_id = $3, signed = $4 WHERE challenge = $1"


class EnrolledKey(msgspec.Struct, frozen=True, kw_only=True):
    """A live key as WebAuthn needs it: ``credential`` is the attested credential data."""

    key_id: str
    credential_id: bytes
    credential: bytes
    sign_count: int


class SeenSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session, and when it was seen last."""

    session: StaffSession
    seen_at: datetime
    ended: bool


class AskedAssertion(msgspec.Struct, frozen=True, kw_only=True):
    """A challenge that was given out for one action on one request."""

    action: str
    request_sha256: bytes
    rp_id: str
    origin: str
    asked_at: datetime
    used_at: datetime | None


def _session(row: Record) -> StaffSession:
    return StaffSession(**{name: row[name] for name in _SESSION.split(", ")} | {"roles": tuple(row["roles"])})


async def insert_staff(db: Connection, member: StaffMember, *, user_handle: bytes) -> bool:
    """Return whether nobody had the NameID yet."""
    values = (member.staff_id, member.name_id, member.name, list(member.roles), member.status, member.created_at)
    return await db.fetchval(INSERT_STAFF, *values, user_handle) is not None


async def insert_key(db: Connection, key: EnrolledKey, *, staff_id: str, attested_by: str, now: datetime) -> bool:
    """Return whether the key was enrolled for nobody yet."""
    values = (key.key_id, key.credential_id, staff_id, key.credential, attested_by, key.sign_count, now)
    return await db.fetchval(INSERT_KEY, *values) is not None


async def live_keys(db: Connection, staff_id: str) -> Sequence[EnrolledKey]:
    return [EnrolledKey(**row) for row in await db.fetch(LIVE_KEYS, staff_id)]


async def lock_key(db: Connection, staff_id: str, *, credential_id: bytes) -> EnrolledKey | None:
    row = await db.fetchrow(LOCK_KEY, staff_id, credential_id)
    return EnrolledKey(**row) if row else None


async def key_used(db: Connection, key_id: str, *, sign_count: int, now: datetime) -> None:
    await db.execute(KEY_USED, key_id, sign_count, now)


async def insert_session(db: Connection, session: StaffSession, *, token_hmac: bytes, key_id: str) -> None:
    values = (session.staff_id, key_id, session.signed_in_at, session.expires_at)
    await db.execute(INSERT_SESSION, session.session_id, token_hmac, *values)


async def session_by_token(reads: Reads, *, token_hmac: bytes, now: datetime) -> SeenSession | None:
    row = await reads.fetchrow(SESSION_BY_TOKEN, token_hmac, now)
    return SeenSession(session=_session(row), seen_at=row["seen_at"], ended=row["ended"]) if row else None


async def insert_assertion(db: Connection, challenge: bytes, *, session_id: str, asked: AskedAssertion) -> None:
    values: tuple[Any, ...] = (asked.action, asked.request_sha256, asked.rp_id, asked.origin, asked.asked_at)
    await db.execute(INSERT_ASSERTION, challenge, session_id, *values)


async def lock_assertion(db: Connection, challenge: bytes, *, session_id: str) -> AskedAssertion | None:
    row = await db.fetchrow(LOCK_ASSERTION, challenge, session_id)
    return AskedAssertion(**row) if row else None


async def assertion_used(db: Connection, challenge: bytes, *, key_id: str, signed: bytes, now: datetime) -> None:
    await db.execute(ASSERTION_USED, challenge, now, key_id, signed)
