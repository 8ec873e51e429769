"""The audit log, to read (API-ALTSCORE-001, section 07)."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any

import msgspec

from altcredit.api.admin.actions import looking
from altcredit.api.contract import BodyMalformed, Call
from altcredit.engine import audit
from altcredit.runtime.refusal import Detail

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events; what is left out restricts nothing."""

    actor: Annotated[Id, msgspec.Meta(examples=["staff:stf_2c9e4b7a1f0d8356"])] | None = None
    action: Annotated[Id, msgspec.Meta(examples=["model.promoted"])] | None = None
    subject: Id | None = None
    since: Annotated[datetime, msgspec.Meta(tz=True, description="At or after this time.")] | None = None
    until: Annotated[datetime, msgspec.Meta(tz=True, description="Before this time.")] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000, description="How many at most.")] = 100
    cursor: Annotated[str, msgspec.Meta(max_length=200, description="`next_cursor` of the page before.")] | None = None


class EventItem(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to whom, when; ``details`` hold what an action says of itself."""

    event_id: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: dict[str, Any]


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events, the newest first."""

    events: list[EventItem]
    next_cursor: Annotated[str | None, msgspec.Meta(description="Asks for the next page; null on the last.")]


class _Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ends."""

    at: datetime
    event_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


def _packed(last: audit.AuditEvent) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_Position(last.at, last.event_id))).decode().rstrip("=")


def _unpacked(cursor: str) -> audit.AuditEvent:
    """Return the event that a page ended with, as far as it says where the next one begins."""
    try:
        content = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        position = msgspec.json.decode(content, type=_Position)
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise BodyMalformed(details=(Detail("$.cursor", "is no cursor of this list"),)) from error
    if position.at.tzinfo is None:
        raise BodyMalformed(details=(Detail("$.cursor", "is no cursor of this list"),))
    return audit.AuditEvent(event_id=position.event_id, at=position.at, actor="", action="", subject="", details={})


async def list_events(call: Call, asked: EventsQuery) -> Events:
    found = await audit.read(
        call.db,
        actor=asked.actor,
        action=asked.action,
        subject=asked.subject,
        since=asked.since,
        until=asked.until,
        before=_unpacked(asked.cursor) if asked.cursor is not None else None,
        limit=asked.limit + 1,
    )
    page = found[: asked.limit]
    return Events(
        events=[
            EventItem(
                event_id=one.event_id,
                at=one.at,
                actor=one.actor,
                action=one.action,
                subject=one.subject,
                details=one.details,
            )
            for one in page
        ],
        next_cursor=_packed(page[-1]) if len(found) > asked.limit else None,
    )


ROUTES = (
    looking(
        path="/v1/admin/audit/events",
        operation="listAuditEvents",
        tag="Audit",
        summary="Query the audit log",
        permissions=("audit.read",),
        about="audit",
        handler=list_events,
        asks=EventsQuery,
        answers=Events,
    ),
)
