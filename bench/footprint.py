"""
What an idle installation takes, and how soon a warm one answers.

    python -m bench.footprint [--json FILE]

Memory is the proportional set size (PSS): what is shared between processes is counted once, and the worker has loaded
the pipeline, as it does where there is a distributor. The start is that of ``altcredit serve`` on a home that has been
used before, database server stopped, to its first 200 of ``/readyz``, and beside it that of the database server alone.
"""

import argparse
import asyncio
import ssl
import statistics
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import psutil

from altcredit.engine import identity
from altcredit.runtime.certificates import Authority
from altcredit.runtime.keys import Keyring
from altcredit.runtime.platform import opened
from bench.figures import Figure, finish
from bench.serving.home import Home, Process, home, working_directory

STARTS = 3
SETTLE_SECONDS = 3.0


def megabytes(processes: Iterable[psutil.Process]) -> float:
    return sum(one.memory_full_info().pss for one in processes) / 2**20


def role(process: psutil.Process) -> str:
    command = process.cmdline()
    return command[command.index("--role") + 1] if "--role" in command else "supervisor"


def memory(serve: Process, data: Path) -> dict[str, float]:
    """Return megabytes by role."""
    supervisor = psutil.Process(serve.pid)
    ours = [supervisor, *(child for child in supervisor.children() if child.name().startswith("python"))]
    postgres = [one for one in psutil.process_iter() if working_directory(one) == str(data)]
    return {role(one): megabytes([one]) for one in ours} | {"PostgreSQL": megabytes(postgres)}


def answering(serve: Process, authority: str) -> float:
    """Wait for the first answer; return the time of it."""
    url = serve.said("api_ready")["address"]
    with httpx2.Client(verify=ssl.create_default_context(cadata=authority), base_url=url) as client:
        client.get("/readyz").raise_for_status()
    return time.perf_counter()


def processor_seconds(serve: Process) -> float:
    """Return what the supervisor and its processes have used so far; the embedded server is no child of theirs."""
    supervisor = psutil.Process(serve.pid)
    times = [one.cpu_times() for one in (supervisor, *supervisor.children())]
    return sum(one.user + one.system for one in times)


async def add_distributor(installation: Home) -> None:
    now = datetime.now(UTC)
    async with opened(installation.settings, installation.dsn) as platform:
        authority = Authority.open(installation.settings, keyring=platform.keyring, now=now)
        async with platform.database.transaction() as db:
            await identity.add_distributor(
                db, keyring=platform.keyring, authority=authority, name="One", actor="bench", now=now
            )


def measure(installation: Home) -> list[Figure]:
    settings = installation.settings
    authority = Authority.open(settings, keyring=Keyring.open(settings), now=datetime.now(UTC)).pem
    found: dict[str, float] = {}
    starts: list[float] = []
    postmasters: list[float] = []
    processor: list[float] = []
    asyncio.run(add_distributor(installation))
    for number in range(STARTS + 1):
        installation.server.stop()
        start = time.perf_counter()
        installation.server.start()
        postmasters.append(time.perf_counter() - start)
        installation.server.stop()
        start = time.perf_counter()
        with installation.process(f"serve-{number}", "-m", "altcredit", "serve") as serve:
            starts.append(answering(serve, authority) - start)
            processor.append(processor_seconds(serve))
            if number == STARTS:
                serve.said("pipeline_loaded")
                time.sleep(SETTLE_SECONDS)
                found = memory(serve, installation.server.data)
    for name, size in found.items():
        print(f"{name:12}{size:8.0f} MB")
    return [
        Figure("idle: API process", found["api"], "MB", at_most=(150, 100)),
        Figure("idle: all of altcredit serve", sum(found.values()), "MB", at_most=(450, 300)),
        Figure("start of the database server alone", statistics.median(postmasters[1:]), "s"),
        Figure("warm start to the first 200 of /readyz", statistics.median(starts[1:]), "s", at_most=(3.0, 1.0)),
        Figure("processor time of our processes in it", statistics.median(processor[1:]), "s"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    with home() as installation:
        finish(measure(installation), given.json)


if __name__ == "__main__":
    main()
