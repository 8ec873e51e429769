"""Retention: what is over is destroyed, on record, and everything else still verifies."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.engine.audit.conftest import NOW, Log
from tests.engine.audit.test_bundle import verified

from altcredit.engine import audit

OLD = datetime(2018, 10, 5, tzinfo=UTC)


async def purge(log: Log, *, now: datetime = NOW + timedelta(days=15)) -> list[audit.Purge]:
    async with log.database.transaction() as db:
        return await audit.purge(db, signing=log.keys, actor="test", now=now)


async def count(log: Log, table: str) -> int:
    found: int = await log.database.reads.fetchval(f"SELECT count(*) FROM {table} WHERE at < '2020-01-01'")
    return found


@pytest.fixture
async def aged(log: Log) -> Log:
    """Rows of two months that are over, mixed with rows that are not; one of the months has its own partition."""
    async with log.database.transaction() as db:
        await audit.prepare_partitions(db, now=OLD)
    for at in (OLD, NOW, OLD + timedelta(days=31), OLD + timedelta(days=1)):
        await log.add(2, at=at)
        await log.access(3, at=at)
        await log.seal()
    return log


def test_the_policy_says_how_long_and_why() -> None:
    assert set(audit.RETENTION) == {"audit_event", "score_access"}
    for policy in audit.RETENTION.values():
        assert policy.months >= 84, "consents are kept for seven years"
        assert len(policy.why) > 20


async def test_the_oldest_month_of_each_log_goes_and_the_rest_verifies(aged: Log, tmp_path: Path) -> None:
    first = await purge(aged)
    assert [(one.log, one.month, one.rows) for one in first] == [
        ("audit_event", "2018-10", 4),
        ("score_access", "2018-10", 6),
    ]
    assert (await count(aged, "audit_event"), await count(aged, "score_access")) == (2, 3)
    assert await aged.database.reads.fetchval("SELECT to_regclass('audit_event_2018_10') IS NULL")
    await aged.seal()
    found = await aged.verify()
    assert found.holds, found.findings
    assert (found.purged_rows, found.rows) == (10, 12)
    bundle = await aged.export(tmp_path / "bundle")
    assert bundle.purged_rows == 10
    assert verified(tmp_path / "bundle")[0] == 0


async def test_every_purge_is_an_audit_event_itself(aged: Log) -> None:
    records = await purge(aged)
    async with aged.database.reads.acquire() as db:
        events = await audit.read(db, action="audit.purged")
    assert [event.subject for event in events] == ["score_access:2018-10", "audit_event:2018-10"]
    assert events[1].details["root"] == records[0].root
    assert events[1].details["why"] == audit.RETENTION["audit_event"].why


async def test_month_after_month_goes_and_then_nothing_more(aged: Log) -> None:
    assert len(await purge(aged)) == 2
    assert [one.month for one in await purge(aged)] == ["2018-11", "2018-11"]
    assert await purge(aged) == []
    await aged.seal()
    assert (await aged.verify()).holds


async def test_nothing_goes_before_its_time(aged: Log) -> None:
    # October 2018 is kept for 96 whole months after it: through October 2026.
    assert await purge(aged, now=datetime(2026, 10, 31, 23, 59, tzinfo=UTC)) == []
    assert len(await purge(aged, now=datetime(2026, 11, 1, tzinfo=UTC))) == 2


async def test_a_month_with_rows_that_are_not_sealed_waits(aged: Log) -> None:
    await aged.add(at=OLD)
    assert [one.log for one in await purge(aged)] == ["score_access"]
    await aged.seal()
    assert [one.month for one in await purge(aged)] == ["2018-10", "2018-11"]


async def test_rows_that_a_wrong_clock_adds_to_a_purged_month_are_ordinary_rows(aged: Log) -> None:
    await purge(aged)
    await aged.add(2, at=OLD)
    await aged.seal()
    assert (await aged.verify()).holds
    assert [(one.month, one.rows) for one in await purge(aged)] == [("2018-10", 2), ("2018-11", 3)]
    await aged.seal()
    assert (await aged.verify()).holds


async def test_what_was_altered_is_kept_as_evidence(aged: Log) -> None:
    await aged.tamper("UPDATE audit_event SET actor = 'x' WHERE at < '2019-01-01' AND subject = 'lender_1'")
    with pytest.raises(audit.NotAsSealed):
        await purge(aged)
    assert await count(aged, "audit_event") == 6


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_purge WHERE log = 'audit_event'",
        "UPDATE audit_purge SET signature = sha256(signature) WHERE log = 'audit_event'",
        "UPDATE audit_purge SET month = '2018-12-01' WHERE log = 'audit_event'",
        "UPDATE audit_purge SET record = (SELECT record FROM audit_purge WHERE log = 'score_access'),"
        " signature = (SELECT signature FROM audit_purge WHERE log = 'score_access') WHERE log = 'audit_event'",
        "DELETE FROM audit_event WHERE at >= '2018-11-01' AND at < '2018-12-01'",
    ],
)
async def test_rows_that_are_gone_without_a_true_record_are_named(aged: Log, statement: str) -> None:
    await purge(aged)
    await aged.seal()
    await aged.tamper(statement)
    found = await aged.verify()
    assert "deleted" in {one.kind for one in found.findings}
