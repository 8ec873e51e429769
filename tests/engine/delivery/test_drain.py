"""Callbacks that always arrive: at least once, never lost, and nobody is delayed by somebody else's receiver."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from prometheus_client import REGISTRY
from tests.engine.delivery.conftest import BODY, PARTNER, Post
from tests.receivers import Receiver, Request, hangs, raw, says

from altcredit.engine import delivery
from altcredit.engine.delivery import store


async def test_a_callback_arrives_with_the_published_body_and_verifiable_headers(
    post: Post, receiver: Receiver
) -> None:
    secrets = await post.partner(receiver)
    delivery_id = await post.submit()
    assert await post.drain() == 1
    [request] = receiver.requests
    assert request.line == "POST /callback HTTP/1.1"
    assert request.body == BODY
    assert request.headers["host"] == f"localhost:{receiver.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-guard-request-id"] == "uwr_1"
    for key in (secrets.secret, secrets.public_key):
        delivery.verify(headers=request.headers, body=request.body, key=key, now=post.clock())
    [item] = await post.listed()
    assert (item.id, item.state, item.next_attempt_at) == (delivery_id, "delivered", None)
    assert item.webhook_id == request.headers["webhook-id"]
    assert [(attempt.status, attempt.problem) for attempt in item.attempts] == [(204, None)]
    assert item.delivered_at == post.clock()


async def test_a_refused_callback_is_tried_again_with_the_same_id_and_body(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    await post.submit()
    await post.clear_jobs()
    receiver.behave = says(500, b"out of order")
    assert await post.drain(chance=lambda: 0.5) == 1
    [item] = await post.listed()
    assert item.state == "pending"
    assert item.next_attempt_at == post.clock() + timedelta(seconds=2.5)
    assert (item.attempts[0].status, item.attempts[0].answer) == (500, "out of order")
    [wait] = await post.jobs()
    assert 1.5 < wait <= 2.5
    assert await post.drain() == 0, "it is not due yet"
    post.clock.passes(seconds=2.5)
    receiver.behave = says(200)
    assert await post.drain() == 1
    assert len({(request.headers["webhook-id"], request.body) for request in receiver.requests}) == 1
    assert [item.state for item in await post.listed()] == ["delivered"]


@pytest.mark.parametrize(
    "headers",
    [
        ("Retry-After: 120",),
        ("Date: Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After: Sun, 06 Nov 1994 08:51:37 GMT"),
    ],
    ids=["seconds", "date"],
)
async def test_a_receiver_may_say_when_to_come_back(post: Post, receiver: Receiver, headers: tuple[str, ...]) -> None:
    await post.partner(receiver)
    await post.submit()
    receiver.behave = says(503, b"", *headers)
    assert await post.drain() == 1
    [item] = await post.listed()
    assert item.next_attempt_at == post.clock() + timedelta(seconds=120)


async def test_a_burst_arrives_eight_at_a_time(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    for number in range(40):
        await post.submit(request_id=f"uwr_{number}")
    assert await asyncio.gather(post.drain(), post.drain()) != [0, 0]
    assert {item.state for item in await post.listed(limit=100)} == {"delivered"}
    assert len(receiver.requests) == 40
    assert receiver.most_under_way <= 8


async def test_no_more_than_eight_are_under_way_over_all_workers(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    for number in range(30):
        await post.submit(request_id=f"uwr_{number}")
    enough = asyncio.Event()

    async def waits(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if receiver.under_way == 8:
            enough.set()
        await enough.wait()
        await says(200)(request, reader, writer)

    receiver.behave = waits
    assert sum(await asyncio.gather(*[post.drain() for _ in range(4)])) == 30
    assert receiver.most_under_way == 8
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 30


async def test_a_failing_partner_is_sent_one_at_a_time_until_one_arrives(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    receiver.behave = says(503)
    await post.submit()
    await post.drain()
    for number in range(20):
        await post.submit(request_id=f"uwr_{number}")
    receiver.most_under_way = 0
    await post.drain()
    assert (receiver.most_under_way, len(receiver.requests)) == (1, 21)
    receiver.behave = says(200)
    post.clock.passes(seconds=60)
    assert await post.drain() == 21
    assert {item.state for item in await post.listed(limit=100)} == {"delivered"}
    async with post.database.reads.acquire() as db:
        endpoint = await delivery.select_endpoint(db, PARTNER)
    assert endpoint is not None
    assert endpoint.failing_since is None


async def test_a_partner_that_keeps_failing_is_left_alone_for_a_while(post: Post, receiver: Receiver) -> None:
    """However many callbacks wait for a dead receiver, it takes little of a worker's time."""
    await post.partner(receiver)
    receiver.behave = says(503)
    for number in range(20):
        await post.submit(request_id=f"uwr_{number}")
    await post.drain()
    post.clock.passes(hours=2)  # all are due again
    receiver.requests.clear()
    await post.clear_jobs()
    assert await post.drain() == 1
    [wait] = await post.jobs()
    assert 59 < wait <= 60
    post.clock.passes(seconds=59)
    assert await post.drain() == 0
    post.clock.passes(seconds=1)
    receiver.behave = says(200)
    assert await post.drain() == 20, "one arrives, and the others follow at once"


