"""One suite that every declared source is held to, over real HTTP; nothing in it is written for one source."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.engine.sources.conftest import SUBJECT, Asking, Clock, request_id
from tests.engine.sources.people import person

from altcredit.engine import sources
from altcredit.engine.sources import SOURCES, Clients, Source
from altcredit.runtime.db import Database
from altcredit.simulator.source_server import SourceServer

pytestmark = pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source.name)


def _charges(simulator: SourceServer, source: Source) -> int:
    charges: int = simulator.ledger()["sources"][source.name]["charges"]
    return charges


def _calls(simulator: SourceServer, source: Source) -> int:
    calls: int = simulator.ledger()["sources"][source.name]["calls"]
    return calls


def _behave(simulator: SourceServer, source: Source, **changes: Any) -> None:
    simulator.control(msgspec.json.encode({"source": source.name, **changes}))


async def test_an_answer_arrives_as_it_was_given(source: Source, asking: Asking, simulator: SourceServer) -> None:
    request = request_id()
    finding = (await asking(source.name, request=request))[source.name]
    assert finding == sources.Finding(
        state="answered", answer=person(source.name, SUBJECT), price_centavos=source.price_centavos
    )
    (query,) = await asking.queries(request)
    assert (query.source, query.state, query.tries, query.price_centavos) == (
        source.name,
        "answered",
        1,
        source.price_centavos,
    )
    ledger = simulator.ledger()["keys"]
    assert ledger == {query.query_id: {"source": source.name, "calls": 1, "charges": 1}}


async def test_what_was_answered_is_not_asked_again(source: Source, asking: Asking, simulator: SourceServer) -> None:
    request = request_id()
    first = await asking(source.name, request=request)
    assert await asking(source.name, request=request) == first
    assert _calls(simulator, source) == 1


async def test_no_answer_lies_in_the_database_in_clear(source: Source, asking: Asking, database: Database) -> None:
    request = request_id()
    await asking(source.name, request=request)
    async with database.transaction() as db:
        row = str(await db.fetchrow("SELECT * FROM source_query WHERE request_id = $1", request)).encode()
    assert SUBJECT.cpf.encode() not in row
    for name in msgspec.structs.asdict(person(source.name, SUBJECT)):
        assert name.encode() not in row.replace(source.name.encode(), b"")


async def test_without_its_authorisation_it_is_not_asked(
    source: Source, asking: Asking, simulator: SourceServer
) -> None:
    bare = msgspec.structs.replace(SUBJECT, authorisations={})
    finding = (await asking(source.name, subject=bare))[source.name]
    assert finding.state == ("not_asked" if source.needs else "answered")
    assert _calls(simulator, source) == (0 if source.needs else 1)


async def test_a_copy_is_free_while_valid_and_for_the_same_partner_alone(
    source: Source, asking: Asking, simulator: SourceServer, clock: Clock
) -> None:
    first = (await asking(source.name))[source.name]
    clock.move(source.valid_for - timedelta(seconds=1))
    request = request_id()
    copy = (await asking(source.name, request=request))[source.name]
    assert (copy.copied, copy.price_centavos, copy.answer) == (True, 0, first.answer)
    assert (await asking(source.name, request=request))[source.name] == copy  # by a replay, too
    assert _calls(simulator, source) == 1
    other = (await asking(source.name, partner=asking.partner + "b"))[source.name]
    assert (other.copied, _calls(simulator, source)) == (False, 2)
    clock.move(timedelta(seconds=2))
    late = (await asking(source.name))[source.name]
    assert (late.copied, late.price_centavos, _calls(simulator, source)) == (False, source.price_centavos, 3)


async def test_a_copy_needs_the_same_question(source: Source, asking: Asking, simulator: SourceServer) -> None:
    await asking(source.name)
    changes: dict[str, Any] = dict.fromkeys(source.asks, "other")
    if source.extends:
        changes["authorisations"] = {}
    finding = (await asking(source.name, subject=msgspec.structs.replace(SUBJECT, **changes)))[source.name]
    assert finding.copied == (not changes)


async def test_lost_answers_are_asked_for_again_and_paid_once(
    source: Source, asking: Asking, simulator: SourceServer
) -> None:
    _behave(simulator, source, error_rate=1)
    request = request_id()
    finding = (await asking(source.name, request=request))[source.name]
    assert (finding.state, finding.problem) == ("failed", "status 500")
    assert finding.answer is None
    (query,) = await asking.queries(request)
    assert query.tries == 3  # two retries by default
    assert (query.in_doubt, query.price_centavos) == (True, source.price_centavos)  # it did the work, as we may fear
    assert simulator.ledger()["keys"] == {query.query_id: {"source": source.name, "calls": 3, "charges": 1}}
    assert (await asking(source.name, request=request))[source.name].state == "failed"  # a replay decides as before
    assert _calls(simulator, source) == 3


async def test_a_question_in_doubt_keeps_its_key_and_says_so(
    source: Source, asking: Asking, simulator: SourceServer
) -> None:
    """A process that ended between question and answer: here by cancelling it amid the call."""
    _behave(simulator, source, latency_ms=400)
    request = request_id()
    task = asyncio.create_task(asking(source.name, request=request))
    async with asyncio.timeout(10):
        while not _calls(simulator, source):  # noqa: ASYNC110 - the condition is behind a socket
            await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (before,) = await asking.queries(request)
    assert before.state == "asked"
    _behave(simulator, source, latency_ms=0)
    finding = (await asking(source.name, request=request))[source.name]
    assert (finding.state, finding.in_doubt) == ("answered", True)
    (after,) = await asking.queries(request)
    assert (after.query_id, after.in_doubt, after.price_centavos) == (before.query_id, True, source.price_centavos)
    assert _charges(simulator, source) == 1


async def test_every_kind_of_garbage_fails_cleanly(source: Source, asking: Asking, simulator: SourceServer) -> None:
    _behave(simulator, source, garbage_rate=1)
    for number in range(8):
        finding = (await asking(source.name, partner=f"{asking.partner}_{number}"))[source.name]
        assert (finding.state, finding.answer) == ("failed", None)
        assert finding.problem is not None
        assert len(finding.problem) < 120
        assert SUBJECT.cpf not in finding.problem


async def test_a_stranger_is_answered_or_failed_as_declared(source: Source, asking: Asking, opened: Any) -> None:
    from altcredit.simulator.source_serving import deployment_file, serving

    async with serving(SourceServer(lambda name, subject: None)) as base_url:
        clients: Clients = await opened(deployment_file(base_url))
        finding = (await asking(source.name, clients=clients))[source.name]
        assert finding.answer == source.unknown
        assert finding.state == ("failed" if source.unknown is None else "answered")


def test_its_declaration_makes_sense(source: Source) -> None:
    assert source.price_centavos > 0
    assert 0 < source.timeout_seconds <= 30
    assert source.valid_for >= timedelta(hours=1)
    assert set(source.asks) <= {"zip_code", "phone", "device_id"}
    assert source.unknown is None or isinstance(source.unknown, source.answer)
    assert not (source.needs and source.extends)
    assert list(SOURCES) == sorted(
        SOURCES, key=lambda name: (SOURCES[name].tier == "full", SOURCES[name].price_centavos)
    )
