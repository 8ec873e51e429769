"""The simulator of sources keeps to the documented interface, and makes the trouble that it is asked for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
from tests.engine.sources.people import person

from altcredit.engine.sources import SOURCES, Subject
from altcredit.simulator.source_server import GARBAGE, SourceServer
from altcredit.simulator.source_serving import serving

CPF = "39549600017"
QUESTION = {"cpf": CPF, "authorisation": "aut-1"}


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(SourceServer(person)) as base_url, httpx2.AsyncClient(base_url=base_url, timeout=10) as client:
        yield client


async def _ask(http: httpx2.AsyncClient, source: str, key: str | None = "qry_1", **question: Any) -> httpx2.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await http.post(f"/{source}", json=QUESTION | question, headers=headers)


async def _charges(http: httpx2.AsyncClient) -> dict[str, tuple[int, int]]:
    ledger = (await http.get("/ledger")).json()
    return {key: (entry["calls"], entry["charges"]) for key, entry in ledger["keys"].items()}


@pytest.mark.parametrize("source", SOURCES)
async def test_every_source_answers_its_own_form(http: httpx2.AsyncClient, source: str) -> None:
    answer = await _ask(http, source)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert msgspec.json.decode(answer.content, type=SOURCES[source].answer) == person(source, Subject(cpf=CPF))


async def test_a_repeated_key_is_answered_the_same_and_charged_once(http: httpx2.AsyncClient) -> None:
    answers = [(await _ask(http, "scr")).content for _ in range(3)]
    assert len(set(answers)) == 1
    assert await _charges(http) == {"qry_1": (3, 1)}
    assert (await _ask(http, "scr", cpf="14779111030")).status_code == 409
    assert (await _ask(http, "registration")).status_code == 409


async def test_what_is_no_question_is_refused_and_not_charged(http: httpx2.AsyncClient) -> None:
    refused = [
        await _ask(http, "scr", key=None),
        await _ask(http, "scr", key="a", cpf=1),
        await http.post("/scr", content=b"no json", headers={"Idempotency-Key": "b"}),
        await http.post("/scr", content=b"[]", headers={"Idempotency-Key": "c"}),
        await http.post("/scr", content=b'{"cpf":"' + b"1" * 100_000, headers={"Idempotency-Key": "d"}),
        await http.post("/scr", json={"cpf": CPF}, headers={"Idempotency-Key": "e"}),
        await http.get("/scr"),
        await http.post("/serasa", json=QUESTION),
    ]
    assert [one.status_code for one in refused] == [400, 400, 400, 400, 413, 403, 404, 404]
    assert {charges for _, charges in (await _charges(http)).values()} == {0}


async def test_trouble_is_made_on_demand_and_the_same_each_time(http: httpx2.AsyncClient) -> None:
    changed = await http.put("/control", json={"error_rate": 0.5, "source": "scr"})
    assert changed.json()["scr"]["error_rate"] == 0.5
    assert changed.json()["registration"]["error_rate"] == 0
    one = [(await _ask(http, "scr", key=f"qry_{number}")).status_code for number in range(100)]
    assert 30 < one.count(500) < 70
    assert {charges for _, charges in (await _charges(http)).values()} == {1}  # the error came after the charge
    async with serving(SourceServer(person)) as base_url, httpx2.AsyncClient(base_url=base_url) as again:
        await again.put("/control", json={"error_rate": 0.5})
        assert [(await _ask(again, "scr", key=f"qry_{number}")).status_code for number in range(100)] == one


async def test_garbage_is_of_many_kinds(http: httpx2.AsyncClient) -> None:
    await http.put("/control", json={"garbage_rate": 1})
    seen = {(await _ask(http, "scr", key=f"qry_{number}")).content for number in range(150)}
    assert seen > set(GARBAGE)


async def test_the_rate_limit_says_when_to_come_again(http: httpx2.AsyncClient) -> None:
    await http.put("/control", json={"rate_limit_per_s": 2})
    answers = await asyncio.gather(*(_ask(http, "scr", key=f"qry_{number}") for number in range(10)))
    limited = [one for one in answers if one.status_code == 429]
    assert 7 <= len(limited) <= 9
    assert {one.headers["retry-after"] for one in limited} == {"1"}
    assert (await http.put("/control", json={"rate_limit_per_s": None})).status_code == 200
    assert (await _ask(http, "scr", key="qry_0")).status_code == 200


async def test_latency_and_being_down(http: httpx2.AsyncClient) -> None:
    await http.put("/control", json={"latency_ms": 200, "jitter": 0.5})
    started = asyncio.get_running_loop().time()
    assert (await _ask(http, "scr")).status_code == 200
    assert asyncio.get_running_loop().time() - started >= 0.1
    await http.put("/control", json={"latency_ms": 0, "down": True})
    assert (await _ask(http, "scr", key="qry_2")).status_code == 503
    assert (await _charges(http))["qry_2"] == (1, 0)


@pytest.mark.parametrize("change", [b"", b"[]", b'{"source":"serasa"}', b'{"error_rate":2}', b'{"latency":1}'])
async def test_a_control_that_makes_no_sense_changes_nothing(http: httpx2.AsyncClient, change: bytes) -> None:
    assert (await http.put("/control", content=change)).status_code == 400
    assert (await _ask(http, "scr")).status_code == 200


async def test_a_stranger_is_not_known() -> None:
    nobody = SourceServer(lambda source, subject: None)
    async with serving(nobody) as base_url, httpx2.AsyncClient(base_url=base_url) as http:
        answer = await _ask(http, "negative_bureau")
    assert (answer.status_code, answer.json()) == (404, {"known": False})
