"""WhatsApp: the webhook, and the conversation about consent (contract C2 to C4)."""

import asyncio
import hashlib
import hmac
import json
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx2
import pytest
from tests.api.conftest import PURPOSE, Installation, Shop
from tests.served import until
from tests.whatsapping import Network, a_phone, a_shop, networked

from altcredit.engine import compliance, consent, messaging
from altcredit.engine.messaging.client import Outcome

WEBHOOK = "/v1/webhooks/whatsapp"


@pytest.fixture
async def network(altscore: Installation) -> AsyncIterator[Network]:
    async with networked(altscore) as network:
        yield network


async def invited(altscore: Installation, phone: str, shop: Shop, *lenders: str, **changes: Any) -> httpx2.Response:
    service = await altscore.service("consent:grant")
    body = {
        "phone": phone, "distributor_id": shop.distributor_id, "lender_scope": list(lenders), "purpose": PURPOSE,
        **changes,
    }  # fmt: skip
    async with await altscore.signed_in(service) as client:
        return await client.post("/v1/consent/invitations", json=body)


async def can_score(altscore: Installation, lender: Any, shop: Shop) -> int:
    async with await altscore.signed_in(lender) as client:
        asked = {"retailer_id": shop.retailer_id, "purpose": PURPOSE}
        return (await client.post("/v1/score", json=asked)).status_code


async def shown(altscore: Installation, consent_id: str, shop: Shop) -> str:
    """Return the notice of a consent as its shop saw it; the name in it must be the one that was signed for."""
    platform = altscore.platform
    async with platform.database.transaction() as db:
        found = (await consent.as_shown(db, keyring=platform.keyring, retailer_ids=[shop.retailer_id]))[consent_id]
        record = json.loads((await consent.show(db, consent_id=consent_id)).record)
    assert record["notice"]["business_sha256"] == hashlib.sha256(found.disclosure.encode()).hexdigest()
    assert consent.Disclosure.decoded(found.disclosure).name not in json.dumps(record, ensure_ascii=False)
    return found.text


async def counted(altscore: Installation, table: str) -> int:
    count: int = await altscore.platform.database.reads.fetchval(f"SELECT count(*) FROM {table}")
    return count


def document(altscore: Installation, *messages: dict[str, Any], **value: Any) -> bytes:
    number = messaging.Account.of(altscore.platform.settings).phone_number_id
    change = {"field": "messages", "value": {"metadata": {"phone_number_id": number}, "messages": messages, **value}}
    return json.dumps({"object": "whatsapp_business_account", "entry": [{"changes": [change]}]}).encode()


def a_text(phone: str, text: str, wamid: str) -> dict[str, Any]:
    return {"from": phone, "id": wamid, "timestamp": str(int(time.time())), "type": "text", "text": {"body": text}}


def signed(altscore: Installation, body: bytes) -> dict[str, str]:
    secret = messaging.Account.of(altscore.platform.settings).app_secret
    return {
        "content-type": "application/json",
        "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }


async def test_the_handshake_echoes_the_challenge_to_who_knows_the_token(altscore: Installation) -> None:
    token = messaging.Account.of(altscore.platform.settings).verify_token
    asked = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": "1158201444"}
    async with altscore.client() as client:
        answer = await client.get(WEBHOOK, params=asked)
        wrong = await client.get(WEBHOOK, params={**asked, "hub.verify_token": token[:-1]})
        mode = await client.get(WEBHOOK, params={**asked, "hub.mode": "unsubscribe"})
        script = await client.get(WEBHOOK, params={**asked, "hub.challenge": "<script>"})
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "1158201444", "text/plain")
    assert (wrong.status_code, mode.status_code, script.status_code) == (403, 403, 400)


