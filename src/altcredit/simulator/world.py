"""Whole worlds: distributors, their shops with names and groups, the true ledger, and what the distributors post."""

from collections.abc import Sequence
from datetime import date
from functools import cached_property

import msgspec
import numpy as np

from altcredit.simulator import feed, population, stress
from altcredit.simulator.feed import Documents, Quality
from altcredit.simulator.ledger import History, take
from altcredit.simulator.population import Population
from altcredit.simulator.seasons import calendar_day, day_number
from altcredit.simulator.shops import Account, Distributor, Erp, Group, Shop, name_shops


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
    """Return a small world of two distributors that send by API: 30 shops, 14 months, made in about 0.1 s."""
    quality = Quality()
    firms: tuple[tuple[str, Erp, Quality], ...] = (
        ("Sharma Distributors", "csv", quality),
        ("Deccan Agencies", "sap_b1", quality),
    )
    return build(seed=seed, today=today, shops=shops, firms=firms)


def build(*, seed: int, today: date, shops: int, firms: Sequence[tuple[str, Erp, Quality]], weeks: int = 61) -> World:
    """Return a world under mechanism A that ends the day before ``today``; ``firms`` are the distributors."""
    rng = np.random.default_rng(seed)
    end = day_number(today)
    start = end - weeks * stress.STEP
    people = population.draw(shops=shops, distributors=len(firms), start=start, end=end, rng=rng)
    people.cash = np.array([q.cash for _, _, q in firms])[people.distributor]
    distributors = tuple(
        Distributor(number=n, distributor_id=f"dist_{rng.bytes(8).hex()}", name=name, erp=erp, quality=q)
        for n, (name, erp, q) in enumerate(firms)
    )
    life = stress.Stress(people, start=start, rng=rng)
    life.advance(end)
    history = life.history()
    books = tuple(d.quality for d in distributors)
    lines = feed.shares(people, books, rng)
    documents = feed.post(population=people, history=history, quality=books, lines=lines, until=end - 1, rng=rng)
    return World(
        seed=seed,
        start=calendar_day(start),
        today=today,
        distributors=distributors,
        shops=name_shops(people, distributors, seed=seed, rng=rng),
        population=people,
        history=history,
        documents=documents,
    )
