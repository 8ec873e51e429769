"""GUARD's partners: tokens, addresses, options, callbacks (GUARD API, Preparation; contract U1, U6, U9)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from altcredit.api.admin.actions import Change, actor, changing, looking
from altcredit.api.contract import Call, Nothing
from altcredit.engine import delivery, identity
from altcredit.runtime import clock
from altcredit.runtime.db import Connection
from altcredit.runtime.http import Sender

BASE = "/v1/admin/partners"
EXAMPLE = "partner_2c9e4b7a1f0d8356"
_PERMISSION = "partners.manage"

Addresses = Annotated[
    list[Annotated[str, msgspec.Meta(max_length=64, examples=["203.0.113.0/24"])]],
    msgspec.Meta(min_length=1, max_length=256, description="IPv4 or IPv6 networks in CIDR notation."),
]
OverlapHours = Annotated[int, msgspec.Meta(ge=0, le=90 * 24, description="How long the old one still counts.")]
Minute = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1, description="Requests a minute.")]


class Partners(msgspec.Struct, frozen=True, kw_only=True):
    """All partners, the oldest first."""

    partners: list[identity.PartnerAccount]


class NewPartner(Change, frozen=True, kw_only=True):
    """A partner to add."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    addresses: Addresses
    partner_id: Annotated[str, msgspec.Meta(description="An id of your choice.")] | None = None
    minute_limit: Minute = 600


class NewPartnerAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The partner's token, and what its callbacks are verified with."""

    partner_id: str
    token: str
    webhook_secret: str
    webhook_public_key: str


class PartnerChange(Change, frozen=True, kw_only=True):
    """What to change; what is left out stays as it is."""

    status: identity.Status | None = None
    addresses: Addresses | None = None
    minute_limit: Minute | None = None
    failure_callbacks: bool | None = None
    reason_codes: bool | None = None


class PartnerRotation(Change, frozen=True, kw_only=True):
    """How a token or a webhook secret is replaced."""

    overlap_hours: OverlapHours = 7 * 24


class WebhookSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """What callbacks are verified with from now on."""

    partner_id: str
    webhook_secret: str
    webhook_public_key: str


class CallbackChange(Change, frozen=True, kw_only=True):
    """Where callbacks go."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2_048, description="https; it is tested first.")]


class CallbackEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where callbacks go from now on: the URL has answered a signed test event."""

    partner_id: str
    url: str
    verified_at: datetime | None


class CallbackTest(msgspec.Struct, frozen=True, kw_only=True):
    """How the test event went: the receiver's ``status`` (2xx is success), or the ``problem`` that kept it away."""

    partner_id: str
    success: bool
    at: datetime
    status: int | None
    latency_ms: int
    problem: str | None
    answer: Annotated[str, msgspec.Meta(description="What the receiver said, at most 2,048 printable characters.")]


async def _state(call: Call, db: Connection, partner_id: str) -> identity.PartnerAccount:
    return await identity.find_partner(db, partner_id=partner_id, now=call.now)


async def _one(call: Call) -> identity.PartnerAccount:
    return await _state(call, call.db, call.path["id"])


async def list_partners(call: Call, _asked: Nothing) -> Partners:
    return Partners(partners=await identity.list_partners(call.db, now=call.now))


async def add_partner(call: Call, asked: NewPartner) -> NewPartnerAnswer:
    keyring = call.platform.keyring
    issued = await identity.add_partner(
        call.db,
        keyring=keyring,
        name=asked.name,
        addresses=asked.addresses,
        partner_id=asked.partner_id,
        minute_limit=asked.minute_limit,
        actor=actor(call),
        now=call.now,
    )
    secrets = await delivery.issue_secrets(
        call.db, keyring=keyring, partner_id=issued.partner_id, actor=actor(call), now=call.now
    )
    return NewPartnerAnswer(
        partner_id=issued.partner_id,
        token=issued.token,
        webhook_secret=secrets.secret,
        webhook_public_key=secrets.public_key,
    )


async def change_partner(call: Call, asked: PartnerChange) -> identity.PartnerAccount:
    partner_id, by = call.path["id"], actor(call)
    if asked.addresses is not None:
        await identity.set_partner_addresses(
            call.db, partner_id=partner_id, addresses=asked.addresses, actor=by, now=call.now
        )
    await identity.set_partner(
        call.db,
        partner_id=partner_id,
        status=asked.status,
        failure_callbacks=asked.failure_callbacks,
        reason_codes=asked.reason_codes,
        minute_limit=asked.minute_limit,
        actor=by,
        now=call.now,
    )
    return await _one(call)


async def rotate_token(call: Call, asked: PartnerRotation) -> identity.IssuedPartner:
    return await identity.rotate_partner_token(
        call.db,
        keyring=call.platform.keyring,
        partner_id=call.path["id"],
        overlap=timedelta(hours=asked.overlap_hours),
        actor=actor(call),
        now=call.now,
    )


