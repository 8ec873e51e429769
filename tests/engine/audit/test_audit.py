from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from altcredit.engine import audit
from altcredit.runtime.db import Database

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def _append(database: Database, *, at: datetime = NOW, **fields: str) -> None:
    async with database.transaction() as db:
        values = {"actor": "cli:root", "action": "client.added", "subject": "lender_a"} | fields
        await audit.append(db, **values, details={"name": "A"}, now=at)


async def test_what_is_appended_can_be_read_back_whole(database: Database) -> None:
    await _append(database)
    async with database.reads.acquire() as db:
        (event,) = await audit.read(db)
    assert (event.at, event.actor, event.action, event.subject) == (NOW, "cli:root", "client.added", "lender_a")
    assert event.details == {"name": "A"}


async def test_an_action_that_is_rolled_back_leaves_no_trace(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as db:
            await audit.append(db, actor="a", action="b", subject="c", details={}, now=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.reads.acquire() as db:
        assert await audit.read(db) == []


async def test_each_filter_narrows_and_all_apply_together(database: Database) -> None:
    await _append(database, subject="lender_a", at=NOW)
    await _append(database, subject="lender_b", at=NOW + timedelta(hours=1))
    await _append(database, subject="lender_b", actor="cli:other", at=NOW + timedelta(hours=2))
    await _append(database, subject="lender_b", action="client.suspended", at=NOW + timedelta(hours=3))

    async def hours(**filters: object) -> list[int]:
        async with database.reads.acquire() as db:
            events = await audit.read(db, **filters)  # type: ignore[arg-type]
        return [int((event.at - NOW) / timedelta(hours=1)) for event in events]

    assert await hours() == [3, 2, 1, 0]
    assert await hours(subject="lender_b") == [3, 2, 1]
    assert await hours(subject="lender_b", actor="cli:root") == [3, 1]
    assert await hours(subject="lender_b", action="client.added") == [2, 1]
    assert await hours(since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=3)) == [2, 1]


async def test_pages_join_without_gap_or_overlap_even_within_one_instant(database: Database) -> None:
    for number in range(7):
        await _append(database, subject=f"s{number}")
    seen: list[str] = []
    last = None
    async with database.reads.acquire() as db:
        while page := await audit.read(db, limit=3, before=last):
            seen += [event.subject for event in page]
            last = page[-1]
    assert seen == [f"s{number}" for number in range(6, -1, -1)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET actor = 'x'",
        "DELETE FROM audit_event",
        "TRUNCATE audit_event",
        "UPDATE audit_event_default SET actor = 'x'",
        "DELETE FROM audit_event_default",
        "TRUNCATE audit_event_default",
        "DELETE FROM audit_event_2031_05",
        "TRUNCATE audit_event_2031_05",
    ],
)
async def test_rows_are_never_changed_or_removed(database: Database, statement: str) -> None:
    async with database.transaction() as db:
        await audit.prepare_partitions(db, now=datetime(2031, 5, 1, tzinfo=UTC))
    await _append(database, at=datetime(2031, 5, 31, 23, 59, tzinfo=UTC))
    await _append(database, at=datetime(1999, 1, 1, tzinfo=UTC))
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        async with database.transaction() as db:
            await db.execute(statement)
    async with database.reads.acquire() as db:
        assert len(await audit.read(db)) == 2


async def test_months_get_partitions_of_their_own_across_the_year_end(database: Database) -> None:
    for _ in range(2):
        async with database.transaction() as db:
            await audit.prepare_partitions(db, now=datetime(2031, 11, 30, tzinfo=UTC))
    for at in [datetime(2031, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2032, 1, 1, tzinfo=UTC)]:
        await _append(database, at=at)
    await _append(database, at=datetime(2040, 1, 1, tzinfo=UTC))
    async with database.reads.acquire() as db:
        rows = await db.fetch("SELECT tableoid::regclass::text AS t FROM audit_event ORDER BY at")
    assert [row["t"] for row in rows] == ["audit_event_2031_12", "audit_event_2032_01", "audit_event_default"]


async def test_a_month_whose_rows_came_first_stays_in_the_default_partition(database: Database) -> None:
    await _append(database, at=datetime(2040, 1, 5, tzinfo=UTC))
    async with database.transaction() as db:
        await audit.prepare_partitions(db, now=datetime(2040, 1, 6, tzinfo=UTC))
    await _append(database, at=datetime(2040, 1, 7, tzinfo=UTC))
    async with database.reads.acquire() as db:
        assert len(await audit.read(db)) == 2
