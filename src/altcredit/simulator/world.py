"""Whole worlds: distributors, their shops with names and groups, the true ledger, and what the distributors post."""

from collections.abc import Sequence
from datetime import date
from functools import cached_property
from typing import Literal

import msgspec
import numpy as np

from altcredit.simulator import feed, population, stress, till
from altcredit.simulator.feed import Documents, Quality, Shares
from altcredit.simulator.label import HORIZON
from altcredit.simulator.ledger import History
from altcredit.simulator.population import Population
from altcredit.simulator.seasons import calendar_day, day_number
from altcredit.simulator.shops import Account, Distributor, Erp, Group, Shop, name_shops
from altcredit.simulator.truth import Truth, settle, truth

Kind = Literal["stress", "till"]
MECHANISMS: dict[Kind, type[stress.Stress] | type[till.Till]] = {"stress": stress.Stress, "till": till.Till}

Firm = tuple[str, Erp, Quality]
"""Name, kind of ERP and books of a distributor."""


class World(msgspec.Struct, kw_only=True, dict=True):
    """
    Distributors, shops and their trade from ``start`` to ``today`` (the last day posted is the day before).

    ``documents`` are by distributor and in order of posting; ``documents_of`` gives one distributor's. ``truths`` are
    those that were asked for, oldest first.
    """

    seed: int
    start: date
    today: date
    distributors: tuple[Distributor, ...]
    shops: tuple[Shop, ...]
    population: Population
    history: History
    documents: Documents
    truths: tuple[Truth, ...] = ()

    @cached_property
    def accounts(self) -> tuple[Account, ...]:
        """All accounts, by line."""
        return tuple(sorted((a for shop in self.shops for a in shop.accounts), key=lambda a: a.line))

    def documents_of(self, distributor: int) -> Documents:
        """Return what distributor number ``distributor`` posted, in order of posting."""
        return feed.of_distributor(self.documents, self.population, distributor)

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


def training_world(
    seed: int,
    *,
    today: date,
    shops: int,
    mechanism: Kind = "stress",
    distributors: int = 6,
    weeks: int = 78,
    as_of_weeks: Sequence[int] = (52, 39, 26, 13, 0),
    paths: int = 100,
) -> World:
    """
    Return a world to train on and to be graded on, with its truth so many weeks before ``today``.

    Its distributors keep their books differently well: one states no receipts' bills, one sends no returns, and one's
    feed has a gap of three weeks.
    """
    end = day_number(today)
    gap = (end - 7 * 30, end - 7 * 27 - 1)
    books = (
        *(Quality(), Quality(on_account=0.9), Quality(missing_due=0.15)),
        *(Quality(sends_returns=False), Quality(gaps=(gap,)), Quality(cash=0.1, corrections=0.02)),
    )
    erps: tuple[Erp, ...] = ("tally_prime", "sap_b1", "csv")
    firms = [(f"Distributor {n + 1}", erps[n % 3], books[n % len(books)]) for n in range(distributors)]
    return build(
        seed=seed,
        today=today,
        shops=shops,
        firms=firms,
        weeks=weeks,
        mechanism=mechanism,
        as_of_weeks=as_of_weeks,
        paths=paths,
    )


def build(
    *,
    seed: int,
    today: date,
    shops: int,
    firms: Sequence[Firm],
    weeks: int = 61,
    wanted: dict[Group, int] | None = None,
    mechanism: Kind = "stress",
    as_of_weeks: Sequence[int] = (),
    paths: int = 100,
) -> World:
    """
    Return a world that ends the day before ``today``.

    ``firms`` are the distributors; ``wanted`` says how many shops of each group there must be; the truth is found
    ``as_of_weeks`` before the end, the true PD from ``paths`` continuations a shop.
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
    groups = _cast(people, wanted or {}, end, rng)
    life = MECHANISMS[mechanism](people, start=start, rng=rng)
    truths = []
    for before in sorted(as_of_weeks, reverse=True):
        life.advance(end - before * stress.STEP)
        # Continuations have their own chance, so that asking for the truth does not change what happens.
        truths.append(truth(life, paths=paths, rng=np.random.default_rng([seed, before])))
    life.advance(end)
    history = life.history()
    truths = [settle(t, people, history) if t.as_of + HORIZON < end else t for t in truths]
    groups = _spoil(people, history, lines, (wanted or {}).get("insufficient", 0), groups)
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
        truths=tuple(truths),
    )


def _cast(people: Population, wanted: dict[Group, int], end: int, rng: np.random.Generator) -> dict[int, Group]:
    """Choose shops of one distributor: some join late, others order often (of these, _choose takes the wanted ones)."""
    accounts = np.bincount(people.shop, minlength=people.shops)
    early = people.opened <= people.opened.min() + 30
    single = np.flatnonzero((accounts[people.shop] == 1) & early & (people.terms > 0))
    groups: dict[int, Group] = {}
    for n in range(2 * wanted.get("insufficient", 0)):
        line = int(single[people.distributor[single] == n % people.distributors][n // people.distributors])
        people.gap[line] = 3.5
        groups[int(people.shop[line])] = "insufficient"
    rest = [int(x) for x in single if int(people.shop[x]) not in groups]
    for line in rest[: wanted.get("unscored", 0)]:
        people.opened[line] = end - int(rng.integers(25, 75))
        people.gap[line] = min(people.gap[line], 7.0)
        groups[int(people.shop[line])] = "unscored"
    return groups


def _spoil(
    people: Population, history: History, lines: Shares, wanted: int, cast: dict[int, Group]
) -> dict[int, Group]:
    """Return the groups with as many insufficient shops as wanted, and spoil their books: those that kept trading."""
    bills = np.bincount(people.shop[history.bills.line], minlength=people.shops)
    poor = [shop for shop, group in cast.items() if group == "insufficient"]
    kept = sorted(poor, key=lambda shop: bills[shop] < 90)[:wanted]
    line = np.flatnonzero(np.isin(people.shop, kept))
    lines.missing_due[line], lines.on_account[line] = 0.84, 0.97
    return {shop: group for shop, group in cast.items() if group != "insufficient" or shop in kept}


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
    at_once = np.bincount(people.shop, people.terms == 0, minlength=people.shops)  # ERPs do not tell it from cash
    rich = (bills >= 40) & (first <= end - 365) & (last >= end - 30) & (at_once == 0)
    known = np.zeros(people.shops, np.bool_)
    known[people.shop[np.isin(people.distributor, list(preferred))]] = True
    able = [int(s) for s in np.argsort(~known, kind="stable") if rich[s] and int(s) not in taken]
    groups: dict[int, Group] = {}
    for name in ("scored", "unconsented"):
        for _ in range(wanted.get(name, 0)):
            groups[able.pop(0)] = name
    return groups
