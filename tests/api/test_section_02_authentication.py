"""API-ALTSCORE-001, section 02: tokens and keys, over HTTPS."""

import asyncio
import base64
import json

import pytest
from tests.api.conftest import Installation

SCORE = {"retailer_id": "ret_7f3a92c1d4e8b051", "purpose": "working_capital_loan"}


async def test_good_credentials_give_an_hour_long_token(altscore: Installation) -> None:
    issued = await altscore.lender()
    async with altscore.client() as client:
        answer = await client.post(
            "/v1/auth/token", json={"client_id": issued.client_id, "client_secret": issued.client_secret}
        )
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3600)
    header, payload, _ = (
        json.loads(base64.urlsafe_b64decode(p + "==")) if i < 2 else p
        for i, p in enumerate(body["access_token"].split("."))
    )
    assert header["alg"] == "RS256"
    assert payload["sub"] == issued.client_id
    assert payload["iss"] == "altscore.in"
    assert payload["exp"] - payload["iat"] == 3600
    assert payload["jti"]


async def test_a_wrong_secret_and_an_unknown_client_look_alike(altscore: Installation) -> None:
    issued = await altscore.lender()
    async with altscore.client() as client:
        wrong = await client.post("/v1/auth/token", json={"client_id": issued.client_id, "client_secret": "0" * 64})
        unknown = await client.post("/v1/auth/token", json={"client_id": "lender_nobody", "client_secret": "0" * 64})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json()["error"] == unknown.json()["error"]


async def test_the_eleventh_request_of_a_minute_is_refused_for_unknown_clients_too(altscore: Installation) -> None:
    async with altscore.client() as client:
        answers = [
            await client.post("/v1/auth/token", json={"client_id": "lender_guess", "client_secret": str(n)})
            for n in range(21)
        ]
    # The minute may turn over once on the way; ten of either side at most.
    assert {answer.status_code for answer in answers} == {401, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert 1 <= int(refused.headers["retry-after"]) <= 61


async def test_the_keys_are_public_and_the_next_one_is_published_before_use(altscore: Installation) -> None:
    async with altscore.client() as client:
        answer = await client.get("/.well-known/jwks.json")
        same = await client.get("/v1/.well-known/jwks.json")
    keys = answer.json()["keys"]
    assert answer.json() == same.json()
    assert len(keys) >= 2
    assert {(key["kty"], key["alg"]) for key in keys} == {("RSA", "RS256"), ("EC", "ES256")}
    assert sum(key["kty"] == "RSA" for key in keys) >= 2
    assert not any("d" in key for key in keys)


async def test_no_authorization_header(altscore: Installation) -> None:
    async with altscore.client() as client:
        answer = await client.post("/v1/score", json=SCORE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "TOKEN_MISSING")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("authorization", ["Bearer x.y.z", "Basic abc", "Bearer a.b", "bearer"])
async def test_a_token_that_is_none(altscore: Installation, authorization: str) -> None:
    async with altscore.client(authorization=authorization) as client:
        answer = await client.post("/v1/score", json=SCORE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "TOKEN_INVALID")


async def test_the_client_id_header_must_match_the_subject(altscore: Installation) -> None:
    async with await altscore.signed_in(await altscore.lender()) as client:
        client.headers["x-client-id"] = "lender_other"
        other = await client.post("/v1/score", json=SCORE)
        del client.headers["x-client-id"]
        none = await client.post("/v1/score", json=SCORE)
    assert [a.json()["error"]["code"] for a in (other, none)] == ["TOKEN_INVALID", "TOKEN_INVALID"]


async def test_a_services_token_reads_no_score_and_a_lenders_grants_no_consent(altscore: Installation) -> None:
    async with await altscore.signed_in(await altscore.service("consent:grant")) as client:
        assert (await client.post("/v1/score", json=SCORE)).status_code == 401
    async with await altscore.signed_in(await altscore.lender()) as client:
        assert (await client.post("/v1/consent/grant", json={})).status_code == 401


async def test_a_suspended_lenders_live_token_ends_with_the_next_call(altscore: Installation) -> None:
    from datetime import UTC, datetime

    from altcredit.engine import identity

    issued = await altscore.lender()
    async with await altscore.signed_in(issued) as client:
        assert (await client.post("/v1/score", json=SCORE)).status_code == 403
        async with altscore.platform.database.transaction() as db:
            await identity.set_client_status(
                db, client_id=issued.client_id, status="suspended", actor="test", now=datetime.now(UTC)
            )
        answer = await client.post("/v1/score", json=SCORE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "TOKEN_INVALID")


async def test_credentials_are_judged_before_the_body(altscore: Installation) -> None:
    async with altscore.client() as client:
        answers = await asyncio.gather(
            client.post("/v1/score", content=b"{", headers={"content-type": "application/json"}),
            client.post("/v1/score", content=b"x" * 100_000),
            client.post("/v1/consent/grant", content=b"{"),
            client.post("/v1/ingest/batch", content=b"{"),
        )
    assert [answer.status_code for answer in answers] == [401] * 4
