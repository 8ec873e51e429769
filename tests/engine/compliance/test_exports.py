"""Portability: complete, sealed for its shop, on a 15-day clock."""

import hashlib
import json

import pytest
from tests.engine.compliance.conftest import DAY, NOW, Engine, Shop

from altcredit.engine import compliance, retailers

LEDGER = [{"kind": "invoice", "document_id": "INV-1", "amount_paise": 4_200_000}]


async def _asked(engine: Engine, shop: Shop) -> compliance.Export:
    async with engine.database.transaction() as db:
        return await compliance.export(
            db, keyring=engine.keyring, retailer_id=shop.retailer_id, requested_by="staff:stf_1", now=NOW
        )


async def _produced(engine: Engine, export_id: str) -> compliance.Export:
    async with engine.database.transaction() as db:
        return await compliance.produce(
            db, keyring=engine.keyring, signing=engine.signing, export_id=export_id, ledger=LEDGER, now=NOW + DAY
        )


async def test_an_export_holds_all_that_is_known_of_the_shop(engine: Engine) -> None:
    shop, lender = await engine.shop(), await engine.lender()
    granted = await engine.consent(shop, lender)
    score_id = await engine.score(shop)
    await engine.read(shop, lender)
    asked = await _asked(engine, shop)
    assert (asked.status, asked.document, asked.due_at) == ("requested", None, NOW + 15 * DAY)
    done = await _produced(engine, asked.export_id)
    assert done.document is not None
    assert hashlib.sha256(done.document).hexdigest() == done.sha256
    said = json.loads(done.document)
    assert said["identity"]["names"] == ["Asha Kirana"]
    assert said["identity"]["gstins"] == [shop.gstin]
    assert said["identity"]["phone_hashes"] == [shop.phone_hash]
    assert said["distributors"][0]["distributor_id"] == shop.distributor_id
    assert said["consents"][0]["record"]["consent_id"] == granted.consent.consent_id
    assert said["ledger"] == LEDGER
    assert said["scores"][0]["score_id"] == score_id
    assert said["scores"][0]["reasons"]
    assert said["scores"][0]["standing"]["features"]["avg_days_late_180d"] == 1.2
    assert (said["accesses"][0]["lender_id"], said["accesses"][0]["lender"]) == (lender, "Lender")


async def test_asking_again_gives_the_same_export_until_it_expires(engine: Engine) -> None:
    shop = await engine.shop()
    first = await _asked(engine, shop)
    assert (await _asked(engine, shop)).export_id == first.export_id
    done = await _produced(engine, first.export_id)
    assert (await _asked(engine, shop)).document == done.document
    async with engine.database.transaction() as db:
        assert await compliance.drop_expired(db, now=NOW + 9 * DAY) == 1
        gone = await compliance.find_export(db, keyring=engine.keyring, export_id=first.export_id, now=NOW + 9 * DAY)
    assert (gone.status, gone.document) == ("expired", None)
    assert (await _asked(engine, shop)).export_id != first.export_id


async def test_the_document_lies_sealed_in_the_database(engine: Engine) -> None:
    shop = await engine.shop()
    await _produced(engine, (await _asked(engine, shop)).export_id)
    async with engine.database.transaction() as db:
        sealed = await db.fetchval("SELECT sealed FROM retailer_export")
    assert shop.gstin.encode() not in sealed


async def test_an_erasure_destroys_exports_and_refuses_new_ones(engine: Engine) -> None:
    shop, waiting = await engine.shop(), await engine.shop()
    await _produced(engine, (await _asked(engine, shop)).export_id)
    open_ = await _asked(engine, waiting)
    for one in (shop, waiting):
        await engine.erase(one, at=NOW + 2 * DAY)
        with pytest.raises(retailers.RetailerUnknown):
            await _asked(engine, one)
    with pytest.raises(compliance.ExportUnknown):
        await _produced(engine, open_.export_id)
    async with engine.database.transaction() as db:
        assert await db.fetchval("SELECT count(*) FROM retailer_export WHERE sealed IS NOT NULL") == 0
