"""Champions in the worker: learnt, promoted, noticed, rolled back; and the report on what they decided."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from altcredit.engine import registry, sources, underwriting
from altcredit.pipeline.learning import learn
from altcredit.pipeline.models import GUARD, GUARD_SCREEN
from altcredit.pipeline.underwriting import Assessor
from altcredit.runtime import outbox
from altcredit.runtime.platform import Platform
from altcredit.runtime.settings import load
from altcredit.simulator.applicant_portfolio import portfolio_of_applicants
from altcredit.subscriptions import SUBSCRIPTIONS
from tests.engine.underwriting.applicants import ANSWERS, REPORTED, decided, read

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
ORDINARY = underwriting.features(
    underwriting.Application(customer_uuid="c", cpf="39549600017", srd=REPORTED), ANSWERS, today=date(2026, 11, 22)
)


@pytest.fixture
async def platform(database_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    lent = await Platform.open(load({"ALTCREDIT_HOME": str(tmp_path)}), database_url, now=NOW)
    yield lent
    await lent.close()


async def test_the_assessor_follows_promotion_and_rollback_without_a_restart(platform: Platform) -> None:
    assessor = Assessor(platform)
    async with platform.database.transaction() as db:
        with pytest.raises(registry.ModelUnknown):
            await assessor.load(db)
    assert await assessor.estimate("guard", ORDINARY) == (None, None)

    first = await learn(platform, None, purpose=GUARD, data_origin="ledgers", promote=True, actor="cli:dev", now=NOW)
    assert (first.version, first.product, first.kind) == ("guard-expert-v1", "guard", "expert")
    async with platform.database.transaction() as db:
        await assessor.load(db)
    before, info = await assessor.estimate("guard", ORDINARY)
    assert before is not None
    assert info is not None
    assert (info.version, info.expert_only) == ("guard-expert-v1", True)
    # No screen model yet: the funnel has nothing to say.
    assert await assessor.estimate("guard_screen", ORDINARY) == (None, None)

    # With half as many, the test window is too small to prove that nothing is lost against the expert: the gate says no.
    frame = portfolio_of_applicants(3, 16_000, NOW.date())
    for purpose in (GUARD, GUARD_SCREEN):
        await learn(platform, frame, purpose=purpose, data_origin="simulated", promote=True, actor="cli:dev", now=NOW)
    async with platform.database.transaction() as db:
        await assessor.load(db)
    (after, learnt), (cheap, _) = await asyncio.gather(
        assessor.estimate("guard", ORDINARY), assessor.estimate("guard_screen", ORDINARY)
    )
    assert after is not None
    assert cheap is not None
    assert len({before.pd, after.pd, cheap.pd}) == 3
    assert learnt is not None
    assert learnt.version == "guard-xgb-v2"

    async with platform.database.transaction() as db:
        await registry.rollback(db, product="guard", actor="cli:dev", now=NOW)
        await assessor.load(db)
    assert await assessor.estimate("guard", ORDINARY) == (before, info)
    assert (await assessor.estimate("guard_screen", ORDINARY))[0] == cheap


async def test_who_asks_together_gets_what_each_would_get_alone(platform: Platform) -> None:
    frame = portfolio_of_applicants(3, 16_000, NOW.date())
    await learn(platform, frame, purpose=GUARD, data_origin="simulated", promote=True, actor="cli:dev", now=NOW)
    assessor = Assessor(platform)
    async with platform.database.transaction() as db:
        await assessor.load(db)
    nothing: dict[str, float | None] = dict.fromkeys(ORDINARY)
    asked = [
        nothing if number % 5 == 0 else {name: value and value * (1 + number / 7) for name, value in ORDINARY.items()}
        for number in range(20)
    ]
    together = await asyncio.gather(*(assessor.estimate("guard", one) for one in asked))
    alone = [await assessor.estimate("guard", one) for one in asked]
    assert together == alone  # to the last bit
    assert [estimate is None for estimate, _ in together] == [number % 5 == 0 for number in range(20)]
    assert len({estimate.pd for estimate, _ in together if estimate}) > 5


async def test_only_a_promotion_of_altscores_scores_every_shop_again(platform: Platform) -> None:
    for purpose in (GUARD, GUARD_SCREEN):
        await learn(platform, None, purpose=purpose, data_origin="ledgers", promote=True, actor="cli:dev", now=NOW)
    async with platform.database.transaction() as db:
        assert await outbox.react(db, SUBSCRIPTIONS, now=NOW) == 2
    queued = "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'altscore.nightly'"
    assert await platform.database.reads.fetchval(queued) == 0
    await learn(platform, None, data_origin="ledgers", promote=True, actor="cli:dev", now=NOW)
    async with platform.database.transaction() as db:
        assert await outbox.react(db, SUBSCRIPTIONS, now=NOW) == 1
    assert await platform.database.reads.fetchval(queued) == 1


async def test_the_report_reads_what_was_stored(platform: Platform) -> None:
    decision = decided(read(), 0.02)
    insert = """
    INSERT INTO underwriting (request_id, partner_id, customer_uuid, subject_hash, sealed, cost_saving, asks_all, status,
                              accepted_at, started_at, finished_at, outcome, pd, risk_band, limit_brl, cost_centavos,
                              decision)
    VALUES ($1, 'prt_1', 'c', '\\x00', '\\x00', false, true, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb)
    """
    done = NOW + timedelta(seconds=0.3)
    stored = msgspec.json.encode(decision).decode()
    async with platform.database.transaction() as db:
        await db.execute(insert, "uw_1", "finished", NOW, NOW, done, "approved", 0.02, 3, 700, 560, stored)
        await db.execute(insert, "uw_2", "processing", NOW, None, None, None, None, None, None, 0, None)
        await db.execute(insert, "uw_3", "finished", done, NOW, done, "approved", 0.02, 3, 700, 560, stored)
        asked = """
        INSERT INTO source_query (query_id, request_id, partner_id, subject_hash, question_hash, source, state, tries,
                                  price_centavos, asked_at, finished_at)
        VALUES ('q_1', 'uw_1', 'prt_1', '\\x00', '\\x00', 'scr', 'failed', 3, 0, $1, $1)
        """
        await db.execute(asked, NOW)
        found = await underwriting.report_on(db, policy=underwriting.POLICY, since=NOW, until=done)
    assert (found.applications, found.unfinished, found.outcomes) == (2, 1, {"approved": 1})
    assert found.latency is not None
    assert found.latency.total_p50 == pytest.approx(0.3)
    assert found.sources == (
        sources.SourceCost(
            source="scr",
            asked=1,
            answered=0,
            failed=1,
            copied=0,
            in_doubt=0,
            retries=2,
            cost_centavos=0,
            in_doubt_centavos=0,
        ),
    )
