"""
Applications through the whole of GUARD: POST over TLS, seven sources over HTTP, decision, callback over TLS.

    python -m bench.underwriting [--seconds N] [--json FILE]

Everything is on this machine: API, worker, PostgreSQL, the simulator of the sources, the partner's receiver and the
load. *Sustained* keeps a fixed number of applications outstanding for the given time and counts callbacks; *when not
saturated* sends ten a second and takes the time from the 202 to the callback's arrival. *In process*: a worker whose
sources answer without HTTP, beside the bare job loop (jobs that do nothing). *Waiting* accepts thousands against
sources that take ten seconds.
"""

import argparse
import asyncio
import ssl
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import psutil

from altcredit.engine import delivery, identity
from altcredit.runtime import jobs
from altcredit.runtime.certificates import Authority
from altcredit.runtime.http import Sender
from altcredit.runtime.platform import Platform, opened
from altcredit.simulator.applicants import applicant, cpfs
from bench.figures import Figure, finish
from bench.footprint import megabytes
from bench.serving.home import Home, Process, free_port, home

SEED = 1
OUTSTANDING = 96
WAITING = 10_000


class Bench:
    """The installation as a partner sees it."""

    def __init__(self, client: httpx2.AsyncClient, arrivals: httpx2.AsyncClient, platform: Platform) -> None:
        self.client = client
        self.arrivals = arrivals
        self.platform = platform
        self.people = cpfs(SEED)
        self.number = 0

    def body(self) -> bytes:
        self.number += 1
        person = applicant(next(self.people), seed=SEED)
        given = person.consents | {"scr": "ref", "openFinance": "ref", "positiveHistory": "ref"}
        application = person.application(customer_uuid=f"c-{self.number}")
        return msgspec.json.encode(application)

    async def post(self) -> tuple[str, float]:
        answer = await self.client.post("/api/partner/credit/cards/underwritings", content=self.body())
        assert answer.status_code == 202, answer.text
        return answer.json()["requestId"], time.monotonic()

    async def arrived(self) -> dict[str, float]:
        found: dict[str, float] = (await self.arrivals.get("/arrivals")).json()
        return found

    async def all_arrived(self, wanted: set[str], *, seconds: float) -> dict[str, float]:
        async with asyncio.timeout(seconds):
            while not wanted <= (found := await self.arrived()).keys():
                await asyncio.sleep(0.25)
        return found
