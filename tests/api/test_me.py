"""A retailer's own rights: sign-in by a code over WhatsApp, and what it opens (contract C7)."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from tests.api.conftest import PURPOSE, Installation, Shop
from tests.whatsapping import Network, a_phone, a_shop, networked

from altcredit.engine import grievances, retailers
from altcredit.runtime.tokens import Claims

READS = ("score", "accesses", "consents", "grievances")


@pytest.fixture
async def network(altscore: Installation) -> AsyncIterator[Network]:
    async with networked(altscore) as network:
        yield network


async def code_of(altscore: Installation, network: Network, phone: str) -> str:
    async with altscore.client() as client:
        answer = await client.post("/v1/me/code", json={"phone": phone})
    assert answer.status_code == 202, answer.text
    await network.run()
    found = re.search(r"\b[0-9]{6}\b", network.last(phone).text)
    assert found
    return found[0]


async def redeem(altscore: Installation, phone: str, code: str, **more: Any) -> httpx2.Response:
    async with altscore.client() as client:
        return await client.post("/v1/me/token", json={"phone": phone, "code": code, **more})


async def signed_in(altscore: Installation, network: Network, phone: str) -> httpx2.AsyncClient:
    answer = await redeem(altscore, phone, await code_of(altscore, network, phone))
    assert answer.status_code == 200, answer.text
    assert answer.json()["expires_in"] == 900
    return altscore.client(authorization=f"Bearer {answer.json()['access_token']}")


async def token_for(altscore: Installation, shop: Shop, *, at: datetime | None = None, **changes: Any) -> str:
    issued = int((at or datetime.now(UTC)).timestamp())
    claims: dict[str, Any] = {
        "sub": shop.retailer_id, "iss": altscore.platform.signing.issuer, "iat": issued, "exp": issued + 900,
        "jti": f"tok_{shop.retailer_id}", "kind": "retailer", **changes,
    }  # fmt: skip
    return altscore.platform.signing.issue_token(Claims(**claims))


async def test_a_code_opens_the_own_score_with_reasons_and_tips(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    shop = await a_shop(altscore, phone)
    await altscore.score(shop)
    async with await signed_in(altscore, network, phone) as me:
        english = (await me.get("/v1/me/score")).json()
        hindi = (await me.get("/v1/me/score", headers={"accept-language": "hi"})).json()
    assert (english["altscore"], english["retailer_id"]) == (724, shop.retailer_id)
    assert any(reason["tip"] for reason in english["reason_codes"])
    assert [reason["label"] for reason in hindi["reason_codes"]] == [
        reason["label_hi"] for reason in english["reason_codes"]
    ]


async def test_known_and_unknown_phones_are_answered_alike(altscore: Installation, network: Network) -> None:
    known, unknown = a_phone(), a_phone()
    await a_shop(altscore, known)
    async with altscore.client() as client:
        answers = [await client.post("/v1/me/code", json={"phone": phone}) for phone in (known, unknown)]
    assert answers[0].content == answers[1].content
    assert {answer.status_code for answer in answers} == {202}
    wrong = [await redeem(altscore, phone, "000000") for phone in (known, unknown, a_phone())]
    assert {re.sub(r"req_\w+", "", answer.text) for answer in wrong} == {re.sub(r"req_\w+", "", wrong[0].text)}
    assert {answer.json()["error"]["code"] for answer in wrong} == {"CODE_INVALID"}
    await network.run()
    assert (len(network.inbox(known)), network.inbox(unknown)) == (1, [])


async def test_a_code_is_good_once(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    await a_shop(altscore, phone)
    code = await code_of(altscore, network, phone)
    assert (await redeem(altscore, phone, code)).status_code == 200
    assert (await redeem(altscore, phone, code)).status_code == 401


async def test_after_five_wrong_tries_the_right_code_is_wrong_too(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    await a_shop(altscore, phone)
    code = await code_of(altscore, network, phone)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    for _ in range(5):
        assert (await redeem(altscore, phone, wrong)).status_code == 401
    assert (await redeem(altscore, phone, code)).status_code == 401
    assert (await redeem(altscore, phone, await code_of(altscore, network, phone))).status_code == 200


async def test_a_code_dies_after_five_minutes_and_by_the_next_one(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    await a_shop(altscore, phone)
    first = await code_of(altscore, network, phone)
    second = await code_of(altscore, network, phone)
    if first != second:
        assert (await redeem(altscore, phone, first)).status_code == 401
    await altscore.platform.database.writes.execute("UPDATE sign_in_code SET expires_at = now()")
    assert (await redeem(altscore, phone, second)).status_code == 401


async def test_codes_for_a_phone_are_limited_known_or_not(altscore: Installation) -> None:
    known, unknown = a_phone(), a_phone()
    await a_shop(altscore, known)
    async with altscore.client() as client:
        for phone in (known, unknown):
            answers = [(await client.post("/v1/me/code", json={"phone": phone})).status_code for _ in range(6)]
            assert answers == [202] * 5 + [429]


async def test_of_several_shops_one_is_named(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    shops = [await a_shop(altscore, phone) for _ in range(2)]
    code = await code_of(altscore, network, phone)
    asked = await redeem(altscore, phone, code)
    assert asked.status_code == 409
    assert {one["problem"] for one in asked.json()["error"]["details"]} == {shop.retailer_id for shop in shops}
    stranger = await altscore.shop()
    assert (await redeem(altscore, phone, code, retailer_id=stranger.retailer_id)).status_code == 401
    chosen = await redeem(altscore, phone, code, retailer_id=shops[1].retailer_id)
    assert chosen.json()["retailer_id"] == shops[1].retailer_id


async def test_a_phone_of_many_shops_opens_none(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    for _ in range(5):
        shop = await a_shop(altscore, phone)
    assert (await redeem(altscore, phone, await code_of(altscore, network, phone))).status_code == 401
    code = await code_of(altscore, network, phone)
    assert (await redeem(altscore, phone, code, retailer_id=shop.retailer_id)).status_code == 401


async def test_only_a_live_retailers_token_opens_these_routes(altscore: Installation) -> None:
    shop = await altscore.shop()
    old = await token_for(altscore, shop, at=datetime.now(UTC) - timedelta(minutes=16))
    wrong = {
        "expired": {"authorization": f"Bearer {old}"},
        "lender's kind": {"authorization": f"Bearer {await token_for(altscore, shop, kind='lender')}"},
        "unknown retailer": {"authorization": f"Bearer {await token_for(altscore, shop, sub='ret_ffffffffffffffff')}"},
        "another's X-Client-ID": {
            "authorization": f"Bearer {await token_for(altscore, shop)}",
            "x-client-id": "ret_ffffffffffffffff",
        },
        "none": {},
    }
    async with altscore.client() as client:
        for name, headers in wrong.items():
            for path in READS:
                assert (await client.get(f"/v1/me/{path}", headers=headers)).status_code == 401, (name, path)
        good = {"authorization": f"Bearer {await token_for(altscore, shop)}"}
        assert (await client.get("/v1/me/consents", headers=good)).status_code == 200
        asked = {"retailer_id": shop.retailer_id, "purpose": PURPOSE}
        as_lender = {**good, "x-client-id": shop.retailer_id}
        assert (await client.post("/v1/score", json=asked, headers=as_lender)).status_code == 401
    async with await altscore.signed_in(await altscore.lender()) as lender:
        for path in READS:
            assert (await lender.get(f"/v1/me/{path}")).status_code == 401


async def test_a_token_that_signed_out_is_dead(altscore: Installation) -> None:
    shop = await altscore.shop()
    async with altscore.client(authorization=f"Bearer {await token_for(altscore, shop)}") as me:
        assert (await me.get("/v1/me/consents")).status_code == 200
        assert (await me.post("/v1/me/sign-out")).status_code == 200
        assert (await me.get("/v1/me/consents")).status_code == 401


async def test_a_retailer_sees_who_looked_and_ends_its_consent(altscore: Installation) -> None:
    lender, other, shop = await altscore.lender(), await altscore.lender(), await altscore.shop()
    given = await altscore.consent(shop, lender.client_id)
    await altscore.score(shop)
    stranger = await altscore.shop()
    theirs = (await altscore.consent(stranger, other.client_id)).consent.consent_id
    asked = {"retailer_id": shop.retailer_id, "purpose": PURPOSE}
    async with (
        await altscore.signed_in(lender) as reader,
        altscore.client(authorization=f"Bearer {await token_for(altscore, shop)}") as me,
    ):
        assert (await reader.post("/v1/score", json=asked)).status_code == 200
        looks = (await me.get("/v1/me/accesses")).json()["accesses"]
        assert [(one["lender_id"], one["lender_name"], one["outcome"]) for one in looks] == [
            (lender.client_id, "Lender", "OK")
        ]
        (own,) = (await me.get("/v1/me/consents")).json()["consents"]
        assert (own["consent_id"], own["status"]) == (given.consent.consent_id, "active")
        assert own["notice"]["text"] == given.consent.notice.text
        refused = await me.post("/v1/me/consents/revoke", json={"consent_id": theirs})
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "CONSENT_UNKNOWN")
        ended = await me.post("/v1/me/consents/revoke", json={"consent_id": own["consent_id"]})
        assert ended.json()["status"] == "revoked"
        assert (await reader.post("/v1/score", json=asked)).status_code == 403
        assert (await me.get("/v1/me/consents")).json()["consents"][0]["status"] == "revoked"


async def test_a_retailer_files_and_reads_its_own_grievances(altscore: Installation) -> None:
    shop, other = await altscore.shop(), await altscore.shop()
    await altscore.score(shop)
    async with (
        altscore.client(authorization=f"Bearer {await token_for(altscore, shop)}") as me,
        altscore.client(authorization=f"Bearer {await token_for(altscore, other)}") as neighbour,
    ):
        score = (await me.get("/v1/me/score")).json()["score_id"]
        asked = {"retailer_id": shop.retailer_id, "grievance_type": "incorrect_data", "description": "wrong"}
        filed = await me.post("/v1/grievances", json={**asked, "score_id": score})
        assert filed.status_code == 200, filed.text
        case = filed.json()["grievance_id"]
        assert [one["grievance_id"] for one in (await me.get("/v1/me/grievances")).json()["grievances"]] == [case]
        assert (await me.get(f"/v1/grievances/{case}")).json()["filed_by"] == "retailer"
        assert (await neighbour.get(f"/v1/grievances/{case}")).status_code == 404
        assert (await neighbour.post("/v1/grievances", json={**asked, "score_id": score})).status_code == 404
        assert (await neighbour.get("/v1/me/grievances")).json() == {"grievances": []}


async def test_an_export_is_requested_once_and_an_erasure_ends_every_use(altscore: Installation) -> None:
    lender, shop = await altscore.lender(), await altscore.shop()
    await altscore.consent(shop, lender.client_id)
    await altscore.score(shop)
    async with (
        await altscore.signed_in(lender) as reader,
        altscore.client(authorization=f"Bearer {await token_for(altscore, shop)}") as me,
    ):
        first, second = [(await me.post("/v1/me/export")).json() for _ in range(2)]
        assert (first["export_id"], first["status"]) == (second["export_id"], "requested")
        assert (await me.post("/v1/me/erasure", json={"confirm": "yes"})).status_code == 400
        erased = await me.post("/v1/me/erasure", json={"confirm": "erase my data"})
        assert erased.status_code == 202, erased.text
        asked = {"retailer_id": shop.retailer_id, "purpose": PURPOSE}
        assert (await reader.post("/v1/score", json=asked)).status_code == 403
        assert (await me.get("/v1/me/score")).status_code == 404


async def test_my_score_and_a_grievance_by_whatsapp(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    shop = await a_shop(altscore, phone)
    assert "there is no score yet" in (await network.say(phone, "MY SCORE"))[0]
    await altscore.score(shop)
    (told,) = await network.say(phone, "my score")
    assert "724" in told
    assert "+ " in told
    assert "– " in told
    await network.say(phone, "HINDI")
    assert "आपका स्कोर 724 है" in (await network.say(phone, "मेरा स्कोर"))[0]
    assert "एक ही संदेश में" in (await network.say(phone, "शिकायत"))[0]
    (filed,) = await network.say(phone, "शिकायत मार्च के भुगतान नहीं दिखते")
    async with altscore.platform.database.transaction() as db:
        (case,) = await grievances.of_retailer(
            db, keyring=altscore.platform.keyring, retailer_id=shop.retailer_id, now=datetime.now(UTC)
        )
    assert case.grievance_id in filed
    assert (case.description, case.channel, case.language) == ("मार्च के भुगतान नहीं दिखते", "whatsapp", "hi")
    assert case.score_id is not None
    for what in ("acknowledge", "review"):
        async with altscore.platform.database.transaction() as db:
            await getattr(grievances, what)(
                db, keyring=altscore.platform.keyring, grievance_id=case.grievance_id, actor="staff:stf_1",
                now=datetime.now(UTC),
            )  # fmt: skip
        await network.run()
    assert [one.text for one in network.inbox(phone) if "मिल गई है" in one.text] != []
    async with altscore.platform.database.transaction() as db:
        await grievances.resolve(
            db, keyring=altscore.platform.keyring, grievance_id=case.grievance_id, actor="staff:stf_1",
            outcome="explained", resolution="सब भुगतान गिने गए हैं।", now=datetime.now(UTC),
        )  # fmt: skip
    network.ahead = timedelta(hours=25)  # the answer comes when only a template may be sent
    await network.run()
    assert network.last(phone).template == "grievance_resolved_v2"
    assert "सब भुगतान गिने गए हैं।" in network.last(phone).text
    assert "724" in network.last(phone).text


async def test_of_several_shops_a_grievance_names_one_by_its_number(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    shops = [await a_shop(altscore, phone) for _ in range(2)]
    for shop in shops:
        await altscore.score(shop)
    (listed,) = await network.say(phone, "GRIEVANCE wrong")
    assert "1. Shop" in listed
    assert "2. Shop" in listed
    (filed,) = await network.say(phone, "GRIEVANCE 2 wrong")
    assert "grv_" in filed
    async with altscore.platform.database.transaction() as db:
        order = await retailers.of_phone(db, keyring=altscore.platform.keyring, phone_hash=shops[0].phone_hash)
        found = await grievances.of_retailer(
            db, keyring=altscore.platform.keyring, retailer_id=order[1], now=datetime.now(UTC)
        )
    assert [one.description for one in found] == ["wrong"]
