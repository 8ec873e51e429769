"""Erasure: refused and unlinked at once, destroyed by dates, certified at the end (contract D1)."""

import json

import pytest
from tests.engine.compliance.conftest import DAY, NOW, Engine, Shop

from altcredit.engine import compliance, consent, retailers, scoring
from altcredit.runtime import sealed
from altcredit.runtime.keys import KeyProvider, Keyring


async def _asked(engine: Engine) -> tuple[Shop, str, compliance.Erasure]:
    shop, lender = await engine.shop(), await engine.lender()
    await engine.consent(shop, lender)
    await engine.score(shop)
    assert await engine.read(shop, lender) == "OK"
    await engine.score(shop, at=NOW + DAY / 24)  # an assessment that no lender sees
    return shop, lender, await engine.erase(shop, at=NOW + DAY / 12)


async def test_from_the_request_on_lenders_are_refused_as_for_an_unknown_shop(engine: Engine) -> None:
    shop, lender, erasure = await _asked(engine)
    unknown = Shop(retailer_id="ret_0000000000000000", gstin="", phone_hash="", ref="", distributor_id="")
    assert await engine.read(shop, lender, at=NOW + DAY / 8) == "CONSENT_NOT_GRANTED"
    assert await engine.read(unknown, lender, at=NOW + DAY / 8) == "CONSENT_NOT_GRANTED"
    assert erasure.due_at == erasure.requested_at + 30 * DAY
    assert erasure.steps[0].facts["identifiers_removed"] == 3


async def test_nothing_leads_to_an_erased_shop(engine: Engine) -> None:
    shop, _, _ = await _asked(engine)
    async with engine.database.transaction() as db:
        assert await retailers.by_gst(db, keyring=engine.keyring, gstin=shop.gstin) is None
        assert await retailers.by_phone(
            db, keyring=engine.keyring, distributor_id=shop.distributor_id, phone_hash=shop.phone_hash
        ) == []  # fmt: skip
        assert await consent.scorable(db, now=NOW) == {}
        for table in ("retailer_identifier", "consent_head", "consent_gst_head", "current_score"):
            assert await db.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    with pytest.raises(consent.RetailerUnknown):
        await engine.consent(shop, at=NOW + DAY)


async def test_a_batch_that_names_the_shop_again_begins_a_new_one(engine: Engine) -> None:
    shop, _, _ = await _asked(engine)
    again = await engine.named(shop, at=NOW + DAY)
    assert again != shop.retailer_id
    async with engine.database.transaction() as db:
        assert await retailers.canonical(db, retailer_ids=[shop.retailer_id, again]) == {
            shop.retailer_id: shop.retailer_id,
            again: again,
        }


async def test_every_id_of_a_merged_shop_is_erased(engine: Engine) -> None:
    shop, other, lender = await engine.shop(), await engine.shop(), await engine.lender()
    async with engine.database.transaction() as db:
        await retailers.merge(db, first=shop.retailer_id, second=other.retailer_id, evidence="operator", now=NOW)
        await consent.relink(db, keyring=engine.keyring, retailer_id=shop.retailer_id)
    await engine.consent(other, lender)
    await engine.score(shop)
    assert await engine.read(other, lender) == "OK"
    erasure = await engine.erase(other)
    assert erasure.retailer_id == shop.retailer_id
    assert set(erasure.retailer_ids) == {shop.retailer_id, other.retailer_id}
    for one in (shop, other):
        assert await engine.read(one, lender, at=NOW + DAY) == "CONSENT_NOT_GRANTED"
    assert (await engine.erase(shop)).erasure_id == erasure.erasure_id


async def test_asking_twice_changes_nothing(engine: Engine) -> None:
    shop, _, erasure = await _asked(engine)
    assert await engine.erase(shop, at=NOW + 5 * DAY) == erasure
    async with engine.database.transaction() as db:
        assert await db.fetchval("SELECT count(*) FROM audit_event WHERE action = 'erasure.requested'") == 1


async def test_an_unknown_retailer_cannot_be_erased(engine: Engine) -> None:
    with pytest.raises(retailers.RetailerUnknown):
        await engine.erase(Shop(retailer_id="ret_1", gstin="", phone_hash="", ref="", distributor_id=""))


