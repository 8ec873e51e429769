"""
Whether the time of an answer tells what is behind it: Welch's t between questions whose answers are the same by
contract (A2, C7, G1), though the one is about something that exists and the other is not (limit 4.5, as in dudect).

    python -m bench.timing [score history grievance code] [--calls 100000] [--json FILE]

Over HTTPS and PostgreSQL, on a few connections; on each of them the class of every call is drawn at random. Slow
outliers, which are the machine's, are cut at one common percentile (95) before the test, as dudect does; the uncut t is
printed too. Of several classes, the two that differ most count.
"""

import argparse
import asyncio
import itertools
import math
import random
import secrets
import ssl
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import uvloop

from altcredit.engine import consent, messaging, retailers
from altcredit.runtime.certificates import Authority
from altcredit.runtime.ids import new_id
from altcredit.runtime.platform import Platform, opened
from altcredit.runtime.tokens import Claims
from bench.figures import Figure, finish
from bench.serving.home import Home, home
from bench.serving.portfolio import PURPOSE, lender, populate

RETAILERS = 10_000
PHONES = 4_000
CONNECTIONS = 4
WARM_UP = 500  # calls a connection, after which caches and plans are warm
CUT = 0.95
LIMIT = 4.5
# Fewer calls, on all connections together, than the 300 codes a minute that there are for everybody.
CALLS_A_WINDOW = 200


class Question(msgspec.Struct, frozen=True):
    """A request as it is sent; its id, which the answer repeats, is not compared."""

    raw: bytes
    request_id: bytes


Ask = Callable[[], Question]


class Row(msgspec.Struct, frozen=True):
    """Classes of questions that have one answer; ``between`` is done every so often, beside the clock."""

    name: str
    what: str
    classes: dict[str, Ask]
    between: Callable[[], Awaitable[None]] | None = None


class Times:
    """How long the calls of each class took, in nanoseconds, and what all of them were answered."""

    def __init__(self, row: Row) -> None:
        self.taken: dict[str, list[int]] = {name: [] for name in row.classes}
        self.answers: set[bytes] = set()

    def fewest(self) -> int:
        return min(map(len, self.taken.values()))

    def differ(self) -> tuple[float, float]:
        """Return Welch's t of the two classes that differ most, after the cut, and before it."""
        if len(self.answers) != 1:
            raise RuntimeError(f"the answers differ: {self.answers}")
        every = sorted(itertools.chain(*self.taken.values()))
        most = every[int(CUT * len(every))]
        kept = {name: [one for one in taken if one < most] for name, taken in self.taken.items()}
        worst = max(itertools.combinations(kept, 2), key=lambda two: abs(welch(*(kept[name] for name in two))))
        print(f"    {worst[0]} against {worst[1]}", *self._means(kept), sep="; ")
        return welch(*(kept[name] for name in worst)), welch(*(self.taken[name] for name in worst))

    @staticmethod
    def _means(kept: dict[str, list[int]]) -> list[str]:
        return [f"{name} {statistics.fmean(taken) / 1e6:.4f} ms" for name, taken in kept.items()]


