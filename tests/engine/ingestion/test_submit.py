import asyncio
import hashlib
import os
import random
import subprocess
import sys
import threading
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.engine.ingestion.conftest import GST, NOW, PHONE, Door, admit_all, body, credit_note, invoice, loads, payment

from altcredit.engine import ingestion, retailers
from altcredit.engine.ingestion import (
    BatchAlreadyProcessed,
    BatchIdConflict,
    BatchTooLarge,
    BatchUnknown,
    DistributorMismatch,
    LakeUnavailable,
    Warned,
    files,
    store,
)
from altcredit.engine.ingestion.parquet import SCHEMA
from altcredit.runtime.db import UNAVAILABLE
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.strict_json import Malformed

UNTOUCHED = (
    "ingest_batch",
    "ingest_quarantine",
    "ingest_quarantine_body",
    "distributor_feed",
    "lake_file",
    "outbox",
    "pgqueuer",
)


async def is_untouched(door: Door) -> bool:
    counts = [await door.value(f"SELECT count(*) FROM {table}") for table in UNTOUCHED]
    return not any(counts) and not door.files() and await door.value("SELECT version FROM lake_version") == 0


async def test_an_acknowledged_batch_is_in_bronze_on_the_manifest_and_on_its_way(door: Door) -> None:
    batch_id = str(uuid.uuid4())
    receipt = await door.submit(
        batch_id=batch_id,
        invoices=[invoice(1), invoice(2, amount_inr=84.1)],
        payments=[payment(1)],
        credit_notes=[credit_note(1)],
    )
    assert (receipt.accepted, receipt.quarantined, receipt.status) == (4, 0, "processing")
    (path,) = door.files()
    assert path == door.lake / f"bronze/dist_c4f9/2026-05/{receipt.batch_id}.parquet"
    async with door.pools.transaction() as db:
        listed = dict(await db.fetchrow("SELECT * FROM lake_file"))
        event = await db.fetchrow("SELECT type, key, data FROM outbox")
        job = await db.fetchrow("SELECT entrypoint, payload FROM pgqueuer")
    content = path.read_bytes()
    assert listed["path"] == str(path.relative_to(door.lake))
    assert (listed["layer"], listed["rows"], listed["bytes"]) == ("bronze", 4, len(content))
    assert listed["sha256"] == hashlib.sha256(content).hexdigest()
    assert (listed["added_version"], listed["removed_version"]) == (1, None)
    assert (event["type"], event["key"]) == ("batch.accepted", "dist_c4f9")
    assert loads(event["data"]) == {
        "batch_id": receipt.batch_id, "distributor_id": "dist_c4f9", "accepted": 4, "quarantined": 0,
    }  # fmt: skip
    assert job["entrypoint"] == "altscore.refresh"
    assert loads(job["payload"]) == {"batch_id": receipt.batch_id, "distributor_id": "dist_c4f9"}


