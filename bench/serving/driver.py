"""
The least that the database costs: one process, some connections, each running the product's statement again and again.

    python -m bench.serving.driver DSN QUESTIONS CONNECTIONS

Reads the questions (msgpack) once; then, for every line on standard input, runs for that many seconds and prints rate
(1/s) and percentiles (ms) as a line of JSON.
"""

import asyncio
import itertools
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
import uvloop

from altcredit.engine.scoring.operations import INDIA
from altcredit.engine.scoring.store import READ
from altcredit.runtime.ids import new_id
from bench.serving.portfolio import PURPOSE, Question


async def measure(connections: list[asyncpg.Connection], questions: list[Question], seconds: float) -> dict[str, float]:
    waiting = itertools.cycle(questions)
    times: list[float] = []
    start = time.perf_counter()
    end = start + seconds

    async def loop(connection: asyncpg.Connection) -> None:
        at = time.perf_counter()
        while at < end:
            now = datetime.now(UTC)
            one = next(waiting)
            row = await connection.fetchrow(
                READ, one.lender_id, one.token_id, now.replace(second=0, microsecond=0),
                now.replace(hour=0, minute=0, second=0, microsecond=0), one.head_key, now, new_id("req"),
                one.retailer_id, PURPOSE, now.astimezone(INDIA).date(),
            )  # fmt: skip
            assert row["outcome"] == "OK", row
            done = time.perf_counter()
            times.append(done - at)
            at = done

    await asyncio.gather(*map(loop, connections))
    took = time.perf_counter() - start
    times.sort()
    return {"rate": len(times) / took} | {f"p{share}": times[int(len(times) * share / 100)] * 1e3 for share in (50, 99)}


async def main(dsn: str, packed: bytes, count: int) -> None:
    questions = msgspec.msgpack.decode(packed, type=list[Question])
    connections = [await asyncpg.connect(dsn, server_settings={"timezone": "UTC"}) for _ in range(count)]
    print(json.dumps({"event": "driver_ready"}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await measure(connections, questions, float(line))), flush=True)
    for connection in connections:
        await connection.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2]).read_bytes(), int(sys.argv[3])))
