"""What nobody may do alone: promote a model, erase a retailer. Rollback takes one person and one step."""

import base64
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from tests.api.admin.conftest import Desk, Desks
from tests.api.conftest import PURPOSE, Installation

from altcredit.engine import audit, compliance, registry
from altcredit.engine.registry import Comparison, Interval
from altcredit.runtime import ids

PRODUCT: registry.Product = "guard_screen"
GOOD = Comparison(
    shops=5_000,
    bad_shops=500,
    auc_difference=Interval(value=0.01, low=0.0, high=0.02),
    calibration_slope=Interval(value=1.0, low=0.95, high=1.05),
    band_bad_rates={},
    two_band_moves=0.0,
    band_flips=0.0,
    mean_score_move=0.0,
    limit_change=0,
    score_psi=0.01,
    psi_alert=0.1,
    champion_is_expert=False,
)


async def candidate(altscore: Installation, comparison: Comparison | None = GOOD) -> str:
    """Register a model that may become champion, as far as the gate is concerned."""
    version = ids.new_id("v").replace("_", "-")
    card = {"version": version, "product": PRODUCT, "kind": "xgboost", "data_origin": "ledgers"}
    now = datetime.now(UTC)
    async with altscore.platform.database.transaction() as db:
        await registry.register(
            db, card=card, path=version, sha256=ids.new_secret(), key_id="k", signature=b"s",
            environment="development", actor="test", now=now,
        )  # fmt: skip
        holder = await champion(altscore)
        if holder is not None and comparison is not None:
            await registry.record_comparison(
                db, version=version, against=holder, comparison=comparison, actor="test", now=now
            )
    return version


async def champion(altscore: Installation) -> str | None:
    async with altscore.platform.database.transaction() as db:
        held = await registry.list_versions(db, product=PRODUCT)
    return next((one.version for one in held if "champion" in one.aliases), None)


async def promoted(desk: Desks, version: str) -> None:
    for who in [await desk("model_owner"), await desk("model_owner")]:
        answer = await who.post("/models/promote", version=version, key="models.promote")
        assert answer.status_code in (200, 202), answer.text


async def erased(altscore: Installation, retailer_id: str) -> bool:
    async with altscore.platform.database.transaction() as db:
        found = await compliance.erasures(db)
    return any(retailer_id in one.retailer_ids for one in found)


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_model_is_promoted_by_two_people_and_the_log_names_both(altscore: Installation, desk: Desks) -> None:
    asha, bela = await desk("model_owner"), await desk("admin")
    version = await candidate(altscore)
    before = await champion(altscore)
    first = await asha.post("/models/promote", version=version, key="models.promote", reason="better on Diwali")
    assert (first.status_code, first.json()["status"]) == (202, "pending_second_person")
    assert await champion(altscore) == before
    again = await asha.post("/models/promote", version=version, key="models.promote")
    assert code(again) == (403, "SECOND_PERSON_NEEDED")
    second = await bela.post("/models/promote", version=version, key="models.promote")
    assert second.status_code == 200, second.text
    assert second.json()["promoted_by"] == [asha.who.actor, bela.who.actor]
    assert await champion(altscore) == version
    (carried_out,) = await bela.recorded("promoteModel")
    assert carried_out.details["before"] == {"aliases": []}
    assert carried_out.details["after"] == {"aliases": ["champion"]}
    assert carried_out.details["roles"] == ["admin"]
    refused, asked = await asha.recorded("promoteModel")
    assert refused.details["refused"] == "SecondPersonNeeded"
    assert (asked.details["pending"], asked.details["reason"]) == (True, "better on Diwali")
    assert code(await asha.post("/models/promote", version=version, key="models.promote")) == (409, "ALREADY_CHAMPION")


async def test_the_gate_holds_for_two_people_too(altscore: Installation, desk: Desks) -> None:
    await promoted(desk, await candidate(altscore))
    owner = await desk("model_owner")
    version = await candidate(altscore, comparison=None)
    assert code(await owner.post("/models/promote", version=version, key="models.promote")) == (409, "NOT_COMPARED")
    assert code(await owner.post("/models/promote", version="none", key="models.promote")) == (404, "MODEL_UNKNOWN")