async def test_bronze_carries_every_field_as_sent_and_typed(door: Door, keyring: Keyring) -> None:
    receipt = await door.submit(
        invoices=[invoice(1, terms="credit", disputed=True, retailer_ref="C1"), invoice(2, due_date=None, amount_inr=84.1)],
        payments=[
            payment(1, status="returned"),
            payment(2, invoice_id=None, retailer_ref="C1"),
            payment(3, invoice_id="INV-9", allocations=[{"invoice_id": "INV-1", "amount_inr": 0.01}, {"invoice_id": "INV-2", "amount_inr": 8}]),
        ],
        credit_notes=[credit_note(1)],
    )  # fmt: skip
    (path,) = door.files()
    assert pq.read_schema(path).equals(SCHEMA)
    group = pq.read_metadata(path).row_group(0)
    by_name = {group.column(n).path_in_schema: group.column(n).compression for n in range(group.num_columns)}
    assert by_name["document_id"] == by_name["amount_paise"] == "ZSTD"
    rows = door.rows()
    async with door.pools.transaction() as db:
        shop = await retailers.by_gst(db, keyring=keyring, gstin=GST)
    common = {"distributor_id": "dist_c4f9", "batch_id": receipt.batch_id, "known_at": NOW, "disputed": None, "terms": None,
              "status": None, "allocations": None, "due_date": None, "invoice_id": None, "retailer_id": None}  # fmt: skip
    day = date(2026, 5, 3)
    assert rows == [
        common | {"kind": "invoice", "document_id": "INV-1", "retailer_id": shop, "document_date": day, "due_date": date(2026, 5, 17), "amount_paise": 4200000, "terms": "credit", "disputed": True, "row_number": 0},
        common | {"kind": "invoice", "document_id": "INV-2", "retailer_id": shop, "document_date": day, "amount_paise": 8410, "row_number": 1},
        common | {"kind": "payment", "document_id": "PAY-1", "invoice_id": "INV-1", "document_date": date(2026, 5, 15), "amount_paise": 4200000, "status": "returned", "row_number": 0},
        common | {"kind": "payment", "document_id": "PAY-2", "retailer_id": shop, "document_date": date(2026, 5, 15), "amount_paise": 4200000, "row_number": 1},
        common | {"kind": "payment", "document_id": "PAY-3", "document_date": date(2026, 5, 15), "amount_paise": 4200000, "row_number": 2, "allocations": [{"invoice_id": "INV-1", "amount_paise": 1}, {"invoice_id": "INV-2", "amount_paise": 800}]},
        common | {"kind": "credit_note", "document_id": "CN-1", "invoice_id": "INV-1", "document_date": date(2026, 5, 16), "amount_paise": 200050, "row_number": 0},
    ]  # fmt: skip


