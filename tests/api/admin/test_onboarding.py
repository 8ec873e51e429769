"""Distributors, lenders, services, partners: what staff change, and that it counts at once."""

import base64
import hmac
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.api.admin.conftest import Desks
from tests.api.conftest import Feed, Installation
from tests.receivers import context_for, receiving, says

from altcredit.engine import delivery, identity
from altcredit.runtime.certificates import Certificate

SECRETS = ("api_key", "signing_secret", "client_secret", "token", "webhook_secret", "key_pem")


def certificate_of(answer: dict[str, Any], key_pem: str | None = None) -> Certificate:
    made = answer["certificate"]
    times = {name: datetime.fromisoformat(made[name]) for name in ("not_before", "not_after")}
    return Certificate(**{**made, **times, "key_pem": key_pem or made["key_pem"]})


def feed_of(answer: dict[str, Any], client: httpx2.AsyncClient) -> Feed:
    expires = datetime.fromisoformat(answer["api_key_expires_at"])
    known = {**answer, "certificate": certificate_of(answer, "-"), "api_key_expires_at": expires}
    return Feed(identity.IssuedDistributor(**known), client)


async def test_a_distributor_is_onboarded_and_can_send_at_once(altscore: Installation, desk: Desks) -> None:
    ops = await desk("ops")
    made = await ops.post("/distributors", name="Gupta Traders", reason="contract 17")
    assert made.status_code == 201, made.text
    answer = made.json()
    async with altscore.presenting(certificate_of(answer)) as client:
        assert (await feed_of(answer, client).send()).status_code == 200
    shown = (await ops.get(f"/distributors/{answer['distributor_id']}")).json()
    assert shown["name"] == "Gupta Traders"
    assert [pin["sha256"] for pin in shown["certificates"]] == [answer["certificate"]["sha256"]]
    listed = (await ops.get("/distributors")).json()["distributors"]
    assert answer["distributor_id"] in [one["distributor_id"] for one in listed]


async def test_a_distributors_own_key_never_leaves_it(altscore: Installation, desk: Desks) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    ops = await desk("ops")
    answer = (await ops.post("/distributors", name="CSR", csr_pem=csr.public_bytes(Encoding.PEM).decode())).json()
    assert answer["certificate"]["key_pem"] is None
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    async with altscore.presenting(certificate_of(answer, pem)) as client:
        assert (await feed_of(answer, client).send()).status_code == 200


async def test_a_bad_csr_adds_nobody(desk: Desks) -> None:
    ops = await desk("ops")
    refused = await ops.post("/distributors", name="Bad", distributor_id="dist_bad0csr", csr_pem="nonsense")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_CSR")
    assert (await ops.get("/distributors/dist_bad0csr")).status_code == 404


async def test_new_credentials_work_beside_the_old_ones(altscore: Installation, desk: Desks) -> None:
    ops = await desk("ops")
    old = (await ops.post("/distributors", name="Rotating")).json()
    new = (await ops.post(f"/distributors/{old['distributor_id']}/rotate-key", overlap_hours=1)).json()
    for answer in (old, new):
        async with altscore.presenting(certificate_of(answer)) as client:
            assert (await feed_of(answer, client).send()).status_code == 200
    at_once = await ops.post(f"/distributors/{old['distributor_id']}/rotate-key", overlap_hours=0)
    assert at_once.status_code == 200
    async with altscore.presenting(certificate_of(new)) as client:
        assert (await feed_of(new, client).send()).status_code == 401


async def test_a_revoked_certificate_is_refused_within_a_second_on_the_connection_that_is_open(
    altscore: Installation, desk: Desks
) -> None:
    ops = await desk("ops")
    answer = (await ops.post("/distributors", name="Revoked")).json()
    where, pin = f"/distributors/{answer['distributor_id']}/revoke", answer["certificate"]["sha256"]
    async with altscore.presenting(certificate_of(answer)) as client:
        feed = feed_of(answer, client)
        before = await feed.send()
        assert before.status_code == 200
        revoked = await ops.post(where, certificate_sha256=pin)
        started = time.perf_counter()
        after = await feed.send()
        assert time.perf_counter() - started < 1
        ports = {one.extensions["network_stream"].get_extra_info("client_addr") for one in (before, after)}
        assert len(ports) == 1, "not the connection that was open"
        assert (after.status_code, after.json()["error"]["code"]) == (401, "CERTIFICATE_INVALID")
    assert revoked.json()["certificates"][0]["revoked_at"] is not None
    again = await ops.post(where, certificate_sha256=pin)
    assert (again.status_code, again.json()["error"]["code"]) == (404, "CREDENTIAL_UNKNOWN")


