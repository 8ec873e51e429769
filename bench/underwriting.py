"""
Applications through the whole of GUARD: POST over TLS, seven sources over HTTP, decision, callback over TLS.

    python -m bench.underwriting [--seconds N] [--waiting N] [--json FILE]

Everything is on this machine: API, worker, PostgreSQL, the simulator of the sources, the partner's receiver and the
load. *Sustained* keeps a fixed number of applications outstanding for the given time and counts callbacks. *Not
saturated* sends ten a second and takes the time from the 202 to the callback's arrival. *In process*: a worker whose
sources answer without HTTP, beside the queue's bare loop (jobs that do nothing), over applications that were accepted
before. *Waiting*: thousands are accepted against sources that take ten seconds; the worker's memory is looked at.
"""

import argparse
import asyncio
import ssl
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx2
import msgspec
import psutil

from altcredit.engine import delivery, identity, underwriting
from altcredit.pipeline.learning import learn
from altcredit.pipeline.models import GUARD, GUARD_SCREEN
from altcredit.runtime import clock
from altcredit.runtime.certificates import Authority
from altcredit.runtime.http import Sender
from altcredit.runtime.platform import Platform, opened
from altcredit.simulator.applicant_portfolio import portfolio_of_applicants
from altcredit.simulator.applicants import applicant, cpfs
from altcredit.simulator.source_serving import deployment_file
from bench.figures import Figure, finish
from bench.serving.home import Home, free_port, home

SEED = 0
OUTSTANDING = 64
PATH = "/api/partner/credit/cards/underwritings"
FULL = {"scr": "ref", "positiveHistory": "ref", "openFinance": "ref"}


class Guard:
    """The installation, its partner, and what reaches the partner's receiver."""

    def __init__(self, platform: Platform, installation: Home, partner_id: str) -> None:
        self.platform = platform
        self.installation = installation
        self.partner_id = partner_id
        self.people = cpfs(SEED)
        self.number = 0

    def body(self) -> bytes:
        """A new applicant, who authorised every source."""
        self.number += 1
        application = applicant(next(self.people), seed=SEED).application(customer_uuid=f"c-{self.number}")
        authorizations = underwriting.Authorizations(scr="ref", positive_history="ref", open_finance="ref")
        return msgspec.json.encode(msgspec.structs.replace(application, authorizations=authorizations))

    async def accept(self, count: int) -> None:
        """Accept applications as the API does, without it."""
        for _ in range(count):
            application = msgspec.json.decode(self.body(), type=underwriting.Application)
            async with self.platform.database.transaction() as db:
                await underwriting.accept(
                    db,
                    keyring=self.platform.keyring,
                    partner_id=self.partner_id,
                    application=application,
                    environment="development",
                    sandbox_delay=timedelta(),
                    now=clock.now(),
                )

    async def finished(self) -> int:
        found: int = await self.platform.database.reads.fetchval(
            "SELECT count(*) FROM underwriting WHERE status = 'finished'"
        )
        return found

    async def commits(self) -> int:
        """Return how many transactions the database has seen, single statements and reads among them."""
        found: int = await self.platform.database.reads.fetchval(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        )
        return found

    async def queued(self) -> int:
        found: int = await self.platform.database.reads.fetchval(
            "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'underwriting.run'"
        )
        return found


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the condition is in another process
            await asyncio.sleep(0.05)


class Load:
    """A partner that posts over TLS, and looks up what has arrived at its receiver."""

    def __init__(self, guard: Guard, client: httpx2.AsyncClient, receiver: httpx2.AsyncClient) -> None:
        self.guard, self.client, self.receiver = guard, client, receiver
        self.accepted: dict[str, float] = {}

    async def post(self) -> None:
        answer = await self.client.post(PATH, content=self.guard.body())
        assert answer.status_code == 202, answer.text
        self.accepted[answer.json()["requestId"]] = time.monotonic()

    async def arrivals(self) -> dict[str, float]:
        found: dict[str, float] = (await self.receiver.get("/arrivals")).json()
        return {request_id: at for request_id, at in found.items() if request_id in self.accepted}

    async def count(self) -> int:
        return int((await self.receiver.get("/count")).text)

    async def drain(self, *, seconds: float = 120) -> dict[str, float]:
        """Wait until every application's callback has arrived."""

        async def all_arrived() -> bool:
            return len(await self.arrivals()) >= len(self.accepted)

        await until(all_arrived, seconds=seconds)
        return await self.arrivals()

    async def sustained(self, seconds: float) -> float:
        """Return callbacks a second with a fixed number of applications outstanding."""
        before, began, arrived = await self.count(), time.monotonic(), 0
        while time.monotonic() - began < seconds:
            missing = OUTSTANDING - (len(self.accepted) - arrived)
            await asyncio.gather(*(self.post() for _ in range(max(missing, 0))))
            await asyncio.sleep(0.02)
            arrived = await self.count() - before
        rate = arrived / (time.monotonic() - began)
        await self.drain()
        return rate

    async def latencies(self, *, per_second: float, count: int) -> list[float]:
        """Return the milliseconds from the 202 to the callback, applications coming at a steady pace."""
        self.accepted.clear()
        for _ in range(count):
            due = time.monotonic() + 1 / per_second
            await self.post()
            await asyncio.sleep(max(due - time.monotonic(), 0))
        arrived = await self.drain()
        return sorted((at - self.accepted[request_id]) * 1000 for request_id, at in arrived.items())


