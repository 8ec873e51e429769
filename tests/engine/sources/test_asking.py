"""What an application's questions leave in the database, together and when several run at once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest
from tests.engine.sources.conftest import SUBJECT, Asking, Clock, request_id
from tests.engine.sources.people import person

from altcredit.engine import sources
from altcredit.engine.sources import KEPT_FOR, SOURCES, store
from altcredit.runtime.db import Database, DatabaseAway
from altcredit.runtime.settings import Settings
from altcredit.runtime.shared import Shared
from altcredit.simulator.source_direct import direct
from altcredit.simulator.source_server import SourceServer


async def test_a_wave_asks_every_source_at_once(asking: Asking, simulator: SourceServer) -> None:
    simulator.control(b'{"latency_ms": 200}')
    started = asyncio.get_running_loop().time()
    findings = await asking(*SOURCES)
    assert asyncio.get_running_loop().time() - started < 7 * 0.2
    assert list(findings) == list(SOURCES)
    assert {name: finding.answer for name, finding in findings.items()} == {
        name: person(name, SUBJECT) for name in SOURCES
    }


async def test_many_applications_share_statements_and_lose_nothing(asking: Asking, simulator: SourceServer) -> None:
    subjects = [msgspec.structs.replace(SUBJECT, cpf=f"{number:011d}") for number in range(60)]
    requests = [request_id() for _ in subjects]
    found = await asyncio.gather(
        *(asking(*SOURCES, request=one, subject=subject) for one, subject in zip(requests, subjects, strict=True))
    )
    for request, subject, findings in zip(requests, subjects, found, strict=True):
        assert {name: finding.answer for name, finding in findings.items()} == {
            name: person(name, subject) for name in SOURCES
        }
        assert {query.state for query in await asking.queries(request)} == {"answered"}
    keys = simulator.ledger()["keys"]
    assert len(keys) == 60 * 7
    assert {(one["calls"], one["charges"]) for one in keys.values()} == {(1, 1)}


async def test_two_runs_of_one_application_agree_and_pay_once(asking: Asking, simulator: SourceServer) -> None:
    """A worker that lost its job goes on beside the one that took it over."""
    simulator.control(b'{"latency_ms": 50}')
    request = request_id()
    one, two = await asyncio.gather(asking(*SOURCES, request=request), asking(*SOURCES, request=request))
    assert {name: finding.answer for name, finding in one.items()} == {name: f.answer for name, f in two.items()}
    queries = await asking.queries(request)
    assert len(queries) == 7
    keys = simulator.ledger()["keys"]
    assert {(query.query_id, query.source) for query in queries} == {(key, one["source"]) for key, one in keys.items()}
    assert {entry["charges"] for entry in keys.values()} == {1}


async def test_waves_of_one_application_add_up(asking: Asking, simulator: SourceServer) -> None:
    request = request_id()
    for name in SOURCES:
        await asking(name, request=request)
    findings = await asking(*SOURCES, request=request)
    assert sum(finding.price_centavos for finding in findings.values()) == sum(
        one.price_centavos for one in SOURCES.values()
    )
    assert len(simulator.ledger()["keys"]) == 7


async def test_what_is_not_configured_is_not_asked(asking: Asking) -> None:
    none = await sources.Clients.open(Settings())
    findings = await asking(*SOURCES, clients=none)
    assert {(one.state, one.problem) for one in findings.values()} == {("not_asked", "not configured")}


async def test_cost_counts_what_was_asked_and_not_what_was_copied(
    asking: Asking, clock: Clock, database: Database
) -> None:
    clock.move(timedelta(days=3650))  # a month of this test's own
    since = clock.now
    await asking("scr", "cpf_status")
    await asking("scr")
    clock.move(timedelta(days=1))
    async with database.transaction() as db:
        costs = {one.source: one for one in await sources.cost_by_source(db, since=since, until=clock.now)}
        assert await sources.cost_by_source(db, since=clock.now, until=clock.now + timedelta(days=1)) == []
    assert (costs["scr"].asked, costs["scr"].copied, costs["scr"].cost_centavos) == (1, 1, 90)
    assert (costs["cpf_status"].answered, costs["cpf_status"].failed, costs["cpf_status"].cost_centavos) == (1, 0, 5)


async def test_what_is_known_to_have_failed_is_put_anew_and_nothing_is_paid_twice(
    asking: Asking, simulator: SourceServer, clock: Clock, database: Database
) -> None:
    request, since = request_id(), clock.now
    simulator.control(b'{"source": "scr", "down": true}')
    simulator.control(b'{"source": "negative_bureau", "error_rate": 1}')
    simulator.control(b'{"source": "registration", "garbage_rate": 1}')
    first = await asking(*SOURCES, request=request)
    failed = {name for name, finding in first.items() if finding.state == "failed"}
    assert failed == {"scr", "negative_bureau", "registration"}
    assert {name for name in failed if first[name].is_doubtful} == {"negative_bureau"}

    simulator.control(b'{"down": false, "error_rate": 0, "garbage_rate": 0}')
    assert await asking(*SOURCES, request=request) == first, "by itself, nothing is put anew"
    async with database.transaction() as db:
        assert await sources.supersede_failed(db, request_id=request, now=clock.now) == ["scr"]
        assert await sources.supersede_failed(db, request_id=request, now=clock.now) == []
    second = await asking(*SOURCES, request=request)
    assert {name for name, finding in second.items() if finding.state == "failed"} == failed - {"scr"}
    queries = await asking.queries(request)
    superseded, answered = (one for one in queries if one.source == "scr")
    assert (superseded.state, superseded.superseded_at, answered.state) == ("failed", clock.now, "answered")
    assert superseded.query_id != answered.query_id
    keys = simulator.ledger()["keys"]
    charges = {name: sum(one["charges"] for one in keys.values() if one["source"] == name) for name in SOURCES}
    assert set(charges.values()) == {1}
    async with database.transaction() as db:
        clock.move(timedelta(seconds=1))
        costs = {one.source: one for one in await sources.cost_by_source(db, since=since, until=clock.now)}
    assert costs["scr"].cost_centavos >= SOURCES["scr"].price_centavos
    assert costs["negative_bureau"].in_doubt_centavos >= SOURCES["negative_bureau"].price_centavos


async def test_answers_die_and_their_price_stays(asking: Asking, clock: Clock, database: Database) -> None:
    clock.move(timedelta(days=-3650))
    request = request_id()
    await asking("scr", request=request)
    asked_at = clock.now
    clock.move(KEPT_FOR)
    async with database.transaction() as db:
        assert await sources.purge_answers(db, before=asked_at) == 0
        assert await sources.purge_answers(db, before=clock.now - KEPT_FOR + timedelta(seconds=1)) == 1
        assert await db.fetchval("SELECT sealed FROM source_query WHERE request_id = $1", request) is None
    (query,) = await asking.queries(request)
    assert (query.state, query.price_centavos) == ("answered", 90)
    replayed = (await asking("scr", request=request))["scr"]
    assert (replayed.state, replayed.problem) == ("failed", "its answer is past its keeping")


async def test_an_answer_that_cannot_be_stored_is_no_answer(asking: Asking, simulator: SourceServer) -> None:
    """The database goes away between question and answer: the application's run fails, the question is in doubt."""
    request = request_id()

    async def away(rows: object) -> dict[str, bool]:
        raise OSError("away")

    writes = asking.clients.writes(asking.database)
    close, writes.close = writes.close, Shared(away)
    with pytest.raises(OSError, match="away"):
        await asking("scr", "cpf_status", request=request)
    writes.close = close
    findings = await asking("scr", "cpf_status", request=request)
    assert {(one.state, one.in_doubt) for one in findings.values()} == {("answered", True)}
    assert {entry["charges"] for entry in simulator.ledger()["keys"].values()} == {1}


