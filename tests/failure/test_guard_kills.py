"""
``kill -9`` of API, worker and database while applications pour in: each is decided once and called back at least once.
"""

import asyncio
import random
import tempfile
import uuid
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from tests.failure.test_kills import Ledger, kill
from tests.guarding import PATH, Guard, guarding, install_guard_models, simulated_sources
from tests.served import until

from altcredit.simulator.applicants import applicant, cpfs

PEOPLE = [applicant(cpf, seed=0) for cpf in islice(cpfs(0), 400)]
PARTNERS_AT_WORK = 3


class Applications:
    """What a partner was told: each idempotency key with the id that its application got."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.ledger = Ledger()
        self.accepted: dict[str, str] = {}

    async def pour(self, stop: asyncio.Event) -> None:
        """Send application after application, each until it is acknowledged, under a key of its own."""
        while not stop.is_set():
            number = len(self.accepted)
            person = PEOPLE[number % len(PEOPLE)]
            application = person.application(customer_uuid=f"c-{number}", cost_saving_enabled=number % 2 == 0)
            body, key = msgspec.to_builtins(application), {"idempotency-key": uuid.uuid4().hex}
            answer = await self.ledger.insist(lambda: self.guard.client.post(PATH, json=body, headers=key))  # noqa: B023
            assert answer.status_code == 202, answer.text
            self.accepted[key["idempotency-key"]] = answer.json()["requestId"]
            await asyncio.sleep(0.05)  # others share the machine


async def verify(guard: Guard, applications: Applications, sources: str) -> None:
    """Hold what is stored, what the partner received and what the sources charged against what was acknowledged."""
    reads, wanted = guard.platform.database.reads, set(applications.accepted.values())
    assert len(wanted) == len(applications.accepted), "two keys share an application"

    async def decided() -> bool:
        return not await reads.fetchval("SELECT count(*) FROM underwriting WHERE status = 'processing'")

    async def delivered() -> bool:
        return not await reads.fetchval("SELECT count(*) FROM delivery WHERE state = 'pending'")

    await until(decided, seconds=120)
    await until(delivered, seconds=120)
    assert {row["request_id"] for row in await reads.fetch("SELECT request_id FROM underwriting")} == wanted
    decisions = "SELECT subject FROM audit_event WHERE action = 'underwriting.decided'"
    assert Counter(row["subject"] for row in await reads.fetch(decisions)) == Counter(wanted)

    webhooks: dict[str, set[str]] = {}
    for one in guard.receiver.requests:
        if request_id := one.headers.get("x-guard-request-id"):
            webhooks.setdefault(request_id, set()).add(one.headers["webhook-id"])
    assert webhooks.keys() == wanted
    assert {len(ids) for ids in webhooks.values()} == {1}, "a repeated callback has another webhook-id"

    async with httpx2.AsyncClient() as client:
        keys: dict[str, Any] = (await client.get(f"{sources}/ledger")).json()["keys"]
    rows = await reads.fetch(
        "SELECT query_id, request_id, source, in_doubt, tries, state, copied_from FROM source_query"
    )
    by_key = {row["query_id"]: row for row in rows}
    assert keys.keys() <= by_key.keys(), "a question was put that was not written down first"
    for key, account in keys.items():
        row = by_key[key]
        assert account["calls"] == 1 or row["in_doubt"] or row["tries"] > 1, (account, dict(row))
    put = Counter((by_key[key]["request_id"], by_key[key]["source"]) for key in keys)
    assert set(put.values()) <= {1}, "a source was asked twice under two keys"


async def storm(kills: int) -> None:
    random.seed(kills)
    victims = [("postmaster", "api", "worker")[n % 3] for n in range(kills)]
    random.shuffle(victims)
    with (
        tempfile.TemporaryDirectory() as folder,
        simulated_sources(Path(folder), "--latency-ms", "30") as (config, address),
    ):
        async with guarding(sources=config) as guard:
            await install_guard_models(guard.platform)
            applications, stop = Applications(guard), asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for _ in range(PARTNERS_AT_WORK):
                    group.create_task(applications.pour(stop))
                for victim in victims:
                    target = len(applications.accepted) + 6

                    async def progress(target: int = target) -> bool:
                        return len(applications.accepted) >= target

                    await until(progress, seconds=90, pause=0.01)
                    await asyncio.sleep(random.random() * 0.4)
                    await kill(guard.served, victim)
                stop.set()
            await guard.served.ready()
            await verify(guard, applications, address)
            assert guard.served.lines('"event":"bug"') == []
            doubts = await guard.platform.database.reads.fetchval("SELECT count(*) FROM source_query WHERE in_doubt")
            faults = applications.ledger.faults
            assert not any(code.startswith("5") for code in faults if code != "503"), faults
            extra = len([one for one in guard.receiver.requests if "x-guard-request-id" in one.headers])
            print(  # noqa: T201 - shown with -rP
                f"{kills} kills: {len(applications.accepted)} applications, {extra} callbacks, {doubts} questions in"
                f" doubt; {dict(faults)}"
            )


async def test_a_dozen_kills_lose_no_application_and_repeat_no_answered_question() -> None:
    await storm(12)


@pytest.mark.long
async def test_fifty_kills_lose_no_application_and_repeat_no_answered_question() -> None:
    await storm(51)
