"""The legal clocks of erasures, exports and breaches: a system clock that is set back gives nobody more time."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.compliance.conftest import DAY, NOW, Engine

from altcredit.engine import compliance, grievances
from altcredit.engine.compliance.breach import NOTIFY_WITHIN, Breach
from altcredit.engine.compliance.erasure import Erasure, schedule
from altcredit.engine.compliance.policy import POLICY
from altcredit.engine.grievances.case import TOLERANCE, set_back_by

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def _erasure(**changes: Any) -> Erasure:
    fields: dict[str, Any] = {
        "erasure_id": "era_1", "retailer_id": "ret_1", "retailer_ids": ("ret_1",), "distributor_ids": (),
        "requested_by": "t", "approved_by": None, "reason": "r", "policy_version": "p", "requested_at": NOW,
        "due_at": NOW + 30 * DAY, "completed_at": None, "steps": schedule(POLICY, requested_at=NOW),
    }  # fmt: skip
    return Erasure(**{**fields, **changes})


def _breach(**changes: Any) -> Breach:
    fields: dict[str, Any] = {
        "breach_id": "brc_1", "nature": "n", "severity": "low", "affected": 0, "reported_by": "t", "occurred_at": NOW,
        "aware_at": NOW, "notify_by": NOW + NOTIFY_WITHIN,
    }  # fmt: skip
    return Breach(**{**fields, **changes})


@given(st.lists(st.integers(-600, 600), min_size=1, max_size=60))
def test_however_the_clock_jumps_what_has_run_out_by_true_time_is_overdue_and_stays_so(jumps: list[int]) -> None:
    """Between two readings an hour passes, and the clock jumps by some minutes, forward or back."""
    read_at, set_back, true, offset = NOW, timedelta(), NOW, timedelta()
    was_overdue = [False, False]
    for jump in jumps:
        true += 3 * HOUR
        offset += jump * MINUTE
        now = true + offset
        set_back = set_back_by(now, read_at=read_at, before=set_back)
        read_at = now if now < read_at - TOLERANCE else max(now, read_at)
        # Each setting back may hide the three hours in which it happened, and no more.
        hidden = 3 * HOUR * sum(one < 0 for one in jumps) + TOLERANCE
        erasure, breach = _erasure(behind=set_back), _breach(behind=set_back)
        for number, (clock, due) in enumerate(((erasure, erasure.due_at), (breach, breach.notify_by))):
            overdue = clock.overdue(now)
            assert overdue or true - hidden <= due
            assert overdue or not was_overdue[number] or now + set_back > due - TOLERANCE
            was_overdue[number] = overdue
        if erasure.next is not None and erasure.next.step != "backups":
            assert erasure.is_due(now) or true - hidden < erasure.next.due_at


@given(st.integers(1, 400), st.integers(1, 400))
def test_a_clock_that_was_ahead_for_a_while_does_not_cut_the_wait_for_backups_short(ahead: int, hours: int) -> None:
    """Put right, it counts as set back: duties fall due the sooner, but nothing is certified before its time."""
    done = tuple(
        step if step.step == "backups" else type(step)(step=step.step, due_at=step.due_at, done_at=step.due_at)
        for step in schedule(POLICY, requested_at=NOW)
    )
    erasure = _erasure(steps=done, behind=ahead * DAY)
    assert erasure.next is not None
    assert not erasure.is_due(erasure.next.due_at - hours * HOUR)
    assert erasure.is_due(erasure.next.due_at)


async def _set_back(engine: Engine, *, from_: datetime, to: datetime) -> None:
    async with engine.database.transaction() as db:
        await grievances.read_clock(db, now=from_)
        await grievances.read_clock(db, now=to)


async def test_an_erasures_steps_fall_due_by_its_own_time(engine: Engine) -> None:
    erasure = await engine.erase(await engine.shop())
    await _set_back(engine, from_=NOW + 20 * HOUR, to=NOW + 5 * HOUR)
    async with engine.database.transaction() as db:
        assert await compliance.due_steps(db, now=NOW + 8 * HOUR) == []
        assert [one.step for one in await compliance.due_steps(db, now=NOW + 9 * HOUR)] == ["scores"]
    done = await engine.step(erasure, "scores", at=NOW + 10 * HOUR)
    assert done.steps[1].done_at == NOW + 25 * HOUR
    async with engine.database.transaction() as db:
        (open_,) = await compliance.erasures(db, open_only=True)
    assert open_.overdue(NOW + 30 * DAY - 14 * HOUR)


async def test_a_breach_is_announced_and_noted_by_its_own_time(engine: Engine) -> None:
    async with engine.database.transaction() as db:
        breach = await compliance.add_breach(
            db, nature="n", severity="low", affected=0, occurred_at=NOW, aware_at=NOW, reported_by="t", now=NOW
        )
    await _set_back(engine, from_=NOW + 70 * HOUR, to=NOW + 10 * HOUR)
    async with engine.database.transaction() as db:
        assert await compliance.watch_breaches(db, now=NOW + 11 * HOUR) == []
        assert [one.breach_id for one in await compliance.watch_breaches(db, now=NOW + 13 * HOUR)] == [breach.breach_id]
        told = await compliance.note_told(db, breach_id=breach.breach_id, told="both", actor="t", now=NOW + 14 * HOUR)
    assert told.board_at == NOW + 74 * HOUR
    assert told.overdue(NOW + 14 * HOUR)


async def test_an_export_that_is_late_by_its_own_time_is_late_in_the_report(engine: Engine) -> None:
    shop = await engine.shop()
    async with engine.database.transaction() as db:
        asked = await compliance.export(
            db, keyring=engine.keyring, retailer_id=shop.retailer_id, requested_by="t", now=NOW
        )
    await _set_back(engine, from_=NOW + 14 * DAY, to=NOW + DAY)
    for now, late in ((NOW + DAY, 0), (NOW + 3 * DAY, 1)):
        async with engine.database.transaction() as db:
            made = await compliance.report(
                db, keyring=engine.keyring, since=NOW - DAY, until=NOW + DAY, residency="IN", fiduciary="f",
                environment="development", actor="t", now=now,
            )  # fmt: skip
        assert made.section("rights").figure("exports_overdue").value == late
    async with engine.database.transaction() as db:
        done = await compliance.produce(
            db, keyring=engine.keyring, signing=engine.signing, export_id=asked.export_id, ledger=[], now=NOW + 3 * DAY
        )
    assert done.produced_at == NOW + 16 * DAY


@pytest.mark.parametrize(
    ("table", "column"), [("erasure", "due_at"), ("retailer_export", "requested_at"), ("breach", "notify_by")]
)
async def test_no_statement_edits_a_clock(engine: Engine, table: str, column: str) -> None:
    shop, other = await engine.shop(), await engine.shop()
    async with engine.database.transaction() as db:
        await compliance.export(db, keyring=engine.keyring, retailer_id=other.retailer_id, requested_by="t", now=NOW)
        await compliance.add_breach(
            db, nature="n", severity="low", affected=0, occurred_at=NOW, aware_at=NOW, reported_by="t", now=NOW
        )
    await engine.erase(shop)
    with pytest.raises(asyncpg.RaiseError, match="stand"):
        await engine.database.writes.execute(f"UPDATE {table} SET {column} = {column} + interval '1 second'")
