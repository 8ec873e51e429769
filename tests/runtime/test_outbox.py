from datetime import UTC, datetime, timedelta

import pytest
from tests.happening import Happened

from altcredit.engine.consent.events import ConsentGranted, ConsentRevoked
from altcredit.engine.registry.events import ModelPromoted
from altcredit.runtime import jobs, outbox
from altcredit.runtime.db import Connection, Database
from altcredit.runtime.outbox import Event, Fact, Reaction
from altcredit.subscriptions import SUBSCRIPTIONS

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


async def publish(database: Database, key: str, *, now: datetime = NOW) -> str:
    return await say(database, Happened(what=key), now=now)


async def say(database: Database, fact: Fact, *, now: datetime = NOW) -> str:
    async with database.transaction() as db:
        return await outbox.publish(db, fact, now=now)


async def react(database: Database, reaction: Reaction, *, now: datetime = NOW) -> int:
    async with database.transaction() as db:
        return await outbox.react(db, {"thing.happened": (reaction,)}, now=now)


def collector() -> tuple[list[str], Reaction]:
    seen: list[str] = []

    async def collect(_db: Connection, event: Event) -> None:
        seen.append(event.key)

    return seen, collect


async def test_an_event_vanishes_with_the_transaction_that_published_it(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as db:
            await outbox.publish(db, Happened(what="k"), now=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await database.reads.fetchval("SELECT count(*) FROM outbox") == 0


async def test_an_event_that_no_broker_would_take_is_refused_where_it_is_published(database: Database) -> None:
    async with database.transaction() as db:
        with pytest.raises(ValueError, match="bytes"):
            await outbox.publish(db, Happened(what="k" * 1_000_000), now=NOW)


async def test_reactions_get_each_event_once_in_order(database: Database) -> None:
    ids = [await publish(database, f"k{n}") for n in range(5)]
    events: list[Event] = []

    async def collect(_db: Connection, event: Event) -> None:
        events.append(event)

    assert await react(database, collect) == 5
    assert await react(database, collect) == 0
    assert [event.event_id for event in events] == ids
    assert events[0].data == {"what": "k0", "n": 0}
    assert events[0].created_at == NOW


async def test_an_event_that_commits_late_is_not_skipped_and_holds_nobody_up(database: Database) -> None:
    seen, collect = collector()
    async with database.transaction() as late:
        await outbox.publish(late, Happened(what="late"), now=NOW)
        await publish(database, "early")
        assert await react(database, collect) == 1
        assert seen == ["early"]
    assert await react(database, collect) == 1
    assert seen == ["early", "late"]


async def test_reactions_of_a_transaction_that_fails_happen_when_it_is_tried_again(database: Database) -> None:
    await publish(database, "k")
    seen, collect = collector()

    async def die() -> None:
        async with database.transaction() as db:
            await outbox.react(db, {"thing.happened": (collect,)}, now=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await die()
    assert await react(database, collect) == 1
    assert seen == ["k", "k"]


async def test_one_transaction_at_a_time_reacts(database: Database) -> None:
    await publish(database, "k")
    seen, collect = collector()
    async with database.transaction() as first:
        assert await outbox.react(first, {"thing.happened": (collect,)}, now=NOW) == 1
        assert await react(database, collect) == 0
    assert seen == ["k"]


async def test_a_reaction_that_fails_is_undone_and_tried_again_while_others_go_on(database: Database) -> None:
    for key in ("good", "bad", "better"):
        await publish(database, key)
    failing = True

    async def enqueue_or_fail(db: Connection, event: Event) -> None:
        await jobs.enqueue(db, "noted", {"key": event.key})
        if event.key == "bad" and failing:
            raise ValueError("not yet")

    async def queued() -> list[str]:
        rows = await database.reads.fetch(
            "SELECT convert_from(payload, 'utf8')::jsonb ->> 'key' AS key FROM pgqueuer ORDER BY id"
        )
        return [row["key"] for row in rows]

    assert await react(database, enqueue_or_fail) == 3
    assert await queued() == ["good", "better"]
    assert await react(database, enqueue_or_fail) == 0  # not before its pause is over
    failing = False
    assert await react(database, enqueue_or_fail, now=NOW + timedelta(seconds=3)) == 1
    assert await queued() == ["good", "better", "bad"]


async def test_an_event_whose_reactions_keep_failing_is_held_until_it_is_released(database: Database) -> None:
    event_id = await publish(database, "bad")

    async def fail(_db: Connection, _event: Event) -> None:
        raise ValueError("never")

    for n in range(outbox.ATTEMPTS):
        assert await react(database, fail, now=NOW + timedelta(days=n)) == 1
    assert await react(database, fail, now=NOW + timedelta(days=99)) == 0
    async with database.transaction() as db:
        (held,) = await outbox.held(db)
        assert (held.event.event_id, held.problem) == (event_id, "ValueError: never")
        assert await outbox.release(db, event_ids=[event_id]) == 1
    seen, collect = collector()
    assert await react(database, collect, now=NOW + timedelta(days=99)) == 1
    assert seen == ["bad"]


@pytest.mark.parametrize(("relayed", "left"), [(False, ["unseen", "young"]), (True, ["seen", "unseen", "young"])])
async def test_only_what_every_reader_is_done_with_is_purged(
    database: Database, relayed: bool, left: list[str]
) -> None:
    old = NOW - timedelta(days=8)
    await publish(database, "relayed", now=old)
    async with database.transaction() as db:
        await outbox.mark_published(db, events=await outbox.unpublished(db, limit=9), now=NOW)
    await publish(database, "seen", now=old)
    _, collect = collector()
    await react(database, collect)
    await publish(database, "unseen", now=old)
    await publish(database, "young")
    async with database.transaction() as db:
        assert await outbox.purge(db, before=NOW - timedelta(days=7), relayed=relayed) == 4 - len(left)
    assert [row["key"] for row in await database.reads.fetch("SELECT key FROM outbox ORDER BY id")] == left


async def test_a_new_consent_has_the_retailer_scored_and_a_new_model_everyone_once(database: Database) -> None:
    granted = ConsentGranted(
        consent_id="con_1", retailer_id="ret_1", lenders=("len_1",), purpose="credit_assessment", channel="whatsapp"
    )
    await say(database, granted)
    await say(database, ModelPromoted(product="altscore", version="mdl_1"))
    await say(database, ModelPromoted(product="altscore", version="mdl_2"))
    await say(database, ConsentRevoked(consent_id="con_1", retailer_id="ret_1", lenders=("len_1",), reason="asked"))
    async with database.transaction() as db:
        assert await outbox.react(db, SUBSCRIPTIONS, now=NOW) == 4
    queued = await database.reads.fetch(
        "SELECT entrypoint, convert_from(payload, 'utf8') AS payload FROM pgqueuer ORDER BY id"
    )
    assert [tuple(row) for row in queued] == [
        ("altscore.refresh", '{"retailer_ids":["ret_1"]}'),
        ("altscore.nightly", "{}"),
        ("altscore.refresh", '{"retailer_ids":["ret_1"]}'),  # what is left of it, without the ended consent
    ]
