"""
A full rebuild, bronze to silver to gold, against hand-written DuckDB SQL for the same features (rebuild.sql).

    PYTHONPATH=src python -m bench.rebuild [--invoices 2000000] [--json figures.json]

Both run in processes of their own over the same bronze, with the same memory limit; every feature of every retailer is
then compared. The SQL writes nothing down; the product also keeps silver, versions and an index for the next refresh.
"""

import argparse
import math
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from altcredit.pipeline.features import CATALOGUE, gold
from altcredit.pipeline.features.festivals import recent_seasons
from altcredit.pipeline.lake import Lake, Snapshot, compact
from altcredit.pipeline.lake.engine import Engine, quoted
from altcredit.pipeline.lake.tables import day_number
from bench import ledgers
from bench.figures import Figure, finish

MEMORY_MB = 1200
THREADS = 2
COMPARED = [name for name, feature in CATALOGUE.items() if feature.over]


class Ran(msgspec.Struct):
    seconds: float
    cpu_seconds: float
    peak_mb: float


def product(root: Path, snapshot: Snapshot) -> pa.Table:
    """Bronze to a base of silver to gold, as `altcredit pipeline run --rebuild` does."""
    lake = Lake(root, memory_mb=MEMORY_MB, threads=THREADS)
    shutil.rmtree(root / "silver", ignore_errors=True)
    made = compact(lake, snapshot, rebuild=True)
    rebuilt = msgspec.structs.replace(
        snapshot,
        deltas=(),
        base=tuple(file for file in made.files if file.kind != "index"),
        index=tuple(file for file in made.files if file.kind == "index"),
    )
    return gold(lake, rebuilt, as_of=ledgers.LAST, scope=None)


def by_hand(root: Path, snapshot: Snapshot) -> pa.Table:
    """The statements of rebuild.sql."""
    today = day_number(ledgers.LAST)
    festive = " OR ".join(
        f"c.day BETWEEN {day_number(first)} AND {day_number(last)}" for first, last in recent_seasons(ledgers.LAST)
    )
    values = {
        ":files": f"[{quoted([root / file.path for file in snapshot.deltas])}]",
        ":today": str(today),
        ":coverage_first": str(day_number(ledgers.FIRST)),
        ":festive": festive,
    }
    statements = "\n".join(
        line for line in (Path(__file__).with_name("rebuild.sql")).read_text().splitlines() if not line.startswith("--")
    )
    for name, value in values.items():
        statements = statements.replace(name, value)
    with Engine(scratch=root / ".by-hand", memory_mb=MEMORY_MB, threads=THREADS).session() as session:
        for statement in filter(str.strip, statements.split(";")):
            session.cursor.execute(statement)
        return session.fetch("SELECT * FROM gold")


def run(what: str, root: Path) -> None:
    """Run one side, in this process: write its gold and print how long it took and what it held."""
    snapshot = msgspec.msgpack.decode((root / "snapshot").read_bytes(), type=Snapshot)
    started = time.perf_counter()
    table = {"product": product, "sql": by_hand}[what](root, snapshot)
    seconds = time.perf_counter() - started
    pq.write_table(table, root / f"{what}.parquet")
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(msgspec.json.encode(Ran(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)).decode())


def measured(what: str, root: Path) -> Ran:
    command = [sys.executable, "-m", "bench.rebuild", "--side", what, "--root", str(root)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return msgspec.json.decode(done.stdout, type=Ran)


def differences(root: Path) -> list[str]:
    """Compare every feature of every retailer to 1e-9; return what differs."""
    one, other = (
        {row["retailer_id"]: row for row in pq.read_table(root / f"{side}.parquet").to_pylist()}
        for side in ("product", "sql")
    )
    found = [f"{len(one)} retailers against {len(other)}"] if one.keys() != other.keys() else []
    for retailer in one.keys() & other.keys():
        for name in COMPARED:
            a, b = one[retailer][name], other[retailer][name]
            if (a is None) != (b is None) or (a is not None and not math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)):
                found.append(f"{retailer} {name}: {a} against {b}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--invoices", type=int, default=2_000_000)
    parser.add_argument("--retailers", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=["product", "sql"])
    parser.add_argument("--root", type=Path)
    options = parser.parse_args()
    if options.side:
        run(options.side, options.root)
        return
    with tempfile.TemporaryDirectory(prefix="altcredit-rebuild-") as folder:
        root = Path(folder)
        snapshot = ledgers.write(
            root, invoices=options.invoices, retailers=options.retailers, distributors=12, batch=1000
        )
        (root / "snapshot").write_bytes(msgspec.msgpack.encode(snapshot))
        rows = sum(file.rows for file in snapshot.deltas)
        print(f"{rows:,} records in {len(snapshot.deltas):,} batches of {options.retailers:,} retailers")
        # By turns, and the best of each: the machine may have other things to do.
        rounds = [(measured("sql", root), measured("product", root)) for _ in range(options.rounds)]
        sql, ours = (min(side, key=lambda ran: ran.seconds) for side in zip(*rounds, strict=True))
        wrong = differences(root)
        for name, ran in (("product", ours), ("hand-written SQL", sql)):
            print(f"{name}: {ran.seconds:.1f} s, {ran.cpu_seconds:.1f} CPU seconds, {ran.peak_mb:,.0f} MB")
        print(f"{len(wrong)} differences in {len(COMPARED)} features")
        for line in wrong[:10]:
            print(" ", line)
        figures = [
            Figure("rebuild: time over hand-written SQL", ours.seconds / sql.seconds, "x", at_most=(2.0, 1.0)),
            Figure("rebuild: CPU seconds over the same", ours.cpu_seconds / sql.cpu_seconds, "x"),
            Figure("rebuild: peak memory", ours.peak_mb, "MB", at_most=(2048, 1024)),
        ]
        finish(figures, options.json)
        if wrong:
            raise SystemExit("The two do not compute the same.")


if __name__ == "__main__":
    main()
