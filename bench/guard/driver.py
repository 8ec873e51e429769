"""
The least that accepting an application costs the database: its statements in their transaction, and nothing else.

    python -m bench.guard.driver DSN PARTNERS CONNECTIONS

``PARTNERS``: a file of token HMAC (hex) and partner id a line. For every line on standard input, runs for that many
seconds and prints rate (1/s) and percentiles (ms) as a line of JSON.
"""

import asyncio
import itertools
import json
import secrets
import sys
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import asyncpg
import uvloop

from altcredit.engine.audit.store import APPEND
from altcredit.engine.identity.store import PARTNER_BY_TOKEN
from altcredit.engine.underwriting.store import INSERT
from altcredit.runtime.ids import new_id
from altcredit.runtime.jobs import ENQUEUE
from altcredit.runtime.quotas import TAKE_MINUTE

LOOPBACK = ip_address("127.0.0.1")
SEALED = secrets.token_bytes(420)  # as long as a sealed application


async def accept(connection: asyncpg.Connection, token_hmac: bytes, partner_id: str) -> None:
    now, request_id = datetime.now(UTC), new_id("uw")
    await connection.fetchrow(PARTNER_BY_TOKEN, token_hmac, LOOPBACK, now)
    minute = now.replace(second=0, microsecond=0)
    await connection.fetchval(TAKE_MINUTE, f"driver|{partner_id}", minute)
    async with connection.transaction():
        hashed = secrets.token_bytes(32)
        await connection.execute(INSERT, request_id, partner_id, "c-1", hashed, SEALED, False, now)
        await connection.fetchval(ENQUEUE, "driver", b'{"request_id":"uw_0123456789abcdef"}', timedelta(), None)
        await connection.execute(APPEND, now, partner_id, "underwriting.accepted", request_id, "{}")


async def measure(
    connections: list[asyncpg.Connection], partners: list[tuple[bytes, str]], seconds: float
) -> dict[str, float]:
    waiting = itertools.cycle(partners)
    times: list[float] = []
    start = time.perf_counter()

    async def loop(connection: asyncpg.Connection) -> None:
        at = time.perf_counter()
        while at < start + seconds:
            await accept(connection, *next(waiting))
            done = time.perf_counter()
            times.append(done - at)
            at = done

    await asyncio.gather(*map(loop, connections))
    took = time.perf_counter() - start
    times.sort()
    return {"rate": len(times) / took} | {f"p{share}": times[int(len(times) * share / 100)] * 1e3 for share in (50, 99)}


async def main(dsn: str, lines: list[str], count: int) -> None:
    partners = [(bytes.fromhex(hashed), partner_id) for hashed, partner_id in map(str.split, lines)]
    connections = [await asyncpg.connect(dsn, server_settings={"timezone": "UTC"}) for _ in range(count)]
    print(json.dumps({"event": "driver_ready"}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await measure(connections, partners, float(line))), flush=True)
    for connection in connections:
        await connection.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2]).read_text().splitlines(), int(sys.argv[3])))
