"""Grievances from filing to resolution (API-ALTSCORE-001, section 06; contract G1)."""

from datetime import timedelta

import msgspec
import pytest
from tests.engine.grievances.conftest import NOW, STAFF, Desk

from altcredit.engine import audit, consent, grievances, retailers
from altcredit.engine.grievances import CaseClosed, CaseUnknown, NotUnderReview, Party, RescorePending
from altcredit.runtime.quotas import RateLimitExceeded

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


async def _events(desk: Desk) -> list[str]:
    rows = await desk.database.reads.fetch("SELECT type FROM outbox WHERE type LIKE 'grievance.%' ORDER BY id")
    return [row["type"] for row in rows]


async def test_a_filing_starts_three_clocks_and_says_so(desk: Desk) -> None:
    shop = await desk.shop()
    case = await desk.file(shop, await desk.score(shop))
    assert case.status == "open"
    assert [(one.clock, one.due_at - NOW) for one in case.timers] == [
        ("acknowledgement", 24 * HOUR),
        ("resolution", 7 * DAY),
        ("escalation", 30 * DAY),
    ]
    assert await _events(desk) == ["grievance.filed"]


async def test_what_was_written_is_sealed_at_rest(desk: Desk) -> None:
    shop = await desk.shop()
    case = await desk.file(shop, await desk.score(shop), description="my secret grief", contact_phone_hash="ab" * 32)
    row = await desk.database.reads.fetchrow("SELECT sealed_description, contact FROM grievance")
    assert row is not None
    assert b"my secret grief" not in row["sealed_description"]
    assert row["contact"] == retailers.phone_hash(desk.keyring, "ab" * 32)
    assert (await desk.find(case, Party(kind="lender", id=desk.lender))).description == "my secret grief"


async def test_no_consent_no_shop_and_anothers_score_are_one_refusal(desk: Desk) -> None:
    shop, other, stranger = await desk.shop(), await desk.shop(), await desk.shop(consents=False)
    theirs = await desk.score(other)
    unknown = msgspec.structs.replace(shop, retailer_id="ret_ffffffffffffffff")
    for asked, score_id in [(stranger, await desk.score(stranger)), (unknown, theirs), (shop, theirs), (shop, "scr_0")]:
        with pytest.raises(CaseUnknown):
            await desk.file(asked, score_id)
    assert await desk.database.reads.fetchval("SELECT count(*) FROM grievance") == 0
    assert await desk.database.reads.fetchval("SELECT count(*) FROM quota_window WHERE subject LIKE 'grievance|%'") == 0


async def test_a_retailer_files_for_itself_alone(desk: Desk) -> None:
    shop, other = await desk.shop(), await desk.shop()
    own, theirs = await desk.score(shop), await desk.score(other)
    me = Party(kind="retailer", id=shop.retailer_id)
    assert (await desk.file(shop, own, filer=me)).filed_by == "retailer"
    assert (await desk.file(shop, None, filer=me)).score_id is None
    for asked, score_id in [(other, theirs), (shop, theirs), (other, own), (shop, "scr_ffffffffffffffff")]:
        with pytest.raises(CaseUnknown):
            await desk.file(asked, score_id, filer=me)


async def test_a_merged_shops_old_id_and_old_score_still_serve(desk: Desk) -> None:
    older, newer = await desk.shop(), await desk.shop()
    score_id = await desk.score(newer)
    async with desk.database.transaction() as db:
        await retailers.merge(db, first=older.retailer_id, second=newer.retailer_id, evidence="test", now=NOW)
        await consent.relink(db, keyring=desk.keyring, retailer_id=newer.retailer_id)
    case = await desk.file(newer, score_id)
    assert case.retailer_id == older.retailer_id
    assert await desk.find(case, Party(kind="retailer", id=newer.retailer_id))