@pytest.mark.parametrize(
    "forgery", ["none", "other body", "upper case", "other secret", "sha1", "empty", "reformatted"]
)
async def test_a_forged_webhook_stores_nothing(altscore: Installation, forgery: str) -> None:
    body = document(altscore, a_text(a_phone(), "STOP", f"wamid.{forgery}"))
    headers = signed(altscore, body)
    good = headers["x-hub-signature-256"]
    headers["x-hub-signature-256"] = {
        "none": "",
        "other body": signed(altscore, body + b" ")["x-hub-signature-256"],
        "upper case": good.upper(),
        "other secret": "sha256=" + hmac.new(b"x", body, hashlib.sha256).hexdigest(),
        "sha1": "sha1=" + hmac.new(b"x", body, hashlib.sha1).hexdigest(),
        "empty": "sha256=" + hmac.new(b"", body, hashlib.sha256).hexdigest(),
        "reformatted": good,
    }[forgery]
    if forgery == "none":
        del headers["x-hub-signature-256"]
    if forgery == "reformatted":
        body = json.dumps(json.loads(body), indent=1).encode()
    tables = ("conversation", "inbound_message", "outbound_message", "message_status")
    before = [await counted(altscore, table) for table in tables]
    async with altscore.client() as client:
        answer = await client.post(WEBHOOK, content=body, headers=headers)
    assert answer.status_code == 401, answer.text
    assert answer.json()["error"]["code"] == "SIGNATURE_INVALID"
    assert [await counted(altscore, table) for table in tables] == before


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"null", b"{", b"\xff", b'{"a": "\\ud800x"}', b'{"a": "\\udc00"}', b"[" * 100_000 + b"]" * 100_000, b"{" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b'{"object": "x", "entry": [' + b"[" * 200 + b"]" * 200 + b"]}", b"1" * 100_000,
        b'{"entry": [{"changes": [{"value": {"messages": {"0": {}}}}]}]}', b'{"entry": [{"changes": [{"value": null}]}]}', b"\x00", b"",
        b"[" * 100_000, b'{"object": "x"}', b'{"entry": 1}', b'{"entry": [null, 1, {"changes": {}}]}',
        b'{"entry": [{"changes": [{"value": {"messages": [{"from": "x", "id": 1}]}}]}]}',
    ],
)  # fmt: skip
async def test_a_genuine_webhook_of_an_unknown_form_does_no_harm(altscore: Installation, body: bytes) -> None:
    before = await counted(altscore, "inbound_message")
    async with altscore.client() as client:
        answer = await client.post(WEBHOOK, content=body, headers=signed(altscore, body))
    assert answer.status_code in (200, 400), answer.text
    assert await counted(altscore, "inbound_message") == before