async def test_the_sweep_leaves_those_alone_who_fail_and_are_seen_to(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    receiver.behave = says(503)
    for number in range(3):
        await post.submit(request_id=f"uwr_{number}")
    await post.drain()
    post.clock.passes(hours=2)
    await post.drain()  # one attempt; the others are overdue, and wait for their turn

    async def swept() -> int:
        async with post.database.transaction() as db:
            return await delivery.wake_overdue(db, now=post.clock())

    post.clock.passes(minutes=2)
    assert await swept() == 0
    post.clock.passes(minutes=5)
    assert await swept() == 1, "its turn came long ago"


async def test_a_dead_worker_s_callback_is_sent_again_when_its_lease_ends(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    delivery_id = await post.submit()
    await post.clear_jobs()
    receiver.behave = hangs
    receiver.came.clear()
    dying = asyncio.create_task(post.drain())
    await receiver.came.wait()
    dying.cancel()  # as a kill does: nothing is recorded
    await asyncio.gather(dying, return_exceptions=True)
    receiver.behave = says(200)
    assert await post.drain() == 0, "it may still be under way"
    [wait] = await post.jobs()
    assert 25 < wait <= 30
    post.clock.passes(seconds=31)
    assert await post.drain() == 1
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    [item] = await post.listed()
    assert (item.id, item.state, len(item.attempts)) == (delivery_id, "delivered", 1)


async def test_a_sender_that_reports_late_undoes_nothing(post: Post, receiver: Receiver) -> None:
    """Held up past its lease, a worker fails where another has delivered meanwhile."""
    await post.partner(receiver)
    await post.submit()
    released = asyncio.Event()

    async def fails_late(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(receiver.requests) == 1:
            await released.wait()
            await says(500)(request, reader, writer)
        else:
            await says(200)(request, reader, writer)

    receiver.behave = fails_late
    receiver.came.clear()
    late = asyncio.create_task(post.drain())
    await receiver.came.wait()
    post.clock.passes(seconds=31)
    assert await post.drain() == 1
    released.set()
    await late
    [item] = await post.listed()
    assert (item.state, item.next_attempt_at) == ("delivered", None)
    assert sorted(attempt.status or 0 for attempt in item.attempts) == [200, 500]


async def test_after_24_hours_it_is_given_up_and_a_replay_begins_anew(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    receiver.behave = says(500)
    delivery_id = await post.submit()
    for _ in range(200):
        await post.drain(chance=lambda: 0.9)
        [item] = await post.listed()
        if item.next_attempt_at is None:
            break
        post.clock.now = item.next_attempt_at
    assert item.state == "failed"
    assert item.attempts[-1].at - item.attempts[0].at == timedelta(hours=24)
    assert len(receiver.requests) == len(item.attempts) > 20
    assert await post.jobs() == [] or await post.drain() == 0
    async with post.database.transaction() as db:
        await delivery.replay(db, partner_id=PARTNER, delivery_id=delivery_id, actor="cli:root", now=post.clock())
    await post.drain()
    [item] = await post.listed()
    assert item.state == "pending", "a replay has 24 hours of its own"
    receiver.behave = says(200)
    post.clock.passes(minutes=1)
    await post.drain()
    assert [item.state for item in await post.listed()] == ["delivered"]
    assert len({(request.headers["webhook-id"], request.body) for request in receiver.requests}) == 1


async def test_what_is_submitted_queues_one_job_and_a_rolled_back_decision_none(post: Post) -> None:
    await post.submit()
    await post.submit()
    assert len(await post.jobs()) == 1
    await post.clear_jobs()

    async def fails_after_submitting() -> None:
        async with post.database.transaction() as db:
            await delivery.submit(
                db,
                keyring=post.keyring,
                partner_id=PARTNER,
                request_id="uwr_9",
                kind="failure",
                body=b"{}",
                now=post.clock(),
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails_after_submitting()
    assert await post.jobs() == []
    assert len(await post.listed()) == 2


async def test_a_callback_costs_two_statements(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    await post.submit()
    await post.drain()  # after which the connection knows the types
    await post.submit()
    statements: list[str] = []
    async with post.database.reads.acquire() as connection:
        connection.add_query_logger(lambda query: statements.append(query.query))
    assert await post.drain() == 1
    assert len(statements) == 2, statements


async def test_attempts_are_counted_and_timed(post: Post, receiver: Receiver) -> None:
    def count(outcome: str) -> float:
        return REGISTRY.get_sample_value("altcredit_callbacks_total", {"outcome": outcome}) or 0.0

    await post.partner(receiver)
    before = {outcome: count(outcome) for outcome in ("delivered", "refused", "connect")}
    timed = REGISTRY.get_sample_value("altcredit_callback_seconds_count") or 0.0
    for behaviour in (says(200), says(500), raw(b"")):
        receiver.behave = behaviour
        await post.submit()
        post.clock.passes(minutes=1)
        await post.drain()
    assert count("delivered") - before["delivered"] == 1
    assert count("refused") - before["refused"] == 1
    assert count("connect") - before["connect"] >= 1
    assert REGISTRY.get_sample_value("altcredit_callback_seconds_count") == timed + sum(
        len(item.attempts) for item in await post.listed()
    )


async def test_claims_at_the_same_moment_never_lease_more_than_there_is_room_for(
    post: Post, receiver: Receiver
) -> None:
    await post.partner(receiver)
    for number in range(40):
        await post.submit(request_id=f"uwr_{number}")
    now, until = post.clock(), post.clock() + timedelta(seconds=30)
    connections = [await asyncpg.connect(post.database.dsn) for _ in range(5)]
    for _ in range(40):
        claims = await asyncio.gather(
            *[
                store.claim(one, PARTNER, now=now, leased_until=until, at_once=8, gives_up_at=now + timedelta(days=1))
                for one in connections
            ]
        )
        leased = [one.delivery_id for claim in claims if claim for one in claim.deliveries]
        assert len(leased) == len(set(leased)) == 8
        await connections[0].execute("UPDATE delivery SET leased_until = NULL")
    for one in connections:
        await one.close()