async def prepared(platform: Platform, installation: Home, port: int, folder: Path) -> tuple[Guard, str]:
    """Train and promote GUARD's models; add a partner with a verified callback; return it with its token."""
    now = clock.now()
    frame = portfolio_of_applicants(3, 8000, now.date())
    for purpose in (GUARD, GUARD_SCREEN):
        await learn(platform, frame, purpose=purpose, data_origin="simulated", promote=True, actor="bench", now=now)
    async with platform.database.transaction() as db:
        issued = await identity.add_partner(
            db, keyring=platform.keyring, name="Bench", addresses=["127.0.0.0/8"], minute_limit=1_000_000,
            actor="bench", now=now,
        )  # fmt: skip
        await delivery.issue_secrets(db, keyring=platform.keyring, partner_id=issued.partner_id, actor="bench", now=now)
    sender = Sender.of(platform.settings, keyring=platform.keyring, now=now)
    await delivery.set_endpoint(
        platform.database, keyring=platform.keyring, sender=sender, partner_id=issued.partner_id,
        url=f"https://localhost:{port}/callback", actor="bench", clock=clock.now,
    )  # fmt: skip
    await sender.close()
    return Guard(platform, installation, issued.partner_id), issued.token


def receiver_files(platform: Platform, folder: Path) -> tuple[str, str]:
    authority = Authority.open(platform.settings, keyring=platform.keyring, now=clock.now())
    issued = authority.issue_server(["localhost", "127.0.0.1"], now=clock.now())
    cert, key = folder / "receiver.pem", folder / "receiver-key.pem"
    cert.write_text(issued.pem)
    key.write_text(issued.key_pem or "")
    return str(cert), str(key)


@asynccontextmanager
async def loading(guard: Guard, base_url: str, token: str, port: int) -> AsyncIterator[Load]:
    platform = guard.platform
    pem = Authority.open(platform.settings, keyring=platform.keyring, now=clock.now()).pem
    context = ssl.create_default_context(cadata=pem)
    headers = {"x-partner-auth": token, "content-type": "application/json"}
    limits = httpx2.Limits(max_connections=16)
    async with (
        httpx2.AsyncClient(base_url=base_url, verify=context, headers=headers, timeout=30, limits=limits) as client,
        httpx2.AsyncClient(base_url=f"https://localhost:{port}", verify=context, timeout=30) as receiver,
    ):
        yield Load(guard, client, receiver)


def megabytes(pid: int) -> float:
    return float(psutil.Process(pid).memory_full_info().pss) / 2**20


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def over_http(guard: Guard, installation: Home, token: str, port: int, seconds: float) -> list[Figure]:
    with (
        installation.process("api", "-m", "altcredit", "serve", "--role", "api") as api,
        installation.process("worker", "-m", "altcredit", "serve", "--role", "worker") as worker,
    ):
        worker.said("worker_ready")
        async with loading(guard, api.said("api_ready")["address"], token, port) as load:
            await load.latencies(per_second=10, count=20)  # connections, models and plans are warm after these
            quiet = await load.latencies(per_second=10, count=200)
            load.accepted.clear()
            processes = {name: psutil.Process(one.pid) for name, one in (("api", api), ("worker", worker))}
            before = {name: cpu(one) for name, one in processes.items()}
            rate = await load.sustained(seconds)
            count = len(load.accepted)
            for name, one in processes.items():
                print(f"CPU of the {name}: {(cpu(one) - before[name]) / count * 1000:.2f} ms an application")
            print(f"not saturated: p50 {quiet[100]:.0f} ms, p95 {quiet[190]:.0f} ms, p99 {quiet[198]:.0f} ms")
            return [
                Figure("GUARD: callbacks, 7 sources over HTTP", rate, "/s", at_least=(40, 100)),
                Figure("GUARD: accepted → callback, p50", statistics.median(quiet), "ms", at_most=(200, 80)),
                Figure("GUARD: worker after the load", megabytes(worker.pid), "MB", at_most=(450, 300)),
            ]