async def test_a_rollback_is_one_step_of_one_person_in_seconds(altscore: Installation, desk: Desks) -> None:
    old, ops = await candidate(altscore), await desk("ops")
    await promoted(desk, old)
    new = await candidate(altscore)
    await promoted(desk, new)
    started = time.perf_counter()
    back = await ops.post("/models/rollback", product=PRODUCT, reason="drift")
    async with altscore.platform.database.transaction() as db:
        in_office, _, _ = await registry.champion_artefact(db, product=PRODUCT)
    assert time.perf_counter() - started < 10
    assert (back.status_code, back.json()["version"], in_office) == (200, old, old)
    (row,) = await ops.recorded("rollBackModel")
    assert (row.details["before"], row.details["after"]) == ({"champion": new}, {"champion": old})
    listed = (await ops.get("/models", product=PRODUCT)).json()["models"]
    assert [one["version"] for one in listed if "champion" in one["aliases"]] == [old]


async def test_a_signature_is_for_this_request_and_this_action_once(altscore: Installation, desk: Desks) -> None:
    owner, version, other = await desk("model_owner"), await candidate(altscore), await candidate(altscore)
    assert code(await owner.post("/models/promote", version=version)) == (403, "ASSERTION_MISSING")
    wrong_action = await owner.post("/models/promote", version=version, key="models.rollback")
    assert code(wrong_action) == (403, "ASSERTION_INVALID")
    raw = json.dumps({"version": version, "reason": "as asked"}).encode()
    shown = {"content-type": "application/json", "x-key-assertion": await owner.who.assertion("models.promote", raw)}
    changed = raw.replace(version.encode(), other.encode())
    for content, expected in ((changed, "ASSERTION_INVALID"), (raw, None), (raw, "ASSERTION_INVALID")):
        answer = await owner.client.post("/v1/admin/models/promote", content=content, headers=shown)
        assert answer.status_code == (202 if expected is None else 403)
        assert expected is None or code(answer) == (403, expected)
    another = await desk("model_owner")
    stolen = {**shown, "x-key-assertion": await owner.who.assertion("models.promote", raw)}
    assert (await another.client.post("/v1/admin/models/promote", content=raw, headers=stolen)).status_code == 403


async def test_a_retailer_is_erased_by_two_people_at_once_and_by_schedule(altscore: Installation, desk: Desks) -> None:
    shop, lender = await altscore.shop(), await altscore.lender()
    await altscore.consent(shop, lender.client_id)
    await altscore.score(shop)
    dpo, legal = await desk("dpo"), await desk("legal")
    where = f"/retailers/{shop.retailer_id}/erasure"
    asked: dict[str, Any] = {"retailer_id": shop.retailer_id, "key": "retailers.erase"}
    async with await altscore.signed_in(lender) as client:
        body = {"retailer_id": shop.retailer_id, "purpose": PURPOSE}
        first = await dpo.put(where, **asked, reason="letter of 3 March")
        assert (first.status_code, first.json()["requested_by"]) == (202, dpo.who.actor)
        assert (await client.post("/v1/score", json=body)).status_code == 200
        assert code(await dpo.put(where, **asked)) == (403, "SECOND_PERSON_NEEDED")
        second = await legal.put(where, **asked)
        assert second.status_code == 200, second.text
        assert code(await client.post("/v1/score", json=body)) == (403, "CONSENT_NOT_GRANTED")
    erasure = second.json()
    assert (erasure["requested_by"], erasure["approved_by"]) == (dpo.who.actor, legal.who.actor)
    days = datetime.fromisoformat(erasure["due_at"]) - datetime.fromisoformat(erasure["requested_at"])
    assert days.days == 30
    assert [one["step"] for one in erasure["steps"] if one["done_at"]] == ["halt"]
    assert (await dpo.get(where)).json()["status"] == "in_progress"
    listed = (await legal.get("/erasures", open="true")).json()["erasures"]
    assert erasure["erasure_id"] in [one["erasure_id"] for one in listed]
    assert code(await dpo.get(f"/retailers/{shop.retailer_id}/export")) == (404, "RETAILER_UNKNOWN")