def welch(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Welch's t (B. L. Welch, Biometrika 34, 1947)."""
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(spread)


class Asker:
    """One kept connection, one question at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, question: Question) -> tuple[int, bytes]:
        """Send a request; return the nanoseconds until its answer was read, and status and body."""
        began = time.perf_counter_ns()
        self.writer.write(question.raw)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await self.reader.readexactly(length)
        return time.perf_counter_ns() - began, head[:12] + body.replace(question.request_id, b"-")


def request(line: str, body: dict[str, str] | None, **headers: str) -> Question:
    """Return a request with a new id, as long as any other's."""
    raw, request_id = b"" if body is None else msgspec.json.encode(body), secrets.token_hex(8)
    lines = [f"{line} HTTP/1.1", "Host: localhost", f"X-Request-ID: {request_id}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return Question("\r\n".join([*lines, f"Content-Length: {len(raw)}", "", ""]).encode() + raw, request_id.encode())


# What is asked


def _token(platform: Platform, lender_id: str) -> str:
    """Return a token that is good for as long as any run takes."""
    at = int(datetime.now(UTC).timestamp())
    claims = Claims(
        sub=lender_id, iss=platform.signing.issuer, iat=at, exp=at + 86_400, jti=new_id("tok"), kind="lender"
    )
    return platform.signing.issue_token(claims)


class World:
    """A lender, shops that consented to it and shops that did not, their scores, and phones."""

    def __init__(self, platform: Platform, lender_id: str) -> None:
        self.platform = platform
        self.proof = {"Authorization": f"Bearer {_token(platform, lender_id)}", "X-Client-ID": lender_id}
        self.consented: list[str] = []
        self.unconsented: list[str] = []
        self.scores: dict[str, str] = {}
        self.phones: list[str] = []
        self.nobodys: list[str] = []

    def score(self, retailer: str) -> Question:
        body = {"retailer_id": retailer, "purpose": PURPOSE}
        return request("POST /v1/score", body, **self.proof)

    def history(self, retailer: str) -> Question:
        return request(f"GET /v1/score/{retailer}/history", None, **self.proof)

    def grievance(self, retailer: str, score_id: str) -> Question:
        body = {"retailer_id": retailer, "score_id": score_id, "grievance_type": "other", "description": "d"}
        return request("POST /v1/grievances", body, **self.proof)

    def own_grievance(self, retailer: str) -> Question:
        return self.grievance(retailer, self.scores[retailer])

    def some_score(self) -> str:
        return self.scores[random.choice(self.unconsented)]

    def code(self, phone: str) -> Question:
        return request("POST /v1/me/code", {"phone": phone})

    def rows(self) -> list[Row]:
        """Return what is compared."""
        shops = "unknown or without consent"
        return [
            Row(
                "score",
                shops,
                {
                    "unknown": lambda: self.score(new_id("ret")),
                    "no consent": lambda: self.score(random.choice(self.unconsented)),
                },
            ),
            Row(
                "history",
                shops,
                {
                    "unknown": lambda: self.history(new_id("ret")),
                    "no consent": lambda: self.history(random.choice(self.unconsented)),
                },
            ),
            Row(
                "grievance",
                "shop or score",
                {
                    "unknown": lambda: self.grievance(new_id("ret"), self.some_score()),
                    "no consent": lambda: self.own_grievance(random.choice(self.unconsented)),
                    "another's score": lambda: self.grievance(random.choice(self.consented), self.some_score()),
                    "nobody's score": lambda: self.grievance(random.choice(self.consented), new_id("scr")),
                },
            ),
            Row(
                "code",
                "known or unknown phone",
                {
                    "known": lambda: self.code(random.choice(self.phones)),
                    "unknown": lambda: self.code(random.choice(self.nobodys)),
                },
                between=self.forget_quotas,
            ),
        ]

    async def forget_quotas(self) -> None:
        """Let codes be asked for again: quotas are no part of what is measured."""
        async with self.platform.database.transaction() as db:
            await db.execute("DELETE FROM quota_minute WHERE subject = 'sign-in'")
            await db.execute("DELETE FROM quota_window WHERE subject LIKE 'sign-in|%'")


async def made(platform: Platform) -> World:
    """Fill an empty installation."""
    now = datetime.now(UTC)
    questions = await populate(platform, lenders=4, retailer_count=RETAILERS)
    lender_id, _, _ = await lender(platform, now)
    world = World(platform, lender_id)
    shops = sorted({one.retailer_id for one in questions})
    world.consented, world.unconsented = shops[::2], shops[1::2]
    until = [now + timedelta(days=180)]
    heads = [
        (consent.head_key(platform.keyring, one, lender_id), one, lender_id, one, [PURPOSE], [new_id("cns")], until)
        for one in world.consented
    ]
    numbers = random.Random(1).sample(range(9 * 10**9, 10**10), 2 * PHONES)
    digits = [f"91{number}" for number in numbers]
    world.phones, world.nobodys = digits[:PHONES], digits[PHONES:]
    keys = [
        retailers.ShopKey(ref=f"P{place}", phone_hash=messaging.sent_hash(phone), name="Shop")
        for place, phone in enumerate(world.phones)
    ]
    await retailers.resolve(
        platform.database, keyring=platform.keyring, distributor_id="dist_phones", shops=keys, now=now
    )
    # Every known phone has written before, every other one in Hindi: most of what can be known of a phone.
    known = [messaging.phone_hash(platform.keyring, one) for one in world.phones]
    spoken = [(phone, bytes(90), ("en", "hi")[place % 2], now, now) for place, phone in enumerate(known)]
    async with platform.database.transaction() as db:
        await db.copy_records_to_table("consent_head", records=heads)
        columns = ["phone", "sealed", "language", "heard_at", "used_at"]
        await db.copy_records_to_table("conversation", records=spoken, columns=columns)
        scored = await db.fetch("SELECT retailer_id, score_id FROM assessment")
        world.scores = {row["retailer_id"]: row["score_id"] for row in scored}
    async with platform.database.reads.acquire() as db:
        await db.execute("VACUUM ANALYZE")
        await db.execute("CHECKPOINT")
    return world


# How it is asked


async def _ask(asker: Asker, row: Row, times: Times, calls: int) -> None:
    """Ask until there are enough calls of every class, over all connections; the first ones do not count."""
    names = list(row.classes)
    for number in itertools.count(1):
        if row.between is not None and number % (CALLS_A_WINDOW // CONNECTIONS) == 0:
            await row.between()
        name = names[secrets.randbelow(len(names))]
        taken, answer = await asker.ask(row.classes[name]())
        times.answers.add(answer)
        if number > WARM_UP:
            times.taken[name].append(taken)
        if times.fewest() >= calls:
            return


async def measured(askers: Sequence[Asker], row: Row, calls: int) -> Figure:
    times, began = Times(row), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for asker in askers:
            group.create_task(_ask(asker, row, times, calls))
    cut, whole = times.differ()
    seconds = time.perf_counter() - began
    print(
        f"{row.name}: t {cut:+.2f} after the cut, {whole:+.2f} before it, {times.fewest():,} calls a class,"
        f" {seconds:.0f} s ({1e5 / times.fewest() * seconds / 60:.0f} min for 100,000)",
        flush=True,
    )
    return Figure(f"{row.name}: |t|, {row.what}", abs(cut), at_most=(LIMIT, 2.0))


async def measure(installation: Home, url: str, wanted: Sequence[str], calls: int) -> list[Figure]:
    async with opened(installation.settings, installation.dsn) as platform:
        world = await made(platform)
        pem = Authority.open(platform.settings, keyring=platform.keyring, now=datetime.now(UTC)).pem
        host, port = url.removeprefix("https://").split(":")
        context = ssl.create_default_context(cadata=pem)
        askers = [
            Asker(*await asyncio.open_connection(host, int(port), ssl=context, server_hostname="localhost"))
            for _ in range(CONNECTIONS)
        ]
        figures = [await measured(askers, row, calls) for row in world.rows() if not wanted or row.name in wanted]
        for asker in askers:
            asker.writer.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="score, history, grievance, code: all without any")
    parser.add_argument("--calls", type=int, default=100_000, help="calls a class")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    with home() as installation, installation.process("api", "-m", "altcredit", "serve", "--role", "api") as api:
        address = api.said("api_ready")["address"]
        finish(uvloop.run(measure(installation, address, given.rows, given.calls)), given.json)


if __name__ == "__main__":
    main()
