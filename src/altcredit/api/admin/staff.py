"""Staff: who works here, in which roles, with which keys (API-ALTSCORE-001, section 07, RBAC)."""

from typing import Annotated, Any

import msgspec

from altcredit.api.admin.actions import Change, actor, changing, looking
from altcredit.api.contract import Call, Nothing, Pending
from altcredit.api.staff.credentials import session_of
from altcredit.engine import identity
from altcredit.runtime.db import Connection

BASE = "/v1/admin/staff"
EXAMPLE = "stf_2c9e4b7a1f0d8356"
_PERMISSION = "staff.manage"

Roles = Annotated[list[identity.Role], msgspec.Meta(min_length=1, max_length=len(identity.ROLES))]


class StaffList(msgspec.Struct, frozen=True, kw_only=True):
    """All staff with their keys, those who came first first."""

    staff: list[identity.StaffAccount]


class Invitation(Change, frozen=True, kw_only=True):
    """Whom to make a member of staff; ``name_id`` is who they are to the identity provider."""

    name_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    roles: Roles


StaffId = Annotated[
    str,
    msgspec.Meta(examples=[EXAMPLE], description="The id of the path again, so that the hardware key signs for it."),
]


class StaffChange(Change, frozen=True, kw_only=True):
    """What to change; what is left out stays as it is."""

    staff_id: StaffId
    roles: Roles | None = None
    status: identity.Status | None = None


class LostKeys(Change, frozen=True, kw_only=True):
    """Whose keys are lost."""

    staff_id: StaffId


class LostKey(Change, frozen=True, kw_only=True):
    """Which key is refused from now on."""

    key_id: Annotated[str, msgspec.Meta(examples=["sky_2c9e4b7a1f0d8356"])]


async def _account(db: Connection, staff_id: str) -> identity.StaffAccount:
    for one in await identity.list_staff(db):
        if one.staff_id == staff_id:
            return one
    raise identity.StaffUnknown


async def _state(_call: Call, db: Connection, staff_id: str) -> dict[str, Any]:
    """Return what the audit log keeps: by the opaque id, without names."""
    account = await _account(db, staff_id)
    live = [key.key_id for key in account.keys if key.revoked_at is None]
    return {"roles": account.roles, "status": account.status, "keys": live}


async def list_staff(call: Call, _asked: Nothing) -> StaffList:
    return StaffList(staff=await identity.list_staff(call.db))


async def invite(call: Call, asked: Invitation) -> identity.IssuedTicket:
    return await identity.invite_staff(
        call.db,
        keyring=call.platform.keyring,
        name_id=asked.name_id,
        name=asked.name,
        roles=asked.roles,
        actor=actor(call),
        now=call.now,
    )


async def change(call: Call, asked: StaffChange) -> identity.StaffAccount:
    staff_id = call.path["id"]
    if asked.roles is not None:
        await identity.set_staff_roles(call.db, staff_id=staff_id, roles=asked.roles, actor=actor(call), now=call.now)
    if asked.status is not None:
        await identity.set_staff_status(
            call.db, staff_id=staff_id, status=asked.status, actor=actor(call), now=call.now
        )
    return await _account(call.db, staff_id)


async def revoke_key(call: Call, asked: LostKey) -> identity.StaffAccount:
    staff_id = call.path["id"]
    await identity.revoke_staff_key(call.db, staff_id=staff_id, key_id=asked.key_id, actor=actor(call), now=call.now)
    return await _account(call.db, staff_id)


async def end_sessions(call: Call, _asked: Change) -> identity.StaffAccount:
    await identity.end_staff_sessions(call.db, staff_id=call.path["id"], actor=actor(call), now=call.now)
    return await _account(call.db, call.path["id"])


async def recover(call: Call, _asked: LostKeys) -> identity.Recovery | Pending:
    recovery = await identity.recover_staff(
        call.db,
        keyring=call.platform.keyring,
        staff_id=call.path["id"],
        session=session_of(call),
        now=call.now,
    )
    return Pending(recovery) if recovery.state == "pending" else recovery


_OF_ONE: dict[str, Any] = {
    "tag": "Staff",
    "permission": _PERMISSION,
    "about": "id",
    "state": _state,
    "places": {"id": EXAMPLE},
    "answers": identity.StaffAccount,
    "replays": "X-Request-ID",
}
_KNOWN = (identity.StaffUnknown, identity.OwnChange)
ROUTES = (
    looking(
        path=BASE,
        operation="listStaff",
        tag="Staff",
        summary="List staff with their roles and keys",
        permissions=(_PERMISSION,),
        about="staff",
        handler=list_staff,
        answers=StaffList,
    ),
    changing(
        path=BASE,
        operation="inviteStaff",
        tag="Staff",
        summary="Make somebody a member of staff",
        description="The ticket lets them enrol their first key, within a week, after single sign-on as `name_id`.",
        permission=_PERMISSION,
        about="staff_id",
        creates=True,
        signed=True,
        state=_state,
        handler=invite,
        asks=Invitation,
        answers=identity.IssuedTicket,
        status=201,
        refusals=(identity.StaffTaken, identity.NameIdInvalid, identity.RolesInvalid),
    ),
    changing(
        method="PUT",
        path=f"{BASE}/{{id}}",
        operation="changeStaff",
        summary="Set somebody's roles, suspend or activate them",
        description="Their sessions end. Nobody changes their own, and one administrator always stays.",
        signed=True,
        repeats="staff_id",
        handler=change,
        asks=StaffChange,
        refusals=(*_KNOWN, identity.LastAdmin, identity.RolesInvalid),
        **_OF_ONE,
    ),
    changing(
        path=f"{BASE}/{{id}}/revoke-key",
        operation="revokeStaffKey",
        summary="Refuse a lost key",
        handler=revoke_key,
        asks=LostKey,
        refusals=(*_KNOWN, identity.StaffKeyUnknown),
        **_OF_ONE,
    ),
    changing(
        path=f"{BASE}/{{id}}/end-sessions",
        operation="endStaffSessions",
        summary="End all of somebody's sessions",
        handler=end_sessions,
        asks=Change,
        refusals=(identity.StaffUnknown,),
        **_OF_ONE,
    ),
    changing(
        path=f"{BASE}/{{id}}/recover",
        operation="recoverStaff",
        summary="Replace somebody's lost keys",
        description=(
            "Two administrators, neither of them that person, ask for it: the first is recorded for a day (202), the"
            " second revokes all keys and issues a ticket for an hour (200)."
        ),
        signed=True,
        repeats="staff_id",
        handler=recover,
        asks=LostKeys,
        pending=identity.Recovery,
        refusals=(*_KNOWN, identity.SecondPersonNeeded),
        **_OF_ONE | {"answers": identity.Recovery, "replays": ""},
    ),
)
