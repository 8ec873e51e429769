"""
What GUARD, partners and operators can do with callbacks (contract U6, U12).

A delivery is written in the transaction of the decision it tells of, and stays until the receiver answers 2xx or 24
hours of tries are over. The job ``delivery.send`` drains a partner's deliveries; at any time, a partner with a pending
delivery has such a job waiting or running. Every change that an operator or a partner makes appends an audit row.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec

from altcredit.engine import audit
from altcredit.engine.delivery import store
from altcredit.engine.delivery.callback import Attempt, Endpoint, IssuedSecrets, Kind, Page, Submitted
from altcredit.engine.delivery.retry import FIRST_PAUSE, GIVEN_UP_AFTER, State
from altcredit.engine.delivery.sending import BODY, SECRET, Clock, post_signed, unsealed, wake
from altcredit.engine.delivery.signature import Kind as KeyKind
from altcredit.engine.delivery.signature import public_text, secret_text
from altcredit.runtime import ids
from altcredit.runtime.db import Connection, Database
from altcredit.runtime.http import Sender
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Detail, Refusal

SECRET_OVERLAP = timedelta(days=7)  # how long an old secret signs beside a new one, unless said otherwise
PAGE_ITEMS = 50


class EndpointMissing(Refusal):
    """The partner has no callback URL."""


class EndpointRefused(Refusal):
    """The URL is not one that callbacks may go to, or did not answer the test event with 2xx."""


class SecretsMissing(Refusal):
    """The partner has no secrets to sign callbacks with."""


class SecretsExist(Refusal):
    """The partner has secrets already; they are rotated, not issued anew."""


class DeliveryUnknown(Refusal):
    """The partner has no such delivery."""


async def submit(
    db: Connection,
    *,
    keyring: Keyring,
    partner_id: str,
    request_id: str,
    kind: Kind,
    body: bytes,
    withheld: bool = False,
    now: datetime,
) -> str:
    """Have one body delivered, as :func:`submit_all` does; return the delivery's id."""
    callback = Submitted(partner_id=partner_id, request_id=request_id, kind=kind, body=body, withheld=withheld)
    (delivery_id,) = await submit_all(db, keyring=keyring, callbacks=[callback], now=now)
    return delivery_id


async def submit_all(
    db: Connection, *, keyring: Keyring, callbacks: Sequence[Submitted], now: datetime
) -> tuple[str, ...]:
    """
    Have bodies delivered to partners, if and when the caller's transaction commits; return the deliveries' ids.

    Without an active endpoint they stay pending until there is one.
    """
    rows = [
        store.Row(
            delivery_id=ids.new_id("dlv"),
            partner_id=one.partner_id,
            request_id=one.request_id,
            webhook_id=ids.new_id("msg"),
            kind=one.kind,
            sealed=keyring.seal(one.body, owner=one.partner_id, purpose=BODY),
        )
        for one in callbacks
    ]
    await store.insert_deliveries(db, rows, now=now)
    at_once: dict[str, bool] = {}
    for row, one in zip(rows, callbacks, strict=True):
        if one.withheld:
            again_at, gives_up_at = now + FIRST_PAUSE, now + GIVEN_UP_AFTER
            await store.withhold(db, row.delivery_id, now=now, again_at=again_at, gives_up_at=gives_up_at)
        at_once[one.partner_id] = at_once.get(one.partner_id, False) or not one.withheld
    for partner_id in sorted(at_once):  # in one order, as each locks its job until the transaction ends
        await wake(db, partner_id, after=None if at_once[partner_id] else FIRST_PAUSE)
    return tuple(row.delivery_id for row in rows)


# The endpoint