async def test_a_revoked_key_and_a_suspended_distributor_are_refused_on_the_next_request(
    altscore: Installation, desk: Desks
) -> None:
    ops = await desk("ops")
    answer = (await ops.post("/distributors", name="Suspended")).json()
    where = f"/distributors/{answer['distributor_id']}"
    async with altscore.presenting(certificate_of(answer)) as client:
        feed = feed_of(answer, client)
        assert (await ops.put(where, status="suspended")).json()["status"] == "suspended"
        assert (await feed.send()).json()["error"]["code"] == "DISTRIBUTOR_SUSPENDED"
        assert (await ops.put(where, status="active", require_v2=True)).json()["require_v2"] is True
        assert (await feed.send(v2=False)).json()["error"]["code"] == "SIGNATURE_INVALID"
        assert (await feed.send()).status_code == 200
        assert (await ops.post(f"{where}/revoke", key_id=answer["api_key_id"])).status_code == 200
        assert (await feed.send()).json()["error"]["code"] == "API_KEY_INVALID"
    nothing = await ops.post(f"{where}/revoke")
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_a_backfill_lifts_the_limit_for_a_while(altscore: Installation, desk: Desks) -> None:
    ops = await desk("ops")
    answer = (await ops.post("/distributors", name="Backfill", batches_per_hour=1)).json()
    async with altscore.presenting(certificate_of(answer)) as client:
        feed = feed_of(answer, client)
        assert [(await feed.send()).status_code for _ in range(2)] == [200, 429]
        granted = await ops.post(
            f"/distributors/{answer['distributor_id']}/backfill", batches_per_hour=50, hours=2, reason="first load"
        )
        assert granted.json()["backfill_limit"] == 50
        assert (await feed.send()).status_code == 200
    (row,) = await ops.recorded("grantBackfill")
    assert row.details["after"]["backfill_limit"] == 50
    assert row.details["before"]["backfill_limit"] is None
    assert row.details["reason"] == "first load"


async def test_a_lenders_limits_and_status_count_at_once(altscore: Installation, desk: Desks) -> None:
    ops = await desk("ops")
    issued = (await ops.post("/lenders", name="Shriram", minute_limit=50, max_limit_inr=100_000)).json()
    changed = (await ops.put(f"/lenders/{issued['client_id']}", minute_limit=2)).json()
    assert (changed["minute_limit"], changed["max_limit_inr"]) == (2, 100_000)
    assert (await ops.put(f"/lenders/{issued['client_id']}", max_limit_inr=None)).json()["max_limit_inr"] is None
    async with await altscore.signed_in(identity.IssuedClient(**issued)) as client:
        path = "/v1/score/ret_00000000deadbeef/history"
        assert [(await client.get(path)).status_code for _ in range(3)] == [403, 403, 429]
        assert (await ops.put(f"/lenders/{issued['client_id']}", status="suspended")).status_code == 200
        assert (await client.get(path)).status_code == 401
    (suspended, *_) = await ops.recorded("changeLender")
    assert suspended.details["before"] == {"status": "active"}
    assert suspended.details["after"] == {"status": "suspended"}


async def test_a_rotated_secret_replaces_the_old_one(altscore: Installation, desk: Desks) -> None:
    admin = await desk("admin")
    old = (await admin.post("/services", name="WhatsApp", scopes=["consent:check"])).json()
    new = (await admin.post(f"/services/{old['client_id']}/rotate-secret", overlap_hours=0)).json()
    async with altscore.client() as client:
        answers = [(await client.post("/v1/auth/token", json=one)).status_code for one in (old, new)]
    assert answers == [401, 200]
    assert [one["name"] for one in (await admin.get("/services")).json()["clients"] if one["name"] == "WhatsApp"]


async def test_a_client_is_known_as_what_it_is_alone(desk: Desks) -> None:
    admin = await desk("admin")
    service = (await admin.post("/services", name="S", scopes=["consent:check"])).json()["client_id"]
    wrong = await admin.put(f"/lenders/{service}", minute_limit=1)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (404, "CLIENT_UNKNOWN")
    assert (await admin.post(f"/lenders/{service}/rotate-secret")).status_code == 404
    unknown = await admin.post("/services", name="S", scopes=["everything"])
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "SCOPE_UNKNOWN")


async def test_a_chosen_id_is_taken_once(desk: Desks) -> None:
    ops = await desk("ops")
    answers = [await ops.post("/lenders", name="Twice", client_id="lender_twice") for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 409]
    assert (await ops.post("/lenders", name="Bad", client_id="svc_wrong")).json()["error"]["code"] == "INVALID_ID"