async def test_a_step_is_done_once_in_its_turn_and_not_before_its_day(engine: Engine) -> None:
    _, _, erasure = await _asked(engine)
    at = erasure.requested_at
    with pytest.raises(compliance.StepNotDue):
        await engine.step(erasure, "scores", at=at)
    with pytest.raises(compliance.StepNotDue):
        await engine.step(erasure, "key", at=at + 29 * DAY)
    await engine.step(erasure, "scores", at=at + DAY)
    with pytest.raises(compliance.StepNotDue):
        await engine.step(erasure, "scores", at=at + DAY)


async def _finished(engine: Engine, erasure: compliance.Erasure) -> compliance.Erasure:
    at = erasure.requested_at
    for name, days in (("scores", 1), ("lake", 2), ("key", 4), ("backups", 25)):
        erasure = await engine.step(erasure, name, at=at + days * DAY)
    return erasure


async def test_after_the_last_step_only_what_the_law_keeps_is_left(engine: Engine) -> None:
    shop, _, erasure = await _asked(engine)
    done = await _finished(engine, erasure)
    assert done.completed_at is not None
    assert not done.overdue(done.completed_at + 100 * DAY)
    async with engine.database.transaction() as db:
        held = await scoring.assessments(db, retailer_ids=done.retailer_ids)
        assert [one["standing"] for one in held] == [{}]  # the one that the lender was told, without its features
        assert await db.fetchval("SELECT count(*) FROM score_month") == 0
        assert await db.fetchval("SELECT count(*) FROM retailer_distributor") == 0
        assert await db.fetchval("SELECT sealed FROM retailer WHERE retailer_id = $1", shop.retailer_id) is None
        assert await db.fetchval("SELECT identifiers FROM erasure") == []
        with pytest.raises(retailers.RetailerUnknown):
            await retailers.dossier(db, keyring=engine.keyring, retailer_id=shop.retailer_id)
        # An event from before the erasure may still ask for this.
        await consent.relink(db, keyring=engine.keyring, retailer_id=shop.retailer_id)


async def test_consent_signatures_still_verify_after_the_key_is_gone(engine: Engine) -> None:
    shop, _, erasure = await _asked(engine)
    await _finished(engine, erasure)
    async with engine.database.transaction() as db:
        (record,) = await consent.records(db, retailer_ids=[shop.retailer_id])
    assert engine.signing.verify("consent", record.key_id, record.record, record.signature)
    assert record.revocation is not None
    assert record.revocation["reason"] == "erasure"


async def test_the_certificate_says_what_went_and_stays_and_is_signed(engine: Engine) -> None:
    _, _, erasure = await _asked(engine)
    certificate = (await _finished(engine, erasure)).certificate
    assert certificate is not None
    assert engine.signing.verify("receipt", certificate.key_id, certificate.record, certificate.signature)
    said = json.loads(certificate.record)
    assert [one["step"] for one in said["went"]] == list(compliance.STEPS)
    assert said["went"][1]["facts"] == {"deleted": 1, "months_deleted": 1, "kept_without_features": 1}
    assert said["in_time"] is True
    assert all(one["why"] for one in said["stays"])
    assert said["completed_at"] <= said["due_at"]


async def test_a_late_key_moves_the_expiry_of_backups_and_shows_as_overdue(engine: Engine) -> None:
    _, _, erasure = await _asked(engine)
    at = erasure.requested_at
    await engine.step(erasure, "scores", at=at + DAY)
    await engine.step(erasure, "lake", at=at + 2 * DAY)
    late = await engine.step(erasure, "key", at=at + 12 * DAY)
    assert late.steps[-1].due_at == at + 33 * DAY
    assert late.overdue(at + 31 * DAY)
    done = await engine.step(erasure, "backups", at=at + 33 * DAY)
    assert done.certificate is not None
    assert json.loads(done.certificate.record)["in_time"] is False


async def test_keys_can_be_rewrapped_when_a_shop_has_none_any_more(engine: Engine) -> None:
    _, _, erasure = await _asked(engine)
    await _finished(engine, erasure)
    other = Keyring(KeyProvider(root=b"r" * 32, keks=(b"n" * 32, b"k" * 32)))
    async with engine.database.transaction() as db:
        moved = await sealed.rewrap(db, keyring=other)
    assert "retailer.sealed" not in moved
    assert moved
