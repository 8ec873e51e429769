"""
Millions of documents as bronze files, town by town: memory holds one town, whatever the number of towns.

A town is a few thousand shops that trade with three of the distributors. Each of its distributors' files holds the
shops' documents of all months, each known on the night of its posting.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path

import numpy as np
import pyarrow as pa

from altcredit.simulator import feed, population, stress
from altcredit.simulator.bronze import BronzeFile, batch_name, bronze_table, known_us, write_file
from altcredit.simulator.feed import Quality
from altcredit.simulator.identity import retailer_id
from altcredit.simulator.seasons import day_number

TOWN_DOCUMENTS = 200_000
LOCAL = 3
"""Distributors of a town."""

BILLS_PER_LINE = 54.2
LINES_PER_SHOP = 1.34
"""Bills of a line in 61 weeks with a mean of 7 days between orders, and lines of a shop (test_bulk.py holds them)."""


def bulk(
    *,
    retailers: int,
    invoices: int,
    seed: int,
    out: Path,
    today: date,
    distributors: int = 24,
    weeks: int = 61,
    named: bool = True,
) -> Iterator[BronzeFile]:
    """
    Write about ``invoices`` bills (within 5 %), about as many payments and their credit notes, of ``retailers`` shops.

    Yields each file's entry as it is written, under ``out``; the same arguments always write the same bytes.
    """
    assert distributors >= LOCAL
    gap = 7.0 * retailers * LINES_PER_SHOP * BILLS_PER_LINE * (weeks / 61) / invoices
    size = max(200, min(retailers, round(retailers * TOWN_DOCUMENTS / (2.2 * invoices))))
    for town, first in enumerate(range(0, retailers, size)):
        shops = min(size, retailers - first)
        yield from _town(town, first, shops, gap, seed, out, day_number(today), distributors, weeks, named)


def _town(
    town: int,
    first: int,
    shops: int,
    gap: float,
    seed: int,
    out: Path,
    end: int,
    distributors: int,
    weeks: int,
    named: bool,
) -> Iterator[BronzeFile]:
    rng = np.random.Generator(np.random.SFC64([seed, town]))
    start = end - weeks * stress.STEP
    people = population.draw(shops=shops, distributors=LOCAL, start=start, end=end, rng=rng, gap=gap)
    quality = (Quality(),) * LOCAL
    people.cash = np.full(people.lines, quality[0].cash)
    life = stress.Stress(people, start=start, rng=rng)
    life.advance(end)
    rows = feed.post(
        population=people,
        history=life.history(),
        quality=quality,
        lines=feed.shares(people, quality, rng),
        until=end - 1,
        rng=rng,
        consecutive=False,
    )
    offset = town * 100_000_000  # numbers of a distributor's towns must not meet
    rows.number += offset
    rows.bill = np.where(rows.bill >= 0, rows.bill + offset, -1)
    names = pa.array([retailer_id(first + shop, seed) for shop in range(shops)])
    ids = pa.DictionaryArray.from_arrays(pa.array(people.shop.astype(np.int32)), names)
    received_at = datetime.combine(date.fromordinal(end + date(1970, 1, 1).toordinal()), time(6), UTC)
    for neighbour in range(LOCAL):
        mine = feed.of_distributor(rows, people, neighbour)
        distributor_id = f"dist_{(town * LOCAL + neighbour) % distributors:016x}"
        batch_id = batch_name(seed, "bulk", town, neighbour)
        table = bronze_table(
            mine,
            retailers=ids,
            distributor_id=distributor_id,
            batch_id=batch_id,
            known_us=known_us(mine.posted[feed.starts(mine)]),
            named=named,
        )
        yield write_file(table, out, distributor_id, batch_id, received_at)
