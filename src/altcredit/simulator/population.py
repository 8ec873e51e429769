"""Who trades: shops, their accounts with distributors, and the habits that both mechanisms share."""

import msgspec
import numpy as np

from altcredit.simulator.ledger import Flags, Floats, Ints
from altcredit.simulator.seasons import LIFT_WEEKS

TERMS = np.array([0, 7, 14, 21, 30])
TERMS_SHARE = (0.05, 0.27, 0.33, 0.20, 0.15)

BILL_MIN, BILL_MAX = 1_500_00, 60_000_00
"""Smallest and largest bill in paise."""


class Population(msgspec.Struct, kw_only=True):
    """
    Shops and lines (a shop's account with one distributor), one array entry each.

    By line: ``shop`` (ascending), ``distributor``, ``terms`` in days, ``opened`` (no order before that day), ``gap``
    (mean days between orders), ``bill`` (median bill in paise), ``visit`` (weekday on which money is collected, -1 for
    any day), ``cash`` (share of bills paid on delivery), ``paise`` (amounts are not rounded to the rupee).
    By shop: ``growth`` (a month), ``lift`` (factor on orders before Diwali), ``run_up`` (index into LIFT_WEEKS),
    ``returns`` (share of value sent back in good times), ``parts`` (share of bills paid in parts).
    """

    shops: int
    distributors: int
    shop: Ints
    distributor: Ints
    terms: Ints
    opened: Ints
    gap: Floats
    bill: Floats
    visit: Ints
    cash: Floats
    paise: Flags
    growth: Floats
    lift: Floats
    run_up: Ints
    returns: Floats
    parts: Floats

    @property
    def lines(self) -> int:
        """Number of accounts."""
        return len(self.shop)


BY_LINE = ("distributor", "terms", "opened", "gap", "bill", "visit", "cash", "paise")
BY_SHOP = ("growth", "lift", "run_up", "returns", "parts")


def _accounts(shops: int, distributors: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return shop and distributor of every line: most shops buy of one distributor, some of two or three."""
    wanted = np.minimum(rng.choice([1, 2, 3], size=shops, p=[0.72, 0.22, 0.06]), distributors)
    shop = np.repeat(np.arange(shops), wanted)
    first = rng.integers(0, distributors, shops)
    nth = np.arange(len(shop)) - np.repeat(np.cumsum(wanted) - wanted, wanted)
    stride = rng.integers(1, max(2, (distributors - 1) // 2 + 1), shops)
    return shop, (first[shop] + nth * stride[shop]) % distributors


def draw(
    *, shops: int, distributors: int, start: int, end: int, rng: np.random.Generator, gap: float | None = None
) -> Population:
    """
    Return a population whose lines open between the days ``start`` and ``end``.

    Seven shops in eight trade from the start; the rest join later. ``gap`` replaces the mean of 4 to 10 days between
    orders (benchmarks need a given number of bills).
    """
    shop, distributor = _accounts(shops, distributors, rng)
    lines = len(shop)
    joined = np.where(rng.random(shops) < 1 / 8, start + rng.random(shops) * (end - start - 30), start)
    later = np.where(rng.random(lines) < 0.1, rng.random(lines) * 120, 0)
    opened = np.minimum(joined[shop] + later, np.maximum(joined[shop], end - 30)).astype(np.int64)
    first_of_shop = np.searchsorted(shop, np.arange(shops))
    opened[first_of_shop] = joined.astype(np.int64)
    mean_gap = rng.uniform(4, 10, lines)
    return Population(
        shops=shops,
        distributors=distributors,
        shop=shop,
        distributor=distributor,
        terms=rng.choice(TERMS, size=lines, p=TERMS_SHARE),
        opened=opened,
        gap=mean_gap if gap is None else mean_gap * (gap / 7.0),
        bill=np.clip(rng.lognormal(np.log(7_000_00), 0.7, lines), BILL_MIN * 1.4, BILL_MAX * 0.6),
        visit=np.where(rng.random(lines) < 0.45, rng.integers(0, 7, lines), -1),
        cash=np.zeros(lines),
        paise=rng.random(lines) < 0.2,
        growth=rng.uniform(-0.03, 0.04, shops),
        lift=rng.uniform(1.4, 2.2, shops),
        run_up=rng.integers(0, len(LIFT_WEEKS), shops),
        returns=rng.uniform(0.01, 0.04, shops),
        parts=rng.uniform(0.10, 0.35, shops),
    )


def copies(population: Population, times: int) -> Population:
    """Return ``times`` independent copies; copy c of shop s is shop ``c * shops + s``, and so for lines."""
    changed: dict[str, object] = {name: np.tile(getattr(population, name), times) for name in (*BY_LINE, *BY_SHOP)}
    offset = np.repeat(np.arange(times) * population.shops, population.lines)
    changed |= {"shops": population.shops * times, "shop": np.tile(population.shop, times) + offset}
    return msgspec.structs.replace(population, **changed)
