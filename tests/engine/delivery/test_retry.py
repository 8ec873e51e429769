"""When a callback is sent again: at growing, scattered pauses, for 24 hours."""

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from altcredit.engine.delivery.callback import ANSWER_CHARACTERS, shown
from altcredit.engine.delivery.retry import GIVEN_UP_AFTER, after, pause

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
CHANCES = st.floats(min_value=0, max_value=1, exclude_max=True)
NO_SUCCESS = st.one_of(st.none(), st.integers(100, 199), st.integers(300, 599))


@given(st.integers(1, 10_000), CHANCES)
def test_a_pause_is_a_second_to_an_hour_and_below_its_ceiling(tries: int, chance: float) -> None:
    ceiling = min(5.0 * 2.0 ** min(tries - 1, 30), 3600.0)
    assert 1 <= pause(tries, chance=chance).total_seconds() <= max(ceiling, 1.0)


@given(st.integers(1, 30), st.integers(1, 30), CHANCES)
def test_pauses_do_not_shrink_as_tries_grow(one: int, other: int, chance: float) -> None:
    fewer, more = sorted((one, other))
    assert pause(fewer, chance=chance) <= pause(more, chance=chance)


def test_the_jitter_is_full() -> None:
    assert pause(8, chance=0.0) == timedelta(seconds=1)
    assert pause(8, chance=0.5) == timedelta(seconds=320)
    assert pause(40, chance=0.5) == timedelta(minutes=30)


@given(st.lists(NO_SUCCESS, min_size=1, max_size=8), st.integers())
def test_a_dead_receiver_is_tried_for_exactly_24_hours(statuses: list[int | None], seed: int) -> None:
    chance = random.Random(seed).random
    now, gives_up_at, pauses = START, START + GIVEN_UP_AFTER, []
    for tries in range(1, 5_000):
        status = statuses[tries % len(statuses)]
        then = after(status, tries=tries, gives_up_at=gives_up_at, now=now, chance=chance())
        if then.state == "failed":
            break
        assert then.at is not None
        assert now < then.at <= gives_up_at
        pauses.append(then.at - now)
        now = then.at
    assert (then.state, then.at, now) == ("failed", None, gives_up_at)
    assert max(pauses) <= timedelta(hours=1)
    assert 30 < len(pauses) < 200


@given(st.integers(200, 299), st.integers(1, 100), st.integers(-10, 100_000), CHANCES)
def test_2xx_is_delivered_even_as_the_time_is_over(status: int, tries: int, seconds: int, chance: float) -> None:
    now = START + timedelta(seconds=seconds)
    then = after(status, tries=tries, gives_up_at=START, now=now, chance=chance)
    assert (then.state, then.at) == ("delivered", None)


@given(st.binary(max_size=700).map(lambda body: 4 * body) | st.text(max_size=700).map(lambda text: 4 * text.encode()))
def test_what_is_shown_of_an_answer_is_short_and_prints(body: bytes) -> None:
    text = shown(body)
    assert len(text) <= ANSWER_CHARACTERS
    assert text.isprintable()
    text.encode()


def test_control_characters_are_spelt_out() -> None:
    assert shown(b"ok\x1b[31m\n\x00\xff") == "ok\\x1b[31m\\n\\x00\\xff"
    assert shown("caf\u00e9 \u202egnp".encode()) == "café \\u202egnp"


def test_a_receiver_that_names_a_time_is_left_alone_until_then_or_for_an_hour() -> None:
    given = {"tries": 1, "gives_up_at": START + GIVEN_UP_AFTER, "now": START, "chance": 0.5}
    assert after(503, retry_after=90.0, **given).at == START + timedelta(seconds=90)
    assert after(503, retry_after=0.0, **given).at == START + timedelta(seconds=2.5)
    assert after(429, retry_after=86_400.0, **given).at == START + timedelta(hours=1)
    assert after(204, retry_after=90.0, **given).state == "delivered"
    late = given | {"now": START + GIVEN_UP_AFTER - timedelta(seconds=5)}
    assert after(503, retry_after=90.0, **late).at == START + GIVEN_UP_AFTER
