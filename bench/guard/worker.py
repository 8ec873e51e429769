"""
A worker of GUARD beside the one of the installation, for what a benchmark compares.

    python -m bench.guard.worker direct|nothing DSN

``direct``: sources answer in this process. ``nothing``: jobs do nothing, which is what the queue itself costs.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache, partial

from altcredit.engine.sources import Clients, Subject
from altcredit.runtime import log
from altcredit.runtime.jobs import Payload
from altcredit.runtime.platform import Platform
from altcredit.runtime.settings import load
from altcredit.simulator.applicants import applicant
from altcredit.simulator.source_direct import direct
from altcredit.worker import HANDLERS, Handler, Work, run, underwriting

SEED = 0


person = lru_cache(maxsize=4096)(partial(applicant, seed=SEED))  # as the simulator keeps them


def answer(source: str, subject: Subject) -> object:
    return person(subject.cpf).answers(subject).get(source)


@asynccontextmanager
async def clients(_platform: Platform) -> AsyncIterator[Clients]:
    yield direct(answer)


async def nothing(_work: Work, _payloads: list[Payload]) -> None:
    pass


def main() -> None:
    log.configure("info")
    kind, dsn = sys.argv[1:]
    handlers = dict(HANDLERS)
    if kind == "direct":
        underwriting.open_clients = clients
    else:
        handlers["underwriting.run"] = Handler(run=nothing, lane="underwriting")
    run(
        load({name: value for name, value in os.environ.items() if name.startswith("ALTCREDIT_")}),
        dsn,
        {},
        handlers=handlers,
        schedules=(),
    )


if __name__ == "__main__":
    main()
