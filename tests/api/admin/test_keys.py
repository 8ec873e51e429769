"""Signing keys: listed without their private parts, rotated by one person with their key."""

from tests.api.admin.conftest import Desks
from tests.api.conftest import Installation


async def test_a_key_is_rotated_and_what_the_old_one_signed_is_honoured(altscore: Installation, desk: Desks) -> None:
    admin, service = await desk("admin"), await altscore.service("consent:check")
    async with await altscore.signed_in(service) as client:
        before = {one["kid"]: one for one in (await admin.get("/keys")).json()["keys"]}
        assert all("sealed" not in name and "private" not in name for one in before.values() for name in one)
        assert all(one["public_pem"].startswith("-----BEGIN PUBLIC KEY-----") for one in before.values())
        tokens = {one["state"]: kid for kid, one in before.items() if one["purpose"] == "access_token"}
        rotated = await admin.post("/keys/access_token/rotate", key="keys.manage", purpose="access_token")
        assert rotated.status_code == 200, rotated.text
        states = {one["kid"]: one["state"] for one in rotated.json()["changes"]}
        assert (states[tokens["active"]], states[tokens["next"]]) == ("retiring", "active")
        await altscore.platform.refresh_keys()
        known = {"retailer_id": "ret_00000000deadbeef", "lender_id": "lender_none"}
        assert (await client.get("/v1/consent/check", params=known)).status_code == 200
    (row,) = await admin.recorded("rotateKey")
    assert (row.subject, row.details["before"][tokens["active"]]) == ("access_token", "active")
    assert row.details["after"][tokens["active"]] == "retiring"


async def test_a_rotation_takes_the_administrators_key_over_the_purpose_that_the_path_names(desk: Desks) -> None:
    admin, owner = await desk("admin"), await desk("model_owner")
    for where, body, status, code in (
        ("audit", {"purpose": "audit"}, 403, "ASSERTION_MISSING"),
        ("audit", {"purpose": "audit", "key": "staff.manage"}, 403, "ASSERTION_INVALID"),
        ("audit", {"purpose": "consent", "key": "keys.manage"}, 400, "INVALID_REQUEST"),
        ("nothing", {"purpose": "nothing", "key": "keys.manage"}, 400, "INVALID_REQUEST"),
    ):
        refused = await admin.post(f"/keys/{where}/rotate", **body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), body
    assert (await owner.get("/keys")).status_code == 403
    kept = [one["state"] for one in (await admin.get("/keys")).json()["keys"] if one["purpose"] == "audit"]
    assert sorted(kept) == ["active", "next"]
