"""
What taking a batch costs, against a bare COPY of the same rows in one transaction a batch, in the same run.

    python bench/ingest.py [--batches 60] [--clients 8] [--profile]

Everything is durable: PostgreSQL runs with fsync, bronze files and folders are synced before the commit. Shops are
known from a first round, as they are to a running distributor.
"""

import argparse
import asyncio
import contextlib
import cProfile
import json
import os
import pstats
import random
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import uvloop

from altcredit.engine import ingestion, retailers
from altcredit.engine.ingestion import Envelope, bronze, parquet
from altcredit.engine.ingestion.validation import check
from altcredit.engine.retailers.gstin import check_character
from altcredit.runtime import schema, strict_json
from altcredit.runtime.db import Connection, Database
from altcredit.runtime.keys import KeyProvider, Keyring
from altcredit.runtime.postgres import Server

NOW = datetime(2026, 5, 20, 6, 0, tzinfo=UTC)
RECORDS, SHOPS = 1_000, 300

TABLE = """
CREATE TABLE plain (
    kind text, document_id text, invoice_id text, retailer_id text, document_date date, due_date date,
    amount_paise bigint, terms text, disputed boolean, status text, row_number int, distributor_id text, batch_id text,
    known_at timestamptz
)
"""


def shops(seed: int) -> list[dict[str, str]]:
    """Half of them with a GSTIN, all with the distributor's code."""
    r = random.Random(seed)
    found = []
    for n in range(SHOPS):
        pan = "".join(r.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=5)) + f"{r.randrange(10_000):04d}"
        first = f"27{pan}{r.choice('ABCDEF')}1Z"
        gst = {"retailer_gst": first + check_character(first)} if n % 2 else {}
        found.append({"retailer_ref": f"C{n:05d}"} | gst)
    return found


