"""
Mechanism B: money and goods, day by day. Nobody is "stressed" here; a shop pays late because its till is empty.

Customers take goods from the shelf, some on tick; what they pay, and slowly pay back, is the till. Rent, the family and
now and then a wedding or an illness are paid from it first. The rest pays distributors, in a fixed order of importance
and each one's oldest bill first, as far as it goes. Empty shelves are refilled, unless the distributor has stopped
supply because of old debt; then the shop lives on goods bought elsewhere for cash, at a lower margin. Slumps (a rival
next door, a dug-up road) come and go as a two-state chain.

It shares with mechanism A the population and the calendar, and nothing else: features that work on both were not
merely graded by the assumptions of one author.
"""

import numpy as np

from altcredit.simulator import population as people
from altcredit.simulator import seasons
from altcredit.simulator.ledger import Bills, Credits, Flags, Floats, History, Ints, no_bills, no_credits, stack, take
from altcredit.simulator.population import Population

RING = 64
"""Days that the diary of payments holds: terms, habit and the patience of distributors together stay below."""

PATIENCE = 20
"""Days after which an unpaid bill stops supply."""

SLUMP_BEGINS, SLUMP_ENDS, SLUMP_SALES = 1 / 420, 1 / 60, 0.55
EMERGENCY, EMERGENCY_DAYS = 1 / 300, 18.0
"""Chance a day of a great private expense, and its mean in days of sales."""

RESCUE = 1 / 45
"""Chance a day that somebody fills the hole in the till."""

LIVING_MEAN, LIVING_SPREAD = 0.70, 0.18
"""Fixed expenses as a share of what a normal day earns."""

SAVINGS_DAYS = 6.0
"""Median of what a shop keeps in the till, in days of sales; more than that goes home."""

WEEKDAYS = np.array([1.0, 0.95, 0.95, 1.0, 1.1, 1.25, 0.75])

TILED = (
    "cash",
    "stock",
    "tick",
    "slump",
    "_margin",
    "_living",
    "_savings",
    "_tick_share",
    "_diary",
    "_habit",
    "_due",
    "_old",
    "_paid",
)


