"""The sealer: every committed row once, in whatever order rows commit, and through kills and set-back clocks."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from tests.engine.audit.conftest import NOW, Log

from altcredit.engine import audit

ROOT = Path(__file__).parents[3]


async def leaves(log: Log) -> list[tuple[str, int]]:
    rows = await log.database.reads.fetch("SELECT leaf, log, row_id FROM audit_leaf ORDER BY leaf")
    assert [row["leaf"] for row in rows] == list(range(len(rows)))
    return [(row["log"], row["row_id"]) for row in rows]


async def rows(log: Log) -> set[tuple[str, int]]:
    found = await log.database.reads.fetch(
        "SELECT 'audit_event' AS log, event_id AS id FROM audit_event UNION ALL SELECT 'score_access', access_id FROM score_access"
    )
    return {(row["log"], row["id"]) for row in found}


async def test_both_logs_are_sealed_and_a_second_run_finds_nothing(log: Log) -> None:
    await log.add(3)
    await log.access(4)
    head = await log.seal()
    assert head is not None
    assert head.tree_size == 7
    assert await log.seal() is None
    assert set(await leaves(log)) == await rows(log)
    assert (await log.verify()).holds


async def test_a_backlog_is_sealed_in_portions_under_a_head_each(log: Log) -> None:
    await log.add(7)
    sizes = []
    while (head := await log.seal(most=3)) is not None:
        sizes.append(head.tree_size)
    assert sizes == [3, 6, 7]
    found = await log.verify()
    assert (found.holds, found.heads, found.heads_in_second_place, found.root) == (
        True,
        3,
        3,
        (await log.seal() or found).root,
    )


async def test_a_row_that_commits_after_later_ones_is_sealed_when_it_does(log: Log) -> None:
    async with log.database.transaction() as slow:
        await audit.append(slow, actor="slow", action="a.b", subject="s", details={}, now=NOW)
        await log.add(2)
        head = await log.seal()
        assert head is not None
        assert head.tree_size == 2
        slow_id = await slow.fetchval("SELECT min(event_id) FROM audit_event WHERE actor = 'slow'")
    assert (await log.verify()).waiting == 1
    await log.seal()
    assert (await leaves(log))[-1] == ("audit_event", slow_id)
    assert slow_id < max(row_id for _, row_id in await leaves(log))
    assert (await log.verify()).holds


async def _write(log: Log, count: int) -> None:
    """Add rows in transactions that overlap and end out of order, every fifth of them undone."""
    for _ in range(count):
        with suppress(ZeroDivisionError):
            async with log.database.transaction() as db:
                for _ in range(random.randint(1, 3)):
                    await audit.append(db, actor="w", action="a.b", subject="s", details={}, now=NOW)
                    await asyncio.sleep(random.random() / 200)
                if random.random() < 0.2:
                    raise ZeroDivisionError


async def test_rows_committing_in_any_order_while_sealers_compete_leave_no_gap_and_no_double(log: Log) -> None:
    random.seed(7)
    done = asyncio.Event()

    async def keep_sealing() -> None:
        while not done.is_set():
            await log.seal(most=5)
            await asyncio.sleep(0)

    sealers = [asyncio.create_task(keep_sealing()) for _ in range(2)]
    await asyncio.gather(*(_write(log, 12) for _ in range(3)))
    done.set()
    await asyncio.gather(*sealers)
    while await log.seal() is not None:
        pass
    sealed = await leaves(log)
    assert len(sealed) == len(set(sealed))
    assert set(sealed) == await rows(log)
    found = await log.verify()
    assert found.holds, found.findings
    assert found.heads == found.heads_in_second_place > 1


async def test_a_clock_that_is_set_back_takes_no_head_back(log: Log) -> None:
    await log.add()
    first = await log.seal(now=NOW)
    await log.add(at=NOW - timedelta(days=400))
    second = await log.seal(now=NOW - timedelta(days=400))
    assert first is not None
    assert second is not None
    assert second.time == first.time
    assert (await log.verify()).holds


async def test_heads_by_a_rotated_key_still_count(log: Log) -> None:
    await log.add()
    await log.seal()
    await log.rotate()
    await log.add()
    await log.seal()
    found = await log.verify()
    assert (found.holds, found.heads) == (True, 2)


async def test_what_cannot_be_represented_exactly_elsewhere_is_sealed_as_it_is(log: Log) -> None:
    await log.add(big=2**70, small=1e-7, exact=0.1, text="line\nfeed  \x7f ₹ {", nested={"b": [None, True], "a": {}})
    await log.seal()
    assert (await log.verify()).holds


async def test_a_process_that_died_before_the_second_place_had_the_head_left_it_to_the_next(log: Log) -> None:
    for _ in range(3):
        await log.add()
        await log.seal(keep=False)
    log.second.parent.mkdir()
    log.second.write_bytes(b'{"record":"torn')
    await log.add()
    await log.seal()
    found = await log.verify()
    assert (found.holds, found.heads_in_second_place) == (True, 4)


async def test_nothing_more_is_sealed_onto_a_tree_that_is_not_ours(log: Log) -> None:
    await log.add()
    await log.seal()
    await log.tamper("UPDATE audit_head SET record = replace(convert_from(record, 'utf8'), '2026', '2027')::bytea")
    await log.add()
    with pytest.raises(audit.HeadBroken):
        await log.seal(keep=False)
    with pytest.raises(audit.HeadsDisagree, match="altered"):
        async with log.database.transaction() as db:
            await audit.keep_heads(db, path=log.second)


@pytest.mark.parametrize(
    "statement",
    [
        *(f"{verb} audit_{table}" for table in ("leaf", "head", "purge") for verb in ("DELETE FROM", "TRUNCATE")),
        "UPDATE audit_leaf SET sha256 = sha256",
        "UPDATE score_access SET outcome = 'OK'",
        "DELETE FROM score_access",
        "TRUNCATE score_access",
        "TRUNCATE score_access_default",
        f"TRUNCATE score_access_{NOW:%Y_%m}",
    ],
)
async def test_what_is_sealed_and_the_seal_are_append_only(log: Log, statement: str) -> None:
    async with log.database.transaction() as db:
        await db.execute("SELECT score_access_partition($1)", NOW.date())
    await log.access(2)
    await log.seal()
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        async with log.database.transaction() as db:
            await db.execute(statement)


async def test_a_sealer_killed_at_any_moment_leaves_no_gap_and_no_double(log: Log) -> None:
    """kill -9 of a process that does nothing but seal, ten times, while rows keep coming."""
    random.seed(3)
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("src", "connector/src", "."))}
    for _ in range(10):
        await log.add(40)
        program = [sys.executable, "-m", "tests.engine.audit.sealer", log.database.dsn, str(log.second)]
        sealer = await asyncio.create_subprocess_exec(*program, env=environ, stdout=subprocess.PIPE)
        assert sealer.stdout is not None
        assert await sealer.stdout.readline() == b"sealing\n"
        await log.add(20)
        await asyncio.sleep(random.random() / 10)
        sealer.send_signal(signal.SIGKILL)
        await sealer.wait()
    while await log.seal() is not None:
        pass
    sealed = await leaves(log)
    assert len(sealed) == len(set(sealed)) == 600
    assert set(sealed) == await rows(log)
    found = await log.verify()
    assert found.holds, found.findings
