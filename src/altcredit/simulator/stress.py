"""
Mechanism A: a shop's stress is a hidden process, and every habit follows from it.

Stress is mean-reverting (Ornstein-Uhlenbeck, weekly steps) around the shop's own level, with rare shocks. A due bill
is paid with a hazard of 1 / m(stress) a day, m = exp(0.45 + 1.15·stress) days. Because the exponential waiting time has
no memory, the state at the end of a week is stress, open bills and next order days, nothing else: a continuation drawn
from it has exactly the law of the original (see truth.py).
"""

import numpy as np

from altcredit.simulator import population as people
from altcredit.simulator import seasons
from altcredit.simulator.ledger import Bills, Credits, Flags, Floats, History, Ints, no_bills, no_credits, stack
from altcredit.simulator.population import Population

STEP = 7
"""Days a step; as-of days of the truth lie on this grid."""

PERSISTENCE, NOISE = 0.94, 0.16
SHOCK_A_WEEK, SHOCK_SIZE = 0.009, 1.5
LEVEL_MEAN, LEVEL_SPREAD = 0.50, 0.80
CLOSING_A_WEEK = 0.0002
UNEVEN = 0.33
"""Spread of the logarithm of the time between orders."""

DISPUTED, SHORT_PAID = 0.008, 0.03


class _Open:
    """Bills that wait for money: line, bill number, rest in paise, and the day from which they may be paid."""

    __slots__ = ("bill", "clock", "line", "rest")

    def __init__(self, line: Ints, bill: Ints, rest: Ints, clock: Ints) -> None:
        self.line, self.bill, self.rest, self.clock = line, bill, rest, clock

    def take(self, mask: Flags) -> "_Open":
        return _Open(self.line[mask], self.bill[mask], self.rest[mask], self.clock[mask])

    def tiled(self, times: int, lines: int) -> "_Open":
        offset = np.repeat(np.arange(times) * lines, len(self.line))
        return _Open(
            np.tile(self.line, times) + offset, *(np.tile(c, times) for c in (self.bill, self.rest, self.clock))
        )


def _joined(parts: list[_Open]) -> _Open:
    none = np.empty(0, np.int64)
    parts = parts or [_Open(none, none, none, none)]
    return _Open(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("line", "bill", "rest", "clock")))


def mean_delay(stress: Floats) -> Floats:
    """Return the mean days from the due date to the money, by stress: 0 → 1.6, 1 → 5, 2 → 16, 3 → 49."""
    return np.exp(0.45 + 1.15 * np.minimum(stress, 4.0))


