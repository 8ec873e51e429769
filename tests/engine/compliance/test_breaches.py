"""The breach register: 72 hours from becoming aware, for the Board and for the people concerned."""

from datetime import timedelta
from typing import Any

import pytest
from tests.engine.compliance.conftest import DAY, NOW, Engine

from altcredit.engine import compliance


async def _add(engine: Engine, **changes: Any) -> compliance.Breach:
    fields: dict[str, Any] = {
        "nature": "laptop with a backup lost", "severity": "high", "affected": 40, "occurred_at": NOW - DAY,
        "aware_at": NOW, "reported_by": "staff:stf_1", "now": NOW,
    }  # fmt: skip
    async with engine.database.transaction() as db:
        return await compliance.add_breach(db, **{**fields, **changes})


async def test_the_clock_runs_from_becoming_aware_not_from_the_entry(engine: Engine) -> None:
    breach = await _add(engine, now=NOW + DAY)
    assert breach.notify_by == NOW + timedelta(hours=72)
    assert not breach.overdue(NOW + timedelta(hours=72))
    assert breach.overdue(NOW + timedelta(hours=72, seconds=1))


@pytest.mark.parametrize(
    "changes", [{"aware_at": NOW - 2 * DAY}, {"aware_at": NOW + DAY}, {"affected": -1}], ids=["before", "ahead", "less"]
)
async def test_what_cannot_be_is_refused(engine: Engine, changes: dict[str, Any]) -> None:
    with pytest.raises(compliance.BreachInvalid):
        await _add(engine, **changes)


async def test_a_breach_is_closed_only_when_all_were_told(engine: Engine) -> None:
    breach = await _add(engine)
    async with engine.database.transaction() as db:
        await compliance.note_told(db, breach_id=breach.breach_id, told="board", actor="staff:stf_2", now=NOW + DAY)
        with pytest.raises(compliance.BreachNotNotified):
            await compliance.close_breach(db, breach_id=breach.breach_id, note="n", actor="staff:stf_2", now=NOW + DAY)
        await compliance.note_told(db, breach_id=breach.breach_id, told="both", actor="staff:stf_2", now=NOW + 2 * DAY)
        closed = await compliance.close_breach(
            db, breach_id=breach.breach_id, note="disk was encrypted", actor="staff:stf_2", now=NOW + 3 * DAY
        )
        assert (closed.board_at, closed.principals_at) == (NOW + DAY, NOW + 2 * DAY)
        assert not closed.overdue(NOW + 100 * DAY)
        assert await compliance.breaches(db, open_only=True) == []
        with pytest.raises(compliance.BreachClosed):
            await compliance.note_told(db, breach_id=breach.breach_id, told="both", actor="x", now=NOW)


async def test_an_overdue_breach_is_announced_once(engine: Engine) -> None:
    breach = await _add(engine)
    async with engine.database.transaction() as db:
        assert await compliance.watch_breaches(db, now=NOW + DAY) == []
        assert [one.breach_id for one in await compliance.watch_breaches(db, now=NOW + 4 * DAY)] == [breach.breach_id]
        assert await compliance.watch_breaches(db, now=NOW + 5 * DAY) == []
        assert await db.fetchval("SELECT count(*) FROM outbox WHERE type = 'breach.overdue'") == 1


async def test_an_unknown_breach_is_refused(engine: Engine) -> None:
    async with engine.database.transaction() as db:
        with pytest.raises(compliance.BreachUnknown):
            await compliance.note_told(db, breach_id="brc_1", told="both", actor="x", now=NOW)
