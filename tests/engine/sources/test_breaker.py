import pytest
from hypothesis import given
from hypothesis import strategies as st

from altcredit.engine.sources import Breaker


def _opened() -> Breaker:
    breaker = Breaker(failures=3, pause=10)
    for _ in range(3):
        assert breaker.admits(0)
        breaker.failed(0)
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(failures=3, pause=10)
    for _ in range(10):
        breaker.failed(0)
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.state(0) == "closed"
    assert _opened().state(9.9) == "open"


def test_after_the_pause_one_trial_is_let_through() -> None:
    breaker = _opened()
    assert not breaker.admits(9.9)
    assert breaker.state(10) == "half_open"
    assert [breaker.admits(10), breaker.admits(10), breaker.admits(11)] == [True, False, False]


def test_the_trial_decides() -> None:
    breaker = _opened()
    breaker.admits(10)
    breaker.failed(10.5)
    assert breaker.state(20) == "open"
    assert breaker.admits(20.5)
    breaker.succeeded()
    assert breaker.state(20.5) == "closed"


def test_an_abandoned_trial_makes_room_for_another() -> None:
    breaker = _opened()
    assert breaker.admits(10)
    breaker.abandoned()
    assert breaker.admits(10)


@given(st.lists(st.tuples(st.sampled_from(["ok", "fail", "abandon", "wait"]), st.floats(0, 30)), max_size=60))
def test_it_never_locks_a_source_out_for_good(steps: list[tuple[str, float]]) -> None:
    breaker, now = Breaker(failures=3, pause=10), 0.0
    for what, seconds in steps:
        now += seconds
        if what != "wait" and breaker.admits(now):
            {"ok": breaker.succeeded, "fail": lambda: breaker.failed(now), "abandon": breaker.abandoned}[what]()  # noqa: B023
    now += 10
    assert breaker.admits(now)
    breaker.succeeded()
    assert breaker.state(now) == "closed"


@pytest.mark.parametrize("late", ["failed", "succeeded"])
def test_late_news_of_a_question_from_before_the_opening_is_harmless(late: str) -> None:
    breaker = _opened()
    breaker.succeeded() if late == "succeeded" else breaker.failed(5)
    assert breaker.state(10) == ("closed" if late == "succeeded" else "half_open")
