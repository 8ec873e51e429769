"""Erasure and export over real files: from a batch at the door to a certificate, and to all that a shop may have."""

import asyncio
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from altcredit.engine import compliance, consent, identity, ingestion, retailers
from altcredit.pipeline import rights, runs
from altcredit.pipeline.lake import Lake
from altcredit.runtime import clock
from altcredit.runtime.db import Connection
from altcredit.runtime.platform import Platform, opened
from altcredit.runtime.settings import Settings
from tests.api.conftest import a_gstin

NOW = datetime(2026, 5, 20, 6, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
GST, OTHER = a_gstin(8_001), a_gstin(8_002)
PHONE = hashlib.sha256(b"919800008001").hexdigest()
NAME = "Xylophone Traders"


@pytest.fixture
async def platform(database_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    settings = Settings(home=str(tmp_path), database_url=database_url, log_level="error")
    async with opened(settings, database_url) as lent:
        yield lent


@pytest.fixture
def lake(platform: Platform) -> Any:
    lake = Lake(platform.settings.lake_path, threads=1)
    yield lake
    lake.close()


async def _admit(_db: Connection) -> None:
    """Stand in for the quota, which is the API's."""


async def _push(platform: Platform, *, at: datetime = NOW, **arrays: Any) -> str:
    body = {
        "distributor_id": "dist_c4f9", "sync_from": "2026-05-01T00:00:00Z", "sync_to": "2026-05-19T23:59:59Z", **arrays
    }  # fmt: skip
    receipt = await ingestion.submit(
        platform.database, lake=platform.settings.lake_path, keyring=platform.keyring, distributor_id="dist_c4f9",
        batch_id=str(uuid.uuid4()), erp_type="csv", body=json.dumps(body).encode(), foresee=_admit, admit=_admit, now=at,
    )  # fmt: skip
    return receipt.batch_id


def _bill(number: int, gstin: str, **more: Any) -> dict[str, Any]:
    return {
        "invoice_id": f"INV-{number}", "retailer_gst": gstin, "invoice_date": "2026-05-03", "amount_inr": 42000,
        "due_date": "2026-05-17", **more,
    }  # fmt: skip


async def _trading(platform: Platform) -> tuple[str, str]:
    """Two shops that trade; the first has a record in quarantine too. Returns their ids."""
    batch = await _push(
        platform,
        retailers=[
            {"retailer_gst": GST, "retailer_ref": "R1", "retailer_phone_hash": PHONE, "name": NAME},
            {"retailer_gst": OTHER, "retailer_ref": "R2", "name": "Other Stores"},
        ],
        invoices=[_bill(1, GST), _bill(2, OTHER), _bill(3, GST, amount_inr=-1), _bill(4, OTHER, amount_inr=-1)],
        payments=[{"payment_id": "PAY-1", "invoice_id": "INV-1", "paid_date": "2026-05-15", "amount_paid_inr": 100}],
    )
    async with platform.database.transaction() as db:
        assert len(await ingestion.quarantined(db, keyring=platform.keyring, batch_id=batch)) == 2
        first = await retailers.by_gst(db, keyring=platform.keyring, gstin=GST)
        second = await retailers.by_gst(db, keyring=platform.keyring, gstin=OTHER)
        lender = await identity.add_lender(db, keyring=platform.keyring, actor="t", name="L", now=NOW)
        await consent.grant(
            db, keyring=platform.keyring, signing=platform.signing, fiduciary=consent.Fiduciary.of(Settings()), actor="t", phone_hash=PHONE,
            distributor_id="dist_c4f9", retailer_ref=None, lender_scope=[lender.client_id],
            purpose="working_capital_loan", channel="whatsapp", message_id="wamid.1", language="en", now=NOW,
        )  # fmt: skip
    assert first is not None
    assert second is not None
    return first, second


async def _request(platform: Platform, retailer_id: str) -> compliance.Erasure:
    async with platform.database.transaction() as db:
        return await compliance.request_erasure(
            db, keyring=platform.keyring, retailer_id=retailer_id, requested_by="staff:stf_1", reason="retailer_request",
            now=NOW,
        )  # fmt: skip


async def _find(platform: Platform, erasure: compliance.Erasure) -> compliance.Erasure:
    async with platform.database.transaction() as db:
        return await compliance.find_erasure(db, erasure_id=erasure.erasure_id)


async def _advance(platform: Platform, lake: Lake, *, at: datetime) -> list[str]:
    return [one.step for one in await rights.advance(platform, lake, now=at)]


async def test_an_erasure_runs_by_its_dates_to_a_certificate(platform: Platform, lake: Lake) -> None:
    gone, other = await _trading(platform)
    await runs.compact(platform.database, lake, now=NOW)
    erasure = await _request(platform, gone)
    assert await _advance(platform, lake, at=NOW + HOUR) == []
    assert await _advance(platform, lake, at=NOW + DAY) == ["scores"]
    assert await _advance(platform, lake, at=NOW + 2 * DAY) == []  # rewritten; readers may still hold the old files
    assert await _advance(platform, lake, at=NOW + 2 * DAY + HOUR / 2) == []
    assert await _advance(platform, lake, at=NOW + 2 * DAY + 2 * HOUR) == ["lake"]
    assert await _advance(platform, lake, at=NOW + 4 * DAY) == ["key"]
    assert await _advance(platform, lake, at=NOW + 24 * DAY) == []
    assert await _advance(platform, lake, at=NOW + 25 * DAY) == ["backups"]
    done = await _find(platform, erasure)
    assert done.certificate is not None
    assert platform.signing.verify(
        "receipt", done.certificate.key_id, done.certificate.record, done.certificate.signature
    )
    facts = {one["step"]: one["facts"] for one in json.loads(done.certificate.record)["went"]}
    assert facts["lake"]["bronze_rows"] == 2  # the bill, and the receipt that names only the bill
    assert facts["lake"]["silver_rows"] == 3  # the same, and the bill in the index
    assert facts["lake"]["quarantined_records_dropped"] == 1
    assert facts["key"]["keys_destroyed"] == 1
    async with platform.database.transaction() as db:
        left = [
            record
            for row in await db.fetch("SELECT batch_id FROM ingest_quarantine_body")
            for record in await ingestion.quarantined(db, keyring=platform.keyring, batch_id=row["batch_id"])
        ]
        touched = await db.fetchval("SELECT array_agg(one) FROM ingest_batch, unnest(touched) AS one")
    assert [record.record["retailer_gst"] for record in left] == [OTHER]
    assert touched == [other]
    assert gone.encode() not in b"".join(path.read_bytes() for path in lake.root.rglob("*.parquet"))


async def test_a_batch_under_way_at_the_halt_is_cleared_too(platform: Platform, lake: Lake) -> None:
    gone, _ = await _trading(platform)
    erasure = await _request(platform, gone)
    await _advance(platform, lake, at=NOW + DAY)
    # Resolved before the halt and listed after it, as by a process that was slow.
    path = next((lake.root / "bronze").rglob("*.parquet"))
    late = path.with_name("bat_ffffffffffffffff.parquet")
    late.write_bytes(path.read_bytes())
    async with platform.database.transaction() as db:
        await db.execute(
            "WITH next AS (UPDATE lake_version SET version = version + 1 RETURNING version) INSERT INTO lake_file"
            " (layer, kind, path, distributor_id, batch_id, rows, bytes, sha256, created_at, added_version)"
            " SELECT layer, kind, $1, distributor_id, batch_id, rows, bytes, sha256, created_at, version FROM lake_file, next"
            " WHERE layer = 'bronze'",
            str(late.relative_to(lake.root)),
        )  # fmt: skip
    await _advance(platform, lake, at=NOW + 2 * DAY)
    await _advance(platform, lake, at=NOW + 3 * DAY)
    assert (await _find(platform, erasure)).next == (await _find(platform, erasure)).steps[3]
    assert gone.encode() not in b"".join(path.read_bytes() for path in lake.root.rglob("*.parquet"))


async def _pass_days(platform: Platform, lake: Lake, *, first: int, last: int) -> None:
    for hours in range(24 * first, 24 * last, 12):
        await rights.advance(platform, lake, now=NOW + hours * HOUR)


@pytest.mark.parametrize("at", ["lake", "key"])
async def test_a_kill_between_steps_loses_and_repeats_nothing(
    platform: Platform, lake: Lake, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    gone, _ = await _trading(platform)
    erasure = await _request(platform, gone)
    carry_out = compliance.carry_out

    async def killed(db: Connection, **fields: Any) -> compliance.Erasure:
        done = await carry_out(db, **fields)
        if fields["step"] == at:
            raise KeyboardInterrupt  # after the work, before the commit
        return done

    with monkeypatch.context() as patched:
        patched.setattr(compliance, "carry_out", killed)
        with pytest.raises(KeyboardInterrupt):
            await _pass_days(platform, lake, first=0, last=5)
    stopped = await _find(platform, erasure)
    assert stopped.next is not None
    assert stopped.next.step == at
    await _pass_days(platform, lake, first=5, last=30)
    done = await _find(platform, erasure)
    assert done.completed_at is not None
    assert not done.overdue(NOW + 100 * DAY)
    facts = {step.step: step.facts for step in done.steps}
    assert facts["lake"]["bronze_rows"] == 2
    assert facts["key"]["keys_destroyed"] == 1


async def test_several_processes_advance_an_erasure_once(platform: Platform, lake: Lake) -> None:
    gone, _ = await _trading(platform)
    await _request(platform, gone)
    done = await asyncio.gather(*(_advance(platform, lake, at=NOW + DAY) for _ in range(4)))
    assert sorted(step for one in done for step in one) == ["scores"]


async def test_an_export_holds_the_ledger_and_is_readable_in_both_languages(platform: Platform, lake: Lake) -> None:
    shop, _ = await _trading(platform)
    async with platform.database.transaction() as db:
        asked = await compliance.export(
            db, keyring=platform.keyring, retailer_id=shop, requested_by="staff:stf_1", now=NOW
        )
        queued = await db.fetchval("SELECT count(*) FROM pgqueuer WHERE entrypoint = 'compliance.export'")
    assert queued == 1
    made = await rights.produce(platform, lake, export_id=asked.export_id, now=NOW + HOUR)
    assert made is not None
    assert made.document is not None
    said = json.loads(made.document)
    assert [(row["document_id"], row["amount_inr"]) for row in said["ledger"]] == [
        ("INV-1", "42000.00"),
        ("PAY-1", "100.00"),
    ]
    pages = {language: compliance.export_page(made.document, language=language) for language in ("en", "hi")}
    for page in pages.values():
        for shown in (GST, NAME, "INV-1", "42,000", said["consents"][0]["record"]["consent_id"]):
            assert shown in page
        assert OTHER not in page
        assert "<script" not in page
    assert "Your bills, payments and returns" in pages["en"]
    assert "आपके बिल" in pages["hi"]


async def test_an_export_that_an_erasure_cancelled_is_not_produced(platform: Platform, lake: Lake) -> None:
    shop, _ = await _trading(platform)
    async with platform.database.transaction() as db:
        asked = await compliance.export(db, keyring=platform.keyring, retailer_id=shop, requested_by="t", now=NOW)
    await _request(platform, shop)
    assert await rights.produce(platform, lake, export_id=asked.export_id, now=clock.now()) is None
