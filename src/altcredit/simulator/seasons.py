"""The Indian trade year: Diwali and the smaller festivals lift orders, the monsoon dampens them."""

from datetime import date, timedelta

import numpy as np

from altcredit.simulator.ledger import Floats

EPOCH = date(1970, 1, 1)

DIWALI = tuple(
    date.fromisoformat(day)
    for day in (
        *("2017-10-19", "2018-11-07", "2019-10-27", "2020-11-14", "2021-11-04", "2022-10-24", "2023-11-12"),
        *("2024-11-01", "2025-10-20", "2026-11-08", "2027-10-29", "2028-10-17", "2029-11-05", "2030-10-26"),
    )
)
"""Lakshmi Puja by year."""

LIFT_WEEKS = (4, 5, 6)
"""Lengths of the run-up to Diwali that a shop may have."""

SMALL_FESTIVALS = ((1, 14), (3, 10), (8, 25), (9, 12))
"""Sankranti, Holi, Raksha Bandhan and Ganesh Chaturthi, as month and day (they move by a few days a year)."""


def day_number(day: date) -> int:
    """Return the whole days from 1970-01-01 to ``day``."""
    return (day - EPOCH).days


def calendar_day(number: int) -> date:
    """Return the date that is ``number`` days after 1970-01-01."""
    return EPOCH + timedelta(days=int(number))


def diwali_strength(first: int, last: int) -> Floats:
    """Return, for each of the run-ups in LIFT_WEEKS and each day from ``first`` to ``last``, 0 (none) to 1 (full)."""
    days = np.arange(first, last + 1, dtype=np.float64)
    strength = np.zeros((len(LIFT_WEEKS), len(days)))
    for row, weeks in enumerate(LIFT_WEEKS):
        for feast in DIWALI:
            before = day_number(feast) - days
            rising = np.clip((weeks * 7 - before) / 7, 0, 1)  # one week to build up
            strength[row] = np.maximum(strength[row], np.where(before >= 0, rising, np.clip(1 + before / 4, 0, 1)))
    return strength


def ordinary_season(first: int, last: int) -> Floats:
    """Return the factor that the rest of the year puts on orders, for each day: small festivals and the monsoon."""
    factor = np.ones(last - first + 1)
    for offset in range(len(factor)):
        day = calendar_day(first + offset)
        near = min(abs((day - date(day.year, month, start)).days) for month, start in SMALL_FESTIVALS)
        factor[offset] *= 1.12 if near <= 5 else 1.0
        factor[offset] *= {7: 0.90, 8: 0.88}.get(day.month, 1.0)
    return factor
