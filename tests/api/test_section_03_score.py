"""API-ALTSCORE-001, section 03: score, history, look-up; contract A1 to A15."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from tests.api.conftest import PURPOSE, Installation, Shop


async def ask(client: httpx2.AsyncClient, retailer_id: str, **more: object) -> httpx2.Response:
    return await client.post("/v1/score", json={"retailer_id": retailer_id, "purpose": PURPOSE, **more})


async def scored(altscore: Installation, **changes: object) -> tuple[httpx2.AsyncClient, Shop]:
    issued = await altscore.lender()
    shop = await altscore.shop()
    await altscore.consent(shop, issued.client_id)
    await altscore.score(shop, **changes)
    return await altscore.signed_in(issued), shop


async def test_the_published_example(altscore: Installation) -> None:
    client, shop = await scored(altscore)
    async with client:
        answer = await ask(client, shop.retailer_id)
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert (body["altscore"], body["risk_band"], body["probability_of_default"]) == (724, "B", 0.082)
    assert body["retailer_id"] == shop.retailer_id
    assert body["recommended_limit_inr"] % 1000 == 0
    assert body["data_freshness_days"] == 3
    assert body["low_confidence"] is False
    assert body["score_version"] == "altscore-xgb-v1-prod"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["pd_horizon_days"] == 90
    assert body["score_id"].startswith("scr_")
    assert datetime.fromisoformat(body["scored_at"]) <= datetime.now(UTC)


async def test_reasons_keep_the_promise_of_three_positive_and_two_negative(altscore: Installation) -> None:
    client, shop = await scored(altscore)
    async with client:
        reasons = (await ask(client, shop.retailer_id)).json()["reason_codes"]
    directions = [reason["direction"] for reason in reasons]
    assert directions == sorted(directions, reverse=True)
    assert directions.count("positive") >= 3
    assert directions.count("negative") >= 2
    assert [reason["rank"] for reason in reasons] == list(range(1, len(reasons) + 1))
    assert len({reason["code"] for reason in reasons}) == len(reasons)
    assert reasons[0]["code"] == "LOW_PAYMENT_DELAY"
    assert reasons[0]["label_hi"] == "समय पर भुगतान"


async def test_labels_follow_accept_language(altscore: Installation) -> None:
    client, shop = await scored(altscore)
    async with client:
        english = (await ask(client, shop.retailer_id)).json()["reason_codes"][0]
        client.headers["accept-language"] = "hi-IN, en;q=0.5"
        hindi = (await ask(client, shop.retailer_id)).json()["reason_codes"][0]
    assert english["label"] == english["label_en"]
    assert hindi["label"] == hindi["label_hi"]


async def test_unknown_and_unconsented_retailers_get_the_same_bytes(altscore: Installation) -> None:
    shop = await altscore.shop()
    await altscore.score(shop)
    async with await altscore.signed_in(await altscore.lender()) as client:
        for unknown, known in (
            (ask(client, "ret_0000000000000000"), ask(client, shop.retailer_id)),
            (client.get("/v1/score/ret_0000000000000000/history"), client.get(f"/v1/score/{shop.retailer_id}/history")),
            (
                client.get("/v1/retailers/lookup?gst=27AAPFU0939F1ZV"),
                client.get(f"/v1/retailers/lookup?gst={shop.gstin}"),
            ),
        ):
            client.headers["x-request-id"] = "same"
            one, two = await unknown, await known
            assert one.status_code == two.status_code == 403
            assert one.content == two.content
            assert one.json()["error"]["code"] == "CONSENT_NOT_GRANTED"
            own = {"x-ratelimit-remaining", "date"}
            assert {k: v for k, v in one.headers.items() if k not in own} == {
                k: v for k, v in two.headers.items() if k not in own
            }


@pytest.mark.parametrize(
    "retailer_id", ["ret_7f3a", "ret_7F3A92C1D4E8B051", "7f3a92c1d4e8b051", "ret_7f3a92c1d4e8b051\n", ""]
)
async def test_a_badly_formed_retailer_id(altscore: Installation, retailer_id: str) -> None:
    async with await altscore.signed_in(await altscore.lender()) as client:
        answer = await ask(client, retailer_id)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_RETAILER_ID")
    assert answer.json()["error"]["details"][0]["path"] == "$.retailer_id"


async def test_a_line_break_after_an_id_in_a_path_is_refused_too(altscore: Installation) -> None:
    async with await altscore.signed_in(await altscore.lender()) as client:
        answer = await client.get("/v1/score/ret_7f3a92c1d4e8b051%0A/history")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_RETAILER_ID"), answer.text


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"{}", "$.retailer_id"),
        (b'{"retailer_id": 7, "purpose": "working_capital_loan"}', "$.retailer_id"),
        (b'{"retailer_id": "ret_7f3a92c1d4e8b051"}', "$.purpose"),
        (
            b'{"retailer_id": "ret_7f3a92c1d4e8b051", "purpose": "x", "requested_limit_inr": "5"}',
            "$.requested_limit_inr",
        ),
        (
            b'{"retailer_id": "ret_7f3a92c1d4e8b051", "purpose": "x", "requested_limit_inr": -1}',
            "$.requested_limit_inr",
        ),
        (b'{"retailer_id": "ret_7f3a92c1d4e8b051", "purpose": "x", "purpose": "y"}', "$.purpose"),
        (b"[]", "$"),
        (b"", "$"),
        (b"\xff", "$"),
        (b'{"retailer_id": "ret_7f3a92c1d4e8b051", "purpose": "a\\u0000b"}', "$"),
        (b"[" * 100_0 + b"]" * 100_0, "$"),
    ],
)
async def test_a_malformed_request_names_the_field(altscore: Installation, body: bytes, path: str) -> None:
    async with await altscore.signed_in(await altscore.lender()) as client:
        answer = await client.post("/v1/score", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST"), answer.text
    assert path in [detail["path"] for detail in answer.json()["error"]["details"]] or path == "$"
    assert answer.json()["error"]["details"]
    assert answer.headers["x-ratelimit-limit"] == "100"


async def test_every_offending_field_is_named(altscore: Installation) -> None:
    async with await altscore.signed_in(await altscore.lender()) as client:
        answer = await client.post("/v1/score", json={"retailer_id": 7, "purpose": 8, "requested_limit_inr": "x"})
    paths = {detail["path"] for detail in answer.json()["error"]["details"]}
    assert paths == {"$.retailer_id", "$.purpose", "$.requested_limit_inr"}


async def test_another_purpose_than_the_consents(altscore: Installation) -> None:
    client, shop = await scored(altscore)
    async with client:
        answer = await client.post("/v1/score", json={"retailer_id": shop.retailer_id, "purpose": "card"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "SCOPE_MISMATCH")


async def test_consented_but_not_scored_yet(altscore: Installation) -> None:
    issued, shop = await altscore.lender(), await altscore.shop()
    await altscore.consent(shop, issued.client_id)
    async with await altscore.signed_in(issued) as client:
        answer = await ask(client, shop.retailer_id)
        history = await client.get(f"/v1/score/{shop.retailer_id}/history")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RETAILER_NOT_SCORED")
    assert (history.status_code, history.json()["error"]["code"]) == (404, "RETAILER_NOT_SCORED")


@pytest.mark.parametrize("changes", [{"completeness": 49.9}, {"has_payment_data": False}])
async def test_too_little_data(altscore: Installation, changes: dict[str, object]) -> None:
    client, shop = await scored(altscore, **changes)
    async with client:
        answer = await ask(client, shop.retailer_id)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "DATA_INSUFFICIENT")


async def _feed(altscore: Installation, shop: Shop, days: int) -> None:
    async with altscore.platform.database.transaction() as db:
        await db.execute(
            "UPDATE distributor_feed SET watermark = (now() AT TIME ZONE 'Asia/Kolkata')::date - $2::int"
            " WHERE distributor_id = $1",
            shop.distributor_id,
            days,
        )


async def test_a_feed_that_ages_lowers_confidence_and_then_blocks(altscore: Installation) -> None:
    client, shop = await scored(altscore)
    async with client:
        await _feed(altscore, shop, 14)
        fresh = (await ask(client, shop.retailer_id)).json()
        await _feed(altscore, shop, 15)
        stale = (await ask(client, shop.retailer_id)).json()
        await _feed(altscore, shop, 46)
        old = await ask(client, shop.retailer_id)
    assert (fresh["low_confidence"], stale["low_confidence"]) == (False, True)
    assert stale["data_freshness_days"] == 15
    assert stale["recommended_limit_inr"] <= fresh["recommended_limit_inr"] / 2
    assert (old.status_code, old.json()["error"]["code"]) == (422, "DATA_INSUFFICIENT")


async def test_completeness_between_50_and_70_is_low_confidence(altscore: Installation) -> None:
    client, shop = await scored(altscore, completeness=69.0)
    async with client:
        assert (await ask(client, shop.retailer_id)).json()["low_confidence"] is True


async def test_a_requested_limit_is_compared_and_never_raises_the_recommendation(altscore: Installation) -> None:
    client, shop = await scored(altscore)
    async with client:
        plain = (await ask(client, shop.retailer_id)).json()
        high = (await ask(client, shop.retailer_id, requested_limit_inr=900_000)).json()
        low = (await ask(client, shop.retailer_id, requested_limit_inr=1_000)).json()
    assert "limit_check" not in plain
    assert high["recommended_limit_inr"] == plain["recommended_limit_inr"]
    assert high["limit_check"] == {"requested_inr": 900_000, "within_recommendation": False, "cap_inr": 270_000}
    assert low["limit_check"]["within_recommendation"] is True


async def test_the_lenders_own_cap_bounds_its_recommendation(altscore: Installation) -> None:
    issued, shop = await altscore.lender(max_limit_inr=20_000), await altscore.shop()
    await altscore.consent(shop, issued.client_id)
    await altscore.score(shop)
    async with await altscore.signed_in(issued) as client:
        assert (await ask(client, shop.retailer_id)).json()["recommended_limit_inr"] == 20_000


async def test_a_request_id_is_echoed_and_a_bad_one_replaced(altscore: Installation) -> None:
    client, shop = await scored(altscore)
    async with client:
        client.headers["x-request-id"] = "my-trace.1"
        mine = await ask(client, shop.retailer_id)
        client.headers["x-request-id"] = "no spaces allowed"
        other = await ask(client, shop.retailer_id)
    assert mine.json()["request_id"] == mine.headers["x-request-id"] == "my-trace.1"
    assert other.headers["x-request-id"].startswith("req_")


async def test_a_score_is_never_replayed(altscore: Installation) -> None:
    issued, shop = await altscore.lender(), await altscore.shop()
    given = await altscore.consent(shop, issued.client_id)
    await altscore.score(shop)
    async with (
        await altscore.signed_in(issued) as client,
        await altscore.signed_in(await altscore.service("consent:revoke")) as service,
    ):
        client.headers["x-request-id"] = "again"
        assert (await ask(client, shop.retailer_id)).status_code == 200
        await service.post(
            "/v1/consent/revoke", json={"consent_id": given.consent.consent_id, "reason": "retailer_request"}
        )
        assert (await ask(client, shop.retailer_id)).status_code == 403


async def test_exactly_the_quota_is_served_and_the_next_request_refused(altscore: Installation) -> None:
    issued, shop = await altscore.lender(minute=30), await altscore.shop()
    await altscore.consent(shop, issued.client_id)
    await altscore.score(shop)
    # The fixed window must not turn over during the test.
    await asyncio.sleep(max(0, datetime.now(UTC).second - 50) and 61 - datetime.now(UTC).second)
    async with await altscore.signed_in(issued) as client:
        answers = await asyncio.gather(*(ask(client, shop.retailer_id) for _ in range(60)))
    codes = [answer.status_code for answer in answers]
    assert codes.count(200) == 30
    assert codes.count(429) == 30
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert refused.headers["x-ratelimit-policy"] == "minute"
    assert int(refused.headers["retry-after"]) <= 61
    assert int(refused.headers["x-ratelimit-reset"]) > datetime.now(UTC).timestamp()


async def test_the_daily_quota_is_told_apart(altscore: Installation) -> None:
    issued, shop = await altscore.lender(day=3), await altscore.shop()
    await altscore.consent(shop, issued.client_id)
    await altscore.score(shop)
    async with await altscore.signed_in(issued) as client:
        answers = [await ask(client, shop.retailer_id) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["x-ratelimit-policy"] == "day"
    assert answers[3].headers["x-ratelimit-limit"] == "3"
    assert int(answers[3].headers["retry-after"]) > 0


async def test_history_is_the_last_score_of_each_month_newest_first(altscore: Installation) -> None:
    issued, shop = await altscore.lender(), await altscore.shop()
    await altscore.consent(shop, issued.client_id)
    now = datetime.now(UTC)
    for back in range(8):
        month = (now.replace(day=15) - timedelta(days=30 * back)).replace(hour=6)
        await altscore.score(shop, at=month)
    await altscore.score(shop, at=now)
    async with await altscore.signed_in(issued) as client:
        six = (await client.get(f"/v1/score/{shop.retailer_id}/history")).json()
        twelve = (await client.get(f"/v1/score/{shop.retailer_id}/history?months=12")).json()
    months = [entry["month"] for entry in six["history"]]
    assert len(months) == 6
    assert months == sorted(months, reverse=True)
    assert len(twelve["history"]) >= 7
    assert set(six["history"][0]) == {"month", "altscore", "risk_band", "score_version", "score_id"}


@pytest.mark.parametrize("months", ["0", "13", "x", "-1", "1.5", ""])
async def test_months_outside_1_to_12(altscore: Installation, months: str) -> None:
    async with await altscore.signed_in(await altscore.lender()) as client:
        answer = await client.get(f"/v1/score/ret_7f3a92c1d4e8b051/history?months={months}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")
    assert answer.json()["error"]["details"][0]["path"] == "$.months"


async def test_look_up_by_gstin(altscore: Installation) -> None:
    client, shop = await scored(altscore)
    async with client:
        answer = await client.get("/v1/retailers/lookup", params={"gst": shop.gstin})
    assert answer.json() == {"retailer_id": shop.retailer_id, "consent_active": True}


@pytest.mark.parametrize("gst", ["", "27AAPFU0939F1ZX", "27aapfu0939f1zv", "x" * 15, "27AAPFU0939F1ZVV"])
async def test_a_wrong_gstin(altscore: Installation, gst: str) -> None:
    async with await altscore.signed_in(await altscore.lender()) as client:
        answer = await client.get("/v1/retailers/lookup", params={"gst": gst})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in ("INVALID_GSTIN", "INVALID_REQUEST")


async def test_a_gstin_is_stored_and_logged_nowhere(altscore: Installation) -> None:
    client, shop = await scored(altscore)
    async with client:
        await client.get("/v1/retailers/lookup", params={"gst": shop.gstin})
    async with altscore.platform.database.transaction() as db:
        tables = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in tables:
            assert not await db.fetchval(
                f'SELECT count(*) FROM "{table}" AS t WHERE t::text LIKE $1', f"%{shop.gstin}%"
            ), table


async def test_every_read_leaves_an_access_row_whatever_the_outcome(altscore: Installation) -> None:
    client, shop = await scored(altscore)
    async with client:
        lender = client.headers["x-client-id"]
        await ask(client, shop.retailer_id)
        await ask(client, "ret_0000000000000000")
        await client.get(f"/v1/score/{shop.retailer_id}/history")
        await client.get("/v1/retailers/lookup", params={"gst": shop.gstin})
    async with altscore.platform.database.transaction() as db:
        rows = await db.fetch(
            "SELECT operation, outcome, consent_id FROM score_access WHERE lender_id = $1 ORDER BY at", lender
        )
    assert [(row["operation"], row["outcome"]) for row in rows] == [
        ("score", "OK"),
        ("score", "CONSENT_NOT_GRANTED"),
        ("history", "OK"),
        ("lookup", "OK"),
    ]
    assert rows[0]["consent_id"].startswith("cns_")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/v1/nothing", {}, 404, "NOT_FOUND"),
        ("GET", "/v1/score", {}, 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/v1/consent/grant", {}, 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/v1/score", {"content-type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
async def test_what_does_not_exist_speaks_the_same_error_body(
    altscore: Installation, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    async with await altscore.signed_in(await altscore.lender()) as client:
        answer = await client.request(method, path, headers=headers, content=b"{}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    if status == 405:
        assert answer.headers["allow"]


async def test_a_body_that_is_too_large_is_refused_and_heard(altscore: Installation) -> None:
    async with await altscore.signed_in(await altscore.lender()) as client:
        answer = await client.post("/v1/score", content=b" " * 10_000_000, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_errors_speak_hindi(altscore: Installation) -> None:
    async with altscore.client(**{"accept-language": "hi"}) as client:
        answer = await client.post("/v1/score", json={})
    assert answer.json()["error"]["message"] == "Authorization हेडर नहीं है।"


async def test_transport_headers(altscore: Installation) -> None:
    async with altscore.client() as client:
        answer = await client.get("/healthz")
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert "server" not in answer.headers