class Stress:
    """A population under mechanism A, from the day ``start``; ``advance`` moves it on in whole weeks."""

    def __init__(self, population: Population, *, start: int, rng: np.random.Generator) -> None:
        self.population, self.day, self._rng = population, start, rng
        self._start = start
        shops, lines = population.shops, population.lines
        self._level = rng.normal(LEVEL_MEAN, LEVEL_SPREAD, shops)
        spread = NOISE / np.sqrt(1 - PERSISTENCE**2)
        self.stress = self._level + rng.normal(0, spread, shops)
        self.closed = np.zeros(shops, np.bool_)
        self._opened = population.opened[np.searchsorted(population.shop, np.arange(shops))]
        self._lead = rng.integers(0, 4, lines)
        self._next = (population.opened + rng.random(lines) * population.gap).astype(np.int64)
        self._waiting: dict[int, list[_Open]] = {}
        self._active = _joined([])
        self._season_from = 0
        self._season, self._diwali = np.empty(0), np.empty((0, 0))
        self._bills: list[Bills] = []
        self._credits: list[Credits] = []
        self.written = 0

    def advance(self, until: int) -> None:
        """Live on to the start of day ``until`` (a whole number of weeks after the start)."""
        assert (until - self.day) % STEP == 0
        self._season_from = self.day - STEP
        self._season = seasons.ordinary_season(self._season_from, until)
        self._diwali = seasons.diwali_strength(self._season_from, until)
        while self.day < until:
            self._drift()
            self._order(self.day + STEP)
            self._pay(self.day + STEP)
            self.day += STEP

    def history(self) -> History:
        """Return all that was written so far, in order of the weeks."""
        return History(bills=stack([no_bills(), *self._bills]), credits=stack([no_credits(), *self._credits]))

    def fork(self, times: int, rng: np.random.Generator) -> "Stress":
        """Return ``times`` copies that continue from here with own chance and an empty record."""
        twin = object.__new__(Stress)
        twin.population, twin.day, twin._rng = people.copies(self.population, times), self.day, rng
        twin._start = self._start
        for name in ("_level", "stress", "closed", "_opened", "_lead", "_next"):
            setattr(twin, name, np.tile(getattr(self, name), times))
        lines = self.population.lines
        twin._waiting = {week: [p.tiled(times, lines) for p in parts] for week, parts in self._waiting.items()}
        twin._active = self._active.tiled(times, lines)
        twin._bills, twin._credits, twin.written = [], [], self.written
        return twin

    def _drift(self) -> None:
        rng, shops = self._rng, self.population.shops
        self.stress = self._level + PERSISTENCE * (self.stress - self._level) + rng.normal(0, NOISE, shops)
        shocked = np.flatnonzero(rng.random(shops) < SHOCK_A_WEEK)
        self.stress[shocked] += rng.exponential(SHOCK_SIZE, len(shocked))
        closing = rng.random(shops) < CLOSING_A_WEEK * np.exp(np.clip(self.stress, -2, 3))
        self.closed |= closing & (self._opened <= self.day)

    def _order(self, end: int) -> None:
        while True:
            line = np.flatnonzero(self._next < end)
            if not len(line):
                return
            shop = self.population.shop[line]
            stress = self.stress[shop]
            day = self._next[line]
            uneven = self._rng.normal(-(UNEVEN**2) / 2, UNEVEN, len(line))
            wait = self.population.gap[line] * np.exp(0.12 * np.maximum(stress, 0) + uneven)
            held = (stress > 1.8) & (self._rng.random(len(line)) < 0.15)  # the distributor stops supply for a while
            wait += np.where(held, 2 * self.population.gap[line], 0)
            self._next[line] = day + np.maximum(1, np.rint(wait)).astype(np.int64)
            trading = ~self.closed[shop]
            if trading.any():
                self._bill(line[trading], day[trading], stress[trading])

    def _bill(self, line: Ints, day: Ints, stress: Floats) -> None:
        p, rng, n = self.population, self._rng, len(line)
        shop, at = p.shop[line], day - self._season_from
        season = self._season[at] * (1 + (p.lift[shop] - 1) * self._diwali[p.run_up[shop], at])
        months = (day - self._start) / 30.4
        size = p.bill[line] * np.exp(rng.normal(0, 0.35, n) + np.log1p(p.growth[shop]) * months)
        size *= season * (1 - 0.06 * np.clip(stress, 0, 4))
        unit = np.where(p.paise[line], 1, 100)
        amount = (np.rint(np.clip(size, people.BILL_MIN, people.BILL_MAX) / unit) * unit).astype(np.int64)
        chance = rng.random((3, n))
        cash = chance[0] < p.cash[line]
        disputed = ~cash & (chance[1] < DISPUTED)
        number = self.written + np.arange(n)
        self.written += n
        due = day + np.where(cash, 0, p.terms[line])
        self._bills.append(Bills(line=line, day=day, due=due, amount=amount, cash=cash, disputed=disputed))
        if cash.any():
            self._record(line[cash], number[cash], day[cash], amount[cash])
        rest = amount - self._send_back(line, number, day, amount, stress, ordinary=~cash & ~disputed, chance=chance[2])
        self._settle_disputes(line, number, day, amount, disputed)
        owed = ~cash & ~disputed & (rest > 0)
        clock = np.maximum(day, due - self._lead[line])
        self._queue(_Open(line, number, rest, clock).take(owed))

    def _send_back(
        self, line: Ints, number: Ints, day: Ints, amount: Ints, stress: Floats, *, ordinary: Flags, chance: Floats
    ) -> Ints:
        """Write credit notes for goods sent back; 1-4 % of value in good times, to 15 % under stress."""
        rate = self.population.returns[self.population.shop[line]] + np.clip(0.045 * (stress - 0.9), 0, 0.11)
        back = ordinary & (chance < rate / 0.3)
        returned = np.zeros(len(line), np.int64)
        k = int(back.sum())
        if k:
            share = self._rng.uniform(0.1, 0.5, k)
            returned[back] = np.maximum(100, (amount[back] * share / 100).astype(np.int64) * 100)
            on = day[back] + self._rng.integers(1, 9, k)
            self._record(line[back], number[back], on, returned[back], note=True)
        return returned

    def _settle_disputes(self, line: Ints, number: Ints, day: Ints, amount: Ints, disputed: Flags) -> None:
        """Half of the disputes end in a credit note over the whole bill, weeks later; the others stay open."""
        settled = disputed & (number % 2 == 0)
        if settled.any():
            on = day[settled] + self._rng.integers(20, 90, int(settled.sum()))
            self._record(line[settled], number[settled], on, amount[settled], note=True)

    def _queue(self, bills: _Open) -> None:
        week = np.maximum(bills.clock - self.day, 0) // STEP + (self.day - self._start) // STEP
        for w in np.unique(week):
            self._waiting.setdefault(int(w), []).append(bills.take(week == w))

    def _pay(self, end: int) -> None:
        due = self._waiting.pop((self.day - self._start) // STEP, [])
        bills = _joined([self._active, *due])
        shop = self.population.shop[bills.line]
        stress = self.stress[shop]
        start = np.maximum(bills.clock, self.day)
        paid_on = start + self._rng.exponential(mean_delay(stress)).astype(np.int64)
        paying = (paid_on < end) & ~self.closed[shop]
        self._active = bills.take(~paying)
        if paying.any():
            self._collect(bills.take(paying), paid_on[paying], stress[paying])

    def _collect(self, bills: _Open, day: Ints, stress: Floats) -> None:
        p, rng, n = self.population, self._rng, len(day)
        visit = p.visit[bills.line]
        day = np.where(visit >= 0, day + (visit - day) % 7, day)  # money is handed over when the salesman comes
        chance = rng.random((4, n))
        burden = np.clip(stress, 0, 3)
        in_part = chance[0] < p.parts[p.shop[bills.line]] * (0.5 + 0.5 * burden)
        bounced = chance[1] < 0.003 + 0.012 * burden
        short = ~in_part & (chance[2] < SHORT_PAID)
        share = np.where(in_part, 0.25 + 0.5 * chance[3], np.where(short, 1 - 0.015 * chance[3], 1.0))
        amount = np.where(share < 1, np.maximum(100, (bills.rest * share / 100).astype(np.int64) * 100), bills.rest)
        amount = np.minimum(amount, bills.rest)
        back_on = np.where(bounced, day + 3 + (chance[3] * 5).astype(np.int64), -1)
        self._record(bills.line, bills.bill, day, amount, returned_on=back_on)
        rest = np.where(bounced, bills.rest, np.where(short, 0, bills.rest - amount))
        clock = np.where(bounced, back_on + 2, day + 2)
        self._queue_again(_Open(bills.line, bills.bill, rest, clock).take(rest > 0))

    def _queue_again(self, bills: _Open) -> None:
        """Bring the rest back next week at the earliest, so that this week's draw is not repeated."""
        bills.clock = np.maximum(bills.clock, self.day + STEP)
        self._queue(bills)

    def _record(
        self, line: Ints, bill: Ints, day: Ints, amount: Ints, *, note: bool = False, returned_on: Ints | None = None
    ) -> None:
        n = len(line)
        back = np.full(n, -1, np.int64) if returned_on is None else returned_on
        row = Credits(line=line, bill=bill, day=day, amount=amount, note=np.full(n, note), returned_on=back)
        self._credits.append(row)
