"""
What administrators can do with staff (section 07, RBAC): invite, set roles, suspend, end sessions, replace lost keys.

Every change appends an audit row in the caller's transaction. ``actor`` is ``staff:<staff_id>`` or ``cli:<user>``.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from altcredit.engine import audit
from altcredit.engine.identity.client import Status
from altcredit.engine.identity.people import store
from altcredit.engine.identity.people.sign_in import hashed_ticket
from altcredit.engine.identity.people.staff import (
    AdminExists,
    LastAdmin,
    OwnChange,
    StaffKeyUnknown,
    StaffMember,
    StaffSession,
    StaffTaken,
    StaffUnknown,
    checked_name_id,
    checked_roles,
)
from altcredit.engine.identity.signatures.operations import sign_with
from altcredit.runtime import ids
from altcredit.runtime.db import Connection
from altcredit.runtime.keys import Keyring

TICKET_LIFETIME = timedelta(hours=1)
INVITATION_LIFETIME = timedelta(days=7)
RECOVERY_LIFETIME = timedelta(hours=24)


class IssuedTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Leave to enrol a key, once, after single sign-on as ``name_id``: 64 hex digits, shown this once."""

    staff_id: str
    name_id: str
    ticket: str
    expires_at: datetime


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """Lost keys being replaced: ``pending`` until a second administrator agrees, then ``done`` with a ticket."""

    staff_id: str
    state: Literal["pending", "done"]
    issued: IssuedTicket | None = None


async def _record(
    db: Connection, actor: str, action: str, staff_id: str, details: dict[str, Any], now: datetime
) -> None:
    await audit.append(db, actor=actor, action=action, subject=staff_id, details=details, now=now)


async def _ticket(
    db: Connection, member: StaffMember, kind: str, lifetime: timedelta, *, keyring: Keyring, actor: str, now: datetime
) -> IssuedTicket:
    ticket, expires_at = ids.new_secret(), now + lifetime
    await store.insert_ticket(
        db, hashed_ticket(keyring, ticket), staff_id=member.staff_id, kind=kind, now=now, expires_at=expires_at
    )
    await _record(db, actor, "staff.ticket_issued", member.staff_id, {"kind": kind, "expires_at": expires_at}, now)
    return IssuedTicket(staff_id=member.staff_id, name_id=member.name_id, ticket=ticket, expires_at=expires_at)


async def _added(
    db: Connection, *, name_id: str, name: str, roles: Iterable[str], actor: str, now: datetime
) -> StaffMember:
    member = StaffMember(
        staff_id=ids.new_id("stf"),
        name_id=checked_name_id(name_id),
        name=name,
        roles=checked_roles(roles),
        created_at=now,
    )
    if not await store.insert_staff(db, member, user_handle=bytes.fromhex(ids.new_secret())):
        raise StaffTaken
    await _record(db, actor, "staff.added", member.staff_id, {"roles": member.roles}, now)
    return member


async def bootstrap_admin(db: Connection, *, keyring: Keyring, name_id: str, actor: str, now: datetime) -> IssuedTicket:
    """
    Name the first administrator; their ticket works for an hour, once, after single sign-on as ``name_id``.

    It can be repeated, for another person too, as long as no administrator has a key.

    :raises AdminExists, NameIdInvalid:
    """
    await store.serialise_bootstrap(db)
    if await store.has_admin_with_key(db):
        raise AdminExists
    member = await store.staff_by_name_id(db, checked_name_id(name_id))
    if member is None:
        member = await _added(db, name_id=name_id, name=name_id, roles=("admin",), actor=actor, now=now)
    elif "admin" not in member.roles or member.status != "active":
        await store.set_roles(db, member.staff_id, checked_roles([*member.roles, "admin"]))
        await store.set_status(db, member.staff_id, "active")
        await _record(db, actor, "staff.made_admin", member.staff_id, {"before": member.roles}, now)
    return await _ticket(db, member, "bootstrap", TICKET_LIFETIME, keyring=keyring, actor=actor, now=now)


async def invite_staff(
    db: Connection, *, keyring: Keyring, name_id: str, name: str, roles: Iterable[str], actor: str, now: datetime
) -> IssuedTicket:
    """
    Make somebody a member of staff; the ticket lets them enrol their first key within a week.

    :raises StaffTaken, RolesInvalid, NameIdInvalid:
    """
    member = await _added(db, name_id=name_id, name=name, roles=roles, actor=actor, now=now)
    return await _ticket(db, member, "invitation", INVITATION_LIFETIME, keyring=keyring, actor=actor, now=now)


