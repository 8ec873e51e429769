"""Whole worlds: distributors, their shops with names and groups, the true ledger, and what the distributors post."""

from collections.abc import Sequence
from datetime import date
from functools import cached_property

import msgspec
import numpy as np

from altcredit.simulator import feed, population, stress
from altcredit.simulator.feed import Documents, Quality, Shares
from altcredit.simulator.ledger import History, take
from altcredit.simulator.population import Population
from altcredit.simulator.seasons import calendar_day, day_number
from altcredit.simulator.shops import Account, Distributor, Erp, Group, Shop, name_shops

Firm = tuple[str, Erp, Quality]
"""Name, kind of ERP and books of a distributor."""


class World(msgspec.Struct, kw_only=True, dict=True):
    """
    Distributors, shops and their trade from ``start`` to ``today`` (the last day posted is the day before).

    ``documents`` of all distributors are in order of posting; ``documents_of`` gives one distributor's.
    """

    seed: int
    start: date
    today: date
    distributors: tuple[Distributor, ...]
    shops: tuple[Shop, ...]
    population: Population
    history: History
    documents: Documents

    @cached_property
    def accounts(self) -> tuple[Account, ...]:
        """All accounts, by line."""
        return tuple(sorted((a for shop in self.shops for a in shop.accounts), key=lambda a: a.line))

    def documents_of(self, distributor: int) -> Documents:
        """Return what distributor number ``distributor`` posted, in order of posting."""
        return take(self.documents, self.population.distributor[self.documents.line] == distributor)

    def ledger_of(self, distributor: int) -> Documents:
        """Return what the books of a distributor hold in the end: each document once, in order of document date."""
        mine = self.documents_of(distributor)
        return feed.latest(mine, np.full(len(mine), distributor))

    def group(self, name: Group) -> tuple[Shop, ...]:
        """Return the shops of a group."""
        return tuple(shop for shop in self.shops if shop.group == name)


def tiny_world(seed: int, *, today: date = date(2026, 11, 22), shops: int = 30) -> World:
    """Return a small world of two distributors that send by API: 30 shops, 14 months, made in about 0.05 s."""
    firms: tuple[Firm, ...] = (("Sharma Distributors", "csv", Quality()), ("Deccan Agencies", "sap_b1", Quality()))
    return build(seed=seed, today=today, shops=shops, firms=firms)


def demo_world(seed: int, *, today: date, shops: int = 300) -> World:
    """
    Return the demo's world: a distributor for each kind of ERP, 300 shops, 14 months, about 50,000 documents.

    Its groups: 36 shops to be ``scored`` and 12 ``unconsented`` (a year of trade or more), 10 ``unscored`` (25 to 75
    days), 12 ``insufficient`` (four of each distributor: hardly a due date, hardly a receipt that names its bill).
    All of them have a GSTIN and a phone, and all but eight of these trade with a distributor other than the Tally one.
    """
    firms: tuple[Firm, ...] = (
        ("Sharma Distributors", "tally_prime", Quality(missing_due=0.03, cash=0)),
        ("Deccan Agencies", "sap_b1", Quality(missing_due=0, merged=0.5, cash=0)),
        ("Ganesh Trading Co", "csv", Quality(missing_due=0.05, on_account=0.06, merged=0, cash=0.02)),
    )
    wanted: dict[Group, int] = {"scored": 36, "unconsented": 12, "unscored": 10, "insufficient": 12}
    return build(seed=seed, today=today, shops=shops, firms=firms, wanted=wanted)


def build(
    *,
    seed: int,
    today: date,
    shops: int,
    firms: Sequence[Firm],
    weeks: int = 61,
    wanted: dict[Group, int] | None = None,
) -> World:
    """
    Return a world under mechanism A that ends the day before ``today``.

    ``firms`` are the distributors; ``wanted`` says how many shops of each group there must be.
    """
    rng = np.random.default_rng(seed)
    end = day_number(today)
    start = end - weeks * stress.STEP
    people = population.draw(shops=shops, distributors=len(firms), start=start, end=end, rng=rng)
    people.cash = np.array([q.cash for _, _, q in firms])[people.distributor]
    distributors = tuple(
        Distributor(number=n, distributor_id=f"dist_{rng.bytes(8).hex()}", name=name, erp=erp, quality=q)
        for n, (name, erp, q) in enumerate(firms)
    )
    books = tuple(d.quality for d in distributors)
    lines = feed.shares(people, books, rng)
    groups = _cast(people, lines, wanted or {}, end, rng)
    life = stress.Stress(people, start=start, rng=rng)
    life.advance(end)
    history = life.history()
    groups |= _choose(people, history, wanted or {}, groups, {d.number for d in distributors if d.erp != "tally_prime"})
    return World(
        seed=seed,
        start=calendar_day(start),
        today=today,
        distributors=distributors,
        shops=name_shops(people, distributors, seed=seed, rng=rng, groups=groups),
        population=people,
        history=history,
        documents=feed.post(population=people, history=history, quality=books, lines=lines, until=end - 1, rng=rng),
    )


def _cast(
    people: Population, lines: Shares, wanted: dict[Group, int], end: int, rng: np.random.Generator
) -> dict[int, Group]:
    """Give some shops of one distributor a late start, others poor books; return their groups."""
    accounts = np.bincount(people.shop, minlength=people.shops)
    single = np.flatnonzero((accounts[people.shop] == 1) & (people.opened <= people.opened.min() + 30))
    groups: dict[int, Group] = {}
    for n in range(wanted.get("insufficient", 0)):
        of = single[people.distributor[single] == n % people.distributors]
        line = int(of[n // people.distributors])
        lines.missing_due[line], lines.on_account[line] = 0.88, 0.97
        people.gap[line] = 4.5
        groups[int(people.shop[line])] = "insufficient"
    rest = [int(x) for x in single if int(people.shop[x]) not in groups]
    for line in rest[: wanted.get("unscored", 0)]:
        people.opened[line] = end - int(rng.integers(25, 75))
        people.gap[line] = min(people.gap[line], 7.0)
        groups[int(people.shop[line])] = "unscored"
    return groups


def _choose(
    people: Population, history: History, wanted: dict[Group, int], taken: dict[int, Group], preferred: set[int]
) -> dict[int, Group]:
    """Return groups for shops with a year of regular trade, those first that ``preferred`` distributors know."""
    bills = np.bincount(people.shop[history.bills.line], minlength=people.shops)
    first = np.full(people.shops, 2**31)
    np.minimum.at(first, people.shop[history.bills.line], history.bills.day)
    last = np.zeros(people.shops, np.int64)
    np.maximum.at(last, people.shop[history.bills.line], history.bills.day)
    end = int(history.bills.day.max())
    rich = (bills >= 40) & (first <= end - 365) & (last >= end - 30)
    known = np.zeros(people.shops, np.bool_)
    known[people.shop[np.isin(people.distributor, list(preferred))]] = True
    able = [int(s) for s in np.argsort(~known, kind="stable") if rich[s] and int(s) not in taken]
    groups: dict[int, Group] = {}
    for name in ("scored", "unconsented"):
        for _ in range(wanted.get(name, 0)):
            groups[able.pop(0)] = name
    return groups
