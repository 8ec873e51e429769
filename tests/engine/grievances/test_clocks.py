"""The clocks of grievances: facts of the filing, escalated once, deaf to a clock that is set back (contract G2)."""

from datetime import timedelta

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.grievances.conftest import NOW, STAFF, Desk

from altcredit.engine.grievances import Party
from altcredit.engine.grievances.case import TOLERANCE, legal_now, set_back_by

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)


@pytest.mark.parametrize("column", ["filed_at", "ack_by", "resolve_by", "escalate_by"])
async def test_no_statement_edits_a_clock(desk: Desk, column: str) -> None:
    shop = await desk.shop()
    await desk.file(shop, await desk.score(shop))
    with pytest.raises(asyncpg.RaiseError, match="stand"):
        await desk.database.writes.execute(f"UPDATE grievance SET {column} = {column} + interval '1 second'")


async def test_each_clock_escalates_once_at_its_own_moment(desk: Desk) -> None:
    shop = await desk.shop()
    case = await desk.file(shop, await desk.score(shop))
    assert await desk.sweep(NOW + DAY - MINUTE) == []
    assert await desk.sweep(NOW + DAY) == [(case.grievance_id, "acknowledgement")]
    assert await desk.sweep(NOW + DAY) == []
    assert await desk.sweep(NOW + 7 * DAY) == [(case.grievance_id, "resolution")]
    assert await desk.sweep(NOW + 40 * DAY) == [(case.grievance_id, "escalation")]
    assert await desk.sweep(NOW + 41 * DAY) == []
    events = await desk.database.reads.fetch(
        "SELECT data ->> 'clock' AS clock FROM outbox WHERE type = 'grievance.escalated'"
    )
    assert [row["clock"] for row in events] == ["acknowledgement", "resolution", "escalation"]
    shown = await desk.find(case, Party(kind="staff", id=STAFF), at=NOW + 41 * DAY)
    assert shown.escalated == shown.overdue == ("acknowledgement", "resolution", "escalation")


async def test_what_is_done_in_time_is_never_escalated(desk: Desk) -> None:
    shop = await desk.shop()
    case = await desk.file(shop, await desk.score(shop))
    await desk.act("review", case, at=NOW + HOUR)
    assert await desk.sweep(NOW + 2 * DAY) == []
    await desk.act("resolve", case, outcome="explained", resolution="x", at=NOW + 2 * DAY)
    assert await desk.sweep(NOW + 60 * DAY) == []


async def test_a_clock_set_back_gives_no_more_time(desk: Desk) -> None:
    shop = await desk.shop()
    case = await desk.file(shop, await desk.score(shop))
    assert await desk.sweep(NOW + 20 * HOUR) == []
    assert await desk.sweep(NOW + 5 * HOUR) == []  # set back by 15 hours: 20 have passed
    assert await desk.sweep(NOW + 8 * HOUR) == []
    assert await desk.sweep(NOW + 9 * HOUR) == [(case.grievance_id, "acknowledgement")]
    late = await desk.act("acknowledge", case, at=NOW + 10 * HOUR)
    assert late.acknowledged_at == NOW + 25 * HOUR
    assert late.timers[0].missed


async def test_a_case_filed_after_the_clock_was_set_back_has_its_full_time(desk: Desk) -> None:
    shop = await desk.shop()
    score_id = await desk.score(shop)
    await desk.sweep(NOW + 20 * HOUR)
    case = await desk.file(shop, score_id, at=NOW)
    assert await desk.sweep(NOW + 23 * HOUR) == []
    assert await desk.sweep(NOW + 24 * HOUR) == [(case.grievance_id, "acknowledgement")]


async def test_machines_whose_clocks_disagree_by_seconds_set_nothing_back(desk: Desk) -> None:
    shop = await desk.shop()
    await desk.file(shop, await desk.score(shop))
    for at in range(100):
        await desk.sweep(NOW + HOUR + timedelta(seconds=30 * (at % 2)))
    assert await desk.database.reads.fetchval("SELECT set_back FROM grievance_clock") == timedelta()


@given(st.lists(st.integers(-400, 400), min_size=1, max_size=40))
def test_however_the_clock_jumps_a_cases_own_time_never_goes_back_and_never_lags_what_passed(jumps: list[int]) -> None:
    """Between two readings ten minutes pass, and the clock jumps by some minutes, forward or back."""
    read_at, set_back, true = NOW, timedelta(), NOW
    offset = timedelta()
    latest = NOW
    for jump in jumps:
        true += 10 * MINUTE
        offset += jump * MINUTE
        now = true + offset
        set_back = set_back_by(now, read_at=read_at, before=set_back)
        read_at = now if now < read_at - TOLERANCE else max(now, read_at)
        own = legal_now(now, set_back=set_back, at_filing=timedelta())
        assert own >= latest - TOLERANCE
        latest = own
    # Each setting back may hide the ten minutes in which it happened, and no more.
    assert latest >= true - 10 * MINUTE * sum(jump < 0 for jump in jumps) - TOLERANCE


async def test_an_escalation_is_counted_and_shown(desk: Desk) -> None:
    from altcredit.worker import HANDLERS, Work
    from altcredit.worker.grievances import ESCALATED, OVERDUE
    from altcredit.worker.work import Kept

    shop = await desk.shop()
    await desk.file(shop, await desk.score(shop))
    counter = ESCALATED.labels("acknowledgement")
    before = counter._value.get()
    work = Work(platform=desk.platform, clock=lambda: NOW + DAY, kept=Kept())
    for _ in range(2):
        await HANDLERS["grievances.escalate"].run(work, [{}])
    assert counter._value.get() == before + 1
    assert OVERDUE._value.get() == 1