async def test_the_sixth_filing_in_a_day_is_refused_and_a_lender_does_not_use_up_the_retailers_own(desk: Desk) -> None:
    shop = await desk.shop()
    score_id = await desk.score(shop)
    for _ in range(5):
        await desk.file(shop, score_id)
    with pytest.raises(RateLimitExceeded) as refused:
        await desk.file(shop, score_id)
    assert (refused.value.allowance.limit, refused.value.allowance.remaining) == (5, 0)
    await desk.file(shop, score_id, filer=Party(kind="retailer", id=shop.retailer_id))
    await desk.file(shop, score_id, at=NOW + DAY)


async def test_a_lender_sees_its_own_case_while_consent_lasts(desk: Desk) -> None:
    shop = await desk.shop()
    given = await desk.consent(shop, desk.other_lender)
    mine = Party(kind="lender", id=desk.other_lender)
    case = await desk.file(shop, await desk.score(shop), filer=mine)
    with pytest.raises(CaseUnknown):
        await desk.find(case, Party(kind="lender", id=desk.lender))
    assert (await desk.find(case, mine)).grievance_id == case.grievance_id
    async with desk.database.transaction() as db:
        await consent.revoke(
            db, keyring=desk.keyring, actor="test", consent_id=given.consent.consent_id, reason="r", message_id=None,
            now=NOW,
        )  # fmt: skip
    with pytest.raises(CaseUnknown):
        await desk.find(case, mine)
    assert await desk.find(case, Party(kind="retailer", id=shop.retailer_id))


async def test_nobody_reads_another_shops_case(desk: Desk) -> None:
    shop, other = await desk.shop(), await desk.shop()
    case = await desk.file(shop, await desk.score(shop))
    unknown = msgspec.structs.replace(case, grievance_id="grv_ffffffffffffffff")
    for asked, reader in [(case, other.retailer_id), (unknown, shop.retailer_id), (case, "ret_ffffffffffffffff")]:
        with pytest.raises(CaseUnknown):
            await desk.find(asked, Party(kind="retailer", id=reader))


async def test_a_case_ends_with_the_old_score_the_new_one_and_why(desk: Desk) -> None:
    shop = await desk.shop()
    old = await desk.score(shop)
    case = await desk.file(shop, old)
    await desk.act("acknowledge", case, at=NOW + HOUR)
    await desk.act("review", case, at=NOW + 2 * HOUR)
    await desk.act("correct", case, at=NOW + 3 * HOUR, correction="March payments received from the distributor")
    assert (
        await desk.database.reads.fetchval("SELECT count(*) FROM pgqueuer WHERE entrypoint = 'altscore.refresh'") == 1
    )
    with pytest.raises(RescorePending):
        await desk.act("resolve", case, outcome="corrected", resolution="done", at=NOW + 4 * HOUR)
    new = await desk.score(shop, pd=0.03, at=NOW + 5 * HOUR)
    done = await desk.act("resolve", case, outcome="corrected", resolution="Score updated", at=NOW + 6 * HOUR)
    assert (done.status, done.outcome, done.score_id, done.new_score_id) == ("resolved", "corrected", old, new)
    assert done.resolved_at == NOW + 6 * HOUR
    assert not done.overdue
    assert all(timer.met_at is not None and not timer.missed for timer in done.timers)
    async with desk.database.transaction() as db:
        told = await grievances.explain(db, case=done)
        rows = await audit.read(db, subject=case.grievance_id)
    assert told.before is not None
    assert told.after is not None
    assert told.after.altscore is not None
    assert told.before.altscore == 724
    assert f"{told.after.altscore - 724} points more" in told.en
    assert f"{told.after.altscore - 724} अंक अधिक" in told.hi
    assert told.before.reasons
    assert told.after.reasons
    assert [row.action for row in reversed(rows)] == [
        f"grievance.{what}" for what in ("filed", "acknowledged", "reviewed", "corrected", "resolved")
    ]
    assert {row.actor for row in rows} == {desk.lender, STAFF}
    assert await _events(desk) == ["grievance.filed", "grievance.acknowledged", "grievance.resolved"]
    for what, asked in (
        ("acknowledge", {}),
        ("review", {}),
        ("note", {"text": "x", "visible": True}),
        ("correct", {"correction": "x"}),
        ("resolve", {"outcome": "rejected", "resolution": "x"}),
    ):
        with pytest.raises(CaseClosed):
            await desk.act(what, case, **asked)


