"""The festival calendar (festivals.toml), as seasons of days."""

import tomllib
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from typing import Final

LOOK_BACK_DAYS: Final = 400
"""Far enough back to hold one whole Diwali season, wherever in the year the day is."""


@cache
def seasons() -> tuple[tuple[date, date], ...]:
    """Return every season as its first and last day."""
    text = (files("altcredit.pipeline.features") / "festivals.toml").read_text()
    return tuple(
        (day - timedelta(days=festival["days_before"]), day + timedelta(days=festival["days_after"]))
        for festival in tomllib.loads(text).values()
        for day in festival["dates"]
    )


def recent_seasons(as_of: date) -> tuple[tuple[date, date], ...]:
    """Return the seasons that have begun by ``as_of`` and ended at most 400 days before it."""
    earliest = as_of - timedelta(days=LOOK_BACK_DAYS)
    return tuple((first, last) for first, last in seasons() if first <= as_of and last >= earliest)