async def test_the_key_signs_for_the_retailer_that_the_path_names(altscore: Installation, desk: Desks) -> None:
    one, other, dpo = await altscore.shop(), await altscore.shop(), await desk("dpo")
    swapped = await dpo.put(
        f"/retailers/{one.retailer_id}/erasure", retailer_id=other.retailer_id, key="retailers.erase"
    )
    assert (swapped.status_code, swapped.json()["error"]["details"][0]["path"]) == (400, "$.retailer_id")
    nobody = await dpo.put(
        "/retailers/ret_00000000deadbeef/erasure", retailer_id="ret_00000000deadbeef", key="retailers.erase"
    )
    assert code(nobody) == (404, "RETAILER_UNKNOWN")


# A first signature counts as long as its signer could still give it.


async def _is_suspended(admin: Desk, who: Desk) -> None:
    body = {"staff_id": who.who.staff_id, "key": "staff.manage"}
    for status in ("suspended", "active"):  # being active again does not bring the signature back
        assert (await admin.put(f"/staff/{who.who.staff_id}", status=status, **body)).status_code == 200


async def _loses_the_role(admin: Desk, who: Desk) -> None:
    body = {"staff_id": who.who.staff_id, "key": "staff.manage", "roles": ["auditor"]}
    assert (await admin.put(f"/staff/{who.who.staff_id}", **body)).status_code == 200


async def _loses_the_key(admin: Desk, who: Desk) -> None:
    listed = (await admin.get("/staff")).json()["staff"]
    (key,) = next(one["keys"] for one in listed if one["staff_id"] == who.who.staff_id)
    lost = await admin.post(f"/staff/{who.who.staff_id}/revoke-key", key_id=key["key_id"])
    assert lost.status_code == 200


async def _permission_is_taken_from_the_role(admin: Desk, who: Desk) -> None:
    """As where the table of permissions changes, or somebody changes the database by hand."""
    async with admin.altscore.platform.database.transaction() as db:
        await db.execute("UPDATE staff SET roles = '{auditor}' WHERE staff_id = $1", who.who.staff_id)


async def _nothing_happens(_admin: Desk, _who: Desk) -> None:
    pass


Deprive = Callable[[Desk, Desk], Awaitable[None]]
TWO_PERSON_ACTIONS = ["promotion", "erasure", "unmasking", "recovery"]


@pytest.mark.parametrize("action", TWO_PERSON_ACTIONS)
@pytest.mark.parametrize(
    ("deprive", "counts"),
    [
        (_nothing_happens, True),
        (_is_suspended, False),
        (_loses_the_role, False),
        (_loses_the_key, False),
        (_permission_is_taken_from_the_role, False),
    ],
    ids=["nothing happens", "suspended", "role lost", "key lost", "permission lost"],
)
async def test_a_first_signature_counts_as_long_as_its_signer_could_still_give_it(
    altscore: Installation, desk: Desks, action: str, deprive: Deprive, counts: bool
) -> None:
    first, second, admin, lost = [await desk("model_owner", "dpo", "admin") for _ in range(4)]
    shop, version = (await altscore.shop()).retailer_id, await candidate(altscore)
    signs = {
        "promotion": ("POST", "/models/promote", {"key": "models.promote", "version": version}),
        "erasure": ("PUT", f"/retailers/{shop}/erasure", {"key": "retailers.erase", "retailer_id": shop}),
        "unmasking": ("POST", f"/retailers/{shop}/unmask", {"key": "retailers.unmask", "retailer_id": shop}),
        "recovery": (
            "POST", f"/staff/{lost.who.staff_id}/recover", {"key": "staff.manage", "staff_id": lost.who.staff_id},
        ),
    }  # fmt: skip
    method, path, body = signs[action]
    assert (await first.send(method, path, **body)).status_code == 202
    await deprive(admin, first)
    answer = await second.send(method, path, **body)
    assert answer.status_code == (200 if counts else 202), answer.text
    if not counts:  # the second one's is a first one now
        assert code(await second.send(method, path, **body)) == (403, "SECOND_PERSON_NEEDED")
        assert (await admin.send(method, path, **body)).status_code == 200