async def test_nothing_is_corrected_or_resolved_before_somebody_takes_the_case_up(desk: Desk) -> None:
    shop = await desk.shop()
    case = await desk.file(shop, await desk.score(shop))
    with pytest.raises(NotUnderReview):
        await desk.act("resolve", case, outcome="explained", resolution="x")
    with pytest.raises(NotUnderReview):
        await desk.act("correct", case, correction="x")
    await desk.act("review", case)
    with pytest.raises(RescorePending):
        await desk.act("resolve", case, outcome="corrected", resolution="nothing was corrected")
    assert (await desk.act("resolve", case, outcome="explained", resolution="x")).new_score_id is None


async def test_acknowledging_twice_keeps_the_first_time(desk: Desk) -> None:
    shop = await desk.shop()
    case = await desk.file(shop, await desk.score(shop))
    await desk.act("acknowledge", case, at=NOW + HOUR)
    assert (await desk.act("acknowledge", case, at=NOW + 5 * HOUR)).acknowledged_at == NOW + HOUR


async def test_parties_see_the_visible_notes_only_and_no_names(desk: Desk) -> None:
    shop = await desk.shop()
    case = await desk.file(shop, await desk.score(shop))
    await desk.act("note", case, text="looks like fraud", visible=False)
    await desk.act("note", case, text="we asked the distributor", visible=True)
    shown = await desk.find(case, Party(kind="lender", id=desk.lender))
    assert [(one.author, one.text) for one in shown.notes] == [("staff", "we asked the distributor")]
    assert len((await desk.find(case, Party(kind="staff", id=STAFF))).notes) == 2


async def test_a_retailers_cases_are_all_that_are_about_it(desk: Desk) -> None:
    shop, other = await desk.shop(), await desk.shop()
    score_id = await desk.score(shop)
    by_lender = await desk.file(shop, score_id)
    by_shop = await desk.file(shop, None, filer=Party(kind="retailer", id=shop.retailer_id), at=NOW + HOUR)
    await desk.file(other, await desk.score(other))
    async with desk.database.transaction() as db:
        found = await grievances.of_retailer(db, keyring=desk.keyring, retailer_id=shop.retailer_id, now=NOW)
    assert [one.grievance_id for one in found] == [by_shop.grievance_id, by_lender.grievance_id]


async def test_open_cases_are_paged_from_the_oldest(desk: Desk) -> None:
    shops = [await desk.shop() for _ in range(3)]
    cases = [await desk.file(one, await desk.score(one), at=NOW + HOUR * at) for at, one in enumerate(shops)]
    await desk.act("review", cases[1], at=NOW + 2 * HOUR)
    await desk.act("resolve", cases[1], outcome="rejected", resolution="no", at=NOW + 2 * HOUR)
    async with desk.database.transaction() as db:
        first = await grievances.list_open(db, keyring=desk.keyring, now=NOW + 2 * HOUR, limit=1)
        rest = await grievances.list_open(db, keyring=desk.keyring, now=NOW + 2 * HOUR, after=first[0])
        late = await grievances.list_open(db, keyring=desk.keyring, now=NOW + 24 * HOUR, overdue=True)
    assert [one.grievance_id for one in (*first, *rest)] == [cases[0].grievance_id, cases[2].grievance_id]
    assert [(one.grievance_id, one.overdue) for one in late] == [(cases[0].grievance_id, ("acknowledgement",))]


async def test_erasure_takes_the_words_and_leaves_the_clocks(desk: Desk) -> None:
    shop = await desk.shop()
    case = await desk.file(shop, await desk.score(shop))
    await desk.act("note", case, text="words", visible=True)
    async with desk.database.transaction() as db:
        await grievances.forget(db, retailer_ids=[shop.retailer_id])
    left = await desk.find(case, Party(kind="staff", id=STAFF))
    assert (left.description, left.contact, [one.text for one in left.notes]) == ("", None, [""])
    assert left.timers == (await desk.find(case, Party(kind="staff", id=STAFF))).timers