async def set_endpoint(
    database: Database, *, keyring: Keyring, sender: Sender, partner_id: str, url: str, actor: str, clock: Clock
) -> Endpoint:
    """
    Make a URL the one that callbacks go to, once it has answered a signed test event with 2xx.

    The event is ``{"type":"callback.test","timestamp":"…"}``. What is pending is then sent there, from its first try
    on. Whether there is such a partner is for the caller to know.

    :raises EndpointRefused: the message says why: the URL's form, DNS, an address that is not allowed, the connection,
        TLS, the time, or the status.
    :raises SecretsMissing: issue them first.
    """
    attempt = await _test(database, keyring=keyring, sender=sender, partner_id=partner_id, url=url, clock=clock)
    if not attempt.is_success:
        raise EndpointRefused(_why(attempt), details=(Detail("$.url", _why(attempt)),))
    now = clock()
    async with database.transaction() as db:
        await store.upsert_endpoint(db, partner_id, url=url, now=now)
        await _audit(db, actor, "callback.endpoint_set", partner_id, {"host": urlsplit(url).netloc}, now)
        await _restart(db, partner_id, now)
    return Endpoint(partner_id=partner_id, url=url, state="active", verified_at=now)


def _why(attempt: Attempt) -> str:
    return attempt.problem or f"the receiver answered the test event with {attempt.status}; only 2xx is success"


async def _test(
    database: Database, *, keyring: Keyring, sender: Sender, partner_id: str, url: str, clock: Clock
) -> Attempt:
    now = clock()
    async with database.reads.acquire() as db:
        sealed = await store.select_secrets(db, partner_id, now=now)
    if not sealed:
        raise SecretsMissing(f"{partner_id} has no secrets to sign callbacks with")
    attempt, _ = await post_signed(
        sender,
        url,
        webhook_id=ids.new_id("msg"),
        body=msgspec.json.encode({"type": "callback.test", "timestamp": now}),
        keys=unsealed(keyring, partner_id, sealed),
        partner_id=partner_id,
        request_id=None,
        now=now,
    )
    return attempt


async def test_endpoint(
    database: Database, *, keyring: Keyring, sender: Sender, partner_id: str, actor: str, clock: Clock
) -> Attempt:
    """
    Send a signed test event to the current URL, disabled or not, and return how that went. It changes nothing.

    :raises EndpointMissing, SecretsMissing:
    """
    async with database.reads.acquire() as db:
        endpoint = await _endpoint(db, partner_id)
    attempt = await _test(
        database, keyring=keyring, sender=sender, partner_id=partner_id, url=endpoint.url, clock=clock
    )
    async with database.transaction() as db:
        details = {"status": attempt.status, "problem": attempt.problem}
        await _audit(db, actor, "callback.tested", partner_id, details, attempt.at)
    return attempt


async def _endpoint(db: Connection, partner_id: str) -> Endpoint:
    endpoint = await store.select_endpoint(db, partner_id)
    if endpoint is None:
        raise EndpointMissing(f"{partner_id} has no callback URL")
    return endpoint


async def disable_endpoint(db: Connection, *, partner_id: str, reason: str, actor: str, now: datetime) -> None:
    """Send nothing more to a partner; its deliveries stay pending. Raises EndpointMissing."""
    await _endpoint(db, partner_id)
    if await store.disable_endpoint(db, partner_id, reason=reason, now=now):
        await _audit(db, actor, "callback.disabled", partner_id, {"reason": reason}, now)


async def enable_endpoint(db: Connection, *, partner_id: str, actor: str, now: datetime) -> None:
    """Send to a partner again, what is pending from its first try on. Raises EndpointMissing."""
    if not await store.enable_endpoint(db, partner_id):
        raise EndpointMissing(f"{partner_id} has no callback URL")
    await _audit(db, actor, "callback.enabled", partner_id, {}, now)
    await _restart(db, partner_id, now)


async def _restart(db: Connection, partner_id: str, now: datetime) -> None:
    await store.restart(db, partner_id, now=now)
    await wake(db, partner_id)


# Secrets


