"""API-ALTSCORE-001, section 04: grant, revoke, check, export; contract C1 to C6, A4."""

import asyncio
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import rfc8785
from tests.api.conftest import PURPOSE, Installation, Shop

from altcredit.engine import consent, retailers
from altcredit.runtime import outbox
from altcredit.subscriptions import SUBSCRIPTIONS


def grant_body(shop: Shop, *lenders: str, **changes: Any) -> dict[str, Any]:
    return {
        "retailer_phone_hash": shop.phone_hash,
        "distributor_id": shop.distributor_id,
        "lender_scope": list(lenders),
        "purpose": PURPOSE,
        "consent_channel": "whatsapp",
        "wa_message_id": "wamid.HBgM",
        **changes,
    }


async def service(altscore: Installation) -> httpx2.AsyncClient:
    return await altscore.signed_in(await altscore.service("consent:grant", "consent:check", "consent:revoke"))


async def test_a_grant_opens_the_score_to_the_named_lender_only(altscore: Installation) -> None:
    named, other, shop = await altscore.lender(), await altscore.lender(), await altscore.shop()
    await altscore.score(shop)
    async with await service(altscore) as client:
        answer = await client.post("/v1/consent/grant", json=grant_body(shop, named.client_id))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["retailer_id"] == shop.retailer_id
    assert body["consent_id"].startswith("cns_")
    asked = {"retailer_id": shop.retailer_id, "purpose": PURPOSE}
    async with await altscore.signed_in(named) as one, await altscore.signed_in(other) as two:
        assert (await one.post("/v1/score", json=asked)).status_code == 200
        assert (await two.post("/v1/score", json=asked)).status_code == 403


def _verified(folder: Path) -> bool:
    verify = ["openssl", "dgst", "-sha256", "-verify", "key", "-signature", "signature", "record"]
    return subprocess.run(verify, cwd=folder, capture_output=True, text=True).stdout == "Verified OK\n"


async def test_the_record_verifies_with_openssl_alone(altscore: Installation, tmp_path: Path) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    async with await service(altscore) as client:
        given = (await client.post("/v1/consent/grant", json=grant_body(shop, lender.client_id))).json()
        exported = (await client.get(f"/v1/consent/{given['consent_id']}")).json()
    (tmp_path / "record").write_bytes(rfc8785.dumps(exported["record"]))
    (tmp_path / "signature").write_bytes(bytes.fromhex(exported["signature"]))
    (tmp_path / "key").write_text(exported["public_key"])
    assert _verified(tmp_path)
    record = exported["record"]
    assert record["lender_scope"] == [lender.client_id]
    assert record["distributor_ids"] == [shop.distributor_id]
    assert record["notice"]["language"] == "en"
    assert "365 days" in record["notice"]["text"]
    assert given["signature"] == exported["signature"]
    altered = rfc8785.dumps(record | {"purpose": "anything"})
    (tmp_path / "record").write_bytes(altered)
    assert not _verified(tmp_path)


