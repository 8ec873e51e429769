"""An application's way in earnest: sources over HTTP, funnel, decision, callback, report (contract U5, U10, U11)."""

import tempfile
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from tests.guarding import Guard, guarding, install_guard_models, simulated_sources

from altcredit.engine.sources import SOURCES
from altcredit.simulator.applicants import Applicant, applicant, cpfs

PEOPLE = [applicant(cpf, seed=0) for cpf in islice(cpfs(0), 600)]
SCREEN = [name for name, source in SOURCES.items() if source.tier == "screen"]


class World:
    """GUARD and the simulator of its sources."""

    def __init__(self, guard: Guard, address: str) -> None:
        self.guard, self.address = guard, address
        self.numbers = iter(range(1_000_000))

    async def control(self, **behaviour: Any) -> None:
        async with httpx2.AsyncClient() as client:
            answer = await client.put(f"{self.address}/control", json=behaviour)
        assert answer.status_code == 200, answer.text

    async def decided(self, person: Applicant, *, cost_saving: bool = False, **changes: Any) -> dict[str, Any]:
        """Return where a person's application stands after its callback."""
        application = person.application(customer_uuid=f"c-{next(self.numbers)}", cost_saving_enabled=cost_saving)
        body = {
            name: value for name, value in (msgspec.to_builtins(application) | changes).items() if value is not None
        }
        request_id = await self.guard.accepted(body)
        callback = await self.guard.callback(request_id)
        standing = await self.guard.standing(request_id)
        assert standing["response"] == callback["response"]
        return standing

    async def asked(self, request_id: str) -> dict[str, dict[str, Any]]:
        rows = await self.guard.platform.database.reads.fetch(
            "SELECT * FROM source_query WHERE request_id = $1 ORDER BY asked_at, source", request_id
        )
        return {row["source"]: dict(row) for row in rows}


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory() as folder, simulated_sources(Path(folder)) as (config, address):
        async with guarding(sources=config) as guard:
            await install_guard_models(guard.platform)
            yield World(guard, address)


def willing(person: Applicant) -> bool:
    return {"scr", "openFinance"} <= person.consents.keys()


async def test_without_the_funnel_every_source_is_asked_once_and_paid(world: World) -> None:
    person = next(one for one in PEOPLE if willing(one))
    standing = await world.decided(person)
    asked = await world.asked(standing["requestId"])
    assert asked.keys() == SOURCES.keys()
    assert {name: one["price_centavos"] for name, one in asked.items()} == {
        name: source.price_centavos for name, source in SOURCES.items()
    }
    reads = world.guard.platform.database.reads
    cost = "SELECT cost_centavos FROM underwriting WHERE request_id = $1"
    assert await reads.fetchval(cost, standing["requestId"]) == sum(one.price_centavos for one in SOURCES.values())
    assert standing["outcome"] in ("approved", "rejected")
    assert standing["response"]["riskBand"] in range(1, 8)