async def issue_secrets(
    db: Connection, *, keyring: Keyring, partner_id: str, actor: str, now: datetime
) -> IssuedSecrets:
    """Give a partner its first shared secret and ed25519 key. Raises SecretsExist."""
    if await store.select_secrets(db, partner_id, now=now):
        raise SecretsExist(f"{partner_id} has secrets; rotate them")
    await _audit(db, actor, "callback.secrets_issued", partner_id, {}, now)
    return await _issue(db, keyring, partner_id, now)


async def rotate_secrets(
    db: Connection,
    *,
    keyring: Keyring,
    partner_id: str,
    overlap: timedelta = SECRET_OVERLAP,
    actor: str,
    now: datetime,
) -> IssuedSecrets:
    """Issue a new secret and key; callbacks carry the old ones' signatures beside theirs for ``overlap`` more."""
    await store.end_secrets(db, partner_id, until=now + overlap, now=now)
    await _audit(db, actor, "callback.secrets_rotated", partner_id, {"old_until": now + overlap}, now)
    return await _issue(db, keyring, partner_id, now)


async def _issue(db: Connection, keyring: Keyring, partner_id: str, now: datetime) -> IssuedSecrets:
    shared, private = bytes.fromhex(ids.new_secret()), bytes.fromhex(ids.new_secret())
    issued = IssuedSecrets(secret=secret_text(shared), public_key=public_text(private))
    keys: tuple[tuple[KeyKind, bytes, str | None], ...] = (
        ("hmac", shared, None),
        ("ed25519", private, issued.public_key),
    )
    for kind, key, public_key in keys:
        await store.insert_secret(
            db,
            partner_id,
            secret_id=ids.new_id("sec"),
            kind=kind,
            sealed=keyring.seal(key, owner=partner_id, purpose=SECRET),
            public_key=public_key,
            now=now,
        )
    return issued


# What was sent


async def list_deliveries(
    db: Connection,
    *,
    partner_id: str,
    request_id: str | None = None,
    state: State | None = None,
    since: datetime | None = None,
    cursor: str | None = None,
    limit: int = PAGE_ITEMS,
) -> Page:
    """
    Return a partner's deliveries, the newest first, that match the filters given (contract U12).

    :param cursor: of the page before. Raises DeliveryUnknown: it is not one of this partner's.
    """
    after = None
    if cursor is not None:
        at = await store.select_position(db, partner_id, cursor)
        if at is None:
            raise DeliveryUnknown(f"{cursor} is no cursor of this list")
        after = (at, cursor)
    found = await store.list_deliveries(
        db, partner_id, request_id=request_id, state=state, since=since, after=after, limit=limit + 1
    )
    page = found[:limit]
    return Page(deliveries=page, cursor=page[-1].id if len(found) > limit else None)


async def replay(db: Connection, *, partner_id: str, delivery_id: str, actor: str, now: datetime) -> None:
    """Send a delivery again, whatever its state, with the same webhook-id and body. Raises DeliveryUnknown."""
    if not await store.replay(db, partner_id, delivery_id=delivery_id, now=now):
        raise DeliveryUnknown(f"there is no delivery {delivery_id}")
    await _audit(db, actor, "callback.replayed", partner_id, {"delivery_id": delivery_id}, now)
    await store.resume(db, partner_id)
    await wake(db, partner_id)


async def replay_since(
    db: Connection, *, partner_id: str, since: datetime, state: State | None = None, actor: str, now: datetime
) -> int:
    """Send all deliveries made since a time again, or those of one state; return how many those are."""
    count = await store.replay_since(db, partner_id, since=since, state=state, now=now)
    details = {"since": since, "state": state, "count": count}
    await _audit(db, actor, "callback.replayed_since", partner_id, details, now)
    await store.resume(db, partner_id)
    await wake(db, partner_id)
    return count


async def _audit(db: Connection, actor: str, action: str, subject: str, details: dict[str, Any], now: datetime) -> None:
    await audit.append(db, actor=actor, action=action, subject=subject, details=details, now=now)