async def test_a_revocation_is_effective_for_the_next_call(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    await altscore.score(shop)
    asked = {"retailer_id": shop.retailer_id, "purpose": PURPOSE}
    async with await service(altscore) as client, await altscore.signed_in(lender) as reader:
        given = (await client.post("/v1/consent/grant", json=grant_body(shop, lender.client_id))).json()
        assert (await reader.post("/v1/score", json=asked)).status_code == 200
        body = {"consent_id": given["consent_id"], "reason": "retailer_request", "wa_message_id": "wamid.yyy"}
        answer = (await client.post("/v1/consent/revoke", json=body)).json()
        assert (await reader.post("/v1/score", json=asked)).status_code == 403
        assert (await reader.get(f"/v1/retailers/lookup?gst={shop.gstin}")).status_code == 403
        again = (await client.post("/v1/consent/revoke", json=body)).json()
        kept = (await client.get(f"/v1/consent/{given['consent_id']}")).json()
    assert answer["status"] == "revoked"
    halt = datetime.fromisoformat(answer["processing_halt_by"])
    assert timedelta(minutes=59) < halt - datetime.now(UTC) <= timedelta(hours=1)
    assert again == answer
    assert kept["record"]["consent_id"] == given["consent_id"]
    assert kept["revoked_at"] is not None


async def test_revoking_an_older_record_ends_the_whole_chain(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    async with await service(altscore) as client:
        first = (await client.post("/v1/consent/grant", json=grant_body(shop, lender.client_id))).json()
        second = (await client.post("/v1/consent/grant", json=grant_body(shop, lender.client_id))).json()
        exported = (await client.get(f"/v1/consent/{second['consent_id']}")).json()
        await client.post("/v1/consent/revoke", json={"consent_id": first["consent_id"], "reason": "retailer_request"})
        check = (
            await client.get(
                "/v1/consent/check", params={"retailer_id": shop.retailer_id, "lender_id": lender.client_id}
            )
        ).json()
    assert exported["record"]["supersedes"] == [first["consent_id"]]
    assert check == {"consented": False, "consent_id": None, "expires_at": None}


async def test_check_answers_for_both_kinds_of_retailer(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    async with await service(altscore) as client:
        given = (await client.post("/v1/consent/grant", json=grant_body(shop, lender.client_id))).json()
        asked = {"retailer_id": shop.retailer_id, "lender_id": lender.client_id}
        yes = (await client.get("/v1/consent/check", params=asked)).json()
        no = (await client.get("/v1/consent/check", params=asked | {"retailer_id": "ret_0000000000000000"})).json()
    assert yes == {"consented": True, "consent_id": given["consent_id"], "expires_at": given["expires_at"]}
    assert no["consented"] is False


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"retailer_phone_hash": "0" * 64}, 404, "RETAILER_UNKNOWN"),
        ({"distributor_id": "dist_elsewhere"}, 404, "RETAILER_UNKNOWN"),
        ({"retailer_phone_hash": "0" * 63}, 400, "INVALID_REQUEST"),
        ({"retailer_phone_hash": "919812345678"}, 400, "INVALID_REQUEST"),
        ({"lender_scope": []}, 400, "INVALID_REQUEST"),
        ({"lender_scope": ["lender_nobody"]}, 400, "INVALID_REQUEST"),
        ({"lender_scope": "lender_x"}, 400, "INVALID_REQUEST"),
        ({"purpose": "Working Capital"}, 400, "INVALID_REQUEST"),
        ({"wa_message_id": ""}, 400, "INVALID_REQUEST"),
    ],
)
async def test_what_cannot_be_granted(altscore: Installation, changes: dict[str, Any], status: int, code: str) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    async with await service(altscore) as client:
        answer = await client.post("/v1/consent/grant", json=grant_body(shop, lender.client_id, **changes))
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_an_unknown_consent(altscore: Installation) -> None:
    async with await service(altscore) as client:
        shown = await client.get("/v1/consent/cns_0000000000000000")
        ended = await client.post("/v1/consent/revoke", json={"consent_id": "cns_0000000000000000", "reason": "x"})
    assert [a.json()["error"]["code"] for a in (shown, ended)] == ["CONSENT_UNKNOWN"] * 2


