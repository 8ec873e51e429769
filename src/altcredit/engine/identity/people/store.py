from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from altcredit.engine.identity.client import Status
from altcredit.engine.identity.people.staff import StaffAccount, StaffKey, StaffMember, StaffSession
from altcredit.engine.identity.permissions import Role
from altcredit.runtime.clock import Uptime
from altcredit.runtime.db import Connection, Reads, Record

# ruff: noqa: S105 - statements with "token" in their names

_STAFF = "staff_id, name_id, name, roles, status, created_at"

INSERT_STAFF = f"""
INSERT INTO staff ({_STAFF}, user_handle) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (name_id) DO NOTHING RETURNING staff_id
"""

STAFF_BY_NAME_ID = f"SELECT {_STAFF} FROM staff WHERE name_id = $1"
LOCK_STAFF = f"SELECT {_STAFF} FROM staff WHERE staff_id = $1 FOR UPDATE"
SELECT_STAFF = f"SELECT {_STAFF} FROM staff ORDER BY created_at, staff_id"
USER_HANDLE = "SELECT user_handle FROM staff WHERE staff_id = $1"
SET_ROLES = "UPDATE staff SET roles = $2 WHERE staff_id = $1"
SET_STATUS = "UPDATE staff SET status = $2 WHERE staff_id = $1"
# Administrators one after the other: two of them cannot each take away what they believe is not the last one.
LOCK_ADMINS = """
SELECT staff_id FROM staff WHERE 'admin' = ANY (roles) AND status = 'active' ORDER BY staff_id FOR UPDATE
"""
ADMIN_WITH_KEY = """
SELECT true FROM staff JOIN staff_key USING (staff_id)
WHERE 'admin' = ANY (roles) AND status = 'active' AND revoked_at IS NULL LIMIT 1
"""

# Two bootstraps at once would each find no administrator.
SERIALISE_BOOTSTRAP = "SELECT pg_advisory_xact_lock(hashtext('altcredit admin bootstrap'))"

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
SELECT_KEYS = """
SELECT staff_id, key_id, attested_by, created_at, last_used_at, revoked_at FROM staff_key ORDER BY created_at, key_id
"""
REVOKE_KEYS = """
UPDATE staff_key SET revoked_at = $2 WHERE staff_id = $1 AND revoked_at IS NULL AND ($3::text IS NULL OR key_id = $3)
RETURNING key_id
"""
KEY_USED = "UPDATE staff_key SET sign_count = $2, last_used_at = $3 WHERE key_id = $1"

_SESSION = "staff_id, name_id, roles, session_id, signed_in_at, expires_at"
INSERT_SESSION = """
INSERT INTO staff_session (session_id, token_hmac, staff_id, key_id, signed_in_at, expires_at, seen_at, boot, uptime)
VALUES ($1, $2, $3, $4, $5, $6, $5, $7, $8)
"""
# Every look moves `seen_at` on, never back, in the statement that judges the session by what it was before.
SESSION_BY_TOKEN = """
UPDATE staff_session AS seen SET seen_at = GREATEST(before.seen_at, $2)
FROM (SELECT * FROM staff_session WHERE token_hmac = $1 FOR UPDATE) AS before JOIN staff USING (staff_id)
WHERE seen.session_id = before.session_id
RETURNING before.staff_id, staff.name_id, staff.roles, before.session_id, before.signed_in_at, before.expires_at,
          before.seen_at, before.boot, before.uptime, before.ended_at IS NOT NULL OR staff.status <> 'active' AS ended
"""

END_SESSION = """
UPDATE staff_session SET ended_at = $2, ended_by = $3 WHERE session_id = $1 AND ended_at IS NULL RETURNING session_id
"""
# What they have signed for first names the standing of then.
STRIP = "UPDATE staff SET standing = standing + 1 WHERE staff_id = $1"
END_SESSIONS = """
UPDATE staff_session SET ended_at = $2, ended_by = $3 WHERE staff_id = $1 AND ended_at IS NULL RETURNING session_id
"""

INSERT_SIGN_IN = """
INSERT INTO staff_sign_in (cookie_hmac, request_id, state, started_at, expires_at) VALUES ($1, $2, 'asked', $3, $4)
"""
FORGET_SIGN_INS = "DELETE FROM staff_sign_in WHERE expires_at <= $1"
FORGET_CHALLENGES = "DELETE FROM staff_assertion WHERE used_at IS NULL AND asked_at < $1"
FORGET_SAML = "DELETE FROM saml_assertion WHERE expires_at <= $1"
LOCK_SIGN_IN = """
SELECT request_id, state, staff_id, ceremony, challenge, ticket_hmac, started_at, expires_at
FROM staff_sign_in WHERE cookie_hmac = $1 FOR UPDATE
"""
PROVE_SIGN_IN = """
UPDATE staff_sign_in SET state = 'proven', cookie_hmac = $2, staff_id = $3, started_at = $4, expires_at = $5
WHERE request_id = $1
"""
CHALLENGE_SIGN_IN = "UPDATE staff_sign_in SET ceremony = $2, challenge = $3, ticket_hmac = $4 WHERE request_id = $1"
FINISH_SIGN_IN = "UPDATE staff_sign_in SET state = 'done', challenge = NULL WHERE request_id = $1"
INSERT_SAML = """
INSERT INTO saml_assertion (issuer, assertion_id, expires_at) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING RETURNING assertion_id
"""

