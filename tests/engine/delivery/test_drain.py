"""Callbacks that always arrive: at least once, never lost, and nobody is delayed by somebody else's receiver."""

import asyncio
from datetime import timedelta

from tests.engine.delivery.conftest import BODY, PARTNER, Post
from tests.receivers import Receiver, says

from altcredit.engine import delivery


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


async def test_a_burst_arrives_eight_at_a_time(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    for number in range(40):
        await post.submit(request_id=f"uwr_{number}")
    assert await asyncio.gather(post.drain(), post.drain()) != [0, 0]
    assert {item.state for item in await post.listed(limit=100)} == {"delivered"}
    assert len(receiver.requests) == 40
    assert receiver.most_under_way <= 8
    assert PARTNER
