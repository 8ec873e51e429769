"""
What POST /v1/score costs, against what it cannot do without, in one run.

    python -m bench.score [--rounds 5] [--seconds 3] [--connections 16] [--json FILE] [--profile FILE]

The product answers over TLS 1.3 by one API process: token, consent, quota, durable access row, metrics and a log line
in a file. Rounds of the product and its anchors are interleaved, so that whatever else the machine does strikes all:

* empty handler: the same TLS server stack without a product (what HTTP costs);
* driver loop: the product's one statement by as many asyncpg connections (what PostgreSQL costs);
* FastAPI: the same work by FastAPI, pydantic and SQLAlchemy's ORM on uvicorn, uvloop and httptools.

The additive bound is the rate of a process that does the first two one after the other and nothing else. Figures are
medians of rounds; processor time, an answer, is that of the process measured and that of all of PostgreSQL. The
generator of all HTTP load is wrk (Debian's package).
"""

import argparse
import contextlib
import json
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil
import uvloop

from altcredit.runtime.certificates import Authority, server_certificate
from altcredit.runtime.keys import Keyring
from altcredit.runtime.platform import opened
from bench.figures import Figure, finish
from bench.serving.home import Home, Process, home, working_directory
from bench.serving.portfolio import Question, populate

LENDERS, RETAILERS = 40, 10_000
LOAD = Path(__file__).parent / "serving" / "load.lua"

Round = dict[str, float]
Measure = Callable[[float], Round]
PRODUCT, EMPTY, DRIVER, FASTAPI = "AltCredit", "empty handler", "driver loop", "FastAPI + ORM"


def wrk(url: str, script: Path, *files: Path, connections: int, seconds: float) -> Round:
    """Load a server; return rate (1/s) and percentiles (ms). A single failed answer fails the benchmark."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", script, url, "--", *files],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said: Round = json.loads(done.stdout.strip().splitlines()[-1])
    if said.pop("failed"):
        raise RuntimeError(f"{url} failed to answer:\n{done.stdout}")
    return said


def written(installation: Home, questions: list[Question]) -> tuple[Path, Path]:
    """Write the questions for wrk and for the driver loop."""
    lines, packed = installation.folder / "questions.tsv", installation.folder / "questions.msgpack"
    lines.write_text("".join(f"{one.token}\t{one.lender_id}\t{one.retailer_id}\n" for one in questions))
    packed.write_bytes(msgspec.msgpack.encode(questions))
    return lines, packed


async def prepared(installation: Home) -> list[Question]:
    async with opened(installation.settings, installation.dsn) as platform:
        return await populate(platform, lenders=LENDERS, retailer_count=RETAILERS)


class Meter:
    """Processor time of a process and of the database's processes (µs), told apart by the working directory."""

    def __init__(self, pid: int, data: Path) -> None:
        self.process = psutil.Process(pid)
        self.data = str(data)

    def read(self) -> tuple[float, float]:
        return _cpu([self.process]), _cpu(one for one in psutil.process_iter() if working_directory(one) == self.data)


def _cpu(processes: Iterable[psutil.Process]) -> float:
    total = 0.0
    for one in processes:
        with contextlib.suppress(psutil.Error):  # a backend that has just ended
            total += one.cpu_times().user + one.cpu_times().system
    return total * 1e6


