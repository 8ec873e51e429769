"""Shops with names, and how each of their distributors knows them."""

from typing import Literal

import msgspec
import numpy as np

from altcredit.simulator import identity
from altcredit.simulator.feed import Quality
from altcredit.simulator.population import Population

Erp = Literal["tally_prime", "sap_b1", "csv"]
Group = Literal["scored", "unscored", "insufficient", "unconsented", "other"]

GSTIN_SHARE = 0.5
"""Share of shops that have a GSTIN: the others are below the threshold of registration."""

UNKNOWN_GSTIN, UNKNOWN_PHONE = 0.08, 0.04
"""Shares of accounts of which the distributor lacks the shop's GSTIN or phone (never both)."""


class Distributor(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    distributor_id: str
    name: str
    erp: Erp
    quality: Quality


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A shop as one distributor knows it; ``gstin`` and ``phone`` are None where that distributor has none on file."""

    line: int
    distributor: int
    retailer_ref: str
    party: str
    gstin: str | None
    phone: str | None


class Shop(msgspec.Struct, frozen=True, kw_only=True):
    """A shop; ``phone`` are the E.164 digits without plus, ``group`` is what it is for in a demo."""

    number: int
    name: str
    owner: str
    city: str
    state: str
    phone: str
    phone_hash: str
    gstin: str | None
    group: Group
    accounts: tuple[Account, ...]


def name_shops(
    population: Population,
    distributors: tuple[Distributor, ...],
    *,
    seed: int,
    rng: np.random.Generator,
    groups: dict[int, Group] | None = None,
) -> tuple[Shop, ...]:
    """
    Return the shops of a population, in order.

    A shop goes by one GSTIN and phone everywhere, but by another code and spelling at each distributor.
    Shops in ``groups`` have a GSTIN and a phone at every distributor; of the others half have a GSTIN.
    """
    lines_of = np.split(np.arange(population.lines), np.searchsorted(population.shop, np.arange(1, population.shops)))
    taken: set[tuple[int, str]] = set()
    shops = []
    for number, lines in enumerate(lines_of):
        owner = str(rng.choice(identity.OWNERS))
        city, state, code = identity.PLACES[int(rng.integers(len(identity.PLACES)))]
        name = f"{owner} {rng.choice(identity.TRADES)}"
        certain = groups is not None and number in groups
        gstin = identity.gstin(number, owner, code, rng) if certain or rng.random() < GSTIN_SHARE else None
        phone = identity.phone(number, seed)
        accounts = tuple(
            _account(int(line), distributors[population.distributor[line]], name, gstin, phone, certain, taken, rng)
            for line in lines
        )
        shops.append(
            Shop(
                number=number,
                name=name,
                owner=owner,
                city=city,
                state=state,
                phone=phone,
                phone_hash=identity.phone_hash(phone),
                gstin=gstin if any(a.gstin for a in accounts) else None,
                group=(groups or {}).get(number, "other"),
                accounts=accounts,
            )
        )
    return tuple(shops)


def _account(
    line: int,
    distributor: Distributor,
    name: str,
    gstin: str | None,
    phone: str,
    certain: bool,
    taken: set[tuple[int, str]],
    rng: np.random.Generator,
) -> Account:
    chance = 1.0 if certain else float(rng.random())
    party = _party(distributor, name, taken, rng)
    ref = {"tally_prime": party, "sap_b1": f"C{line + 1:06d}", "csv": f"K-{line + 1:04d}"}[distributor.erp]
    without_phone = gstin is not None and UNKNOWN_GSTIN <= chance < UNKNOWN_GSTIN + UNKNOWN_PHONE
    return Account(
        line=line,
        distributor=distributor.number,
        retailer_ref=ref,
        party=party,
        gstin=None if chance < UNKNOWN_GSTIN else gstin,
        phone=None if without_phone else phone,
    )


def _party(distributor: Distributor, name: str, taken: set[tuple[int, str]], rng: np.random.Generator) -> str:
    """Return the shop's name in the distributor's books: one name stands for one shop there."""
    party = name
    quarters = iter(rng.permutation(np.array(identity.QUARTERS[1:])))
    while (distributor.number, party) in taken:
        quarter = next(quarters, None)
        party = f"{name}, {quarter}" if quarter is not None else f"{name} ({len(taken)})"
    taken.add((distributor.number, party))
    return party
