"""
The definition of default, exactly as contract A9 has it, on the true ledger.

Money is applied in order of time within a line (a shop's account with one distributor): the first money pays the
oldest bill, whatever it was meant for. Cash bills and disputed bills, the money that settled them, and returned
payments are left out. A bill whose rest is at most max(₹100, 2 %) of it counts as closed; where the money meant for a
bill leaves no more than that, the rest is written off, so that many small residues are no arrear.

Written from the contract, apart from the pipeline's own labels; tests/simulator/test_agreement.py holds the two equal.
"""

import msgspec
import numpy as np

from altcredit.simulator.ledger import Bills, Credits, Flags, Floats, History, Ints, take
from altcredit.simulator.population import Population

DAYS_PAST_DUE, HORIZON = 30, 90
MATERIAL_FLOOR, MATERIAL_SHARE = 1_000_00, 0.10
RESIDUE_FLOOR, RESIDUE_SHARE = 100_00, 0.02
GMV_DAYS = 180


class Labels(msgspec.Struct, kw_only=True):
    """By shop: the state at t, and whether it defaulted on any of the 90 days after it."""

    in_default: Flags
    eligible: Flags
    defaulted: Flags


class Queue(msgspec.Struct, kw_only=True):
    """The bills that can age, by line and day; ``told`` is the money that was meant for each."""

    line: Ints
    number: Ints
    day: Ints
    due: Ints
    amount: Ints
    told: Ints

    def __len__(self) -> int:
        return len(self.line)

    @property
    def tolerance(self) -> Floats:
        """What may be left of a bill that counts as closed."""
        tolerance: Floats = np.maximum(RESIDUE_FLOOR, RESIDUE_SHARE * self.amount)
        return tolerance

    @property
    def owed(self) -> Ints:
        """The amount of a bill without a residue that was written off."""
        rest = self.amount - self.told
        owed: Ints = np.where((rest > 0) & (rest <= self.tolerance), self.told, self.amount)
        return owed


def counted(history: History) -> tuple[Queue, Credits]:
    """Return the bills that can age, and the money that pays such bills or none in particular."""
    bills, money = history.bills, history.credits
    ages = ~(bills.cash | bills.disputed)
    number = np.flatnonzero(ages)
    number = number[np.lexsort((number, bills.day[number], bills.line[number]))]
    named = money.bill >= 0
    pays = ~named
    pays[named] = ages[money.bill[named]]
    money = take(money, pays & (money.returned_on < 0))
    meant = money.bill >= 0
    told = np.bincount(money.bill[meant], money.amount[meant], minlength=len(bills)).astype(np.int64)
    return queue(bills, number, told), money


def queue(bills: Bills, at: Ints, told: Ints) -> Queue:
    """Return the bills at the positions ``at`` (in order of line and day); ``told`` is by position, too."""
    return Queue(
        line=bills.line[at], number=at, day=bills.day[at], due=bills.due[at], amount=bills.amount[at], told=told[at]
    )


def overdue(*, lines: int, bills: Queue, money: Credits, first: int, last: int) -> Ints:
    """
    Return the balance at least 30 days past due of each line (rows) on each day from ``first`` to ``last`` (columns).

    ``bills`` are sorted by line and day, and fall due in that order; both tables hold only what counts.
    """
    days, owed = last - first + 1, bills.owed
    total = np.concatenate([[0], np.cumsum(owed)])
    base = total[np.searchsorted(bills.line, np.arange(lines))]
    aged = _by_day(lines, days, bills.line, bills.due + DAYS_PAST_DUE - first, owed)
    paid = _by_day(lines, days, money.line, money.day - first, money.amount)
    balance = aged - paid
    row, column = np.nonzero(balance > 0)
    reached = base[row] + paid[row, column]
    partly = np.searchsorted(total[1:], reached, side="right")  # the oldest bill that is not wholly paid
    rest = total[partly + 1] - reached
    balance[row, column] -= np.where(rest <= bills.tolerance[partly], rest, 0)
    open_balance: Ints = np.maximum(balance, 0)
    return open_balance


def _by_day(lines: int, days: int, line: Ints, at: Ints, amount: Ints) -> Ints:
    """Return running totals by line and day; what came before the first day counts on it."""
    seen = at < days
    cell = line[seen] * days + np.maximum(at[seen], 0)
    sums = np.bincount(cell, weights=amount[seen], minlength=lines * days)  # exact: far below 2**53 paise
    totals = np.cumsum(sums.astype(np.int64).reshape(lines, days), axis=1)
    return totals.astype(np.int64, copy=False)


def material(population: Population, history: History, t: int) -> Floats:
    """Return each shop's floor of a material balance: max(₹1,000, 10 % of its mean monthly net GMV in 180 days)."""
    shops, shop = population.shops, population.shop
    bills, money = history.bills, history.credits
    recent = (bills.day > t - GMV_DAYS) & (bills.day <= t)
    notes = money.note & (money.day > t - GMV_DAYS) & (money.day <= t)
    net = np.bincount(shop[bills.line[recent]], bills.amount[recent], minlength=shops)
    net -= np.bincount(shop[money.line[notes]], money.amount[notes], minlength=shops)
    first = np.full(shops, t)
    np.minimum.at(first, shop[bills.line], np.minimum(bills.day, t))
    months = np.clip((t - first) / 30, 1, GMV_DAYS / 30)
    return np.maximum(MATERIAL_FLOOR, MATERIAL_SHARE * net / months)


def by_shop(population: Population, by_line: Ints) -> Ints:
    """Return the sums over each shop's lines (rows are lines, ascending by shop)."""
    sums: Ints = np.add.reduceat(by_line, np.searchsorted(population.shop, np.arange(population.shops)))
    return sums


def can_age(population: Population, bills: Queue, money: Credits, t: int) -> Flags:
    """Return which shops have, at the end of day t, an open bill that can be 30 days past due within 90 days."""
    bills = take(bills, bills.day <= t)
    total = np.cumsum(bills.owed)
    base = np.concatenate([[0], total])[np.searchsorted(bills.line, np.arange(population.lines))]
    seen = money.day <= t
    paid = np.bincount(money.line[seen], money.amount[seen], minlength=population.lines).astype(np.int64)
    rest = total - base[bills.line] - paid[bills.line]
    open_ = (rest > bills.tolerance) & (bills.due + DAYS_PAST_DUE <= t + HORIZON)
    shops = np.zeros(population.shops, np.bool_)
    shops[population.shop[bills.line[open_]]] = True
    return shops


def label(population: Population, history: History, t: int) -> Labels:
    """Return every shop's label as of the end of day ``t``; the history must reach day t + 90."""
    bills, money = counted(history)
    floor = material(population, history, t)
    balance = overdue(lines=population.lines, bills=bills, money=money, first=t, last=t + HORIZON)
    late = by_shop(population, balance) >= floor[:, None]
    in_default = late[:, 0]
    eligible = ~in_default & can_age(population, bills, money, t)
    return Labels(in_default=in_default, eligible=eligible, defaulted=eligible & late[:, 1:].any(axis=1))