async def test_a_token_does_only_what_its_scopes_say(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    async with await altscore.signed_in(await altscore.service("consent:check")) as client:
        answer = await client.post("/v1/consent/grant", json=grant_body(shop, lender.client_id))
        ended = await client.post("/v1/consent/revoke", json={"consent_id": "cns_x", "reason": "x"})
    assert {(a.status_code, a.json()["error"]["code"]) for a in (answer, ended)} == {(403, "SCOPE_MISSING")}


async def test_a_repeated_request_id_replays_the_answer_and_grants_once(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    async with await service(altscore) as client:
        client.headers["x-request-id"] = "grant-1"
        body = grant_body(shop, lender.client_id)
        answers = await asyncio.gather(*(client.post("/v1/consent/grant", json=body) for _ in range(8)))
        conflict = await client.post("/v1/consent/grant", json=body | {"language": "hi"})
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 7
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    async with altscore.platform.database.transaction() as db:
        assert await db.fetchval("SELECT count(*) FROM consent WHERE retailer_id = $1", shop.retailer_id) == 1


async def test_grants_and_revocations_leave_events_and_audit_rows(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    async with await service(altscore) as client:
        given = (await client.post("/v1/consent/grant", json=grant_body(shop, lender.client_id))).json()
        await client.post("/v1/consent/revoke", json={"consent_id": given["consent_id"], "reason": "retailer_request"})
    async with altscore.platform.database.transaction() as db:
        events = await db.fetch("SELECT type FROM outbox WHERE key = $1 ORDER BY id", shop.retailer_id)
        audit = await db.fetch(
            "SELECT action FROM audit_event WHERE subject = $1 ORDER BY event_id", given["consent_id"]
        )
    assert [row["type"] for row in events] == ["consent.granted", "consent.revoked"]
    assert [row["action"] for row in audit] == ["consent.granted", "consent.revoked"]


async def test_the_notice_is_in_the_language_that_was_shown(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    async with await service(altscore) as client:
        given = (await client.post("/v1/consent/grant", json=grant_body(shop, lender.client_id, language="hi"))).json()
        record = (await client.get(f"/v1/consent/{given['consent_id']}")).json()["record"]
    assert "आपकी अनुमति" in record["notice"]["text"]


async def test_model_development_is_a_consent_of_its_own(altscore: Installation) -> None:
    shop = await altscore.shop()
    async with await service(altscore) as client:
        answer = await client.post("/v1/consent/grant", json=grant_body(shop, purpose="model_development"))
    assert answer.status_code == 200
    async with altscore.platform.database.transaction() as db:
        trainable = await consent.trainable(db, now=datetime.now(UTC))
        scorable = await consent.scorable(db, now=datetime.now(UTC))
    assert trainable[shop.retailer_id] == (shop.distributor_id,)
    assert shop.retailer_id not in scorable


async def test_a_consent_to_model_development_lets_no_lender_in(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    await altscore.score(shop)
    async with await service(altscore) as client:
        answer = await client.post(
            "/v1/consent/grant", json=grant_body(shop, lender.client_id, purpose="model_development")
        )
    assert (answer.status_code, answer.json()["error"]["details"][0]["path"]) == (400, "$.lender_scope")
    async with await altscore.signed_in(lender) as client:
        asked = {"retailer_id": shop.retailer_id, "purpose": "model_development"}
        assert (await client.post("/v1/score", json=asked)).status_code == 403
        assert (await client.get(f"/v1/score/{shop.retailer_id}/history")).status_code == 403


async def test_two_ids_that_prove_to_be_one_shop_both_keep_answering(altscore: Installation) -> None:
    lender, older, newer = await altscore.lender(), await altscore.shop(gst=False), await altscore.shop()
    await altscore.consent(newer, lender.client_id)
    await altscore.score(older)
    now = datetime.now(UTC)
    async with altscore.platform.database.transaction() as db:
        await retailers.merge(db, first=older.retailer_id, second=newer.retailer_id, evidence="test", now=now)
        await consent.relink(db, keyring=altscore.platform.keyring, retailer_id=older.retailer_id)
    async with await altscore.signed_in(lender) as client:
        for retailer_id in (older.retailer_id, newer.retailer_id):
            answer = await client.post("/v1/score", json={"retailer_id": retailer_id, "purpose": PURPOSE})
            assert answer.status_code == 200, answer.text
        found = (await client.get(f"/v1/retailers/lookup?gst={newer.gstin}")).json()
    assert found["retailer_id"] == older.retailer_id


async def test_a_revocation_has_the_shop_scored_again_by_the_ledgers_that_are_left(altscore: Installation) -> None:
    kept, ended, shop = await altscore.lender(), await altscore.lender(), await altscore.shop()
    await altscore.consent(shop, kept.client_id)
    given = await altscore.consent(shop, ended.client_id)
    now = datetime.now(UTC)

    async def queued() -> list[dict[str, Any]]:
        async with altscore.platform.database.transaction() as db:
            while await outbox.react(db, SUBSCRIPTIONS, now=now):
                pass
            rows = await db.fetch("SELECT payload FROM pgqueuer WHERE entrypoint = 'altscore.refresh'")
        payloads = [json.loads(row["payload"]) for row in rows]
        return [one for one in payloads if one.get("retailer_ids") == [shop.retailer_id]]

    before = await queued()
    async with await service(altscore) as client:
        asked = {"consent_id": given.consent.consent_id, "reason": "retailer_request"}
        assert (await client.post("/v1/consent/revoke", json=asked)).status_code == 200
    assert len(await queued()) == len(before) + 1
