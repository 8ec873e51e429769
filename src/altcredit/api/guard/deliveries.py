"""Callbacks that were sent, or will be: list, replay one, replay all since a time (contract U6, U12)."""

import re
from datetime import datetime
from typing import Annotated

import msgspec

from altcredit.api.contract import Call, Link, Place, Route
from altcredit.api.guard.credentials import OF_PARTNERS, partner_of
from altcredit.api.guard.underwritings import BASE, IDEMPOTENCY_KEY, Moment, RequestId
from altcredit.engine import delivery
from altcredit.engine.underwriting import stamp

_DELIVERY_ID = re.compile(r"dlv_[0-9a-f]{16}")
_EXAMPLE_ID = "dlv_2c9e4b7a1f0d8356"

DeliveryId = Annotated[str, msgspec.Meta(description="`dlv_` and 16 hex digits.", examples=[_EXAMPLE_ID])]
Since = Annotated[datetime, msgspec.Meta(tz=True, description="Only callbacks that were made at or after this time.")]


class DeliveriesQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which callbacks; without anything, all of them."""

    request_id: RequestId | None = None
    state: delivery.State | None = None
    since: Since | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200, description="How many at most.")] = 50
    cursor: Annotated[str, msgspec.Meta(description="`nextCursor` of the page before.")] | None = None


class AttemptItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One try: the ``status`` that your endpoint answered, null with the ``problem`` that kept it from answering."""

    at: Moment
    status: int | None
    latency_ms: int
    problem: str | None = None


class DeliveryItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One callback with all its attempts, the oldest first."""

    id: DeliveryId
    request_id: RequestId
    webhook_id: Annotated[str, msgspec.Meta(description="The same at every attempt and replay.")]
    kind: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["result", "failure", "review"]})]
    state: delivery.State
    created: Moment
    delivered_at: Moment | None
    next_attempt_at: Moment | None
    attempts: list[AttemptItem]


class DeliveriesAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of callbacks, the newest first."""

    deliveries: list[DeliveryItem]
    next_cursor: Annotated[str | None, msgspec.Meta(description="Asks for the next page; null on the last.")]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """The callback is on its way again, with the same webhook-id and body."""

    id: DeliveryId
    state: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["pending"]})]


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """From when on, and perhaps of which state alone."""

    since: Since
    state: delivery.State | None = None


class ReplayedSince(msgspec.Struct, frozen=True, kw_only=True):
    """How many callbacks are on their way again."""

    replayed: int


async def list_deliveries(call: Call, asked: DeliveriesQuery) -> DeliveriesAnswer:
    async with call.platform.database.transaction() as db:
        page = await delivery.list_deliveries(
            db,
            partner_id=partner_of(call).partner_id,
            request_id=asked.request_id,
            state=asked.state,
            since=asked.since,
            cursor=asked.cursor and _known_form(asked.cursor),
            limit=asked.limit,
        )
    return DeliveriesAnswer(deliveries=[_item(one) for one in page.deliveries], next_cursor=page.cursor)


def _known_form(delivery_id: str) -> str:
    """Return the id if it could be one of ours; no other text is looked up."""
    if not _DELIVERY_ID.fullmatch(delivery_id):
        raise delivery.DeliveryUnknown
    return delivery_id


def _item(one: delivery.Delivery) -> DeliveryItem:
    return DeliveryItem(
        id=one.id,
        request_id=one.request_id,
        webhook_id=one.webhook_id,
        kind=one.kind,
        state=one.state,
        created=stamp(one.created_at),
        delivered_at=stamp(one.delivered_at) if one.delivered_at else None,
        next_attempt_at=stamp(one.next_attempt_at) if one.next_attempt_at else None,
        attempts=[
            AttemptItem(at=stamp(tried.at), latency_ms=tried.latency_ms, status=tried.status, problem=tried.problem)
            for tried in one.attempts
        ],
    )


async def replay(call: Call, _asked: None) -> Replayed:
    partner_id, delivery_id = partner_of(call).partner_id, _known_form(call.path["id"])
    await delivery.replay(call.db, partner_id=partner_id, delivery_id=delivery_id, actor=partner_id, now=call.now)
    return Replayed(id=delivery_id, state="pending")


async def replay_since(call: Call, asked: ReplayRequest) -> ReplayedSince:
    partner_id = partner_of(call).partner_id
    count = await delivery.replay_since(
        call.db, partner_id=partner_id, since=asked.since, state=asked.state, actor=partner_id, now=call.now
    )
    return ReplayedSince(replayed=count)


ROUTES = (
    Route(
        method="GET",
        path=f"{BASE}/deliveries",
        operation="listDeliveries",
        tag="Deliveries",
        summary="List callbacks and their attempts",
        handler=list_deliveries,
        asks=DeliveriesQuery,
        answers=DeliveriesAnswer,
        refusals=(delivery.DeliveryUnknown,),
        links={"replay": Link(operation="replayDelivery", parameters={"id": "/deliveries/0/id"})},
        **OF_PARTNERS,
    ),
    Route(
        method="POST",
        path=f"{BASE}/deliveries/{{id}}/replay",
        operation="replayDelivery",
        tag="Deliveries",
        summary="Send a callback again",
        description="Whatever its state, with the same webhook-id and body.",
        handler=replay,
        answers=Replayed,
        status=202,
        refusals=(delivery.DeliveryUnknown,),
        places=(
            Place(name="id", description="The callback's id.", schema={"type": "string", "examples": [_EXAMPLE_ID]}),
        ),
        headers=(IDEMPOTENCY_KEY,),
        writes=True,
        replays="Idempotency-Key",
        **OF_PARTNERS,
    ),
    Route(
        method="POST",
        path=f"{BASE}/deliveries/replay",
        operation="replayDeliveries",
        tag="Deliveries",
        summary="Send all callbacks since a time again",
        description="As after an outage of your endpoint: each with the webhook-id and body that it had.",
        handler=replay_since,
        asks=ReplayRequest,
        answers=ReplayedSince,
        status=202,
        headers=(IDEMPOTENCY_KEY,),
        writes=True,
        replays="Idempotency-Key",
        **OF_PARTNERS,
    ),
)
