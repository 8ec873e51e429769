"""A callback URL counts once it has answered a signed test event; secrets rotate without a gap."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.engine.delivery.conftest import PARTNER, Post
from tests.receivers import Receiver, context_for, hangs, receiving, says

from altcredit.engine import audit, delivery
from altcredit.runtime import sealed
from altcredit.runtime.certificates import Authority
from altcredit.runtime.keys import KeyProvider, Keyring


async def actions(post: Post) -> list[tuple[str, str, dict[str, Any]]]:
    async with post.database.reads.acquire() as db:
        return [(one.action, one.subject, one.details) for one in reversed(await audit.read(db))]


async def endpoint(post: Post) -> delivery.Endpoint | None:
    async with post.database.reads.acquire() as db:
        return await delivery.select_endpoint(db, PARTNER)


async def test_a_url_is_set_by_a_signed_test_event(post: Post, receiver: Receiver) -> None:
    secrets = await post.partner(None)
    made = await delivery.set_endpoint(post.database, partner_id=PARTNER, url=receiver.url(), **post.by)
    assert made == await endpoint(post)
    [request] = receiver.requests
    event = json.loads(request.body)
    assert event["type"] == "callback.test"
    assert datetime.fromisoformat(event["timestamp"]) == post.clock()
    for key in (secrets.secret, secrets.public_key):
        delivery.verify(headers=request.headers, body=request.body, key=key, now=post.clock())
    assert [action for action, _, _ in await actions(post)] == ["callback.secrets_issued", "callback.endpoint_set"]
    assert secrets.secret not in str(await actions(post))


@pytest.mark.parametrize("status", [300, 301, 404, 410, 500])
async def test_only_2xx_makes_a_url_current(post: Post, receiver: Receiver, status: int) -> None:
    await post.partner(None)
    receiver.behave = says(status)
    with pytest.raises(delivery.EndpointRefused, match=f"answered the test event with {status}"):
        await delivery.set_endpoint(post.database, partner_id=PARTNER, url=receiver.url(), **post.by)
    assert await endpoint(post) is None


async def test_a_refusal_says_exactly_why(
    post: Post, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post.partner(receiver)
    foreign = Authority.create(now=datetime.now(UTC))

    async def why(url: str) -> str:
        with pytest.raises(delivery.EndpointRefused) as refused:
            await delivery.set_endpoint(post.database, partner_id=PARTNER, url=url, **post.by)
        [detail] = refused.value.details
        assert detail.path == "$.url"
        assert detail.problem == str(refused.value)
        return detail.problem

    assert "must begin with https://" in await why("http://partner.example/")
    assert "cannot be resolved" in await why("https://no-such-host.invalid/")
    assert "10.0.0.1 has an address that is not allowed" in await why("https://10.0.0.1/")
    async with receiving(context_for(foreign, tmp_path, "localhost")) as stranger:
        assert "the certificate is not accepted" in await why(stranger.url())
    receiver.behave = hangs
    monkeypatch.setattr(post.sender, "seconds", 0.2)
    assert "no answer within 0.2 seconds" in await why(receiver.url("/other"))
    current = await endpoint(post)
    assert current is not None
    assert current.url == receiver.url(), "the old URL stays current"


async def test_without_secrets_there_is_nothing_to_sign_with(post: Post, receiver: Receiver) -> None:
    with pytest.raises(delivery.SecretsMissing):
        await delivery.set_endpoint(post.database, partner_id=PARTNER, url=receiver.url(), **post.by)
    assert receiver.requests == []


async def test_a_partner_without_an_endpoint_keeps_its_callbacks_until_there_is_one(
    post: Post, receiver: Receiver
) -> None:
    await post.partner(None)
    await post.submit()
    assert await post.drain() == 0
    post.clock.passes(days=3)
    await post.clear_jobs()
    await delivery.set_endpoint(post.database, partner_id=PARTNER, url=receiver.url(), **post.by)
    assert len(await post.jobs()) == 1
    assert await post.drain() == 1
    assert [item.state for item in await post.listed()] == ["delivered"]


async def test_410_disables_the_endpoint_and_keeps_the_rest(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    receiver.behave = says(500)
    await post.submit(request_id="uwr_0")
    await post.drain()
    for number in range(1, 4):
        await post.submit(request_id=f"uwr_{number}")
    post.clock.passes(seconds=10)
    receiver.behave = says(410)
    await post.drain()
    assert len(receiver.requests) == 2, "one at a time while it fails, and none after it is gone"
    gone = await endpoint(post)
    assert gone is not None
    assert (gone.state, gone.disabled_reason) == ("disabled", "the receiver answered 410")
    assert {item.state for item in await post.listed()} == {"pending"}
    assert ("callback.disabled", PARTNER, {"reason": "the receiver answered 410"}) in await actions(post)
    async with post.database.reads.acquire() as db:
        held = await delivery.held(db)
    assert (held.pending, held.endpoints_disabled, held.endpoints_failing) == (4, 1, 0)
    post.clock.passes(days=2)
    receiver.behave = says(200)
    assert await post.drain() == 0
    async with post.database.transaction() as db:
        await delivery.enable_endpoint(db, partner_id=PARTNER, actor="cli:root", now=post.clock())
    assert await post.drain() == 4
    assert {item.state for item in await post.listed()} == {"delivered"}


async def test_an_endpoint_is_disabled_enabled_and_tested_by_an_operator(post: Post, receiver: Receiver) -> None:
    by: dict[str, Any] = {"partner_id": PARTNER, "actor": "cli:root", "now": post.clock()}
    async with post.database.transaction() as db:
        for attempt in (delivery.enable_endpoint, _disable):
            with pytest.raises(delivery.EndpointMissing):
                await attempt(db, **by)
    with pytest.raises(delivery.EndpointMissing):
        await delivery.test_endpoint(post.database, partner_id=PARTNER, **post.by)
    await post.partner(receiver)
    async with post.database.transaction() as db:
        await _disable(db, **by)
    await post.submit()
    assert await post.drain() == 0
    tested = await delivery.test_endpoint(post.database, partner_id=PARTNER, **post.by)
    assert (tested.status, tested.is_success) == (204, True)
    receiver.behave = says(503, b"closed")
    tested = await delivery.test_endpoint(post.database, partner_id=PARTNER, **post.by)
    assert (tested.status, tested.is_success, tested.answer) == (503, False, "closed")
    disabled = await endpoint(post)
    assert disabled is not None
    assert disabled.state == "disabled"
    assert [action for action, _, _ in await actions(post)][2:] == ["callback.disabled"] + ["callback.tested"] * 2


async def _disable(db: Any, **by: Any) -> None:
    await delivery.disable_endpoint(db, reason="asked to", **by)


async def test_old_and_new_secrets_verify_during_a_rotation_and_only_the_new_ones_after(
    post: Post, receiver: Receiver
) -> None:
    old = await post.partner(receiver)
    async with post.database.transaction() as db:
        with pytest.raises(delivery.SecretsExist):
            await delivery.issue_secrets(
                db, keyring=post.keyring, partner_id=PARTNER, actor="cli:root", now=post.clock()
            )
        new = await delivery.rotate_secrets(
            db,
            keyring=post.keyring,
            partner_id=PARTNER,
            overlap=timedelta(days=1),
            actor="cli:root",
            now=post.clock(),
        )

    async def verifies(*keys: str) -> list[bool]:
        await post.submit()
        await post.drain()
        request = receiver.requests[-1]
        return [_verifies(request.headers, request.body, key, post.clock) for key in keys]

    keys = (old.secret, old.public_key, new.secret, new.public_key)
    assert await verifies(*keys) == [True, True, True, True]
    async with post.database.reads.acquire() as db:
        public = await delivery.public_keys(db, partner_id=PARTNER, now=post.clock())
    assert sorted(public) == sorted([new.public_key, old.public_key])
    post.clock.passes(days=1, seconds=1)
    assert await verifies(*keys) == [False, False, True, True]


def _verifies(headers: dict[str, str], body: bytes, key: str, clock: Callable[[], datetime]) -> bool:
    try:
        delivery.verify(headers=headers, body=body, key=key, now=clock())
    except delivery.SignatureInvalid:
        return False
    return True


async def test_bodies_and_secrets_are_sealed_and_move_under_a_new_key(post: Post, receiver: Receiver) -> None:
    await post.partner(receiver)
    await post.submit(body=b"very private")
    for table in ("delivery", "callback_secret"):
        rows = await post.database.reads.fetch(f"SELECT sealed FROM {table}")
        assert rows
        assert not any(b"very private" in row["sealed"] for row in rows)
    newer = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x09" * 32, b"\x01" * 32)))
    async with post.database.transaction() as db:
        moved = await sealed.rewrap(db, keyring=newer)
        assert moved == {"callback_secret.sealed": 2, "delivery.sealed": 1}
        assert await sealed.rewrap(db, keyring=newer) == {}
    post.keyring = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x09" * 32,)))
    assert await post.drain() == 1
    assert receiver.requests[-1].body == b"very private"
