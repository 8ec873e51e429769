"""
Whether the time of a refusal tells what is behind it: Welch's t between a shop that does not exist and one that exists,
is scored, and did not consent to the asking lender (contract A2; limit 4.5, as in dudect).

    python -m bench.timing [--calls 100000] [--json FILE]

Over HTTPS and PostgreSQL, one connection, the two classes drawn at random call by call. Slow outliers, which are the
machine's, are cut at one common percentile (95) before the test, as dudect does; the uncut t is printed too.
"""

import argparse
import asyncio
import math
import random
import ssl
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from altcredit.runtime.certificates import Authority
from altcredit.runtime.ids import new_id
from altcredit.runtime.platform import opened
from bench.figures import Figure, finish
from bench.serving.home import Home, home
from bench.serving.portfolio import PURPOSE, lender, populate

RETAILERS = 10_000
CUT = 0.95
LIMIT = 4.5


def welch(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Welch's t (B. L. Welch, Biometrika 34, 1947)."""
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(spread)


class Asker:
    """One kept connection, one question at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, request: bytes) -> tuple[float, bytes]:
        """Send a request; return the nanoseconds until its answer was read, and the answer."""
        began = time.perf_counter_ns()
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await self.reader.readexactly(length)
        return time.perf_counter_ns() - began, head[:12] + body


def score(token: str, lender_id: str, retailer: str) -> bytes:
    body = f'{{"retailer_id":"{retailer}","purpose":"{PURPOSE}"}}'.encode()
    return _request("POST /v1/score", token, lender_id, body)


def history(token: str, lender_id: str, retailer: str) -> bytes:
    return _request(f"GET /v1/score/{retailer}/history", token, lender_id, b"")


def _request(line: str, token: str, lender_id: str, body: bytes) -> bytes:
    lines = [f"{line} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}", f"X-Client-ID: {lender_id}"]
    lines += ["X-Request-ID: timing", "Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def compared(asker: Asker, ask: Callable[[str], bytes], known: Sequence[str], calls: int) -> tuple[float, float]:
    """Return Welch's t after the cut, and before it, of ``calls`` calls a class."""
    times: tuple[list[float], list[float]] = ([], [])
    answers: set[bytes] = set()
    for _ in range(2_000):  # caches and plans are warm after these
        await asker.ask(ask(random.choice(known)))
    while min(map(len, times)) < calls:
        which = random.getrandbits(1)
        taken, answer = await asker.ask(ask(random.choice(known) if which else new_id("ret")))
        times[which].append(taken)
        answers.add(answer)
    if len(answers) != 1:
        raise RuntimeError(f"the refusals differ: {answers}")
    most = sorted((*times[0], *times[1]))[int(CUT * (len(times[0]) + len(times[1])))]
    kept = [[one for one in side if one < most] for side in times]
    return welch(*kept), welch(*times)


async def measure(installation: Home, url: str, calls: int) -> list[Figure]:
    async with opened(installation.settings, installation.dsn) as platform:
        questions = await populate(platform, lenders=4, retailer_count=RETAILERS)
        lender_id, token, _ = await lender(platform, datetime.now(UTC))
        pem = Authority.open(platform.settings, keyring=platform.keyring, now=datetime.now(UTC)).pem
    known = sorted({one.retailer_id for one in questions})
    host, port = url.removeprefix("https://").split(":")
    context = ssl.create_default_context(cadata=pem)
    asker = Asker(*await asyncio.open_connection(host, int(port), ssl=context, server_hostname="localhost"))
    figures = []
    for name, build in (("score", score), ("history", history)):
        cut, whole = await compared(asker, lambda one, build=build: build(token, lender_id, one), known, calls)
        print(f"{name}: t {cut:+.2f} after the cut, {whole:+.2f} before it, {calls:,} calls a class")
        figures.append(Figure(f"refusal of {name}: |t|, unknown against unconsented", abs(cut), at_most=(LIMIT, 2.0)))
    asker.writer.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000, help="calls a class")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    with home() as installation, installation.process("api", "-m", "altcredit", "serve", "--role", "api") as api:
        finish(uvloop.run(measure(installation, api.said("api_ready")["address"], given.calls)), given.json)


if __name__ == "__main__":
    main()