INSERT_TICKET = """
INSERT INTO staff_ticket (ticket_hmac, staff_id, kind, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5)
"""
VOID_TICKETS = "UPDATE staff_ticket SET expires_at = $2 WHERE staff_id = $1 AND used_at IS NULL AND expires_at > $2"
TICKET_IS_GOOD = """
SELECT true FROM staff_ticket
WHERE ticket_hmac = $1 AND staff_id = $2 AND used_at IS NULL AND issued_at <= $3 AND $3 < expires_at
"""
USE_TICKET = """
UPDATE staff_ticket SET used_at = $3
WHERE ticket_hmac = $1 AND staff_id = $2 AND used_at IS NULL AND issued_at <= $3 AND $3 < expires_at
RETURNING ticket_hmac
"""

INSERT_ASSERTION = """
INSERT INTO staff_assertion (challenge, session_id, action, request_sha256, rp_id, origin, asked_at, boot, uptime)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
LOCK_ASSERTION = """
SELECT action, request_sha256, rp_id, origin, asked_at, used_at, boot, uptime FROM staff_assertion
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
    """A session, when it was seen last, and how long the host had run when it began."""

    session: StaffSession
    seen_at: datetime
    began: Uptime | None
    ended: bool


class AskedAssertion(msgspec.Struct, frozen=True, kw_only=True):
    """A challenge that was given out for one action on one request; ``began``: how long the host had run then."""

    action: str
    request_sha256: bytes
    rp_id: str
    origin: str
    asked_at: datetime
    began: Uptime | None
    used_at: datetime | None


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in under way."""

    request_id: str
    state: str
    staff_id: str | None
    ceremony: str | None
    challenge: bytes | None
    ticket_hmac: bytes | None
    started_at: datetime
    expires_at: datetime


def _member(row: Record) -> StaffMember:
    return StaffMember(**{**row, "roles": tuple(row["roles"])})


def _session(row: Record) -> StaffSession:
    return StaffSession(**{name: row[name] for name in _SESSION.split(", ")} | {"roles": tuple(row["roles"])})


def _columns(uptime: Uptime | None) -> tuple[str, float] | tuple[None, None]:
    return (uptime.boot, uptime.seconds) if uptime else (None, None)


def _uptime(row: Record) -> Uptime | None:
    return Uptime(row["boot"], row["uptime"]) if row["boot"] else None


async def insert_staff(db: Connection, member: StaffMember, *, user_handle: bytes) -> bool:
    """Return whether nobody had the NameID yet."""
    values = (member.staff_id, member.name_id, member.name, list(member.roles), member.status, member.created_at)
    return await db.fetchval(INSERT_STAFF, *values, user_handle) is not None


async def staff_by_name_id(db: Connection, name_id: str) -> StaffMember | None:
    row = await db.fetchrow(STAFF_BY_NAME_ID, name_id)
    return _member(row) if row else None


async def lock_staff(db: Connection, staff_id: str) -> StaffMember | None:
    row = await db.fetchrow(LOCK_STAFF, staff_id)
    return _member(row) if row else None


async def list_staff(db: Connection) -> list[StaffAccount]:
    """Return all staff with their keys, those who came first first."""
    keys: dict[str, list[StaffKey]] = {}
    for row in await db.fetch(SELECT_KEYS):
        values = dict(row)
        keys.setdefault(values.pop("staff_id"), []).append(StaffKey(**values))
    return [
        StaffAccount(**{**row, "roles": tuple(row["roles"])}, keys=tuple(keys.get(row["staff_id"], ())))
        for row in await db.fetch(SELECT_STAFF)
    ]


async def user_handle(db: Connection, staff_id: str) -> bytes:
    handle: bytes = await db.fetchval(USER_HANDLE, staff_id)
    return handle


async def set_roles(db: Connection, staff_id: str, roles: Sequence[Role]) -> None:
    await db.execute(SET_ROLES, staff_id, list(roles))


async def set_status(db: Connection, staff_id: str, status: Status) -> None:
    await db.execute(SET_STATUS, staff_id, status)


async def lock_admins(db: Connection) -> set[str]:
    """Return the ids of all active administrators, whose rows are then locked."""
    return {row["staff_id"] for row in await db.fetch(LOCK_ADMINS)}


async def has_admin_with_key(db: Connection) -> bool:
    return bool(await db.fetchval(ADMIN_WITH_KEY))


async def serialise_bootstrap(db: Connection) -> None:
    await db.execute(SERIALISE_BOOTSTRAP)


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


async def insert_session(
    db: Connection, session: StaffSession, *, token_hmac: bytes, key_id: str, uptime: Uptime | None
) -> None:
    values = (session.staff_id, key_id, session.signed_in_at, session.expires_at)
    await db.execute(INSERT_SESSION, session.session_id, token_hmac, *values, *_columns(uptime))


async def revoke_keys(db: Connection, staff_id: str, *, key_id: str | None, now: datetime) -> list[str]:
    """Revoke a key, or all of a person's (None); return the ids of those that lived."""
    return [row["key_id"] for row in await db.fetch(REVOKE_KEYS, staff_id, now, key_id)]