class Till:
    """A population under mechanism B, from the day ``start``; ``advance`` moves it on."""

    def __init__(self, population: Population, *, start: int, rng: np.random.Generator) -> None:
        self.population, self.day, self._rng, self._start, self.written = population, start, rng, start, 0
        shops, lines = population.shops, population.lines
        self._margin = rng.uniform(0.11, 0.20, shops)
        self._living = np.clip(rng.normal(LIVING_MEAN, LIVING_SPREAD, shops), 0.3, 1.3)
        self._savings = np.clip(rng.lognormal(np.log(SAVINGS_DAYS), 0.6, shops), 1.0, 40.0)
        self._tick_share = rng.uniform(0.05, 0.40, shops)
        self._habit = rng.integers(-2, 6, lines)
        self.cash = rng.exponential(4, shops) * self._shop_sum(self._daily())
        self.stock = self._daily() * population.gap * rng.uniform(0.1, 1.0, lines)
        self.tick = self._tick_share * self._shop_sum(self._daily()) * 15
        self.slump = rng.random(shops) < SLUMP_BEGINS / (SLUMP_BEGINS + SLUMP_ENDS)
        self._diary = np.zeros((lines, RING), np.int64)
        self._due, self._old, self._paid = (np.zeros(lines, np.int64) for _ in range(3))
        self._forked = False
        self._ranks = self._by_importance()
        self._bills: list[Bills] = []
        self._owed: list[Ints] = []
        self._credits: list[Credits] = []
        self._payments: list[tuple[Ints, int, Ints]] = []

    def advance(self, until: int) -> None:
        """Live on to the start of day ``until``."""
        season = seasons.ordinary_season(self.day, until)
        diwali = seasons.diwali_strength(self.day, until)
        first, p = self.day, self.population
        while self.day < until:
            at = self.day - first
            lift = 1 + (p.lift - 1) * diwali[p.run_up, at]
            self._trade(season[at] * lift * WEEKDAYS[(self.day + 3) % 7])
            self._refill()
            self._pay()
            self.day += 1

    def fork(self, times: int, rng: np.random.Generator) -> "Till":
        """Return ``times`` copies that continue from here with own chance and an empty record."""
        twin = object.__new__(Till)
        twin.population, twin.day, twin._rng = people.copies(self.population, times), self.day, rng
        twin._start, twin.written, twin._forked = self._start, self.written, True
        for name in TILED:
            column = getattr(self, name)
            setattr(twin, name, np.tile(column, (times, 1) if column.ndim == 2 else times))
        twin._ranks = twin._by_importance()
        twin._bills, twin._owed, twin._credits, twin._payments = [], [], [], []
        return twin

    def history(self) -> History:
        """Return all that was written so far; in a fork, payments do not say which bills they settle."""
        bills = stack([no_bills(), *self._bills])
        money = [no_credits(), *self._credits]
        if self._payments:
            line = np.concatenate([line for line, _, _ in self._payments])
            day = np.concatenate([np.full(len(line), day) for line, day, _ in self._payments])
            amount = np.concatenate([amount for _, _, amount in self._payments])
            money.append(_payment(line, np.full(len(line), -1), day, amount))
            if not self._forked:
                money[-1] = _allocated(bills, np.concatenate(self._owed), money[-1])
        return History(bills=bills, credits=stack(money))

    def _daily(self) -> Floats:
        """Return the cost of the goods that a line's customers take on a normal day, in paise."""
        return self.population.bill / self.population.gap

    def _shop_sum(self, by_line: Floats) -> Floats:
        return np.bincount(self.population.shop, by_line, minlength=self.population.shops).astype(
            np.float64, copy=False
        )

    def _by_importance(self) -> list[tuple[Ints, Ints]]:
        """Return lines and their shops: each shop's first line to be paid, then the second ones, and so on."""
        shop = self.population.shop
        rank = np.arange(len(shop)) - np.searchsorted(shop, shop)
        return [(lines, shop[lines]) for r in range(int(rank.max()) + 1) for lines in [np.flatnonzero(rank == r)]]

    def _trade(self, season: Floats) -> None:
        p, rng = self.population, self._rng
        chance = rng.random((3, p.shops))
        self.slump ^= chance[0] < np.where(self.slump, SLUMP_ENDS, SLUMP_BEGINS)
        months = (self.day - self._start) / 30.4
        mood = season * np.exp(np.log1p(p.growth) * months) * np.where(self.slump, SLUMP_SALES, 1.0)
        mood *= rng.gamma(8, 1 / 8, p.shops)
        normal = self._daily() * (p.opened <= self.day)
        wanted = normal * mood[p.shop]
        sold = np.minimum(wanted, self.stock)
        self.stock = self.stock - sold
        stopped = self._stopped()
        elsewhere = np.where(stopped, 0.7 * (wanted - sold) * self._margin[p.shop], 0.0)
        takings = self._shop_sum(sold) * (1 + self._margin)
        repaid = self.tick * np.where(self.slump, 0.02, 0.05)
        self.tick = self.tick + self._tick_share * takings - repaid
        # In hard times a family lives on less; what it cannot do without is borrowed: the till goes below zero.
        thrift = np.where(self.cash < 0, 0.6, 1.0)
        living = self._living * thrift * self._margin * self._shop_sum(normal)
        great = np.where(chance[1] < EMERGENCY, rng.exponential(EMERGENCY_DAYS, p.shops) * self._shop_sum(normal), 0.0)
        self.cash = self.cash + (1 - self._tick_share) * takings + repaid + self._shop_sum(elsewhere) - living - great
        # Sooner or later gold is pawned or a brother helps, and the hole and the arrears can be filled.
        hole = np.maximum(-self.cash, 0) + self._shop_sum(np.where(stopped, self._old - self._paid, 0))
        rescued = (hole > 0) & (chance[2] < RESCUE)
        self.cash += np.where(rescued, rng.uniform(0.6, 1.6, p.shops) * hole, 0.0)
        owing = self._shop_sum((self._due > self._paid).astype(np.float64)) > 0
        surplus = np.where(owing, 0.0, np.maximum(self.cash - self._savings * self._shop_sum(normal), 0))
        self.cash -= 0.15 * surplus

    def _stopped(self) -> Flags:
        """Tell where supply is stopped: half a usual bill or more is older than the distributor's patience."""
        return self._old - self._paid > 0.5 * self.population.bill

    def _refill(self) -> None:
        p, rng = self.population, self._rng
        low = self.stock < 0.35 * self._daily() * p.gap
        line = np.flatnonzero(low & (p.opened <= self.day) & ~self._stopped() & (rng.random(p.lines) < 0.7))
        if not len(line):
            return
        n, shop = len(line), p.shop[line]
        months = (self.day - self._start) / 30.4
        size = 1.15 * p.bill[line] * np.exp(rng.normal(0, 0.3, n) + np.log1p(p.growth[shop]) * months)
        size *= np.where(self.slump[shop], 0.75, 1.0)
        unit = np.where(p.paise[line], 1, 100)
        amount = (np.rint(np.clip(size, people.BILL_MIN, people.BILL_MAX) / unit) * unit).astype(np.int64)
        self.stock[line] += amount
        chance = rng.random((3, n))
        cash = (chance[0] < p.cash[line]) & (self.cash[shop] > amount)
        disputed = ~cash & (chance[1] < 0.01)
        back = self._spoiled(amount, shop, chance[2], ~cash & ~disputed)
        self._write(line, amount, back, cash, disputed)

    def _spoiled(self, amount: Ints, shop: Ints, chance: Floats, ordinary: Flags) -> Ints:
        """Return what is sent back of each bill: goods that do not sell, so more of them in a slump."""
        rate = self.population.returns[shop] * np.where(self.slump[shop], 4.0, 0.9)
        back = ordinary & (chance < rate / 0.25)
        share = np.where(back, self._rng.uniform(0.1, 0.4, len(amount)), 0)
        return (amount * share / 100).astype(np.int64) * 100

    def _write(self, line: Ints, amount: Ints, back: Ints, cash: Flags, disputed: Flags) -> None:
        p, n = self.population, len(line)
        number = self.written + np.arange(n)
        self.written += n
        day = np.full(n, self.day)
        due = day + np.where(cash, 0, p.terms[line])
        self._bills.append(Bills(line=line, day=day, due=due, amount=amount, cash=cash, disputed=disputed))
        owed = np.where(cash | disputed, 0, amount - back)
        self._owed.append(owed)
        planned = np.maximum(self.day, due + self._habit[line])
        np.add.at(self._diary, (line, planned % RING), owed)
        settled = disputed & (self._rng.random(n) < 0.6)
        self._note(line, number, day + self._rng.integers(15, 75, n), amount, settled)
        self._note(line, number, day + self._rng.integers(1, 8, n), back, back > 0)
        if cash.any():
            np.subtract.at(self.cash, p.shop[line[cash]], amount[cash])
            self._credits.append(_payment(line[cash], number[cash], day[cash], amount[cash]))

    def _note(self, line: Ints, number: Ints, day: Ints, amount: Ints, which: Flags) -> None:
        if which.any():
            note = _payment(line[which], number[which], day[which], amount[which])
            note.note = np.ones(len(note), np.bool_)
            self._credits.append(note)

    def _pay(self) -> None:
        p = self.population
        today, patience = self.day % RING, (self.day - PATIENCE) % RING
        self._due += self._diary[:, today]
        self._old += self._diary[:, patience]
        self._diary[:, patience] = 0
        called = (p.visit < 0) | (self.day % 7 == p.visit)
        reserve = 2.0 * self._margin * self._living * self._shop_sum(self._daily())
        for lines, shop in self._ranks:
            due = np.where(called[lines], self._due[lines] - self._paid[lines], 0)
            spare = np.maximum(self.cash[shop] - reserve[shop], 0).astype(np.int64) // 100 * 100
            amount = np.minimum(due, spare)
            amount[(amount < due) & (amount < np.minimum(due // 5, 2_500_00))] = 0  # nobody comes with so little
            paying = amount > 0
            if paying.any():
                self._hand_over(lines[paying], shop[paying], amount[paying], (amount < due)[paying])

    def _hand_over(self, line: Ints, shop: Ints, amount: Ints, scraped: Flags) -> None:
        """Pay; a cheque of someone who scrapes the money together may come back, and nothing is paid."""
        bounced = self._rng.random(len(line)) < np.where(scraped, 0.05, 0.002)
        if bounced.any():
            day = np.full(int(bounced.sum()), self.day)
            cheque = _payment(line[bounced], np.full(len(day), -1), day, amount[bounced])
            cheque.returned_on = day + self._rng.integers(2, 7, len(day))
            self._credits.append(cheque)
        line, shop, amount = line[~bounced], shop[~bounced], amount[~bounced]
        self._paid[line] += amount
        self.cash[shop] -= amount
        self._payments.append((line, self.day, amount))


def _payment(line: Ints, bill: Ints, day: Ints, amount: Ints) -> Credits:
    n = len(line)
    return Credits(line=line, bill=bill, day=day, amount=amount, note=np.zeros(n, np.bool_), returned_on=np.full(n, -1))


def _allocated(bills: Bills, owed: Ints, money: Credits) -> Credits:
    """Return payments split over the bills that they settle, the oldest of each line first."""
    order = np.lexsort((np.arange(len(bills)), bills.day, bills.line))
    ends = np.cumsum(owed[order])
    lines = int(bills.line.max()) + 1
    base = np.concatenate([[0], ends])[np.searchsorted(bills.line[order], np.arange(lines))]
    money = take(money, np.lexsort((money.day, money.line)))
    paid = np.cumsum(money.amount)
    opening = np.concatenate([[0], paid])[np.searchsorted(money.line, np.arange(lines))]
    upto = base[money.line] + paid - opening[money.line]
    since = upto - money.amount
    first = np.searchsorted(ends, since, side="right")
    count = np.searchsorted(ends, upto, side="left") - first + 1
    row = np.repeat(np.arange(len(money)), count)
    at = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    part = np.minimum(upto[row], ends[at]) - np.maximum(since[row], ends[at] - owed[order][at])
    split = take(money, row)
    split.bill, split.amount = order[at], part
    return take(split, part > 0)
