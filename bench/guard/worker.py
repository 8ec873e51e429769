"""
A worker whose sources answer in this process: what the pipeline costs without HTTP.

    python -m bench.guard.worker SEED DSN
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from altcredit.engine.sources import SOURCES, Clients, Subject
from altcredit.engine.sources.client import Client, Exchange
from altcredit.engine.sources.deployment import Terms
from altcredit.engine.sources.wire import Reply
from altcredit.runtime import log
from altcredit.runtime.platform import Platform
from altcredit.runtime.settings import load
from altcredit.simulator.applicants import applicant
from altcredit.worker import HANDLERS, run, underwriting


def answering(name: str, seed: int) -> Exchange:
    async def exchange(request: bytes) -> Reply:
        await asyncio.sleep(0)
        asked = msgspec.json.decode(request.partition(b"\r\n\r\n")[2])
        person = applicant(asked["cpf"], seed=seed)
        reference = asked.get("authorisation", "")
        answers = person.answers(Subject(cpf=asked["cpf"], authorisations={"scr": reference, "openFinance": reference}))
        return Reply(status=200, body=msgspec.json.encode(answers[name]))

    return exchange


def main() -> None:
    log.configure("warning")
    seed, dsn = int(sys.argv[1]), sys.argv[2]

    @asynccontextmanager
    async def in_process(_platform: Platform) -> AsyncIterator[Clients]:
        yield Clients(
            {
                name: Client(source, Terms.of(source), head=b"", exchange=answering(name, seed), random=lambda: 0.5)
                for name, source in SOURCES.items()
            }
        )

    ours = {
        **HANDLERS,
        "underwriting.run": msgspec.structs.replace(
            HANDLERS["underwriting.run"], run=partial(underwriting.run, clients=in_process)
        ),
    }
    run(load(dict(os.environ)), dsn, {}, handlers=ours, schedules=())


if __name__ == "__main__":
    main()
