"""Who works here: invitations, roles, lost keys; nobody helps themselves."""

from tests.api.admin.conftest import Desks
from tests.api.conftest import Installation

from altcredit.engine import identity


async def test_somebody_is_invited_and_listed_and_the_log_keeps_no_name(altscore: Installation, desk: Desks) -> None:
    admin = await desk("admin")
    made = await admin.post("/staff", name_id="ravi.k@nbfc.in", name="Ravi K", roles=["dpo", "legal"])
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
    again = await admin.post("/staff", name_id="ravi.k@nbfc.in", name="Ravi K", roles=["ops"])
    assert (again.status_code, again.json()["error"]["code"]) == (409, "STAFF_EXISTS")


async def test_new_roles_and_suspension_end_the_sessions_that_were_open(desk: Desks) -> None:
    admin, ops = await desk("admin"), await desk("ops")
    assert (await ops.get("/distributors")).status_code == 200
    changed = await admin.put(f"/staff/{ops.who.staff_id}", roles=["auditor"], status="suspended")
    assert (changed.json()["roles"], changed.json()["status"]) == (["auditor"], "suspended")
    refused = await ops.get("/distributors")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "SESSION_EXPIRED")
    (row,) = await admin.recorded("changeStaff")
    assert row.details["before"] == {"roles": ["ops"], "status": "active"}


async def test_nobody_changes_their_own_roles_status_or_keys(desk: Desks) -> None:
    admin = await desk("admin")
    own = f"/staff/{admin.who.staff_id}"
    for answer in (
        await admin.put(own, roles=list(identity.ROLES)),
        await admin.put(own, status="suspended"),
        await admin.post(f"{own}/recover"),
        await admin.post(f"{own}/revoke-key", key_id="sky_0000000000000000"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "OWN_CHANGE")


async def test_lost_keys_are_replaced_by_two_administrators(desk: Desks) -> None:
    one, other, ops = await desk("admin"), await desk("admin"), await desk("ops")
    where = f"/staff/{ops.who.staff_id}/recover"
    asked = await one.post(where, reason="both keys stolen")
    assert (asked.status_code, asked.json()["state"]) == (202, "pending")
    alone = await one.post(where, reason="both keys stolen")
    assert (alone.status_code, alone.json()["error"]["code"]) == (403, "SECOND_PERSON_NEEDED")
    assert (await ops.get("/distributors")).status_code == 200
    done = await other.post(where, reason="both keys stolen")
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