# Unmasking


async def test_identifiers_are_shown_once_to_the_second_person_and_the_log_keeps_their_kinds_alone(
    altscore: Installation, desk: Desks, capfd: pytest.CaptureFixture[str]
) -> None:
    shop, dpo, legal = await altscore.shop(), await desk("dpo"), await desk("legal")
    legal.client.headers["x-request-id"] = "unmask-1"
    where, asked = f"/retailers/{shop.retailer_id}/unmask", {"retailer_id": shop.retailer_id, "key": "retailers.unmask"}
    first = await dpo.post(where, **asked, reason="court order 12/2026")
    assert (first.status_code, first.json()["requested_by"]) == (202, dpo.who.actor)
    assert shop.gstin not in first.text
    assert code(await dpo.post(where, **asked)) == (403, "SECOND_PERSON_NEEDED")
    second = await legal.post(where, **asked, reason="seen the order")
    assert second.status_code == 200, second.text
    shown = second.json()
    assert (shown["gstins"], shown["names"], shown["phone_hashes"]) == ([shop.gstin], ["Shop"], [shop.phone_hash])
    assert (shown["requested_by"], shown["approved_by"]) == (dpo.who.actor, legal.who.actor)
    again = await legal.post(where, **asked, reason="seen the order")  # under the same X-Request-ID: no replay
    assert (again.status_code, again.json()["status"]) == (202, "pending_second_person")
    async with altscore.platform.database.transaction() as db:
        (row,) = await audit.read(db, action="retailer.unmasked", subject=shop.retailer_id)
        tables = [
            one["tablename"] for one in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        kept = "".join(
            [await db.fetchval(f"SELECT coalesce(string_agg(t::text, ''), '') FROM {table} AS t") for table in tables]
        )
    assert (row.actor, row.details) == (
        legal.who.actor,
        {
            "requested_by": dpo.who.actor,
            "approved_by": legal.who.actor,
            "reason": "seen the order",
            "shown": ["names", "gstins", "phone_hashes"],
        },
    )
    (asked_for,) = [one for one in await dpo.recorded("unmaskRetailer") if "refused" not in one.details]
    assert (asked_for.details["reason"], asked_for.details["pending"]) == ("court order 12/2026", True)
    assert shop.retailer_id in kept
    kept += capfd.readouterr().err
    for value in (shop.gstin, shop.phone_hash):
        assert value not in kept
        assert base64.b64encode(value.encode()).decode() not in kept
        assert value.encode().hex() not in kept


async def test_nobody_unmasks_whom_nobody_knows_or_who_is_erased(altscore: Installation, desk: Desks) -> None:
    shop, dpo, legal, ops = await altscore.shop(), await desk("dpo"), await desk("legal"), await desk("ops", "admin")
    asked = {"retailer_id": shop.retailer_id}
    unmask, erase = f"/retailers/{shop.retailer_id}/unmask", f"/retailers/{shop.retailer_id}/erasure"
    assert code(await ops.post(unmask, key="retailers.unmask", **asked)) == (403, "PERMISSION_DENIED")
    nobody = "ret_00000000deadbeef"
    unknown = await dpo.post(f"/retailers/{nobody}/unmask", retailer_id=nobody, key="retailers.unmask")
    assert code(unknown) == (404, "RETAILER_UNKNOWN")
    assert (await dpo.post(unmask, key="retailers.unmask", **asked)).status_code == 202
    for person in (dpo, legal):
        assert (await person.put(erase, key="retailers.erase", **asked)).status_code in (200, 202)
    for person in (legal, dpo):  # a signature from before does not help
        assert code(await person.post(unmask, key="retailers.unmask", **asked)) == (404, "RETAILER_ERASED")