async def test_no_identifier_is_stored_in_clear_anywhere(door: Door) -> None:
    await door.submit(
        invoices=[invoice(1, retailer_ref="CODE-77"), invoice(2, amount_inr=-1, retailer_ref="CODE-78")],
        retailers=[{"retailer_ref": "CODE-77", "retailer_phone_hash": PHONE, "name": "Gupta Kirana"}],
    )
    async with door.pools.transaction() as db:
        tables = [row[0] for row in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        stored = "\n".join([str(row[0]) for t in tables for row in await db.fetch(f"SELECT t::text FROM {t} t")])
    everything = stored.encode() + b"".join(path.read_bytes() for path in door.files()) + repr(door.rows()).encode()
    for secret in (GST, "CODE-7", PHONE, "Gupta"):
        assert secret.encode() not in everything
        assert secret.encode().hex().encode() not in everything


async def test_a_bad_record_is_set_aside_with_field_and_row_and_the_rest_goes_on(door: Door, keyring: Keyring) -> None:
    bad = invoice(2, amount_inr="42000", due_date="17/05/2026")
    receipt = await door.submit(invoices=[invoice(1), bad, invoice(3)], payments=[payment(1), None])
    assert (receipt.accepted, receipt.quarantined) == (3, 2)
    assert [row["document_id"] for row in door.rows()] == ["INV-1", "INV-3", "PAY-1"]
    found = await door.status(receipt.batch_id)
    assert [(r.array, r.row_number, [(p.code, p.path) for p in r.problems]) for r in found.records] == [
        ("invoices", 1, [("INVALID_TYPE", "$.invoices[1].amount_inr"), ("INVALID_DATE", "$.invoices[1].due_date")]),
        ("payments", 1, [("INVALID_TYPE", "$.payments[1]")]),
    ]
    async with door.pools.transaction() as db:
        kept = await ingestion.quarantined(db, keyring=keyring, batch_id=receipt.batch_id)
    assert [one.record for one in kept] == [bad, None]


async def test_a_batch_that_is_all_bad_writes_no_file_and_is_still_answered(door: Door) -> None:
    receipt = await door.submit(invoices=[invoice(1, amount_inr=0)])
    assert (receipt.accepted, receipt.quarantined) == (0, 1)
    assert door.files() == []
    assert (await door.status(receipt.batch_id)).written_to_bronze == 0


async def test_a_batch_without_records_says_that_there_was_nothing_to_say(door: Door) -> None:
    receipt = await door.submit()
    assert (receipt.accepted, receipt.quarantined) == (0, 0)
    assert await door.value("SELECT watermark FROM distributor_feed") == date(2026, 5, 19)


async def test_one_thousand_records_are_taken_and_one_more_is_not(door: Door) -> None:
    many = [invoice(n) for n in range(600)]
    assert (await door.submit(invoices=many, payments=[payment(n) for n in range(400)])).accepted == 1000
    with pytest.raises(BatchTooLarge):
        await door.submit(invoices=many, payments=[payment(n) for n in range(401)])
    assert len(door.files()) == 1


@pytest.mark.parametrize(
    ("raw", "paths"),
    [
        (b"", ["$"]),
        (b"{", ["$"]),
        (b'{"distributor_id":"dist_c4f9"}', ["$.sync_from", "$.sync_to"]),
        (body(sync_from="2026-05-01", sync_to="2026-05-19T00:00:00"), ["$.sync_from", "$.sync_to"]),
        (body(sync_from="2026-05-20T00:00:00Z"), ["$.sync_to"]),
        (body(sync_from="1999-12-31T00:00:00Z"), ["$.sync_from"]),
        (body(sync_to="2026-05-22T00:00:00Z"), ["$.sync_to"]),
        (body(sync_to="9999-12-31T23:59:59-14:00"), ["$.sync_to"]),
        (body(invoices={}), ["$.invoices"]),
        (body(invoices=None), ["$.invoices"]),
        (body(invoices=[invoice(retailer_ref="a\0b")]), ["$.invoices[0].retailer_ref"]),
        (body(invoices=[invoice(amount_inr=10**26)]), ["$.invoices[0].amount_inr"]),
        (body().replace(b'"sync_to"', b'"sync_from"'), ["$.sync_from"]),
        (body().replace(b"dist", b"\xff"), ["$"]),
        (b"[" * 100_000, ["$"]),
    ],
)
async def test_a_body_that_is_not_of_the_published_form_stores_nothing(
    door: Door, raw: bytes, paths: list[str]
) -> None:
    with pytest.raises(Malformed) as refused:
        await door.submit(raw)
    assert [detail.path for detail in refused.value.details] == paths
    assert await is_untouched(door)


async def test_headers_are_checked_too(door: Door) -> None:
    with pytest.raises(Malformed) as refused:
        await ingestion.submit(
            door.pools, lake=door.lake, keyring=door.keyring, distributor_id="dist_c4f9", batch_id="7",
            erp_type="oracle", body=body(), foresee=admit_all, admit=admit_all, now=NOW,
        )  # fmt: skip
    assert [detail.path for detail in refused.value.details] == ["X-Batch-ID", "X-ERP-Type"]


async def test_another_distributors_name_in_the_body_is_refused(door: Door) -> None:
    with pytest.raises(DistributorMismatch):
        await door.submit(body("dist_other", invoices=[invoice()]))
    assert await is_untouched(door)


# I1: the same id again.


async def test_the_same_batch_again_gets_the_original_answer_and_does_nothing(door: Door) -> None:
    batch_id, raw = str(uuid.uuid4()), body(invoices=[invoice(1), invoice(2, amount_inr=-5)])
    first = await door.submit(raw, batch_id=batch_id)
    assert await door.submit(raw, batch_id=batch_id, now=NOW + timedelta(hours=1)) == first
    assert await door.submit(raw, batch_id=batch_id.upper()) == first, "one UUID, however it is written"
    assert await door.complete(first.batch_id)
    with pytest.raises(BatchAlreadyProcessed) as refused:
        await door.submit(raw, batch_id=batch_id, now=NOW + timedelta(days=40))
    assert refused.value.receipt == first
    for table in ("ingest_batch", "lake_file", "outbox", "pgqueuer"):
        assert await door.value(f"SELECT count(*) FROM {table}") == 1
    assert len(door.files()) == 1


async def test_another_body_under_the_id_is_a_conflict(door: Door) -> None:
    batch_id = str(uuid.uuid4())
    first = await door.submit(batch_id=batch_id, invoices=[invoice(1)])
    for other in (body(invoices=[invoice(2)]), b"not even JSON"):
        with pytest.raises(BatchIdConflict):
            await door.submit(other, batch_id=batch_id)
    await door.complete(first.batch_id)
    with pytest.raises(BatchIdConflict):
        await door.submit(batch_id=batch_id, invoices=[invoice(2)])


async def test_an_id_belongs_to_its_distributor(door: Door) -> None:
    batch_id = str(uuid.uuid4())
    ours = await door.submit(batch_id=batch_id, invoices=[invoice(1)])
    theirs = await door.submit(batch_id=batch_id, distributor_id="dist_b", invoices=[invoice(1), invoice(2)])
    assert ours.batch_id != theirs.batch_id
    assert theirs.accepted == 2


async def test_the_same_body_under_a_new_id_is_taken(door: Door) -> None:
    raw = body(invoices=[invoice(1)])
    assert (await door.submit(raw)).batch_id != (await door.submit(raw)).batch_id
    assert len(door.files()) == 2


async def test_ten_senders_of_one_batch_at_once_store_it_once(door: Door) -> None:
    batch_id, raw = (
        str(uuid.uuid4()),
        body(invoices=[invoice(n, retailer_gst=None, retailer_ref=f"C{n}") for n in range(50)]),
    )
    answers = await asyncio.gather(*(door.submit(raw, batch_id=batch_id) for _ in range(10)))
    assert len({answer.batch_id for answer in answers}) == 1
    assert {answer.accepted for answer in answers} == {50}
    for table in ("ingest_batch", "lake_file", "outbox", "pgqueuer"):
        assert await door.value(f"SELECT count(*) FROM {table}") == 1
    assert await door.value("SELECT count(*) FROM retailer") == 50
    assert len(door.files()) == 1


async def test_of_two_bodies_under_one_id_at_once_one_wins_whole(door: Door) -> None:
    batch_id = str(uuid.uuid4())
    bodies = [body(invoices=[invoice(n)]) for n in range(6)]
    answers = await asyncio.gather(*(door.submit(raw, batch_id=batch_id) for raw in bodies), return_exceptions=True)
    assert sum(isinstance(answer, ingestion.Receipt) for answer in answers) == 1
    assert sum(isinstance(answer, BatchIdConflict) for answer in answers) == 5
    assert len(door.rows()) == 1
    sha = await door.value("SELECT body_sha256 FROM ingest_batch")
    (document,) = [row["document_id"] for row in door.rows()]
    assert sha == hashlib.sha256(bodies[int(document.split("-")[1])]).digest()


async def test_many_batches_of_many_distributors_at_once_get_versions_of_their_own(door: Door) -> None:
    await asyncio.gather(*(door.submit(distributor_id=f"dist_{n % 4}", invoices=[invoice(n)]) for n in range(24)))
    async with door.pools.transaction() as db:
        versions = [row[0] for row in await db.fetch("SELECT added_version FROM lake_file ORDER BY 1")]
    assert versions == list(range(1, 25))
    assert await door.value("SELECT version FROM lake_version") == 24


# Coverage (A7).


def span(first: str, last: str) -> dict[str, str]:
    return {"sync_from": f"{first}T00:00:00+05:30", "sync_to": f"{last}T23:59:59+05:30"}


async def feed(door: Door) -> ingestion.Feed:
    async with door.pools.transaction() as db:
        return (await ingestion.feeds(db))["dist_c4f9"]


async def test_the_watermark_is_the_end_of_the_first_contiguous_run(door: Door) -> None:
    await door.submit(**span("2026-03-01", "2026-03-07"))
    assert (await feed(door)).watermark == date(2026, 3, 7)
    await door.submit(**span("2026-03-15", "2026-03-20"))
    gap = await feed(door)
    assert gap.watermark == date(2026, 3, 7), "what lies after a gap does not count"
    assert gap.coverage == ((date(2026, 3, 1), date(2026, 3, 7)), (date(2026, 3, 15), date(2026, 3, 20)))
    await door.submit(**span("2026-03-08", "2026-03-14"))
    closed = await feed(door)
    assert closed.watermark == date(2026, 3, 20), "neighbouring days are contiguous"
    assert closed.coverage == ((date(2026, 3, 1), date(2026, 3, 20)),)


async def test_coverage_claimed_for_tomorrow_counts_up_to_today_in_india(door: Door) -> None:
    late = datetime(2026, 5, 19, 19, 0, tzinfo=UTC)  # 00:30 on the 20th in India
    await door.submit(**span("2026-05-01", "2026-05-21"), now=late)
    assert (await feed(door)).watermark == date(2026, 5, 20)


async def test_batches_of_one_distributor_at_once_lose_no_coverage(door: Door) -> None:
    days = [f"2026-04-{day:02d}" for day in range(1, 25)]
    await asyncio.gather(*(door.submit(**span(day, day)) for day in days))
    assert (await feed(door)).coverage == ((date(2026, 4, 1), date(2026, 4, 24)),)


async def test_posting_lag_is_learnt_from_the_running_feed_only(door: Door) -> None:
    await door.submit(
        **span("2025-11-01", "2026-05-20"), invoices=[invoice(1, invoice_date="2026-01-01", due_date=None)]
    )
    assert (await feed(door)).lag_p90_days == 3, "nothing is known yet"
    old = [invoice(n, invoice_date="2026-05-19", due_date=None) for n in range(9)]
    late = [invoice(n, invoice_date="2026-05-09", due_date=None) for n in range(9, 11)]
    await door.submit(**span("2026-05-18", "2026-05-20"), invoices=old + late)
    assert (await feed(door)).lag_p90_days == 11
    more = [invoice(n, invoice_date="2026-05-18", due_date=None) for n in range(100, 200)]
    await door.submit(**span("2026-05-18", "2026-05-20"), invoices=more)
    assert (await feed(door)).lag_p90_days == 2


async def test_returns_are_seen_once_a_credit_note_was_accepted(door: Door) -> None:
    await door.submit(invoices=[invoice(1)], credit_notes=[credit_note(1, amount_inr=-1)])
    assert not (await feed(door)).returns_seen
    await door.submit(credit_notes=[credit_note(1)])
    await door.submit(invoices=[invoice(2)])
    assert (await feed(door)).returns_seen


# Status and the pipeline's side.


async def test_status_answers_both_ids_and_only_the_own_distributor(door: Door) -> None:
    batch_id = str(uuid.uuid4())
    receipt = await door.submit(batch_id=batch_id, invoices=[invoice(1)])
    one, other = await door.status(receipt.batch_id), await door.status(batch_id)
    assert one == other
    assert (one.status, one.written_to_bronze, one.quarantined, one.completeness_score) == ("processing", 1, 0, None)
    assert one.pipeline_triggered
    for unknown in (str(uuid.uuid4()), "bat_0000000000000000", "", "'; --", "bat_"):
        with pytest.raises(BatchUnknown):
            await door.status(unknown)
    with pytest.raises(BatchUnknown):
        await door.status(receipt.batch_id, distributor_id="dist_b")


async def test_the_pipeline_takes_what_is_pending_and_completes_it_once(door: Door, keyring: Keyring) -> None:
    first = await door.submit(invoices=[invoice(1)], payments=[payment(1, paid_date="2026-05-02")])
    second = await door.submit(
        now=NOW + timedelta(seconds=1), invoices=[invoice(2, retailer_gst=None, retailer_ref="C2")]
    )
    async with door.pools.transaction() as db:
        waiting = await ingestion.pending(db)
        shop = await retailers.by_gst(db, keyring=keyring, gstin=GST)
    assert [batch.batch_id for batch in waiting] == [first.batch_id, second.batch_id]
    assert waiting[0].touched == (shop,)
    unknown = Warned("payments", 0, "UNKNOWN_INVOICE", "$.payments[0].invoice_id")
    assert await door.complete(first.batch_id, warnings=[unknown])
    assert not await door.complete(first.batch_id, completeness=1.0, warnings=[unknown])
    found = await door.status(first.batch_id)
    assert (found.status, found.completeness_score, found.completed_at) == ("complete", 84.2, NOW)
    assert found.warnings == (Warned("payments", 0, "PAYMENT_BEFORE_INVOICE", "$.payments[0].paid_date"), unknown)
    async with door.pools.transaction() as db:
        assert [batch.batch_id for batch in await ingestion.pending(db)] == [second.batch_id]


async def test_quarantine_is_destroyed_after_ninety_days(door: Door, keyring: Keyring) -> None:
    receipt = await door.submit(invoices=[invoice(1, amount_inr=0)])
    async with door.pools.transaction() as db:
        assert await ingestion.purge_quarantine(db, now=NOW + timedelta(days=89, hours=23)) == 0
        assert len(await ingestion.quarantined(db, keyring=keyring, batch_id=receipt.batch_id)) == 1
        assert await ingestion.purge_quarantine(db, now=NOW + timedelta(days=90)) == 1
        assert await ingestion.quarantined(db, keyring=keyring, batch_id=receipt.batch_id) == []
        assert await db.fetchval("SELECT count(*) FROM ingest_quarantine") == 0
    assert (await door.status(receipt.batch_id)).quarantined == 1


# Identities.


async def test_links_join_what_documents_name_apart(door: Door, keyring: Keyring) -> None:
    await door.submit(
        invoices=[invoice(1), invoice(2, retailer_gst=None, retailer_ref="C1")],
        retailers=[{"retailer_ref": "C1", "retailer_gst": GST, "retailer_phone_hash": PHONE}],
    )
    (shop,) = {row["retailer_id"] for row in door.rows()}
    async with door.pools.transaction() as db:
        found = await retailers.by_phone(db, keyring=keyring, distributor_id="dist_c4f9", phone_hash=PHONE)
    assert found == [shop]


# Faults.


async def test_a_file_left_by_a_crash_before_its_commit_is_replaced_on_the_next_try(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id, raw = str(uuid.uuid4()), body(invoices=[invoice(1)])

    async def crash(*_: Any, **__: Any) -> None:
        raise ConnectionError("the process died here")

    with monkeypatch.context() as patch:
        patch.setattr(store, "list_file", crash)
        with pytest.raises(ConnectionError):
            await door.submit(raw, batch_id=batch_id)
    (orphan,) = door.files()
    assert await door.value("SELECT count(*) FROM ingest_batch") == 0
    receipt = await door.submit(raw, batch_id=batch_id, now=NOW + timedelta(minutes=5))
    assert door.files() == [orphan]
    assert orphan.stem == receipt.batch_id
    assert await door.value("SELECT sha256 FROM lake_file") == hashlib.sha256(orphan.read_bytes()).hexdigest()
    assert pa.types.is_timestamp(pq.read_schema(orphan).field("known_at").type)


async def test_a_sender_who_hangs_up_leaves_nothing_half_done(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_id, raw = str(uuid.uuid4()), body(invoices=[invoice(1)])
    started, go_on, finished = threading.Event(), threading.Event(), threading.Event()
    genuine = files.put

    def slow(lake: Path, path: str, content: bytes) -> None:
        started.set()
        go_on.wait()
        genuine(lake, path, content)
        finished.set()

    with monkeypatch.context() as patch:
        patch.setattr(files, "put", slow)
        sending = asyncio.create_task(door.submit(raw, batch_id=batch_id))
        await asyncio.to_thread(started.wait)
        sending.cancel()
        again = asyncio.create_task(door.submit(raw, batch_id=batch_id))  # waits: the id is still claimed
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert finished.is_set(), "the thread ended before the transaction did"
        assert (await again).accepted == 1
    (path,) = door.files()
    assert await door.value("SELECT sha256 FROM lake_file") == hashlib.sha256(path.read_bytes()).hexdigest()


async def test_garbage_is_always_refused_by_name(door: Door) -> None:
    r = random.Random(11)
    good = body(invoices=[invoice(1), invoice(2)], payments=[payment(1)], retailers=[{"retailer_ref": "C1"}])
    for _ in range(150):
        raw = bytearray(good)
        for _ in range(r.randrange(1, 6)):
            at = r.randrange(len(raw))
            raw[at : at + r.choice((0, 1, 1, 3, 40))] = r.choice(
                (b"", b"\0", b"\xff", b"}", b'"', b"9" * 30, b"null", b"-", b"[" * 40)
            )
        try:
            receipt = await door.submit(bytes(raw))
        except Refusal:
            continue
        assert receipt.accepted + receipt.quarantined <= 4
    batches = await door.value("SELECT count(*) FROM ingest_batch")
    assert 0 < batches < 150
    assert len(door.files()) == await door.value("SELECT count(*) FROM lake_file")


async def test_stray_files_are_swept_after_a_day_and_listed_ones_stay(door: Door) -> None:
    await door.submit(invoices=[invoice(1)])
    (listed,) = door.files()
    stray = listed.with_name("bat_dead.parquet")
    stray.write_bytes(b"x")
    fresh = datetime.now(UTC)
    assert await ingestion.sweep_lake(door.pools, lake=door.lake, now=fresh) == []
    gone = await ingestion.sweep_lake(door.pools, lake=door.lake, now=fresh + timedelta(days=2))
    assert gone == [str(stray.relative_to(door.lake))]
    assert door.files() == [listed]


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 64 kB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root; the file size limit is tried below all the same")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_refuses_the_batch_and_tears_nothing(door: Door, small_disk: Path) -> None:
    door.lake = small_disk
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="space"):
        filler.write_bytes(b"x" * 100_000)
    batch_id, raw = str(uuid.uuid4()), body(invoices=[invoice(n) for n in range(100)])
    with pytest.raises(LakeUnavailable, match="space"):
        await door.submit(raw, batch_id=batch_id)
    assert door.files() == [filler]
    filler.unlink()
    assert await is_untouched(door)
    assert (await door.submit(raw, batch_id=batch_id)).accepted == 100
    assert len(door.rows()) == 100


def test_a_file_that_cannot_be_written_whole_is_not_there_at_all(tmp_path: Path) -> None:
    """The kernel stops the write half-way (RLIMIT_FSIZE), as a full disk or a quota does."""
    program = f"""
import resource, signal
from pathlib import Path
from altcredit.engine.ingestion import LakeUnavailable, files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    files.put(Path({str(tmp_path)!r}), "bronze/d/2026-05/b.parquet", b"x" * 5000)
except LakeUnavailable as refused:
    print("refused:", refused)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": "src"},
    )
    assert done.stdout == "refused: The lake cannot be written (File too large).\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_lake_that_cannot_be_written_refuses_and_keeps_nothing(door: Door) -> None:
    door.lake.write_bytes(b"a file where the folder should be")
    with pytest.raises(LakeUnavailable):
        await door.submit(invoices=[invoice(1)])
    door.lake.unlink()
    assert await is_untouched(door)


async def test_a_lost_database_keeps_nothing_and_the_next_try_succeeds(door: Door, database_url: str) -> None:
    batch_id, raw = str(uuid.uuid4()), body(invoices=[invoice(1)])
    killer = await asyncpg.connect(database_url)
    genuine = files.put

    def cut(lake: Path, path: str, content: bytes) -> None:
        genuine(lake, path, content)
        asyncio.run_coroutine_threadsafe(
            killer.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"),
            loop,
        ).result()  # fmt: skip

    loop = asyncio.get_running_loop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "put", cut)
        with pytest.raises(UNAVAILABLE):
            await door.submit(raw, batch_id=batch_id)
    await killer.close()
    assert await door.value("SELECT count(*) FROM ingest_batch") == 0
    assert (await door.submit(raw, batch_id=batch_id)).accepted == 1


async def test_files_are_made_durable_before_the_batch_is_committed(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    genuine_sync, genuine_list = os.fsync, store.list_file

    def sync(handle: int) -> None:
        genuine_sync(handle)
        order.append("fsync")

    async def list_file(*arguments: Any, **named: Any) -> None:
        order.append("listed")
        await genuine_list(*arguments, **named)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(store, "list_file", list_file)
    await door.submit(invoices=[invoice(1)])
    assert order[-1] == "listed"
    assert order.count("fsync") >= 2, "the file and its folder"