async def test_a_message_counts_once_however_often_it_is_sent(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    for _ in range(3):
        assert await network.whatsapp.say(phone, "HELP", wamid="wamid.once") == 200
    body = document(altscore, a_text(phone, "HELP", "wamid.twice"), a_text(phone, "HELP", "wamid.twice"))
    async with altscore.client() as client:
        answers = [await client.post(WEBHOOK, content=body, headers=signed(altscore, body)) for _ in range(2)]
    assert [answer.json()["received"] for answer in answers] == [1, 0]
    await network.run()
    assert len(network.inbox(phone)) == 2


async def test_a_consent_holds_the_very_text_that_was_shown(altscore: Installation, network: Network) -> None:
    phone, lender = a_phone(), await altscore.lender()
    shop = await a_shop(altscore, phone)
    await altscore.score(shop)
    await network.say(phone, "hello")
    answer = await invited(altscore, phone, shop, lender.client_id)
    assert answer.status_code == 202, answer.text
    await network.run()
    notice = network.last(phone)
    assert notice.kind == "interactive"
    assert list(notice.buttons) == ["I agree", "No", "More"]
    assert await can_score(altscore, lender, shop) == 403
    thanks, question = await network.press(phone, "I agree")
    assert "cns_" in thanks
    assert question == "May the coded data also help to improve the score's model? Your score does not depend on it."
    assert list(network.last(phone).buttons) == ["Yes / हाँ", "No / नहीं"]
    assert await can_score(altscore, lender, shop) == 200
    row = await altscore.platform.database.reads.fetchrow(
        "SELECT consent_id, record FROM consent WHERE retailer_id = $1", shop.retailer_id
    )
    assert row is not None
    record = json.loads(row["record"])
    assert row["consent_id"] in thanks
    assert await shown(altscore, row["consent_id"], shop) == notice.text
    signed_text = record["notice"]["text"]
    assert record["notice"]["sha256"] == hashlib.sha256(signed_text.encode()).hexdigest()
    assert (record["notice"]["version"], record["notice"]["language"]) == ("notice-v2", "en")
    assert consent.is_worded_as(version="notice-v2", language="en", purpose=PURPOSE, text=signed_text)
    assert record["consent_channel"] == "whatsapp"
    assert record["wa_message_id"].startswith("wamid.IN")
    assert "recorded too" in (await network.press(phone, "Yes / हाँ"))[0]
    purposes = await altscore.platform.database.reads.fetchval(
        "SELECT array_agg(purpose ORDER BY purpose) FROM consent WHERE retailer_id = $1", shop.retailer_id
    )
    assert purposes == ["model_development", PURPOSE]


async def test_what_was_shown_is_signed_although_more_is_known_by_now(altscore: Installation, network: Network) -> None:
    phone, lender = a_phone(), await altscore.lender()
    shop = await a_shop(altscore, phone)
    await network.say(phone, "hello")
    await invited(altscore, phone, shop, lender.client_id)
    await network.run()
    notice = network.last(phone).text
    await a_shop(altscore, phone)  # another distributor names the phone, after the notice went out
    await network.press(phone, "I agree")
    row = await altscore.platform.database.reads.fetchrow(
        "SELECT consent_id, distributor_ids FROM consent WHERE retailer_id = $1 AND purpose = $2",
        shop.retailer_id,
        PURPOSE,
    )
    assert row is not None
    assert await shown(altscore, row["consent_id"], shop) == notice
    assert row["distributor_ids"] == [shop.distributor_id]


async def test_hindi_asks_again_in_hindi_and_that_text_is_signed(altscore: Installation, network: Network) -> None:
    phone, lender = a_phone(), await altscore.lender()
    shop = await a_shop(altscore, phone)
    await network.say(phone, "hello")
    await invited(altscore, phone, shop, lender.client_id)
    (again,) = (await network.say(phone, "HINDI"))[-1:]
    assert "अनुमति चाहता है" in again
    await network.press(phone, "सहमत हूँ")
    records = await altscore.platform.database.reads.fetch(
        "SELECT consent_id, record FROM consent WHERE retailer_id = $1", shop.retailer_id
    )
    assert [json.loads(one["record"])["notice"]["language"] for one in records] == ["hi"]
    assert await shown(altscore, records[0]["consent_id"], shop) == again
    assert again.startswith("Shop ")
    assert "जी, AltCredit आपकी अनुमति चाहता है।" in again
    assert await network.say(phone, "English") != []


async def test_no_to_the_second_question_says_nothing_of_the_first(altscore: Installation, network: Network) -> None:
    phone, lender = a_phone(), await altscore.lender()
    shop = await a_shop(altscore, phone)
    await altscore.score(shop)
    await network.say(phone, "hello")
    await invited(altscore, phone, shop, lender.client_id)
    await network.run()
    await network.press(phone, "I agree")
    assert "not be used to improve the model" in (await network.press(phone, "No / नहीं"))[0]
    assert await can_score(altscore, lender, shop) == 200


async def test_a_notice_that_cannot_be_drafted_any_more_does_not_hold_up_the_webhook(
    altscore: Installation, network: Network
) -> None:
    phone, lender = a_phone(), await altscore.lender()
    shop = await a_shop(altscore, phone)
    await network.say(phone, "hello")
    await invited(altscore, phone, shop, lender.client_id)
    await network.run()
    async with altscore.platform.database.transaction() as db:
        await db.execute("UPDATE client SET status = 'suspended' WHERE client_id = $1", lender.client_id)
    (said,) = await network.say(phone, "HINDI")
    assert "समय समाप्त" in said
    assert "समय समाप्त" in (await network.press(phone, "I agree"))[0]


async def test_after_erasure_the_signature_holds_and_the_name_is_nowhere(
    altscore: Installation, network: Network
) -> None:
    phone, lender, platform = a_phone(), await altscore.lender(), altscore.platform
    shop = await a_shop(altscore, phone)
    await network.say(phone, "hello")
    await invited(altscore, phone, shop, lender.client_id)
    await network.run()
    (name,) = re.findall("Shop [0-9]+", network.last(phone).text)
    await network.press(phone, "I agree")
    row = "SELECT consent_id, record, signature, key_id, sealed_business FROM consent WHERE retailer_id = $1"
    before = await platform.database.reads.fetchrow(row, shop.retailer_id)
    assert before is not None
    assert before["sealed_business"] is not None
    async with platform.database.transaction() as db:
        await compliance.request_erasure(
            db, keyring=platform.keyring, retailer_id=shop.retailer_id, requested_by="test", reason="t",
            now=datetime.now(UTC),
        )  # fmt: skip
        assert await consent.as_shown(db, keyring=platform.keyring, retailer_ids=[shop.retailer_id]) == {}
        await messaging.forget(db, phones=[], retailer_ids=[shop.retailer_id])
    after = await platform.database.reads.fetchrow(row, shop.retailer_id)
    assert after is not None
    assert (after["record"], after["signature"]) == (before["record"], before["signature"])
    assert platform.signing.verify("consent", after["key_id"], after["record"], after["signature"])
    assert after["sealed_business"] is None
    assert name.encode() not in after["record"]
    left = "SELECT count(*) FROM consent_invitation WHERE retailer_id = $1 AND (sealed_shown IS NOT NULL OR state = 'open')"
    assert await platform.database.reads.fetchval(left, shop.retailer_id) == 0


async def test_no_grants_nothing_and_a_question_is_answered_once(altscore: Installation, network: Network) -> None:
    phone, lender = a_phone(), await altscore.lender()
    shop = await a_shop(altscore, phone)
    await network.say(phone, "hello")
    await invited(altscore, phone, shop, lender.client_id)
    await network.run()
    assert "300 to 900" in (await network.press(phone, "More"))[0]
    assert "not affected" in (await network.press(phone, "No"))[0]
    assert "answered or has expired" in (await network.press(phone, "I agree"))[0]
    assert await altscore.platform.database.reads.fetchval(
        "SELECT count(*) FROM consent WHERE retailer_id = $1", shop.retailer_id
    ) == 0  # fmt: skip


async def test_another_phone_cannot_press_the_button(altscore: Installation, network: Network) -> None:
    phone, thief, lender = a_phone(), a_phone(), await altscore.lender()
    shop = await a_shop(altscore, phone)
    await network.say(phone, "hello")
    await invited(altscore, phone, shop, lender.client_id)
    await network.run()
    network.whatsapp.inboxes[thief] = [network.last(phone)]
    await network.whatsapp.press(thief, "I agree")
    assert await altscore.platform.database.reads.fetchval(
        "SELECT count(*) FROM consent WHERE retailer_id = $1", shop.retailer_id
    ) == 0  # fmt: skip


@pytest.mark.parametrize("word", ["STOP", " stop. ", "रोकें", "Stop now please"])
async def test_stop_ends_every_consent_of_the_phone_at_once(
    altscore: Installation, network: Network, word: str
) -> None:
    phone, first, second = a_phone(), await altscore.lender(), await altscore.lender()
    shop = await a_shop(altscore, phone)
    await altscore.score(shop)
    await altscore.consent(shop, first.client_id)
    await altscore.consent(shop, second.client_id)
    assert [await can_score(altscore, one, shop) for one in (first, second)] == [200, 200]
    await network.whatsapp.say(phone, word)  # nothing but the webhook has run
    assert [await can_score(altscore, one, shop) for one in (first, second)] == [403, 403]
    await network.run()
    assert "2" in network.last(phone).text
    revocations = await altscore.platform.database.reads.fetch(
        "SELECT revocation ->> 'wa_message_id' AS wamid FROM consent WHERE retailer_id = $1", shop.retailer_id
    )
    assert all(one["wamid"].startswith("wamid.IN") for one in revocations)


async def test_a_press_made_before_stop_grants_nothing_after_it(altscore: Installation, network: Network) -> None:
    phone, lender = a_phone(), await altscore.lender()
    shop = await a_shop(altscore, phone)
    await network.say(phone, "hello")
    await invited(altscore, phone, shop, lender.client_id)
    await network.run()
    await network.say(phone, "STOP")
    assert "answered or has expired" in (await network.press(phone, "consent:grant", at=time.time() - 60))[0]
    assert await altscore.platform.database.reads.fetchval(
        "SELECT count(*) FROM consent WHERE retailer_id = $1", shop.retailer_id
    ) == 0  # fmt: skip


async def test_beyond_24_hours_the_question_goes_as_the_approved_template(
    altscore: Installation, network: Network
) -> None:
    phone, lender = a_phone(), await altscore.lender()
    shop = await a_shop(altscore, phone)
    await altscore.score(shop)
    await invited(altscore, phone, shop, lender.client_id, language="hi")
    await network.run()
    asked = network.last(phone)
    assert (asked.kind, asked.template) == ("template", "consent_invitation_v1")
    assert asked.text.startswith("नमस्ते।")
    assert list(asked.buttons) == ["सूचना पढ़ें"]
    assert await can_score(altscore, lender, shop) == 403
    (notice,) = await network.press(phone, "सूचना पढ़ें")  # which opens the 24 hours
    assert "Lender" in notice
    assert list(network.last(phone).buttons) == ["सहमत हूँ", "नहीं", "और जानें"]
    await network.press(phone, "सहमत हूँ")
    assert await can_score(altscore, lender, shop) == 200
    (row,) = await altscore.platform.database.reads.fetch(
        "SELECT consent_id FROM consent WHERE retailer_id = $1", shop.retailer_id
    )
    assert await shown(altscore, row["consent_id"], shop) == notice


async def test_a_reply_too_late_for_the_window_is_dropped_and_said_so(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    await network.whatsapp.say(phone, "HELP")
    network.ahead = timedelta(hours=24)
    await network.run()
    assert network.inbox(phone) == []
    row = await altscore.platform.database.reads.fetchrow(
        "SELECT state, problem, sealed_body FROM outbound_message WHERE phone = $1",
        messaging.phone_hash(altscore.platform.keyring, phone),
    )
    assert row is not None
    assert (row["state"], row["sealed_body"]) == ("dropped", None)


async def test_trouble_at_whatsapp_is_tried_again_and_order_is_kept(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    network.whatsapp.refusing = [(500, 131000), (429, 130429)]
    await network.whatsapp.say(phone, "HELP")
    await network.whatsapp.say(phone, "HINDI")
    await network.run()
    assert network.inbox(phone) == []
    network.ahead = timedelta(minutes=5)
    await network.run()
    assert [one.text[:8] for one in network.inbox(phone)] == ["You can ", "अब से हि"]


async def test_a_message_that_whatsapp_will_never_take_does_not_hold_up_the_next(
    altscore: Installation, network: Network
) -> None:
    phone = a_phone()
    network.whatsapp.refusing = [(400, 131026)]
    await network.whatsapp.say(phone, "HELP")
    await network.whatsapp.say(phone, "HINDI")
    await network.run()
    assert [one.text[:8] for one in network.inbox(phone)] == ["अब से हि"]
    states = await altscore.platform.database.reads.fetch(
        "SELECT state, problem FROM outbound_message WHERE phone = $1 ORDER BY place",
        messaging.phone_hash(altscore.platform.keyring, phone),
    )
    assert (states[0]["state"], states[0]["problem"]) == ("failed", "status 400, code 131026")


async def test_statuses_in_any_order_leave_the_furthest(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    await network.say(phone, "HELP")
    wamid = network.last(phone).wamid
    for state in ("read", "sent", "delivered", "read"):
        status = {"id": wamid, "status": state, "timestamp": str(int(time.time())), "recipient_id": phone}
        assert await network.whatsapp.post({"statuses": [status]}) == 200
    row = await altscore.platform.database.reads.fetchrow(
        "SELECT state, sealed_body FROM outbound_message WHERE wamid = $1", wamid
    )
    assert row is not None
    assert (row["state"], row["sealed_body"]) == ("read", None)


async def test_no_phone_number_and_no_words_are_at_rest_in_clear(altscore: Installation, network: Network) -> None:
    phone, lender = a_phone(), await altscore.lender()
    shop = await a_shop(altscore, phone)
    await invited(altscore, phone, shop, lender.client_id)
    await network.say(phone, "GRIEVANCE canary-words-of-grief")
    hashed = hashlib.sha256(phone.encode()).hexdigest()
    for table in (
        "conversation", "inbound_message", "outbound_message", "consent_invitation", "grievance", "sign_in_code",
        "pgqueuer", "audit_event", "outbox", "idempotent_answer", "message_status",
    ):  # fmt: skip
        for needle in (phone, hashed, "canary-words"):
            found = await altscore.platform.database.reads.fetchval(
                f"SELECT count(*) FROM {table} t WHERE t::text LIKE $1 OR t::text LIKE $2",
                f"%{needle}%",
                f"%{needle.encode().hex()}%",
            )
            assert found == 0, (table, needle)


async def test_what_was_written_is_destroyed_after_its_days(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    await network.say(phone, "HELP")
    hashed = messaging.phone_hash(altscore.platform.keyring, phone)
    body = "SELECT count(sealed_body) FROM inbound_message WHERE phone = $1"
    assert await altscore.platform.database.reads.fetchval(body, hashed) == 1
    async with altscore.platform.database.transaction() as db:
        await messaging.purge(db, now=datetime.now(UTC) + timedelta(days=31))
    assert await altscore.platform.database.reads.fetchval(body, hashed) == 0
    async with altscore.platform.database.transaction() as db:
        await messaging.forget(db, phones=[hashed])
    left = "SELECT (SELECT count(*) FROM conversation WHERE phone = $1) + (SELECT count(*) FROM inbound_message WHERE phone = $1) + (SELECT count(*) FROM outbound_message WHERE phone = $1)"
    assert await altscore.platform.database.reads.fetchval(left, hashed) == 0


async def test_erasing_one_shop_leaves_a_phone_alone_that_another_has(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    await a_shop(altscore, phone)
    await network.say(phone, "HELP")
    hashed = messaging.phone_hash(altscore.platform.keyring, phone)
    async with altscore.platform.database.transaction() as db:
        await messaging.forget(db, phones=[hashed, b"no phone's"])
        assert await messaging.language_of(db, phone=hashed) == "en"


async def test_a_service_is_told_what_is_wrong_with_an_invitation(altscore: Installation) -> None:
    phone, lender = a_phone(), await altscore.lender()
    shop = await a_shop(altscore, phone)
    wrong = [
        (await invited(altscore, a_phone(), shop, lender.client_id), 404, "RETAILER_UNKNOWN"),
        (await invited(altscore, phone, shop, "lender_nobody"), 400, "INVALID_REQUEST"),
        (await invited(altscore, "+91 98", shop, lender.client_id), 400, "INVALID_REQUEST"),
        (await invited(altscore, phone, shop, lender.client_id, purpose="model_development"), 400, "INVALID_REQUEST"),
    ]
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer, _, _ in wrong] == [
        (status, code) for _, status, code in wrong
    ]


class Answering:
    """WhatsApp, which takes whatever comes under one id."""

    def __init__(self, wamid: str) -> None:
        self.wamid = wamid

    async def send(self, _body: dict[str, Any]) -> Outcome:
        return Outcome(end="sent", wamid=self.wamid)


async def test_a_status_that_comes_while_the_sending_is_written_down_is_not_lost(altscore: Installation) -> None:
    phone, platform, wamid = a_phone(), altscore.platform, "wamid.OUTrace"
    body = document(altscore, a_text(phone, "HELP", "wamid.INrace"))
    async with altscore.client() as client:
        assert (await client.post(WEBHOOK, content=body, headers=signed(altscore, body))).status_code == 200
    hashed = messaging.phone_hash(platform.keyring, phone)
    status = {"id": wamid, "status": "delivered", "timestamp": str(int(time.time())), "recipient_id": phone}
    delivery = messaging.read(json.loads(document(altscore, statuses=[status])), phone_number_id=None)
    means = messaging.Means(
        keyring=platform.keyring, signing=platform.signing, fiduciary=consent.Fiduciary.of(platform.settings)
    )
    sending = messaging.drain(
        platform.database, keyring=platform.keyring, phone=hashed, client=cast(Any, Answering(wamid)),
        clock=lambda: datetime.now(UTC),
    )  # fmt: skip
    async with platform.database.transaction() as db:
        await messaging.receive(db, means=means, delivery=delivery, now=datetime.now(UTC))
        task = asyncio.create_task(sending)

        async def waits() -> bool:  # for the status to be committed; without that it would be done, and know nothing
            waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'advisory')"
            return task.done() or bool(await platform.database.reads.fetchval(waiting))

        await until(waits)
    assert await task == 1
    row = await platform.database.reads.fetchrow("SELECT state FROM outbound_message WHERE wamid = $1", wamid)
    assert row is not None
    assert row["state"] == "delivered"


@pytest.mark.parametrize("is_signed", [True, False])
async def test_a_webhook_of_ten_megabytes_is_not_read(altscore: Installation, is_signed: bool) -> None:
    body = document(altscore, a_text(a_phone(), "STOP", "wamid.huge"), padding="x" * 10_000_000)
    headers = signed(altscore, body) if is_signed else {"content-type": "application/json"}
    async with altscore.client() as client:
        answer = await client.post(WEBHOOK, content=body, headers=headers)
    assert answer.status_code == 413, answer.text
    known = "SELECT count(*) FROM inbound_message WHERE wamid = 'wamid.huge'"
    assert await altscore.platform.database.reads.fetchval(known) == 0


async def test_a_webhook_of_the_size_that_whatsapp_documents_is_taken(altscore: Installation) -> None:
    body = document(altscore, a_text(a_phone(), "HELP", "wamid.large"), padding="x" * 3_000_000)
    async with altscore.client() as client:
        answer = await client.post(WEBHOOK, content=body, headers=signed(altscore, body))
    assert (answer.status_code, answer.json()) == (200, {"received": 1})


@pytest.mark.parametrize("kind", ["reaction", "system", "unsupported", "image", "order", "tomorrows_kind"])
async def test_what_is_not_said_to_us_is_not_answered_and_what_we_cannot_read_gets_help(
    altscore: Installation, network: Network, kind: str
) -> None:
    phone = a_phone()
    message = {**a_text(phone, "", f"wamid.{kind}"), "type": kind, kind: {"body": "STOP", "emoji": "👍"}}
    del message["text"]
    assert await network.whatsapp.post({"messages": [message]}) == 200
    await network.run()
    answered = kind not in ("reaction", "system", "unsupported")
    assert await counted_of(altscore, phone) == int(answered)


async def counted_of(altscore: Installation, phone: str) -> int:
    """Return how many messages wait for a phone, or went to it."""
    hashed = messaging.phone_hash(altscore.platform.keyring, phone)
    sent = "SELECT count(*) FROM outbound_message WHERE phone = $1"
    count: int = await altscore.platform.database.reads.fetchval(sent, hashed)
    return count


async def test_a_status_of_a_message_that_is_not_ours_changes_no_message(altscore: Installation) -> None:
    states = "SELECT md5(string_agg(message_id || state, ',' ORDER BY message_id)) FROM outbound_message"
    before = await altscore.platform.database.reads.fetchval(states)
    status = {"id": "wamid.nobodys", "status": "failed", "timestamp": "1779264000", "errors": [{"code": 131026}]}
    body = document(altscore, statuses=[status, {**status, "status": "eaten"}, {**status, "timestamp": "soon"}])
    async with altscore.client() as client:
        answer = await client.post(WEBHOOK, content=body, headers=signed(altscore, body))
    assert (answer.status_code, answer.json()) == (200, {"received": 0})
    assert await altscore.platform.database.reads.fetchval(states) == before


async def test_the_24_hours_count_from_the_writing_and_not_from_a_late_webhook(
    altscore: Installation, network: Network
) -> None:
    phone = a_phone()
    await network.whatsapp.say(phone, "HELP", at=time.time() - 23.99 * 3600)
    await network.run()
    assert network.inbox(phone) == []
    row = await altscore.platform.database.reads.fetchrow(
        "SELECT state, problem FROM outbound_message WHERE phone = $1",
        messaging.phone_hash(altscore.platform.keyring, phone),
    )
    assert row is not None
    assert (row["state"], row["problem"]) == ("dropped", "outside the 24 hours, and no template")


async def test_a_code_beyond_24_hours_goes_by_the_template_for_codes(altscore: Installation, network: Network) -> None:
    phone = a_phone()
    await a_shop(altscore, phone)
    async with altscore.client() as client:
        assert (await client.post("/v1/me/code", json={"phone": phone})).status_code == 202
    await network.run()
    code = network.last(phone)
    assert (code.template, code.buttons) == ("sign_in_code_v2", {})
    assert re.search(r"\*[0-9]{6}\* is your verification code", code.text)
