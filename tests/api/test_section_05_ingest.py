"""API-ALTSCORE-001, section 05: batches over HTTPS with client certificates; contract A2, A4, I1 to I8."""

import asyncio
import json
import ssl
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from tests.api.conftest import Installation, a_gstin

from altcredit.engine import identity, ingestion
from altcredit.runtime.certificates import Authority
from altcredit.runtime.platform import Platform

TODAY = datetime.now(UTC).date()
GST = a_gstin(424242)


def invoice(number: int = 1, **fields: Any) -> dict[str, Any]:
    day = TODAY - timedelta(days=10)
    return {"invoice_id": f"INV-{number}", "retailer_gst": GST, "invoice_date": str(day), "amount_inr": 42000,
            "due_date": str(day + timedelta(days=14)), **fields}  # fmt: skip


def payment(number: int = 1, **fields: Any) -> dict[str, Any]:
    day = TODAY - timedelta(days=2)
    return {"payment_id": f"PAY-{number}", "invoice_id": f"INV-{number}", "paid_date": str(day),
            "amount_paid_inr": 42000, **fields}  # fmt: skip


def refused(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code of a refusal, which must have the one error body and no rest."""
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) - {"result"} == {"error", "request_id"}
    assert body["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, body["error"]["code"]


async def stored(platform: Platform, distributor_id: str) -> int:
    count = "SELECT count(*) FROM ingest_batch WHERE distributor_id = $1"
    return int(await platform.database.reads.fetchval(count, distributor_id))


def files(platform: Platform, distributor_id: str) -> list[str]:
    folder = platform.settings.lake_path / "bronze" / distributor_id
    return [str(path) for path in folder.rglob("*") if path.is_file()]


# What is taken


@pytest.mark.parametrize("v2", [False, True], ids=["v1", "v1 and v2"])
async def test_a_signed_batch_is_taken_and_its_status_told_under_both_ids(altscore: Installation, v2: bool) -> None:
    batch_id = str(uuid.uuid4())
    async with altscore.distributor() as feed:
        answer = await feed.send(batch_id=batch_id, v2=v2, invoices=[invoice()], payments=[payment()])
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body == {"batch_id": body["batch_id"], "accepted": 2, "quarantined": 0, "status": "processing"}
        statuses = [(await feed.status(one)).json() for one in (body["batch_id"], batch_id, batch_id.upper())]
        async with altscore.distributor() as other:
            for one in (body["batch_id"], batch_id):
                assert refused(await other.status(one)) == (404, "BATCH_UNKNOWN")
    assert statuses[0] == statuses[1] == statuses[2]
    assert statuses[0]["client_batch_id"] == batch_id
    assert (statuses[0]["written_to_bronze"], statuses[0]["pipeline_triggered"]) == (2, True)
    assert statuses[0]["quarantined_records"] == []
    assert len(files(altscore.platform, feed.distributor_id)) == 1


async def test_a_thousand_records_are_taken_and_one_more_is_not(altscore: Installation) -> None:
    links = [{"retailer_ref": f"K-{n}", "name": f"Shop {n}"} for n in range(1, 501)]
    async with altscore.distributor() as feed:
        full = await feed.send(invoices=[invoice(n) for n in range(500)], retailers=links)
        over = await feed.send(invoices=[invoice(n) for n in range(501)], retailers=links)
        assert full.json()["accepted"] == 1000
        assert refused(over) == (400, "BATCH_TOO_LARGE")
        assert await stored(altscore.platform, feed.distributor_id) == 1


async def test_a_batch_without_records_is_taken(altscore: Installation) -> None:
    async with altscore.distributor() as feed:
        answer = await feed.send()
        assert (answer.json()["accepted"], answer.json()["quarantined"]) == (0, 0)
        assert files(altscore.platform, feed.distributor_id) == []


# Who sends: certificate, then key, then signature, then JSON


async def test_refusals_come_in_the_order_of_proof(altscore: Installation) -> None:
    """A request that is wrong in every way; then its faults are mended one by one."""
    wrong = {"x-api-key": "0" * 64, "x-payload-signature": "0" * 64}
    async with altscore.distributor() as feed, altscore.presenting(None) as anonymous:
        raw = b"{not json"
        headers = feed.headers(raw, "no uuid")
        faults = [
            await anonymous.post("/v1/ingest/batch", content=raw, headers=headers | wrong),
            await feed.client.post("/v1/ingest/batch", content=raw, headers=headers | wrong),
            await feed.client.post(
                "/v1/ingest/batch", content=raw, headers=headers | {"x-payload-signature": "0" * 64}
            ),
            await feed.client.post("/v1/ingest/batch", content=raw, headers=headers),
            await feed.send(raw),
        ]
        assert [refused(one) for one in faults] == [
            (401, "CERTIFICATE_INVALID"),
            (401, "API_KEY_INVALID"),
            (401, "SIGNATURE_INVALID"),
            (400, "INVALID_REQUEST"),
            (400, "INVALID_REQUEST"),
        ]
        assert faults[3].json()["error"]["details"] == [{"path": "X-Batch-ID", "problem": "is not a UUID"}]
        assert await stored(altscore.platform, feed.distributor_id) == 0
        assert files(altscore.platform, feed.distributor_id) == []


async def test_another_distributors_key_secret_or_name_is_refused(altscore: Installation) -> None:
    async with altscore.distributor() as feed, altscore.distributor() as other:
        foreign_key = await feed.send(change={"x-api-key": other.issued.api_key})
        foreign_secret = await feed.send(change={"x-payload-signature": other.sign(feed.body())})
        foreign_body = await feed.send(other.body(invoices=[invoice()]))
        assert refused(foreign_key) == (403, "DISTRIBUTOR_MISMATCH")
        assert refused(foreign_secret) == (401, "SIGNATURE_INVALID")
        assert refused(foreign_body) == (403, "DISTRIBUTOR_MISMATCH")
        for one in (feed, other):
            assert await stored(altscore.platform, one.distributor_id) == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"x-api-key": None}, "API_KEY_INVALID"),
        ({"x-payload-signature": None}, "SIGNATURE_INVALID"),
        ({"x-payload-signature": "g" * 64}, "SIGNATURE_INVALID"),
        ({"x-payload-signature-v2": "t=1,v2=" + "0" * 64}, "SIGNATURE_INVALID"),
        ({"x-payload-signature-v2": "nonsense"}, "SIGNATURE_INVALID"),
        ({"x-batch-id": str(uuid.uuid4())}, "SIGNATURE_INVALID"),
    ],
)
async def test_a_missing_altered_or_transplanted_proof_is_refused(
    altscore: Installation, change: dict[str, str | None], code: str
) -> None:
    async with altscore.distributor() as feed:
        assert refused(await feed.send(change=change, invoices=[invoice()])) == (401, code)
        assert await stored(altscore.platform, feed.distributor_id) == 0


async def test_one_altered_byte_of_the_body_is_refused(altscore: Installation) -> None:
    async with altscore.distributor() as feed:
        raw = feed.body(invoices=[invoice(amount_inr=42000)])
        headers = feed.headers(raw, str(uuid.uuid4()), v2=False)
        altered = raw.replace(b"42000", b"42001")
        assert refused(await feed.client.post("/v1/ingest/batch", content=altered, headers=headers)) == (
            401,
            "SIGNATURE_INVALID",
        )


@pytest.mark.parametrize("minutes", [-6, 6])
async def test_a_signature_of_another_time_is_refused_and_a_clock_a_little_off_is_not(
    altscore: Installation, minutes: int
) -> None:
    now = datetime.now(UTC)
    async with altscore.distributor() as feed:
        skewed = await feed.send(at=now + timedelta(minutes=minutes), invoices=[invoice()])
        nearly = await feed.send(at=now + timedelta(minutes=minutes) * 0.75, invoices=[invoice()])
    assert refused(skewed) == (401, "SIGNATURE_INVALID")
    assert nearly.status_code == 200


async def test_the_second_signature_may_be_required(altscore: Installation) -> None:
    async with altscore.distributor() as feed:
        async with altscore.platform.database.transaction() as db:
            await identity.set_distributor(
                db, distributor_id=feed.distributor_id, require_v2=True, actor="test", now=datetime.now(UTC)
            )
        assert refused(await feed.send(v2=False)) == (401, "SIGNATURE_INVALID")
        assert (await feed.send(v2=True)).status_code == 200


async def test_a_revoked_certificate_ends_with_the_next_request_on_its_open_connection(altscore: Installation) -> None:
    async with altscore.distributor() as feed:
        first = await feed.send(invoices=[invoice()])
        async with altscore.platform.database.transaction() as db:
            await identity.revoke_certificate(
                db,
                distributor_id=feed.distributor_id,
                sha256=bytes.fromhex(feed.issued.certificate.sha256),
                actor="test",
                now=datetime.now(UTC),
            )
        second = await feed.send(invoices=[invoice(2)])
        ports = {one.extensions["network_stream"].get_extra_info("client_addr") for one in (first, second)}
    assert first.status_code == 200
    assert refused(second) == (401, "CERTIFICATE_INVALID")
    assert len(ports) == 1, "the second request was on the first one's connection"


async def test_a_suspended_distributor_is_told_so(altscore: Installation) -> None:
    async with altscore.distributor() as feed:
        async with altscore.platform.database.transaction() as db:
            await identity.set_distributor(
                db, distributor_id=feed.distributor_id, status="suspended", actor="test", now=datetime.now(UTC)
            )
        assert refused(await feed.send()) == (403, "DISTRIBUTOR_SUSPENDED")


async def test_a_genuine_certificate_that_is_nobodys_is_refused(altscore: Installation) -> None:
    stray = altscore.authority.issue_client(
        "dist_stray", public_key=None, lifetime=timedelta(days=1), now=datetime.now(UTC)
    )
    async with altscore.distributor() as feed, altscore.presenting(stray) as client:
        raw = feed.body()
        answer = await client.post("/v1/ingest/batch", content=raw, headers=feed.headers(raw, str(uuid.uuid4())))
    assert refused(answer) == (401, "CERTIFICATE_INVALID")


@pytest.mark.parametrize(("which", "alert"), [("expired", "certificate expired"), ("foreign", "unknown ca")])
async def test_an_expired_or_foreign_certificate_opens_no_connection_and_is_told_why(
    altscore: Installation, which: str, alert: str
) -> None:
    now = datetime.now(UTC)
    authority = altscore.authority if which == "expired" else Authority.create(now=now)
    made = now - timedelta(days=91) if which == "expired" else now
    certificate = authority.issue_client("dist_a", public_key=None, lifetime=timedelta(days=90), now=made)
    async with altscore.presenting(certificate) as client:
        with pytest.raises((httpx2.TransportError, ssl.SSLError), match=f"(?i){alert}"):
            await client.get("/healthz")


# The same again (I1)


async def test_a_replay_of_a_batch_does_nothing_and_gives_the_original_answer(altscore: Installation) -> None:
    batch_id = str(uuid.uuid4())
    async with altscore.distributor(batches_per_hour=2) as feed:
        raw = feed.body(invoices=[invoice(), invoice(2, amount_inr=-1)])
        first = await feed.send(raw, batch_id=batch_id)
        replays = await asyncio.gather(*(feed.send(raw, batch_id=batch_id) for _ in range(8)))
        other = await feed.send(feed.body(invoices=[invoice(3)]), batch_id=batch_id)
        assert {one.content for one in replays} == {first.content}
        assert refused(other) == (409, "BATCH_ID_CONFLICT")
        async with altscore.platform.database.transaction() as db:
            await ingestion.complete(
                db, batch_id=first.json()["batch_id"], completeness=84.2, now=datetime.now(UTC)
            )  # as the worker says it
        processed = await feed.send(raw, batch_id=batch_id)
        assert refused(processed) == (409, "BATCH_ALREADY_PROCESSED")
        assert processed.json()["result"] == first.json()
        # Neither replays nor refusals used the quota of two.
        again = await feed.send(raw)
        assert again.status_code == 200
        assert await stored(altscore.platform, feed.distributor_id) == 2


async def test_the_eleventh_batch_of_an_hour_is_refused_and_a_backfill_grant_lets_it_in(altscore: Installation) -> None:
    now = datetime.now(UTC)
    if (now.minute, now.second > 40) == (59, True):  # windows are whole hours: leave this one's last seconds
        await asyncio.sleep(61 - now.second)
    async with altscore.distributor(batches_per_hour=10) as feed:
        bodies = [feed.body(invoices=[invoice(n)]) for n in range(11)]
        ids = [str(uuid.uuid4()) for _ in bodies]
        answers = [await feed.send(raw, batch_id=one) for raw, one in zip(bodies, ids, strict=True)]
        assert [one.status_code for one in answers] == [200] * 10 + [429]
        assert [one.headers["x-ratelimit-remaining"] for one in answers] == [str(n) for n in (*range(9, -1, -1), 0)]
        last = answers[-1]
        assert refused(last) == (429, "RATE_LIMIT_EXCEEDED")
        assert (last.headers["x-ratelimit-limit"], last.headers["x-ratelimit-policy"]) == ("10", "hour")
        wait = int(last.headers["x-ratelimit-reset"]) - datetime.now(UTC).timestamp()
        assert 0 < wait <= 3600
        assert abs(int(last.headers["retry-after"]) - wait) <= 3
        assert (await feed.send(bodies[0], batch_id=ids[0])).status_code == 200
        assert (await feed.status(ids[0])).status_code == 200
        async with altscore.platform.database.transaction() as db:
            await identity.grant_backfill(
                db,
                distributor_id=feed.distributor_id,
                limit=500,
                until=datetime.now(UTC) + timedelta(hours=1),
                actor="test",
                now=datetime.now(UTC),
            )
        admitted = await feed.send(bodies[10], batch_id=ids[10])
        assert (admitted.status_code, admitted.headers["x-ratelimit-limit"]) == (200, "500")
        assert await stored(altscore.platform, feed.distributor_id) == 11


async def test_refused_batches_use_no_quota_and_say_what_is_left(altscore: Installation) -> None:
    async with altscore.distributor(batches_per_hour=10) as feed:
        answers = [await feed.send(b"[]"), await feed.send(b"{"), await feed.send(change={"x-erp-type": "excel"})]
        assert [refused(one) for one in answers] == [(400, "INVALID_REQUEST")] * 3
        both = await feed.send(batch_id="7", change={"x-erp-type": "excel"})
        assert [one["path"] for one in both.json()["error"]["details"]] == ["X-Batch-ID", "X-ERP-Type"]
        assert {one.headers["x-ratelimit-remaining"] for one in answers} == {"10"}


# What is sent


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


MALFORMED = {
    "empty": b"",
    "not json": b"{",
    "an array": b"[]",
    "null": b"null",
    "a number": b"1e400",
    "not utf-8": b'{"distributor_id": "\xff\xfe"}',
    "utf-16": '{"distributor_id": "x"}'.encode("utf-16"),
    "deep": nested(40),
    "very deep": nested(100_000),
    "deep arrays": b"[" * 200_000,
    "a long number": b'{"a": ' + b"9" * 100_000 + b"}",
    "nan": b'{"a": NaN}',
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
async def test_a_body_that_cannot_be_read_is_refused_whole(altscore: Installation, raw: bytes) -> None:
    async with altscore.distributor() as feed:
        answer = await feed.send(raw)
        assert refused(answer) == (400, "INVALID_REQUEST")
        assert answer.json()["error"]["details"]
        assert await stored(altscore.platform, feed.distributor_id) == 0


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"sync_from": None}, "$.sync_from"),
        ({"sync_from": "yesterday"}, "$.sync_from"),
        ({"sync_from": "2026-05-01T00:00:00"}, "$.sync_from"),
        ({"sync_to": "1999-01-01T00:00:00Z"}, "$.sync_to"),
        ({"sync_from": "0001-01-01T00:00:00+14:00"}, "$.sync_from"),
        ({"sync_to": "9999-12-31T23:59:59-14:00"}, "$.sync_to"),
        ({"invoices": {}}, "$.invoices"),
        ({"invoices": None}, "$.invoices"),
        ({"payments": "none"}, "$.payments"),
        ({"distributor_id": 7}, "$.distributor_id"),
        ({"note": "a\0b"}, "$.note"),
        ({"invoices": [{"invoice_id": "A\0"}]}, "$.invoices[0].invoice_id"),
    ],
)
async def test_a_wrong_envelope_is_refused_by_the_fields_path(
    altscore: Installation, fields: dict[str, Any], path: str
) -> None:
    async with altscore.distributor() as feed:
        answer = await feed.send(feed.body(**fields))
        assert refused(answer) == (400, "INVALID_REQUEST")
        assert path in [one["path"] for one in answer.json()["error"]["details"]]


async def test_duplicate_keys_are_refused_wherever_they_are(altscore: Installation) -> None:
    async with altscore.distributor() as feed:
        raw = feed.body(invoices=[invoice()])
        twice = raw.replace(b'"amount_inr": 42000', b'"amount_inr": 1, "amount_inr": 42000')
        envelope = raw.replace(b"{", b'{"distributor_id": "dist_other", ', 1)
        answers = [await feed.send(twice), await feed.send(envelope)]
        assert [refused(one) for one in answers] == [(400, "INVALID_REQUEST")] * 2
        paths = [one.json()["error"]["details"][0]["path"] for one in answers]
        assert paths == ["$.invoices[0].amount_inr", "$.distributor_id"]


@pytest.mark.parametrize("size", [4 * 1024 * 1024 + 1, 10 * 1024 * 1024])
async def test_a_body_that_is_too_large_is_refused_and_the_connection_goes_on(
    altscore: Installation, size: int
) -> None:
    async with altscore.distributor() as feed:
        large = await feed.send(feed.body(note="x" * size))
        assert refused(large) == (413, "PAYLOAD_TOO_LARGE")
        assert (await feed.send(invoices=[invoice()])).status_code == 200


async def test_another_media_type_is_refused(altscore: Installation) -> None:
    async with altscore.distributor() as feed:
        for media in ("text/plain", "application/xml", "application/x-www-form-urlencoded", None):
            answer = await feed.send(change={"content-type": media}, invoices=[invoice()])
            assert refused(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")


BAD_RECORDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("invoices", invoice(amount_inr="42000"), "amount_inr", "INVALID_TYPE"),
    ("invoices", invoice(amount_inr=-42000), "amount_inr", "AMOUNT_OUT_OF_RANGE"),
    ("invoices", invoice(amount_inr=0), "amount_inr", "AMOUNT_OUT_OF_RANGE"),
    ("invoices", invoice(amount_inr=1e12), "amount_inr", "AMOUNT_OUT_OF_RANGE"),
    ("invoices", invoice(amount_inr=1.7e308), "amount_inr", "AMOUNT_OUT_OF_RANGE"),
    ("invoices", invoice(amount_inr=2**62), "amount_inr", "AMOUNT_OUT_OF_RANGE"),
    ("invoices", invoice(amount_inr=0.001), "amount_inr", "AMOUNT_PRECISION"),
    ("invoices", invoice(invoice_date="2999-01-01"), "invoice_date", "FUTURE_DATE"),
    ("invoices", invoice(invoice_date="03/05/2026"), "invoice_date", "INVALID_DATE"),
    ("invoices", invoice(invoice_date=20260503), "invoice_date", "INVALID_TYPE"),
    ("invoices", invoice(terms="barter"), "terms", "INVALID_ENUM"),
    ("invoices", invoice(retailer_gst="27AAPFU0939F1ZX"), "retailer_gst", "INVALID_GSTIN"),
    ("invoices", invoice(retailer_gst=None), "retailer_ref", "MISSING_RETAILER"),
    ("invoices", invoice(invoice_id=None), "invoice_id", "MISSING_FIELD"),
    ("invoices", invoice(due_date=str(TODAY - timedelta(days=11))), "due_date", "DUE_BEFORE_INVOICE"),
    ("payments", payment(amount_paid_inr=-1), "amount_paid_inr", "AMOUNT_OUT_OF_RANGE"),
    ("payments", payment(allocations=[{"invoice_id": "I", "amount_inr": 1.7e308}]), "allocations[0].amount_inr",
     "AMOUNT_OUT_OF_RANGE"),
    ("payments", payment(status="bounced"), "status", "INVALID_ENUM"),
    ("retailers", {"retailer_ref": "K", "retailer_phone_hash": "919812345678"}, "retailer_phone_hash",
     "INVALID_PHONE_HASH"),
]  # fmt: skip


async def test_bad_records_are_set_aside_with_field_and_reason_in_both_languages(altscore: Installation) -> None:
    sent: dict[str, list[Any]] = {"invoices": [], "payments": [], "retailers": []}
    expected = set()
    for array, record, field, code in BAD_RECORDS:
        sent[array].append(
            record
            if record.get("invoice_id", "") != "INV-1"
            else {**record, "invoice_id": f"I-{field}-{code}-{len(sent[array])}"}
        )
        expected.add((array, len(sent[array]) - 1, f"$.{array}[{len(sent[array]) - 1}].{field}", code))
    for number, record in enumerate(sent["payments"]):
        record["payment_id"] = f"P-{number}"
    sent["invoices"].append(invoice(99))
    async with altscore.distributor() as feed:
        answer = await feed.send(**sent)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert (body["accepted"], body["quarantined"]) == (1, len(BAD_RECORDS))
        english = (await feed.status(body["batch_id"])).json()["quarantined_records"]
        hindi = (await feed.status(body["batch_id"], language="hi")).json()["quarantined_records"]
    found = {(one["kind"], one["row"], one["field"], one["code"]) for one in english}
    assert expected <= found
    for one, other in zip(english, hindi, strict=True):
        assert one["message"].isascii() or "₹" in one["message"]
        assert any("\u0900" <= letter <= "\u097f" for letter in other["message"])
        assert {k: v for k, v in one.items() if k != "message"} == {k: v for k, v in other.items() if k != "message"}


async def test_a_payment_before_its_invoice_and_of_an_unknown_one_are_taken(altscore: Installation) -> None:
    async with altscore.distributor() as feed:
        early = payment(1, paid_date=str(TODAY - timedelta(days=13)))
        answer = await feed.send(invoices=[invoice()], payments=[early, payment(77)])
        body = answer.json()
        assert (body["accepted"], body["quarantined"]) == (3, 0)
        warnings = (await feed.status(body["batch_id"])).json()["warnings"]
    assert ("PAYMENT_BEFORE_INVOICE", "$.payments[0].paid_date") in [(w["code"], w["field"]) for w in warnings]


@pytest.mark.parametrize(
    "batch_id", ["bat_0000000000000000", "ff196284-12f9-4d00-b03e-cf171c056231", "x", "%00", "bat_%E2%80%99", "a" * 65]
)
async def test_an_unknown_batch_is_a_404_or_400_and_nothing_else(altscore: Installation, batch_id: str) -> None:
    async with altscore.distributor() as feed:
        assert refused(await feed.status(batch_id)) in {(404, "BATCH_UNKNOWN"), (400, "INVALID_REQUEST")}


async def test_the_batch_of_many_senders_at_once_is_stored_once(altscore: Installation) -> None:
    batch_id = str(uuid.uuid4())
    async with altscore.distributor() as feed:
        raw = feed.body(invoices=[invoice(n) for n in range(50)])
        answers = await asyncio.gather(*(feed.send(raw, batch_id=batch_id) for _ in range(12)))
        assert {(one.status_code, one.content) for one in answers} == {(200, answers[0].content)}
        assert await stored(altscore.platform, feed.distributor_id) == 1
        assert len(files(altscore.platform, feed.distributor_id)) == 1


async def test_every_answer_is_counted_and_marked_as_the_contract_says(altscore: Installation) -> None:
    async with altscore.distributor(batches_per_hour=50) as feed:
        answer = await feed.send(change={"x-request-id": "trace-1"}, invoices=[invoice()])
    assert answer.headers["x-request-id"] == "trace-1"
    assert json.loads(answer.content)["accepted"] == 1
    assert {name for name in answer.headers if name.startswith("x-ratelimit")} == {
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-ratelimit-policy",
    }
    assert answer.headers["strict-transport-security"].startswith("max-age=")
