"""API-ALTSCORE-001, section 06: grievances; contract A4, A5, G1, G2."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from tests.api.conftest import PURPOSE, Installation, Shop

from altcredit.engine import grievances


async def score_id(client: httpx2.AsyncClient, shop: Shop) -> str:
    answer = await client.post("/v1/score", json={"retailer_id": shop.retailer_id, "purpose": PURPOSE})
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["score_id"]
    return found


def body(shop: Shop, score: str, **changes: Any) -> dict[str, Any]:
    return {
        "retailer_id": shop.retailer_id,
        "score_id": score,
        "grievance_type": "incorrect_score",
        "description": "Payment records missing for March",
        "contact_phone_hash": "ab" * 32,
        **changes,
    }


async def test_a_lender_files_and_follows_a_case(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    await altscore.consent(shop, lender.client_id)
    await altscore.score(shop)
    async with await altscore.signed_in(lender) as client:
        score = await score_id(client, shop)
        filed = await client.post("/v1/grievances", json=body(shop, score))
        assert filed.status_code == 200, filed.text
        case = filed.json()
        assert case["grievance_id"].startswith("grv_")
        assert case["status"] == "open"
        shown = (await client.get(f"/v1/grievances/{case['grievance_id']}")).json()
        hindi = await client.get(f"/v1/grievances/{case['grievance_id']}", headers={"accept-language": "hi"})
    at = datetime.fromisoformat(shown["filed_at"])
    assert [datetime.fromisoformat(case[name]) - at for name in ("ack_by", "resolution_sla", "escalation_by")] == [
        timedelta(days=days) for days in (1, 7, 30)
    ]
    assert [clock["clock"] for clock in shown["clocks"]] == ["acknowledgement", "resolution", "escalation"]
    assert 86_000 < shown["clocks"][0]["seconds_left"] <= 86_400
    assert shown["description"] == "Payment records missing for March"
    assert shown["explanation"]["old_score"]["altscore"] == 724
    assert len(shown["explanation"]["old_score"]["reason_codes"]) >= 5
    assert shown["explanation"]["new_score"] is None
    assert "जिस स्कोर पर शिकायत है" in hindi.json()["explanation"]["text"]


async def test_no_consent_unknown_shop_and_anothers_score_are_byte_equal(altscore: Installation) -> None:
    lender = await altscore.lender()
    shop, other, stranger = [await altscore.shop() for _ in range(3)]
    for one in (shop, other):
        await altscore.consent(one, lender.client_id)
    for one in (shop, other, stranger):
        await altscore.score(one)
    async with await altscore.signed_in(lender) as client:
        own, theirs = await score_id(client, shop), await score_id(client, other)
        asked = {
            "without consent": body(stranger, own),
            "unknown shop": {**body(shop, own), "retailer_id": "ret_ffffffffffffffff"},
            "another's score": body(shop, theirs),
            "unknown score": body(shop, "scr_ffffffffffffffff"),
        }
        answers = {
            name: await client.post("/v1/grievances", json=sent, headers={"x-request-id": f"same-{at}"})
            for at, (name, sent) in enumerate(asked.items())
        }
        read = await client.get("/v1/grievances/grv_ffffffffffffffff", headers={"x-request-id": "same-9"})
    answers["unknown case"] = read
    assert {answer.status_code for answer in answers.values()} == {404}
    shapes = {
        (
            answer.content.replace(answer.headers["x-request-id"].encode(), b"-"),
            tuple(
                sorted((name, value) for name, value in answer.headers.items() if name not in ("date", "x-request-id"))
            ),
        )
        for answer in answers.values()
    }
    assert len(shapes) == 1, shapes


async def test_another_lender_sees_nothing_and_neither_does_the_filer_after_revocation(altscore: Installation) -> None:
    first, second, shop = await altscore.lender(), await altscore.lender(), await altscore.shop()
    given = await altscore.consent(shop, first.client_id)
    await altscore.consent(shop, second.client_id)
    await altscore.score(shop)
    async with await altscore.signed_in(first) as one, await altscore.signed_in(second) as two:
        case = (await one.post("/v1/grievances", json=body(shop, await score_id(one, shop)))).json()["grievance_id"]
        assert (await one.get(f"/v1/grievances/{case}")).status_code == 200
        assert (await two.get(f"/v1/grievances/{case}")).status_code == 404
        service = await altscore.service("consent:revoke")
        async with await altscore.signed_in(service) as revoker:
            ended = {"consent_id": given.consent.consent_id, "reason": "retailer_request"}
            assert (await revoker.post("/v1/consent/revoke", json=ended)).status_code == 200
        assert (await one.get(f"/v1/grievances/{case}")).status_code == 404
        assert (await one.post("/v1/grievances", json=body(shop, "scr_1"))).status_code == 404


async def test_the_sixth_filing_for_a_retailer_in_a_day_is_refused(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    await altscore.consent(shop, lender.client_id)
    await altscore.score(shop)
    async with await altscore.signed_in(lender) as client:
        score = await score_id(client, shop)
        answers = [await client.post("/v1/grievances", json=body(shop, score)) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[5].json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert int(answers[5].headers["retry-after"]) > 0


async def test_a_repeated_request_id_files_once(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    await altscore.consent(shop, lender.client_id)
    await altscore.score(shop)
    async with await altscore.signed_in(lender) as client:
        score = await score_id(client, shop)
        key = {"x-request-id": "file-once"}
        first, second = [await client.post("/v1/grievances", json=body(shop, score), headers=key) for _ in range(2)]
        other = await client.post("/v1/grievances", json=body(shop, score, description="another"), headers=key)
    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"
    assert other.json()["error"]["code"] == "IDEMPOTENCY_CONFLICT"
    assert await altscore.platform.database.reads.fetchval(
        "SELECT count(*) FROM grievance WHERE retailer_id = $1", shop.retailer_id
    ) == 1  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"description": ""}, "$.description"),
        ({"description": "x" * 4_001}, "$.description"),
        ({"grievance_type": "revenge"}, "$.grievance_type"),
        ({"contact_phone_hash": "919812345678"}, "$.contact_phone_hash"),
        ({"score_id": None}, "$.score_id"),
        ({"retailer_id": "ret_1"}, "$.retailer_id"),
    ],
)
async def test_a_malformed_filing_is_told_by_field(altscore: Installation, changes: dict[str, Any], path: str) -> None:
    shop = await altscore.shop()
    async with await altscore.signed_in(await altscore.lender()) as client:
        answer = await client.post("/v1/grievances", json=body(shop, "scr_1", **changes))
    assert answer.status_code == 400
    assert [one["path"] for one in answer.json()["error"]["details"]] == [path]


async def test_the_longest_description_is_taken_and_comes_back_whole(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    await altscore.consent(shop, lender.client_id)
    await altscore.score(shop)
    words = "शि" * 2_000
    async with await altscore.signed_in(lender) as client:
        asked = body(shop, await score_id(client, shop), description=words)
        case = (await client.post("/v1/grievances", json=asked)).json()["grievance_id"]
        assert (await client.get(f"/v1/grievances/{case}")).json()["description"] == words


async def test_a_suspended_lender_files_nothing(altscore: Installation) -> None:
    from altcredit.engine import identity

    lender, shop = await altscore.lender(), await altscore.shop()
    await altscore.consent(shop, lender.client_id)
    await altscore.score(shop)
    async with await altscore.signed_in(lender) as client:
        asked = body(shop, await score_id(client, shop))
        async with altscore.platform.database.transaction() as db:
            await identity.set_client_status(
                db, client_id=lender.client_id, status="suspended", actor="test", now=datetime.now(UTC)
            )
        assert (await client.post("/v1/grievances", json=asked)).status_code == 401


async def test_a_resolved_case_tells_both_scores(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    await altscore.consent(shop, lender.client_id)
    await altscore.score(shop, at=datetime.now(UTC) - timedelta(minutes=5))
    keyring = altscore.platform.keyring
    async with await altscore.signed_in(lender) as client:
        old = await score_id(client, shop)
        case = (await client.post("/v1/grievances", json=body(shop, old))).json()["grievance_id"]
        asked: dict[str, Any] = {"keyring": keyring, "grievance_id": case, "actor": "staff:stf_1"}
        async with altscore.platform.database.transaction() as db:
            await grievances.review(db, now=datetime.now(UTC), **asked)
            await grievances.correct(db, correction="March was missing", now=datetime.now(UTC), **asked)
        await altscore.score(shop, overdue_inr=5_000)
        async with altscore.platform.database.transaction() as db:
            await grievances.resolve(
                db, outcome="corrected", resolution="Score updated after data correction", now=datetime.now(UTC), **asked
            )  # fmt: skip
        shown = (await client.get(f"/v1/grievances/{case}")).json()
        new = await score_id(client, shop)
    assert (shown["status"], shown["outcome"]) == ("resolved", "corrected")
    assert shown["resolution"] == "Score updated after data correction"
    assert (shown["old_score_id"], shown["new_score_id"]) == (old, new)
    assert [shown["explanation"][name]["score_id"] for name in ("old_score", "new_score")] == [old, new]
    assert [note["text"] for note in shown["notes"]] == ["March was missing"]
    assert "stf_1" not in json.dumps(shown)
