"""
The true probability of default: many continuations of a shop's life from its hidden state at t, each scored by the
exact label (label.py). The state is forked, not re-estimated, so a continuation has the law of what really happened.
"""

from typing import Protocol, Self, TypeVar

import msgspec
import numpy as np

from altcredit.simulator import label
from altcredit.simulator.label import Queue
from altcredit.simulator.ledger import Credits, Flags, Floats, History, Ints, stack, take
from altcredit.simulator.population import Population

R = TypeVar("R", Queue, Credits)

PATHS_AT_ONCE = 40_000
"""Lines times copies that are simulated together: bounds the memory at about 200 MB."""

WEEKS_AHEAD = 13
"""The first whole number of weeks that covers the horizon of 90 days."""


class Mechanism(Protocol):
    """What makes a ledger: stress.Stress or till.Till. ``written`` counts the bills ever written."""

    population: Population
    day: int
    written: int

    def advance(self, until: int) -> None:
        """Live on to the start of day ``until``, a whole number of weeks ahead."""

    def history(self) -> History:
        """Return what was written since the start or the fork; bills of a fork are numbered on from ``written``."""

    def fork(self, times: int, rng: np.random.Generator) -> Self:
        """Return copies that continue from here with own chance and an empty record."""


class Truth(msgspec.Struct, kw_only=True):
    """
    By shop, at the end of day ``as_of``: in default, eligible for the label, and the true PD of those eligible (else
    NaN). ``defaulted`` is what happened: 1, 0, or -1 where it is not known yet or the shop was not eligible.
    """

    as_of: int
    in_default: Flags
    eligible: Flags
    pd: Floats
    defaulted: Ints


def truth(life: Mechanism, *, paths: int, rng: np.random.Generator) -> Truth:
    """Return the truth as of the end of the day before ``life.day``, the PD from ``paths`` continuations a shop."""
    people, history, t = life.population, life.history(), life.day - 1
    bills, money = label.counted(history)
    floor = label.material(people, history, t)
    now = label.overdue(lines=people.lines, bills=bills, money=money, first=t, last=t)
    in_default = label.by_shop(people, now)[:, 0] >= floor
    eligible = ~in_default & label.can_age(people, bills, money, t)
    opening = _opening(people.lines, bills, money, t)
    bad = np.zeros(people.shops, np.int64)
    done = 0
    while done < paths:
        times = min(paths - done, max(1, PATHS_AT_ONCE // people.lines))
        bad += _defaults(life, opening, floor, times, rng)
        done += times
    pd = np.where(eligible, bad / paths, np.nan)
    unknown = np.full(people.shops, -1)
    return Truth(as_of=t, in_default=in_default, eligible=eligible, pd=pd, defaulted=unknown)


def settle(truth_at: Truth, population: Population, history: History) -> Truth:
    """Return the truth with what happened in the 90 days after it, which the history must cover."""
    seen = label.label(population, history, truth_at.as_of)
    return msgspec.structs.replace(truth_at, defaulted=np.where(truth_at.eligible, seen.defaulted, -1))


def _opening(lines: int, bills: Queue, money: Credits, t: int) -> tuple[Queue, Credits]:
    """
    Return the few rows that give the same balances after t as the whole ledger does: bills that are not paid by t or
    may still be meant by money, what was paid of them, and money that is dated later.
    """
    owed = bills.owed
    total = np.cumsum(owed)
    base = np.concatenate([[0], total])[np.searchsorted(bills.line, np.arange(lines))]
    known = money.day <= t
    paid = np.bincount(money.line[known], money.amount[known], minlength=lines).astype(np.int64)
    open_ = (total - base[bills.line] > paid[bills.line]) | (owed > bills.told)
    closed = np.bincount(bills.line[~open_], owed[~open_], minlength=lines).astype(np.int64)
    none = np.full(lines, -1)
    before = Credits(
        line=np.arange(lines),
        bill=none,
        day=np.full(lines, t),
        amount=paid - closed,
        note=np.zeros(lines, np.bool_),
        returned_on=none,
    )
    return take(bills, open_), stack([before, take(money, ~known)])


def _defaults(
    life: Mechanism, opening: tuple[Queue, Credits], floor: Floats, times: int, rng: np.random.Generator
) -> Ints:
    """Return in how many of ``times`` continuations each shop has a material overdue balance within 90 days."""
    lines, shops, first = life.population.lines, life.population.shops, life.day
    future = life.fork(times, rng)
    future.advance(first + 7 * WEEKS_AHEAD)
    after = future.history()
    earlier = (after.credits.bill >= 0) & (after.credits.bill < life.written)  # bills of before t, all ordinary ones
    late_money = take(after.credits, earlier & (after.credits.returned_on < 0))
    after.credits.bill = np.where(earlier, -1, np.maximum(after.credits.bill - life.written, -1))
    new, money = label.counted(after)
    open_ = _tiled(opening[0], times, lines)
    open_.told = open_.told + _meant(opening[0], late_money, times, lines)
    bills = stack([open_, new])
    bills = take(bills, np.lexsort((np.arange(len(bills)), bills.day, bills.line)))
    money = stack([_tiled(opening[1], times, lines), money])
    last = first - 1 + label.HORIZON
    balance = label.overdue(lines=lines * times, bills=bills, money=money, first=first, last=last)
    late = label.by_shop(future.population, balance) >= np.tile(floor, times)[:, None]
    bad: Ints = late.any(axis=1).reshape(times, shops).sum(axis=0)
    return bad


def _meant(bills: Queue, money: Credits, times: int, lines: int) -> Ints:
    """Return the money that later receipts mean for each earlier bill, copy after copy."""
    order = np.argsort(bills.number)
    at = order[np.searchsorted(bills.number, money.bill, sorter=order)] if len(bills) else money.bill
    cell = money.line // lines * len(bills) + at
    return np.bincount(cell, money.amount, minlength=times * len(bills)).astype(np.int64)


def _tiled(rows: R, times: int, lines: int) -> R:
    copies = take(rows, np.tile(np.arange(len(rows)), times))
    copies.line = copies.line + np.repeat(np.arange(times) * lines, len(rows))
    return copies