async def rotate_secret(call: Call, asked: PartnerRotation) -> WebhookSecrets:
    issued = await delivery.rotate_secrets(
        call.db,
        keyring=call.platform.keyring,
        partner_id=call.path["id"],
        overlap=timedelta(hours=asked.overlap_hours),
        actor=actor(call),
        now=call.now,
    )
    return WebhookSecrets(
        partner_id=call.path["id"], webhook_secret=issued.secret, webhook_public_key=issued.public_key
    )


@asynccontextmanager
async def _sender(call: Call) -> AsyncIterator[Sender]:
    sender = Sender.of(call.platform.settings, keyring=call.platform.keyring, now=call.now)
    try:
        yield sender
    finally:
        await sender.close()


async def set_callback(call: Call, asked: CallbackChange) -> CallbackEndpoint:
    async with _sender(call) as sender:
        endpoint = await delivery.set_endpoint(
            call.platform.database,
            keyring=call.platform.keyring,
            sender=sender,
            partner_id=call.path["id"],
            url=asked.url,
            actor=actor(call),
            clock=clock.now,
        )
    return CallbackEndpoint(partner_id=endpoint.partner_id, url=endpoint.url, verified_at=endpoint.verified_at)


async def try_callback(call: Call, _asked: Change) -> CallbackTest:
    async with _sender(call) as sender:
        attempt = await delivery.test_endpoint(
            call.platform.database,
            keyring=call.platform.keyring,
            sender=sender,
            partner_id=call.path["id"],
            actor=actor(call),
            clock=clock.now,
        )
    return CallbackTest(partner_id=call.path["id"], success=attempt.is_success, **msgspec.structs.asdict(attempt))


_OF_ONE: dict[str, Any] = {
    "tag": "Partners",
    "permission": _PERMISSION,
    "about": "id",
    "state": _state,
    "places": {"id": EXAMPLE},
}
ROUTES = (
    looking(
        path=BASE,
        operation="listPartners",
        tag="Partners",
        summary="List GUARD's partners with their addresses, options and live tokens",
        permissions=(_PERMISSION,),
        about="partners",
        handler=list_partners,
        answers=Partners,
    ),
    changing(
        path=BASE,
        operation="addPartner",
        tag="Partners",
        summary="Add a GUARD partner",
        description="Token and webhook secret are in this answer and nowhere else: it is not kept for replay.",
        permission=_PERMISSION,
        about="partner_id",
        creates=True,
        state=_state,
        handler=add_partner,
        asks=NewPartner,
        answers=NewPartnerAnswer,
        status=201,
        refusals=(identity.IdInvalid, identity.IdTaken, identity.AddressesInvalid),
    ),
    changing(
        method="PUT",
        path=f"{BASE}/{{id}}",
        operation="changePartner",
        summary="Suspend or activate a partner, or change its addresses, options or limit",
        handler=change_partner,
        asks=PartnerChange,
        answers=identity.PartnerAccount,
        refusals=(identity.PartnerUnknown, identity.AddressesInvalid),
        replays="X-Request-ID",
        **_OF_ONE,
    ),
    changing(
        path=f"{BASE}/{{id}}/rotate-token",
        operation="rotatePartnerToken",
        summary="Issue a partner's new token beside the old one",
        handler=rotate_token,
        asks=PartnerRotation,
        answers=identity.IssuedPartner,
        refusals=(identity.PartnerUnknown,),
        **_OF_ONE,
    ),
    changing(
        path=f"{BASE}/{{id}}/rotate-secret",
        operation="rotatePartnerSecret",
        summary="Issue a partner's new webhook secret; callbacks carry both signatures for a while",
        handler=rotate_secret,
        asks=PartnerRotation,
        answers=WebhookSecrets,
        refusals=(identity.PartnerUnknown,),
        **_OF_ONE,
    ),
    changing(
        method="PUT",
        path=f"{BASE}/{{id}}/callback",
        operation="setPartnerCallback",
        summary="Send a partner's callbacks to a URL, once it has answered a signed test event",
        handler=set_callback,
        asks=CallbackChange,
        answers=CallbackEndpoint,
        refusals=(identity.PartnerUnknown, delivery.EndpointRefused, delivery.SecretsMissing),
        writes=False,  # the receiver may take its time to answer, and no transaction waits for that
        **_OF_ONE,
    ),
    changing(
        path=f"{BASE}/{{id}}/callback/test",
        operation="testPartnerCallback",
        summary="Send a signed test event to a partner's callback URL, and tell how that went",
        description="It changes nothing; a disabled URL is asked, too.",
        handler=try_callback,
        asks=Change,
        answers=CallbackTest,
        refusals=(identity.PartnerUnknown, delivery.EndpointMissing, delivery.SecretsMissing),
        writes=False,  # the receiver may take its time to answer, and no transaction waits for that
        **_OF_ONE,
    ),
)