async def emptied(guard: Guard, installation: Home, kind: str, count: int) -> float:
    """Return applications a second of a worker of its own over ``count`` that wait."""
    await guard.accept(count)
    with installation.process(f"worker-{kind}", "-m", "bench.guard.worker", kind, installation.dsn) as worker:
        worker.said("worker_ready")

        async def begun() -> bool:
            return await guard.queued() <= count - 100

        async def done() -> bool:
            return await guard.queued() == 0

        await until(begun, seconds=60)  # models are loaded, plans are made
        process = psutil.Process(worker.pid)
        left, began, used, commits = await guard.queued(), time.monotonic(), cpu(process), await guard.commits()
        await until(done, seconds=180)
        seconds, used = time.monotonic() - began, cpu(process) - used
        await asyncio.sleep(1.5)  # sessions report what they did once a second
        commits = await guard.commits() - commits
        print(f"{kind}: CPU of the worker {used / left * 1000:.2f} ms, {commits / left:.2f} commits an application")
        return left / seconds


async def waiting(guard: Guard, installation: Home, address: str, count: int) -> list[Figure]:
    """Accept thousands against sources of ten seconds; see what the worker takes and how it goes on."""
    async with httpx2.AsyncClient() as client:
        (await client.put(f"{address}/control", json={"latency_ms": 10_000})).raise_for_status()
    await guard.accept(count)
    already = await guard.finished()
    with installation.process("worker-waiting", "-m", "altcredit", "serve", "--role", "worker") as worker:
        worker.said("worker_ready")
        most, began = 0.0, time.monotonic()
        while time.monotonic() - began < 45:
            most = max(most, megabytes(worker.pid))
            await asyncio.sleep(0.5)
        decided = await guard.finished() - already
        picked: int = await guard.platform.database.reads.fetchval(
            "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'underwriting.run' AND status = 'picked'"
        )
        print(f"{count} waiting on sources of 10 s: {picked} under way, {decided} decided, {most:.0f} MB at most")
    return [Figure("GUARD: worker, 10,000 waiting", most, "MB", at_most=(450, 300))]


async def measure(installation: Home, seconds: float, count: int) -> list[Figure]:
    folder, port, sources_port = installation.folder, free_port(), free_port()
    address = f"http://127.0.0.1:{sources_port}"
    config = folder / "sources.toml"
    patient = deployment_file(address).replace("\npath =", "\ntimeout_seconds = 20\npath =")
    config.write_text(patient)
    installation.variables |= {"ALTCREDIT_SOURCES": str(config), "ALTCREDIT_LOG_LEVEL": "info"}
    async with opened(installation.settings, installation.dsn) as platform:
        cert, key = receiver_files(platform, folder)
        with (
            installation.process("sources", "-m", "altcredit", "sources", "serve", "--port", str(sources_port)),
            installation.process("receiver", "-m", "bench.guard.receiver", str(port), cert, key) as receiver,
        ):
            receiver.said("receiving")
            guard, token = await prepared(platform, installation, port, folder)
            figures = await over_http(guard, installation, token, port, seconds)
            bare = await emptied(guard, installation, "nothing", 2000)
            direct = await emptied(guard, installation, "direct", 2000)
            print(f"bare job loop {bare:.0f}/s; with sources in process {direct:.0f}/s")
            figures += [
                Figure("GUARD: applications, sources in process", direct, "/s", at_least=(150, 300)),
                Figure("GUARD: share of the bare job loop", direct / bare),
            ]
            await platform.database.writes.execute("DELETE FROM pgqueuer WHERE entrypoint = 'underwriting.run'")
            return figures + await waiting(guard, installation, address, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long the load is sustained")
    parser.add_argument("--waiting", type=int, default=10_000, help="how many wait on slow sources")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    with home() as installation:
        finish(asyncio.run(measure(installation, given.seconds, given.waiting)), given.json)


if __name__ == "__main__":
    main()
