"""What was sent can be listed, filtered, paged and sent again (contract U12)."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.engine.delivery.conftest import PARTNER, Post
from tests.receivers import Receiver, says

from altcredit.engine import audit, delivery


async def test_deliveries_are_paged_the_newest_first(post: Post) -> None:
    made = []
    for number in range(7):
        made.append(await post.submit(request_id=f"uwr_{number}"))
        post.clock.passes(seconds=number % 2)  # some at the same instant
    await post.submit(partner_id="par_2")
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        async with post.database.reads.acquire() as db:
            page = await delivery.list_deliveries(db, partner_id=PARTNER, cursor=cursor, limit=3)
        seen += [item.id for item in page.deliveries]
        cursor = page.cursor
    assert cursor is None
    assert sorted(seen) == sorted(made)
    times = {item.id: item.created_at for item in await post.listed()}
    assert [times[one] for one in seen] == sorted(times.values(), reverse=True)


async def test_deliveries_are_filtered(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    await post.submit(request_id="uwr_1")
    await post.drain()
    receiver.behave = says(500)
    await post.submit(request_id="uwr_2")
    await post.drain()
    assert [item.request_id for item in await post.listed(state="delivered")] == ["uwr_1"]
    assert [item.request_id for item in await post.listed(state="pending")] == ["uwr_2"]
    assert [item.state for item in await post.listed(request_id="uwr_1")] == ["delivered"]
    assert await post.listed(request_id="uwr_1", state="failed") == ()
    assert await post.listed("par_2") == ()


async def test_an_item_has_the_published_names(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    receiver.behave = says(500, b"<b>no</b>\x1b")
    await post.submit()
    await post.drain()
    [item] = msgspec.to_builtins(await post.listed())
    assert {"id", "requestId", "webhookId", "attempts", "nextAttemptAt", "state"} <= item.keys()
    [attempt] = item["attempts"]
    assert {"at", "status", "latencyMs"} <= attempt.keys()
    assert attempt["answer"] == "<b>no</b>\\x1b"
    assert 0 <= attempt["latencyMs"] < 5_000


async def test_somebody_elses_delivery_is_neither_cursor_nor_replayed(post: Post) -> None:
    foreign = await post.submit(partner_id="par_2")
    for unknown in (foreign, "dlv_0000000000000000"):
        async with post.database.reads.acquire() as db:
            with pytest.raises(delivery.DeliveryUnknown):
                await delivery.list_deliveries(db, partner_id=PARTNER, cursor=unknown)
        async with post.database.transaction() as db:
            with pytest.raises(delivery.DeliveryUnknown):
                await delivery.replay(db, partner_id=PARTNER, delivery_id=unknown, actor="cli:root", now=post.clock())


async def test_one_or_all_since_a_time_are_sent_again_unaltered(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    ids = []
    for number in range(4):
        ids.append(await post.submit(request_id=f"uwr_{number}", body=b'{"n":%d}' % number))
        await post.drain()
        post.clock.passes(hours=1)
    sent = {request.headers["webhook-id"]: request.body for request in receiver.requests}
    since = post.clock() - timedelta(hours=2)
    receiver.requests.clear()
    by: dict[str, Any] = {"partner_id": PARTNER, "actor": "par_1", "now": post.clock()}
    await post.clear_jobs()
    async with post.database.transaction() as db:
        await delivery.replay(db, delivery_id=ids[0], **by)
    assert len(await post.jobs()) == 1
    assert await post.drain() == 1
    assert receiver.requests[0].body == b'{"n":0}'
    async with post.database.transaction() as db:
        assert await delivery.replay_since(db, since=since, state="failed", **by) == 0
        assert await delivery.replay_since(db, since=since, **by) == 2
    assert await post.drain() == 2
    assert sorted(request.body for request in receiver.requests) == [b'{"n":0}', b'{"n":2}', b'{"n":3}']
    assert all(sent[request.headers["webhook-id"]] == request.body for request in receiver.requests)
    assert [len(item.attempts) for item in await post.listed()] == [2, 2, 1, 2]
    async with post.database.reads.acquire() as db:
        actions = [event.action for event in await audit.read(db, actor="par_1")]
    assert actions == ["callback.replayed_since"] * 2 + ["callback.replayed"]


async def test_what_is_settled_is_purged_and_what_is_pending_is_not(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    await post.submit()
    await post.drain()
    receiver.behave = says(500)
    pending = await post.submit()
    await post.drain()
    post.clock.passes(days=400)
    async with post.database.transaction() as db:
        assert await delivery.purge(db, before=post.clock()) == 1
        held = await delivery.held(db)
    assert [item.id for item in await post.listed()] == [pending]
    assert (held.pending, held.failed, held.endpoints_failing) == (1, 0, 1)
    assert held.oldest_pending_at == post.clock() - timedelta(days=400)