async def _other(db: Connection, staff_id: str, actor: str) -> StaffMember:
    member = await store.lock_staff(db, staff_id)
    if member is None:
        raise StaffUnknown
    if actor == f"staff:{staff_id}":
        raise OwnChange
    return member


async def set_staff_roles(
    db: Connection, *, staff_id: str, roles: Iterable[str], actor: str, now: datetime
) -> StaffMember:
    """
    Replace a person's roles; their sessions end, and what they have signed for first counts no more.

    :raises StaffUnknown, RolesInvalid, OwnChange, LastAdmin:
    """
    chosen = checked_roles(roles)
    admins = await store.lock_admins(db)
    member = await _other(db, staff_id, actor)
    if admins == {staff_id} and "admin" not in chosen:
        raise LastAdmin
    await store.set_roles(db, staff_id, chosen)
    ended = await store.strip(db, staff_id, by=actor, now=now)
    details = {"before": member.roles, "after": chosen, "sessions_ended": ended}
    await _record(db, actor, "staff.roles_set", staff_id, details, now)
    return msgspec.structs.replace(member, roles=chosen)


async def set_staff_status(db: Connection, *, staff_id: str, status: Status, actor: str, now: datetime) -> StaffMember:
    """
    Suspend or activate a person; suspension ends their sessions and signatures and refuses new ones.

    :raises StaffUnknown, OwnChange, LastAdmin:
    """
    admins = await store.lock_admins(db)
    member = await _other(db, staff_id, actor)
    if admins == {staff_id} and status != "active":
        raise LastAdmin
    await store.set_status(db, staff_id, status)
    ended = await store.strip(db, staff_id, by=actor, now=now)
    details = {"before": member.status, "after": status, "sessions_ended": ended}
    await _record(db, actor, "staff.status_set", staff_id, details, now)
    return msgspec.structs.replace(member, status=status)


async def end_staff_sessions(db: Connection, *, staff_id: str, actor: str, now: datetime) -> int:
    """End all of a person's sessions, one's own too; return how many had not ended. Raises StaffUnknown."""
    if await store.lock_staff(db, staff_id) is None:
        raise StaffUnknown
    ended = await store.end_sessions(db, staff_id, by=actor, now=now)
    await _record(db, actor, "staff.sessions_ended", staff_id, {"sessions_ended": ended}, now)
    return ended


async def sign_out(db: Connection, *, session: StaffSession, now: datetime) -> None:
    """End a session; doing it again changes nothing."""
    actor = f"staff:{session.staff_id}"
    if await store.end_session(db, session.session_id, by=actor, now=now):
        await _record(db, actor, "staff.signed_out", session.staff_id, {"session_id": session.session_id}, now)


async def revoke_staff_key(db: Connection, *, staff_id: str, key_id: str, actor: str, now: datetime) -> None:
    """
    Refuse one of a person's keys from now on, as when it was lost; their sessions and signatures end.

    :raises StaffUnknown, OwnChange, StaffKeyUnknown:
    """
    await _other(db, staff_id, actor)
    if not await store.revoke_keys(db, staff_id, key_id=key_id, now=now):
        raise StaffKeyUnknown
    ended = await store.strip(db, staff_id, by=actor, now=now)
    await _record(db, actor, "staff.key_revoked", staff_id, {"key_id": key_id, "sessions_ended": ended}, now)


async def recover_staff(
    db: Connection, *, keyring: Keyring, staff_id: str, session: StaffSession, now: datetime
) -> Recovery:
    """
    Replace a person's lost keys: two administrators, neither of them that person, ask for it.

    The first call records the request, for a day. The second, by another administrator, revokes all of the person's
    keys, ends their sessions and issues a ticket for an hour.

    :raises StaffUnknown, OwnChange, SecondPersonNeeded:
    """
    actor = f"staff:{session.staff_id}"
    member = await _other(db, staff_id, actor)
    first = await sign_with(
        db,
        session=session,
        action="staff.manage",
        subject=f"recovery of {staff_id}",
        now=now,
        lasts=RECOVERY_LIFETIME,
    )
    if first is None:
        await _record(db, actor, "staff.recovery_requested", staff_id, {}, now)
        return Recovery(staff_id=staff_id, state="pending")
    revoked = await store.revoke_keys(db, staff_id, key_id=None, now=now)
    ended = await store.strip(db, staff_id, by=actor, now=now)
    details = {"requested_by": first, "keys_revoked": revoked, "sessions_ended": ended}
    await _record(db, actor, "staff.recovered", staff_id, details, now)
    issued = await _ticket(db, member, "recovery", TICKET_LIFETIME, keyring=keyring, actor=actor, now=now)
    return Recovery(staff_id=staff_id, state="done", issued=issued)