async def test_a_partner_is_added_changed_and_shut_out(altscore: Installation, desk: Desks) -> None:
    ops = await desk("ops")
    answer = (await ops.post("/partners", name="Bank", addresses=["127.0.0.1/32"])).json()
    where, deliveries = f"/partners/{answer['partner_id']}", "/api/partner/credit/cards/deliveries"
    async with altscore.client(**{"x-partner-auth": answer["token"]}) as client:
        assert (await client.get(deliveries)).status_code == 200
        moved = await ops.put(where, addresses=["192.0.2.0/24"], reason_codes=True)
        assert (moved.json()["addresses"], moved.json()["reason_codes"]) == (["192.0.2.0/24"], True)
        assert (await client.get(deliveries)).status_code == 401
        await ops.put(where, addresses=["127.0.0.1"])
        new = (await ops.post(f"{where}/rotate-token", overlap_hours=0)).json()["token"]
        assert (await client.get(deliveries)).status_code == 401
        assert (await client.get(deliveries, headers={"x-partner-auth": new})).status_code == 200
        await ops.put(where, status="suspended")
        assert (await client.get(deliveries, headers={"x-partner-auth": new})).status_code == 401
    secrets = (await ops.post(f"{where}/rotate-secret")).json()
    assert secrets["webhook_secret"] != answer["webhook_secret"]
    refused = await ops.put(f"{where}/callback", url="https://10.0.0.1/callback")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "CALLBACK_REFUSED")
    bad = await ops.put(where, addresses=["everywhere"])
    assert (bad.status_code, bad.json()["error"]["details"][0]["path"]) == (400, "$.addresses[0]")


async def test_a_test_event_tells_how_a_partners_receiver_answers(
    altscore: Installation, desk: Desks, tmp_path: Path
) -> None:
    ops = await desk("ops")
    made = (await ops.post("/partners", name="Banco", addresses=["127.0.0.1/32"])).json()
    where = f"/partners/{made['partner_id']}"
    missing = await ops.post(f"{where}/callback/test")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "CALLBACK_MISSING")
    async with receiving(context_for(altscore.authority, tmp_path, "localhost")) as receiver:
        assert (await ops.put(f"{where}/callback", url=receiver.url())).status_code == 200
        tried = await ops.post(f"{where}/callback/test", reason="after their maintenance")
        assert (tried.status_code, tried.json()["success"], tried.json()["status"]) == (200, True, 204), tried.text
        sent = receiver.requests[-1]
        assert json.loads(sent.body)["type"] == "callback.test"
        message = f"{sent.headers['webhook-id']}.{sent.headers['webhook-timestamp']}.".encode() + sent.body
        key = base64.b64decode(made["webhook_secret"].removeprefix("whsec_"))
        assert base64.b64encode(hmac.digest(key, message, "sha256")).decode() in sent.headers["webhook-signature"]
        receiver.behave = says(503, b"closed for lunch")
        failed = (await ops.post(f"{where}/callback/test")).json()
        assert (failed["success"], failed["status"], failed["answer"]) == (False, 503, "closed for lunch")
    gone = (await ops.post(f"{where}/callback/test")).json()
    assert (gone["success"], gone["status"]) == (False, None)
    assert gone["problem"]
    async with altscore.platform.database.transaction() as db:
        endpoint = await delivery.select_endpoint(db, made["partner_id"])
    assert endpoint is not None
    assert endpoint.state == "active"
    (row, *_) = await ops.recorded("testPartnerCallback")
    assert row.subject == made["partner_id"]


async def test_no_secret_is_written_into_the_audit_log_or_kept_for_replay(altscore: Installation, desk: Desks) -> None:
    ops = await desk("ops")
    ops.client.headers["x-request-id"] = "once-only"
    made = [await ops.post("/distributors", name="Secret") for _ in range(2)]
    assert [one.status_code for one in made] == [201, 201]
    assert made[0].json()["api_key"] != made[1].json()["api_key"]
    partner = (await ops.post("/partners", name="Secret", addresses=["127.0.0.1/32"])).json()
    lender = (await ops.post("/lenders", name="Secret")).json()
    secrets = [value for one in (made[0].json(), partner, lender) for name, value in one.items() if name in SECRETS]
    assert len(secrets) == 5
    async with altscore.platform.database.transaction() as db:
        for table in ("audit_event", "idempotent_answer"):
            kept = await db.fetchval(f"SELECT string_agg(t::text, ' ') FROM {table} AS t")
            assert [one for one in secrets if one in (kept or "")] == []


async def test_a_repeated_change_is_done_once(desk: Desks) -> None:
    ops = await desk("ops")
    made = (await ops.post("/distributors", name="Again")).json()["distributor_id"]
    ops.client.headers["x-request-id"] = "again-1"
    answers = [await ops.put(f"/distributors/{made}", batches_per_hour=7) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert answers[1].headers["idempotency-replayed"] == "true"
    other = await ops.put(f"/distributors/{made}", batches_per_hour=8)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "IDEMPOTENCY_CONFLICT")
