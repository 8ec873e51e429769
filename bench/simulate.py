"""
How fast the simulator writes: ``python bench/simulate.py [--invoices 2000000] [--retailers 40000]``.

Rates are per second of this process's CPU time (it uses one core), beside the same by the clock. The anchor is pyarrow
rewriting the rows of one finished file: no writer of these files can be faster.
"""

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from altcredit.simulator import batches, bulk, demo_world
from altcredit.simulator.bronze import REPEATING
from altcredit.simulator.population import draw
from altcredit.simulator.truth import truth
from altcredit.simulator.world import MECHANISMS

TODAY = date(2026, 11, 22)


def measured(what: str, unit: str, work: Callable[[], int]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:<46} {done:>12,} {unit:<10} {done / cpu:>12,.0f} /cpu-s {done / wall:>12,.0f} /s {wall:>7.2f} s")


def lived(mechanism: str, shops: int) -> int:
    people = draw(shops=shops, distributors=6, start=20_000, end=20_427, rng=np.random.default_rng(1))
    life = MECHANISMS[mechanism](people, start=20_000, rng=np.random.default_rng(2))
    life.advance(20_427)
    history = life.history()
    return len(history.bills) + len(history.credits)


def continued(mechanism: str, shops: int, paths: int) -> int:
    people = draw(shops=shops, distributors=6, start=20_000, end=20_427, rng=np.random.default_rng(1))
    life = MECHANISMS[mechanism](people, start=20_000, rng=np.random.default_rng(2))
    life.advance(20_245)
    truth(life, paths=paths, rng=np.random.default_rng(3))
    return shops * paths


def encoded() -> int:
    world = demo_world(1, today=TODAY)
    sent = [batch for distributor in range(3) for batch in batches(world, distributor)]
    assert all(batch.encode() for batch in sent)
    return sum(batch.records for batch in sent)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--invoices", type=int, default=2_000_000)
    parser.add_argument("--retailers", type=int, default=40_000)
    wanted = parser.parse_args()
    out = Path(tempfile.mkdtemp(prefix="altcredit-bench-"))
    try:
        for mechanism in ("stress", "till"):
            measured(f"true ledger, {mechanism}", "documents", lambda kind=mechanism: lived(kind, 5_000))
            measured(f"true PD, {mechanism}", "paths", lambda kind=mechanism: continued(kind, 1_000, 100))
        measured("demo: simulate and encode batches", "records", encoded)
        files = bulk(retailers=wanted.retailers, invoices=wanted.invoices, seed=1, out=out, today=TODAY)
        measured("bulk: simulate, post, write parquet", "documents", lambda: sum(file.rows for file in files))
        table = pq.read_table(next(out.rglob("*.parquet")), partitioning=None, read_dictionary=["retailer_id"])
        copy = out / "copy.parquet"

        def rewrite() -> int:
            for _ in range(10):
                pq.write_table(table, copy, compression="zstd", use_dictionary=REPEATING, store_schema=False)
            return 10 * table.num_rows

        measured("anchor: pyarrow writes the same rows", "documents", rewrite)
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
    finally:
        shutil.rmtree(out)


if __name__ == "__main__":
    main()