async def test_answers_and_applications_are_sealed_and_a_cpf_is_nowhere_in_clear(world: World) -> None:
    person = PEOPLE[1]
    standing = await world.decided(person)
    async with world.guard.platform.database.transaction() as db:
        tables = [row[0] for row in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        for table in tables:
            rows = await db.fetchval(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%' || $1 || '%'", person.cpf)
            assert rows == 0, table
    assert person.cpf not in world.guard.served.log.read_text()
    asked = await world.asked(standing["requestId"])
    assert all(b"situation" not in one["sealed"] for one in asked.values())


async def test_a_valid_answer_is_used_again_for_the_same_partner_and_costs_nothing(world: World) -> None:
    person = PEOPLE[90]
    first = await world.asked((await world.decided(person))["requestId"])
    second = await world.asked((await world.decided(person))["requestId"])
    assert {name: one["copied_from"] for name, one in second.items()} == {
        name: one["query_id"] for name, one in first.items()
    }
    assert sum(one["price_centavos"] for one in second.values()) == 0


async def test_a_source_without_its_authorisation_is_not_asked(world: World) -> None:
    person = next(one for one in PEOPLE[10:] if willing(one))
    standing = await world.decided(person, authorizations=None)
    assert (await world.asked(standing["requestId"])).keys() == SOURCES.keys() - {"scr", "open_finance"}


async def test_the_funnel_asks_the_cheap_sources_and_spares_the_dear_ones(world: World) -> None:
    outcomes = {}
    for person in sorted(PEOPLE, key=lambda one: -one.true_pd)[:6]:
        standing = await world.decided(person, cost_saving=True)
        asked = await world.asked(standing["requestId"])
        order = [name for name in sorted(asked, key=lambda name: asked[name]["asked_at"]) if name in SCREEN]
        assert order == SCREEN[: len(order)], "cheapest first"
        if standing["outcome"] == "filtered":
            assert set(asked) <= set(SCREEN)
            figures = standing["response"]
            assert [figures["score"], figures["riskBand"], figures["limit"]] == [-1, -1, -1]
        outcomes[person.cpf] = standing["outcome"]
    assert "filtered" in outcomes.values()


async def test_a_filtered_customer_can_be_underwritten_in_full_by_a_persons_verdict(world: World) -> None:
    from altcredit.engine import underwriting
    from altcredit.runtime import clock

    guard = world.guard
    for person in sorted(PEOPLE, key=lambda one: -one.true_pd)[6:30]:
        standing = await world.decided(person, cost_saving=True)
        if standing["outcome"] == "filtered":
            break
    request_id = standing["requestId"]
    before = await world.asked(request_id)
    asked = await guard.client.post(
        f"/api/partner/credit/cards/underwritings/{request_id}/review", json={"reason": "please"}
    )
    assert asked.status_code == 202, asked.text
    async with guard.platform.database.transaction() as db:
        waiting = await underwriting.open_reviews(db, keyring=guard.platform.keyring)
        await underwriting.decide_review(
            db, policy=underwriting.POLICY, keyring=guard.platform.keyring, review_id=waiting[0].review_id, verdict="reassessed", note="",
            actor="person:ana", now=clock.now(),
        )  # fmt: skip
    callback = await guard.callback(request_id, count=2)
    assert callback["response"]["score"] > 0
    assert (await guard.standing(request_id))["outcome"] in ("approved", "rejected")
    after = await world.asked(request_id)
    assert all(after[name]["query_id"] == before[name]["query_id"] for name in before), "what was paid is used again"
    cost = "SELECT cost_centavos FROM underwriting WHERE request_id = $1"
    paid = sum(one["price_centavos"] for one in after.values())
    assert await guard.platform.database.reads.fetchval(cost, request_id) == paid, "and is counted once"


async def test_a_source_that_is_not_needed_may_fail_and_the_decision_says_so(world: World) -> None:
    person = next(one for one in PEOPLE[40:] if willing(one))
    await world.control(source="open_finance", down=True)
    try:
        standing = await world.decided(person)
    finally:
        await world.control(source="open_finance", down=False)
    assert standing["outcome"] in ("approved", "rejected")
    reads = world.guard.platform.database.reads
    decision = "SELECT decision -> 'sources' ->> 'open_finance' FROM underwriting WHERE request_id = $1"
    assert await reads.fetchval(decision, standing["requestId"]) == "failed"


async def test_without_a_source_that_is_needed_nothing_is_calculated(world: World) -> None:
    await world.control(source="negative_bureau", garbage_rate=1.0)
    try:
        standing = await world.decided(PEOPLE[60])
    finally:
        await world.control(source="negative_bureau", garbage_rate=0.0)
    assert standing["outcome"] == "not_calculable"
    figures = standing["response"]
    assert [figures["score"], figures["riskBand"], figures["limit"]] == [-1, -1, -1]


async def test_without_a_source_that_is_needed_the_dear_ones_are_not_paid_for_nothing(world: World) -> None:
    await world.control(source="negative_bureau", garbage_rate=1.0)
    try:
        standing = await world.decided(next(one for one in PEOPLE[140:] if willing(one)), cost_saving=True)
    finally:
        await world.control(source="negative_bureau", garbage_rate=0.0)
    assert standing["outcome"] == "not_calculable"
    assert set(await world.asked(standing["requestId"])) <= set(SCREEN)


async def test_a_source_that_errs_now_and_then_is_asked_again_and_charged_once(world: World) -> None:
    await world.control(error_rate=0.3)
    try:
        # One person's questions may all have luck: one application in eight.
        standings = [await world.decided(person) for person in PEOPLE[70:80]]
    finally:
        await world.control(error_rate=0.0)
    asked = [one for standing in standings for one in (await world.asked(standing["requestId"])).values()]
    async with httpx2.AsyncClient() as client:
        keys = (await client.get(f"{world.address}/ledger")).json()["keys"]
    assert max(one["tries"] for one in asked if one["state"] == "answered") > 1
    assert all(keys[one["query_id"]]["charges"] == 1 for one in asked)


async def test_a_decision_agrees_with_the_policy_for_thirty_people(world: World) -> None:
    """Limit, band and outcome go together over thirty people (contract U10)."""
    for person in PEOPLE[100:130]:
        figures = (await world.decided(person))["response"]
        edges = [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 1.0]
        assert figures["riskBand"] == 1 + sum(figures["score"] > edge for edge in edges)
        assert figures["limit"] == 0 or (figures["limit"] >= 200 and figures["limit"] % 50 == 0)
        assert figures["limit"] == 0 or figures["riskBand"] <= 5