async def end_session(db: Connection, session_id: str, *, by: str, now: datetime) -> bool:
    """Return whether the session lived."""
    return await db.fetchval(END_SESSION, session_id, now, by) is not None


async def end_sessions(db: Connection, staff_id: str, *, by: str, now: datetime) -> int:
    """End all of a person's sessions and return how many had not ended."""
    return len(await db.fetch(END_SESSIONS, staff_id, now, by))


async def strip(db: Connection, staff_id: str, *, by: str, now: datetime) -> int:
    """End what a person has begun, sessions and first signatures; return how many sessions had not ended."""
    await db.execute(STRIP, staff_id)
    return await end_sessions(db, staff_id, by=by, now=now)


async def insert_sign_in(
    db: Connection, *, cookie_hmac: bytes, request_id: str, now: datetime, expires_at: datetime
) -> None:
    await db.execute(INSERT_SIGN_IN, cookie_hmac, request_id, now, expires_at)


async def forget_sign_ins(db: Connection, *, now: datetime) -> None:
    """Drop sign-ins and assertions that have expired, and yesterday's challenges that no key has signed."""
    await db.execute(FORGET_CHALLENGES, now - timedelta(days=1))
    await db.execute(FORGET_SIGN_INS, now)
    await db.execute(FORGET_SAML, now)


async def lock_sign_in(db: Connection, *, cookie_hmac: bytes) -> SignIn | None:
    row = await db.fetchrow(LOCK_SIGN_IN, cookie_hmac)
    return SignIn(**row) if row else None


async def prove_sign_in(
    db: Connection, request_id: str, *, cookie_hmac: bytes, staff_id: str, now: datetime, expires_at: datetime
) -> None:
    await db.execute(PROVE_SIGN_IN, request_id, cookie_hmac, staff_id, now, expires_at)


async def challenge_sign_in(
    db: Connection, request_id: str, *, ceremony: str | None, challenge: bytes | None, ticket_hmac: bytes | None
) -> None:
    await db.execute(CHALLENGE_SIGN_IN, request_id, ceremony, challenge, ticket_hmac)


async def finish_sign_in(db: Connection, request_id: str) -> None:
    await db.execute(FINISH_SIGN_IN, request_id)


async def assertion_is_new(db: Connection, *, issuer: str, assertion_id: str, expires_at: datetime) -> bool:
    """Note an assertion of the identity provider; return whether it was never seen."""
    return await db.fetchval(INSERT_SAML, issuer, assertion_id, expires_at) is not None


async def insert_ticket(
    db: Connection, ticket_hmac: bytes, *, staff_id: str, kind: str, now: datetime, expires_at: datetime
) -> None:
    await db.execute(VOID_TICKETS, staff_id, now)
    await db.execute(INSERT_TICKET, ticket_hmac, staff_id, kind, now, expires_at)


async def ticket_is_good(db: Connection, ticket_hmac: bytes, *, staff_id: str, now: datetime) -> bool:
    return bool(await db.fetchval(TICKET_IS_GOOD, ticket_hmac, staff_id, now))


async def use_ticket(db: Connection, ticket_hmac: bytes, *, staff_id: str, now: datetime) -> bool:
    """Return whether the ticket was good until now."""
    return await db.fetchval(USE_TICKET, ticket_hmac, staff_id, now) is not None


async def session_by_token(reads: Reads, *, token_hmac: bytes, now: datetime) -> SeenSession | None:
    row = await reads.fetchrow(SESSION_BY_TOKEN, token_hmac, now)
    if row is None:
        return None
    return SeenSession(session=_session(row), seen_at=row["seen_at"], began=_uptime(row), ended=row["ended"])


async def insert_assertion(db: Connection, challenge: bytes, *, session_id: str, asked: AskedAssertion) -> None:
    values: tuple[Any, ...] = (asked.action, asked.request_sha256, asked.rp_id, asked.origin, asked.asked_at)
    await db.execute(INSERT_ASSERTION, challenge, session_id, *values, *_columns(asked.began))


async def lock_assertion(db: Connection, challenge: bytes, *, session_id: str) -> AskedAssertion | None:
    row = await db.fetchrow(LOCK_ASSERTION, challenge, session_id)
    if row is None:
        return None
    fields = {name: value for name, value in row.items() if name not in ("boot", "uptime")}
    return AskedAssertion(**fields, began=_uptime(row))


async def assertion_used(db: Connection, challenge: bytes, *, key_id: str, signed: bytes, now: datetime) -> None:
    await db.execute(ASSERTION_USED, challenge, now, key_id, signed)