def batch(distributor_id: str, number: int) -> bytes:
    r = random.Random(number)
    known = shops(int(distributor_id.rsplit("x", 1)[1]))
    invoices = [
        r.choice(known)
        | {"invoice_id": f"INV-{number}-{n:04d}", "invoice_date": f"2026-05-{r.randrange(1, 15):02d}",
           "amount_inr": r.randrange(10_000, 6_000_000) / 100, "due_date": "2026-05-29", "terms": "credit"}
        for n in range(RECORDS * 6 // 10)
    ]  # fmt: skip
    payments = [
        {"payment_id": f"PAY-{number}-{n:04d}", "invoice_id": invoices[n]["invoice_id"], "paid_date": "2026-05-16",
         "amount_paid_inr": invoices[n]["amount_inr"], "status": "cleared"}
        for n in range(RECORDS * 4 // 10)
    ]  # fmt: skip
    return json.dumps(
        {"distributor_id": distributor_id, "sync_from": "2026-05-13T00:00:00Z", "sync_to": "2026-05-19T23:59:59Z",
         "invoices": invoices, "payments": payments}
    ).encode()  # fmt: skip


def plain_rows(distributor_id: str, body: bytes) -> list[tuple[Any, ...]]:
    checked = check(strict_json.decode(body, Envelope), now=NOW)
    columns = bronze.columns(checked, bronze.Shops())
    names = ["bat_0123456789abcdef"]
    rows = zip(*columns, strict=True)
    return [
        (*row[:3], None if row[3] is None else f"ret_{row[3]:016x}", *row[4:10], row[11], distributor_id, names[0], NOW)
        for row in rows
    ]


async def timed(work: list[Callable[[], Awaitable[Any]]], clients: int) -> tuple[float, float]:
    """Run all with this many at once; return wall and this process's CPU, in ms a batch."""
    waiting = iter(work)

    async def client() -> None:
        for one in waiting:
            await one()

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    return (time.perf_counter() - wall) * 1e3 / len(work), (time.process_time() - cpu) * 1e3 / len(work)


async def admit_all(_db: Connection) -> None:
    """Stand in for the quota, which is the API's."""


class Bench:
    def __init__(self, pools: Database, lake: Path, batches: int) -> None:
        self.pools = pools
        self.lake = lake
        self.keyring = Keyring(KeyProvider(root=b"r" * 32, keks=(b"k" * 32,)))
        self.batches = batches
        self._number = 0

    def _bodies(self, distributors: int) -> list[tuple[str, bytes]]:
        self._number += self.batches
        return [(name := f"dist_x{n % distributors}", batch(name, self._number + n)) for n in range(self.batches)]

    def submits(self, distributors: int) -> list[Callable[[], Awaitable[Any]]]:
        def one(distributor_id: str, body: bytes) -> Callable[[], Awaitable[Any]]:
            batch_id = str(uuid.uuid4())
            return lambda: ingestion.submit(
                self.pools, lake=self.lake, keyring=self.keyring, distributor_id=distributor_id, batch_id=batch_id,
                erp_type="csv", body=body, foresee=admit_all, admit=admit_all, now=NOW,
            )  # fmt: skip

        return [one(*item) for item in self._bodies(distributors)]

    def copies(self, distributors: int) -> list[Callable[[], Awaitable[Any]]]:
        async def copy(rows: list[tuple[Any, ...]]) -> None:
            async with self.pools.transaction() as db:
                await db.copy_records_to_table("plain", records=rows)

        items = [plain_rows(*item) for item in self._bodies(distributors)]
        return [lambda rows=rows: copy(rows) for rows in items]  # type: ignore[misc]

    async def compare(self, clients: int, rounds: int = 3) -> None:
        ratios = []
        for _ in range(rounds):
            copied, copied_cpu = await timed(self.copies(clients), clients)
            taken, taken_cpu = await timed(self.submits(clients), clients)
            ratios.append(copied / taken)
            print(
                f"  {clients} at once: COPY {copied:6.2f} ms a batch (cpu here {copied_cpu:5.2f})   "
                f"submit {taken:6.2f} ms (cpu here {taken_cpu:5.2f})   ratio {copied / taken:.2f}"
            )
        print(f"  -> ratio, median of {rounds}: {sorted(ratios)[rounds // 2]:.2f}   (ship 0.35, moonshot 0.6)")

    async def stages(self) -> None:
        """CPU of each stage, best of 30, in microseconds."""
        name = "dist_x0"
        body = batch(name, 999)
        envelope = strict_json.decode(body, Envelope)
        checked = check(envelope, now=NOW)
        places = bronze.Shops()
        columns = bronze.columns(checked, places)
        await retailers.resolve(self.pools, keyring=self.keyring, distributor_id=name, shops=places.keys(), now=NOW)
        ids = [f"ret_{n:016x}" for n in range(len(places.keys()))]
        plain = msgspec.json.Decoder(Envelope)
        print(f"  body {len(body) / 1000:.0f} kB, {RECORDS} records, {len(ids)} shops")
        for title, work in {
            "msgspec alone": lambda: plain.decode(body),
            "strict decode": lambda: strict_json.decode(body, Envelope),
            "rules": lambda: check(envelope, now=NOW),
            "columns": lambda: bronze.columns(checked, bronze.Shops()),
            "parquet": lambda: parquet.encode(columns, ids, distributor_id=name, batch_id="bat_0", known_at=NOW),
        }.items():
            print(f"  {title:16} {best(work):8.0f} us")
        start = time.process_time()
        for _ in range(30):
            await retailers.resolve(self.pools, keyring=self.keyring, distributor_id=name, shops=places.keys(), now=NOW)
        print(f"  {'resolve, known':16} {(time.process_time() - start) / 30 * 1e6:8.0f} us")
        cold = [retailers.ShopKey(ref=f"new{n}") for n in range(RECORDS)]
        start = time.perf_counter()
        await retailers.resolve(self.pools, keyring=self.keyring, distributor_id=name, shops=cold, now=NOW)
        print(f"  {'resolve, 1000 new':16} {(time.perf_counter() - start) * 1e6:7.0f} us (wall)")


def best(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(30):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1e6


def small_body() -> None:
    class Question(msgspec.Struct):
        retailer_id: str
        purpose: str
        requested_limit_inr: int | None = None

    raw = msgspec.json.encode(
        {"retailer_id": "ret_7f3a92c1d4e8b051", "purpose": "working_capital_loan", "note": "x" * 190}
    )
    decoder = msgspec.json.Decoder(Question)

    def many(work: Callable[[], Any]) -> float:
        return best(lambda: [work() for _ in range(1000)]) / 1000

    strict, plain = many(lambda: strict_json.decode(raw, Question)), many(lambda: decoder.decode(raw))
    print(f"  strict decode of {len(raw)} bytes: {strict:.2f} us, msgspec alone {plain:.2f} us")


@contextlib.asynccontextmanager
async def installation() -> AsyncIterator[tuple[Database, Path]]:
    with tempfile.TemporaryDirectory(prefix="altcredit-bench-") as home:
        os.chmod(home, 0o755)
        server = Server(Path(home) / "postgres")
        dsn = await asyncio.to_thread(server.start)
        try:
            connection = await asyncpg.connect(dsn)
            await connection.execute(TABLE)
            await connection.close()
            await schema.upgrade(dsn)
            pools = await Database.connect(dsn, connections=16)
            yield pools, Path(home) / "lake"
            await pools.close()
        finally:
            await asyncio.to_thread(server.stop)


async def main(batches: int, clients: int, profile: bool) -> None:
    async with installation() as (pools, lake):
        bench = Bench(pools, lake, batches)
        print("Strict JSON")
        small_body()
        print("Stages of a batch")
        await bench.stages()
        await timed(bench.submits(clients), clients)  # the shops are met
        print("Acknowledged = durable")
        await bench.compare(1)
        await bench.compare(clients)
        if profile:
            profiler = cProfile.Profile()
            work = bench.submits(clients)
            profiler.enable()
            await timed(work, clients)
            profiler.disable()
            pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    assert date(2026, 5, 19) < NOW.date()
    uvloop.run(main(given.batches, given.clients, given.profile))