async def test_rows_given_while_a_statement_runs_go_into_the_next() -> None:
    batches: list[list[int]] = []
    gate = asyncio.Event()

    async def write(rows: object) -> dict[int, int]:
        batches.append(list(rows))  # type: ignore[call-overload]
        await gate.wait()
        return {row: row * row for row in batches[-1] if row != 7}

    shared: Shared[int, int, int] = Shared(write)
    first = asyncio.create_task(shared(1, 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = [asyncio.create_task(shared(number, number)) for number in (5, 6, 7, 5)]
    await asyncio.sleep(0)
    gate.set()
    assert [await first, *[await one for one in rest]] == [1, 25, 36, None, 25]
    assert batches == [[1], [5, 6, 7]]


async def test_a_row_that_cannot_be_written_spoils_only_itself() -> None:
    batches: list[list[int]] = []

    async def write(rows: Sequence[int]) -> dict[int, int]:
        batches.append(list(rows))
        if 3 in rows:
            raise ValueError("three")
        return {row: row for row in rows}

    shared: Shared[int, int, int] = Shared(write)
    found = await asyncio.gather(*(shared(number, number) for number in (1, 3, 2)), return_exceptions=True)
    assert [repr(one) for one in found] == ["1", "ValueError('three')", "2"]
    assert batches == [[1, 3, 2], [1], [3], [2]]


async def test_a_caller_that_gives_up_takes_nobodys_result_away() -> None:
    gate = asyncio.Event()

    async def write(rows: Sequence[int]) -> dict[int, int]:
        await gate.wait()
        return {row: row for row in rows}

    shared: Shared[int, int, int] = Shared(write)
    first, second = asyncio.create_task(shared(1, 1)), asyncio.create_task(shared(1, 1))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert await second == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_database_that_is_away_is_not_asked_row_by_row() -> None:
    batches: list[list[int]] = []

    async def write(rows: Sequence[int]) -> dict[int, int]:
        batches.append(list(rows))
        raise DatabaseAway("away")

    shared: Shared[int, int, int] = Shared(write)
    found = await asyncio.gather(*(shared(number, number) for number in (1, 2)), return_exceptions=True)
    assert [type(one) for one in found] == [DatabaseAway, DatabaseAway]
    assert batches == [[1, 2]]


async def test_sources_answered_in_process_leave_the_same_behind(asking: Asking) -> None:
    here, there = request_id(), request_id()
    assert await asking(*SOURCES, request=here, clients=direct(person)) == await asking(
        *SOURCES, request=there, partner=asking.partner + "b"
    )
    left = [
        [(one.source, one.state, one.price_centavos, one.tries, one.problem) for one in await asking.queries(request)]
        for request in (here, there)
    ]
    assert sorted(left[0]) == sorted(left[1])


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        ("KNOWN", "'{r}', '{r}', '{p}', '{\\x00}', '{2026-01-01}'"),
        ("CLOSE", "'{q}', '{failed}', '{0}', '{f}', '{1}', '{x}', '{2026-01-01}', '{NULL}', '{NULL}'"),
        ("QUERIES", "'r'"),
        ("SUPERSEDE", "'r', now()"),
        ("COST_BY_SOURCE", "now(), now()"),
    ],
)
async def test_asking_scans_no_table(statement: str, arguments: str, database: Database) -> None:
    async with database.transaction() as db:
        await db.execute("SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan")
        await db.execute(f"PREPARE hot AS {getattr(store, statement)}")
        plan = "\n".join(row[0] for row in await db.fetch(f"EXPLAIN EXECUTE hot({arguments})"))
        await db.execute("DEALLOCATE hot")
    assert "Seq Scan" not in plan, plan