class Bench:
    """The product and two anchors, running: ``script`` is wrk's, ``driver`` the module of the driver loop."""

    def __init__(
        self,
        installation: Home,
        stack: contextlib.ExitStack,
        connections: int,
        *,
        script: Path,
        files: Sequence[Path],
        driver: str,
        packed: Path,
    ) -> None:
        self.installation = installation
        self.stack = stack
        self.connections = connections
        self.script, self.files = script, files
        api = self._process("api", "-m", "altcredit", "serve", "--role", "api")
        empty = self._process("empty", "-m", "bench.serving.empty")
        self.targets: dict[str, Measure] = {
            PRODUCT: self.http(api, api.said("api_ready")["address"]),
            EMPTY: self.http(empty, empty.said("api_ready")["address"]),
            DRIVER: self._driver(driver, packed),
        }

    def _process(self, name: str, *command: str, **variables: str) -> Process:
        return self.stack.enter_context(self.installation.process(name, *command, **variables))

    def http(self, process: Process, url: str) -> Measure:
        """Return how a server is measured."""
        return self._metered(
            process.pid,
            lambda seconds: wrk(url, self.script, *self.files, connections=self.connections, seconds=seconds),
        )

    def _metered(self, pid: int, measure: Measure) -> Measure:
        meter = Meter(pid, self.installation.server.data)

        def metered(seconds: float) -> Round:
            before = meter.read()
            found = measure(seconds)
            own, database = (after - then for after, then in zip(meter.read(), before, strict=True))
            answers = max(found["rate"] * seconds, 1)
            return found | {"own": own / answers, "database": database / answers}

        return metered

    def _driver(self, module: str, packed: Path) -> Measure:
        child = subprocess.Popen(
            [sys.executable, "-m", module, self.installation.dsn, packed, str(self.connections)],
            env=self.installation.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.stack.enter_context(child)
        assert child.stdin is not None
        self.stack.callback(child.stdin.close)
        assert child.stdout is not None
        child.stdout.readline()

        def measured(seconds: float) -> Round:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(f"{seconds}\n")
            child.stdin.flush()
            said: Round = json.loads(child.stdout.readline())
            return said

        return self._metered(child.pid, measured)

    def fastapi(self) -> tuple[Process, str]:
        """Start the same work by FastAPI; return its process and address."""
        settings, now = self.installation.settings, datetime.now(UTC)
        authority = Authority.open(settings, keyring=Keyring.open(settings), now=now)
        certificate = server_certificate(settings, authority=authority, now=now)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = self._process(
            "fastapi", "-m", "uvicorn", "bench.serving.fastapi_app:app", "--port", str(port), "--loop", "uvloop",
            "--http", "httptools", "--no-access-log", "--ssl-keyfile", str(certificate),
            "--ssl-certfile", str(certificate), ALTCREDIT_DATABASE_URL=self.installation.dsn,
        )  # fmt: skip
        process.until(lambda: "Uvicorn running" in process.log.read_text(), "FastAPI")
        return process, f"https://127.0.0.1:{port}"

    def compare(self, rounds: int, seconds: float) -> dict[str, Round]:
        """Run the rounds; return the median of each figure of each target."""
        for measure in self.targets.values():
            measure(2)
        found: dict[str, list[Round]] = {name: [] for name in self.targets}
        for _ in range(rounds):
            for name, measure in self.targets.items():
                found[name].append(measure(seconds))
        return {
            name: {key: statistics.median(one[key] for one in runs) for key in runs[0]} for name, runs in found.items()
        }


def additive_bound(found: dict[str, Round]) -> float:
    """Return the rate of a process that does what both anchors do, one after the other, and nothing else."""
    return 1 / (1 / found[EMPTY]["rate"] + 1 / found[DRIVER]["rate"])


def show_rounds(found: dict[str, Round]) -> float:
    """Print the medians; return the additive bound."""
    bound = additive_bound(found)
    print(f"{'':16}{'answers/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'CPU µs':>10}{'PG CPU µs':>10}{'product is':>12}")
    for name, one in found.items():
        times = found[PRODUCT]["rate"] / one["rate"]
        print(
            f"{name:16}{one['rate']:12,.0f}{one['p50']:10.2f}{one['p99']:10.2f}{one['own']:10,.0f}{one['database']:10,.0f}{times:11.2f}x"
        )
    print(f"{'additive bound':16}{bound:12,.0f}{'':40}{found[PRODUCT]['rate'] / bound:11.2f}x")
    return bound


def table(found: dict[str, Round]) -> list[Figure]:
    """Print the medians; return the figures that have goals."""
    bound = show_rounds(found)
    mine, driver, fastapi = found[PRODUCT], found[DRIVER], found[FASTAPI]
    return [
        Figure("score: share of the additive bound", mine["rate"] / bound, "", at_least=(0.60, 0.85)),
        Figure("score: p99 against the driver loop's", mine["p99"] / driver["p99"], "x", at_most=(2.0, 1.5)),
        Figure("score: against FastAPI + SQLAlchemy", mine["rate"] / fastapi["rate"], "x", at_least=(3.0, 4.0)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    with home() as installation, contextlib.ExitStack() as stack:
        lines, packed = written(installation, uvloop.run(prepared(installation)))
        bench = Bench(
            installation, stack, given.connections,
            script=LOAD, files=[lines], driver="bench.serving.driver", packed=packed,
        )  # fmt: skip
        bench.targets[FASTAPI] = bench.http(*bench.fastapi())
        print(
            f"POST /v1/score: {LENDERS} lenders, {RETAILERS:,} retailers, {given.connections} connections,"
            f" medians of {given.rounds} rounds of {given.seconds:g} s"
        )
        finish(table(bench.compare(given.rounds, given.seconds)), given.json)


if __name__ == "__main__":
    main()
