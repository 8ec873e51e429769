"""The register of personal data breaches and its 72-hour clock (DPDP Act s. 8(6), DPDP Rules 2025 rule 7)."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from altcredit.api.admin.actions import Change, actor, changing, looking
from altcredit.api.contract import Call
from altcredit.engine import compliance
from altcredit.runtime.db import Connection

BASE = "/v1/admin/breaches"
EXAMPLE = "brc_2c9e4b7a1f0d8356"
_PERMISSION = "breaches.manage"

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]


class BreachesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which breaches."""

    open: Annotated[bool, msgspec.Meta(description="Only those that are not closed.")] = False


class BreachItem(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the register; ``overdue``: Board or people were told too late, or still have not been."""

    breach_id: str
    nature: str
    severity: compliance.Severity
    affected: int
    reported_by: str
    occurred_at: datetime
    aware_at: datetime
    notify_by: datetime
    board_at: datetime | None
    principals_at: datetime | None
    closed_at: datetime | None
    closing_note: str | None
    overdue: bool


class Breaches(msgspec.Struct, frozen=True, kw_only=True):
    """The open ones first, the most urgent of them on top."""

    breaches: list[BreachItem]


class NewBreach(Change, frozen=True, kw_only=True):
    """What happened, without personal data; the clock runs from ``aware_at``."""

    nature: Text
    severity: compliance.Severity
    affected: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1, description="Data principals, as far as is known.")]
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)]
    aware_at: Annotated[datetime, msgspec.Meta(tz=True)]


class Notification(Change, frozen=True, kw_only=True):
    """Who was told, just now."""

    told: compliance.Told


class Closing(Change, frozen=True, kw_only=True):
    """What was learnt and done."""

    note: Text


def _item(call: Call, breach: compliance.Breach) -> BreachItem:
    said = {name: getattr(breach, name) for name in BreachItem.__struct_fields__ if name != "overdue"}
    return BreachItem(**said, overdue=breach.overdue(call.now))


async def _state(_call: Call, db: Connection, breach_id: str) -> compliance.Breach:
    for one in await compliance.breaches(db):
        if one.breach_id == breach_id:
            return one
    raise compliance.BreachUnknown("There is no such breach.")


async def list_breaches(call: Call, asked: BreachesQuery) -> Breaches:
    return Breaches(breaches=[_item(call, one) for one in await compliance.breaches(call.db, open_only=asked.open)])


async def add_breach(call: Call, asked: NewBreach) -> BreachItem:
    breach = await compliance.add_breach(
        call.db,
        nature=asked.nature,
        severity=asked.severity,
        affected=asked.affected,
        occurred_at=asked.occurred_at,
        aware_at=asked.aware_at,
        reported_by=actor(call),
        now=call.now,
    )
    return _item(call, breach)


async def note_told(call: Call, asked: Notification) -> BreachItem:
    return _item(
        call,
        await compliance.note_told(
            call.db, breach_id=call.path["id"], told=asked.told, actor=actor(call), now=call.now
        ),
    )


async def close(call: Call, asked: Closing) -> BreachItem:
    return _item(
        call,
        await compliance.close_breach(
            call.db, breach_id=call.path["id"], note=asked.note, actor=actor(call), now=call.now
        ),
    )


_OF_ONE: dict[str, Any] = {
    "tag": "Breaches",
    "permission": _PERMISSION,
    "about": "id",
    "state": _state,
    "places": {"id": EXAMPLE},
    "answers": BreachItem,
    "replays": "X-Request-ID",
}
ROUTES = (
    looking(
        path=BASE,
        operation="listBreaches",
        tag="Breaches",
        summary="List breaches with their clocks",
        permissions=(_PERMISSION,),
        about="breaches",
        handler=list_breaches,
        asks=BreachesQuery,
        answers=Breaches,
    ),
    changing(
        path=BASE,
        operation="addBreach",
        tag="Breaches",
        summary="Register a breach; its clock starts",
        permission=_PERMISSION,
        about="breach_id",
        creates=True,
        state=_state,
        handler=add_breach,
        asks=NewBreach,
        answers=BreachItem,
        status=201,
        refusals=(compliance.BreachInvalid,),
        replays="X-Request-ID",
    ),
    changing(
        path=f"{BASE}/{{id}}/notified",
        operation="noteNotification",
        summary="Note that the Board, the people concerned, or both were told",
        handler=note_told,
        asks=Notification,
        refusals=(compliance.BreachUnknown, compliance.BreachClosed),
        **_OF_ONE,
    ),
    changing(
        path=f"{BASE}/{{id}}/close",
        operation="closeBreach",
        summary="Close a breach with what was learnt and done",
        handler=close,
        asks=Closing,
        refusals=(compliance.BreachUnknown, compliance.BreachClosed, compliance.BreachNotNotified),
        **_OF_ONE,
    ),
)
