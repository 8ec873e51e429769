"""When a callback that did not arrive is sent again (contract U6)."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

GIVEN_UP_AFTER = timedelta(hours=24)  # from the first try
FIRST_PAUSE = timedelta(seconds=5)
SHORTEST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(hours=1)

State = Literal["pending", "delivered", "failed"]


class Next(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a delivery after an attempt; ``at`` is the next one's time, for a pending delivery."""

    state: State
    at: datetime | None = None


def pause(tries: int, *, chance: float) -> timedelta:
    """
    Return how long to wait after so many failed tries (at least 1): exponential backoff with full jitter.

    The wait is uniform below 5, 10, 20 … seconds, at most an hour, but never under one second. Full jitter, as in
    M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), keeps the callbacks of an outage from
    coming back as one wave. ``chance`` is uniform in [0, 1).
    """
    ceiling = min(FIRST_PAUSE * (1 << min(tries - 1, 20)), LONGEST_PAUSE)
    return max(ceiling * chance, SHORTEST_PAUSE)


def after(
    status: int | None,
    *,
    tries: int,
    gives_up_at: datetime,
    now: datetime,
    chance: float,
    retry_after: float | None = None,
) -> Next:
    """
    Judge an attempt: 2xx is delivered; after anything else another follows, the last one as the time is up.

    :param status: of the answer; None: none came.
    :param tries: since the delivery, or its replay, began, this one included.
    :param retry_after: seconds for which the receiver asks to be left alone; at most an hour of it is granted.
    """
    if status is not None and 200 <= status < 300:
        return Next(state="delivered")
    if now >= gives_up_at:
        return Next(state="failed")
    asked = min(timedelta(seconds=retry_after or 0.0), LONGEST_PAUSE)
    return Next(state="pending", at=min(now + max(pause(tries, chance=chance), asked), gives_up_at))
