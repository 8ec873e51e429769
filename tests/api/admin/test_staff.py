"""Who works here: invitations, roles, lost keys; nobody helps themselves."""

from functools import partial
from typing import Any

import httpx2
import pytest
from tests.api.admin.conftest import Desk, Desks
from tests.api.conftest import Installation

from altcredit.engine import identity

SIGNED = "staff.manage"


async def invite(admin: Desk, **whom: Any) -> httpx2.Response:
    return await admin.post("/staff", key=SIGNED, **whom)


async def change(admin: Desk, staff_id: str, **how: Any) -> httpx2.Response:
    return await admin.put(f"/staff/{staff_id}", key=SIGNED, staff_id=staff_id, **how)


async def recover(admin: Desk, staff_id: str, **why: Any) -> httpx2.Response:
    return await admin.post(f"/staff/{staff_id}/recover", key=SIGNED, staff_id=staff_id, **why)


async def test_somebody_is_invited_and_listed_and_the_log_keeps_no_name(altscore: Installation, desk: Desks) -> None:
    admin = await desk("admin")
    made = await invite(admin, name_id="ravi.k@nbfc.in", name="Ravi K", roles=["dpo", "legal"])
    assert made.status_code == 201, made.text
    assert len(made.json()["ticket"]) == 64
    listed = {one["staff_id"]: one for one in (await admin.get("/staff")).json()["staff"]}
    assert listed[made.json()["staff_id"]]["roles"] == ["dpo", "legal"]
    (row,) = await admin.recorded("inviteStaff")
    assert row.details["after"] == {"roles": ["dpo", "legal"], "status": "active", "keys": []}
    async with altscore.platform.database.transaction() as db:
        kept = await db.fetchval("SELECT string_agg(e::text, ' ') FROM audit_event AS e")
    assert "ravi" not in kept.lower()
    assert made.json()["ticket"] not in kept
    again = await invite(admin, name_id="ravi.k@nbfc.in", name="Ravi K", roles=["ops"])
    assert (again.status_code, again.json()["error"]["code"]) == (409, "STAFF_EXISTS")


async def test_new_roles_and_suspension_end_the_sessions_that_were_open(desk: Desks) -> None:
    admin, ops = await desk("admin"), await desk("ops")
    assert (await ops.get("/distributors")).status_code == 200
    changed = await change(admin, ops.who.staff_id, roles=["auditor"], status="suspended")
    assert (changed.json()["roles"], changed.json()["status"]) == (["auditor"], "suspended")
    refused = await ops.get("/distributors")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "SESSION_EXPIRED")
    (row,) = await admin.recorded("changeStaff")
    assert row.details["before"] == {"roles": ["ops"], "status": "active"}


async def test_nobody_changes_their_own_roles_status_or_keys(desk: Desks) -> None:
    admin = await desk("admin")
    own = admin.who.staff_id
    for answer in (
        await change(admin, own, roles=list(identity.ROLES)),
        await change(admin, own, status="suspended"),
        await recover(admin, own),
        await admin.post(f"/staff/{own}/revoke-key", key_id="sky_0000000000000000"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "OWN_CHANGE")


async def test_lost_keys_are_replaced_by_two_administrators(desk: Desks) -> None:
    one, other, ops = await desk("admin"), await desk("admin"), await desk("ops")
    asked = await recover(one, ops.who.staff_id, reason="both keys stolen")
    assert (asked.status_code, asked.json()["state"]) == (202, "pending")
    alone = await recover(one, ops.who.staff_id)
    assert (alone.status_code, alone.json()["error"]["code"]) == (403, "SECOND_PERSON_NEEDED")
    assert (await ops.get("/distributors")).status_code == 200
    done = await recover(other, ops.who.staff_id, reason="the keys of Ops are gone")
    assert (done.status_code, done.json()["state"]) == (200, "done")
    assert len(done.json()["issued"]["ticket"]) == 64
    assert (await ops.get("/distributors")).status_code == 401


async def test_a_lost_key_is_refused_and_sessions_can_be_ended(desk: Desks) -> None:
    admin, ops, dpo = await desk("admin"), await desk("ops"), await desk("dpo")
    keys = {one["staff_id"]: one["keys"] for one in (await admin.get("/staff")).json()["staff"]}
    (key,) = keys[ops.who.staff_id]
    revoked = await admin.post(f"/staff/{ops.who.staff_id}/revoke-key", key_id=key["key_id"])
    assert revoked.json()["keys"][0]["revoked_at"] is not None
    assert (await ops.get("/distributors")).status_code == 401
    assert (await admin.post(f"/staff/{dpo.who.staff_id}/end-sessions")).status_code == 200
    assert (await dpo.get("/audit/events")).status_code == 401
    assert (await admin.post("/staff/stf_none/end-sessions")).json()["error"]["code"] == "STAFF_UNKNOWN"


@pytest.mark.parametrize("what", ["invite", "change", "recover"])
async def test_what_gives_power_takes_the_administrators_own_key_over_this_very_request(desk: Desks, what: str) -> None:
    admin, ops, other = await desk("admin"), await desk("ops"), await desk("ops")
    whose = ops.who.staff_id
    send = {
        "invite": partial(admin.send, "POST", "/staff", name_id="new@nbfc.in", name="New", roles=["dpo"]),
        "change": partial(admin.send, "PUT", f"/staff/{whose}", staff_id=whose, roles=["dpo"]),
        "recover": partial(admin.send, "POST", f"/staff/{whose}/recover", staff_id=whose),
    }[what]
    for key, code in ((None, "ASSERTION_MISSING"), ("models.promote", "ASSERTION_INVALID")):
        refused = await send(key=key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, code)
    if what != "invite":  # what was signed for one person is not turned on another
        astray = await send(key=SIGNED, staff_id=other.who.staff_id)
        assert (astray.status_code, astray.json()["error"]["details"][0]["path"]) == (400, "$.staff_id")
    listed = {one["staff_id"]: one["roles"] for one in (await admin.get("/staff")).json()["staff"]}
    assert listed[whose] == ["ops"]
    assert (await send(key=SIGNED)).status_code in (200, 201, 202)
