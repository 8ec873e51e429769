"""Grievances, as staff work on them (API-ALTSCORE-001, sections 06, 07; contract G1, G2)."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from altcredit.api.admin.actions import Change, actor, changing, looking
from altcredit.api.contract import Call
from altcredit.api.staff.credentials import session_of
from altcredit.engine import grievances
from altcredit.runtime.db import Connection

BASE = "/v1/admin/grievances"
EXAMPLE = "grv_5d1e8a3b7c9f0241"
_READ, _WORK = ("grievances.read",), "grievances.work"
_STAFF = grievances.Party(kind="staff", id="")

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=grievances.MAX_DESCRIPTION)]


class GrievancesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which open grievances."""

    overdue: Annotated[bool, msgspec.Meta(description="Only those of which a clock has run out.")] = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=500, description="How many at most.")] = 100
    cursor: Annotated[str, msgspec.Meta(max_length=64, description="`next_cursor` of the page before.")] | None = None


class WhichGrievance(msgspec.Struct, frozen=True, kw_only=True):
    """Which grievance."""

    id: Annotated[str, msgspec.Meta(max_length=64, examples=[EXAMPLE])]


class Sla(msgspec.Struct, frozen=True, kw_only=True):
    """One clock: when it runs out, when it was met, whether too late; ``seconds_left`` is negative once it ran out."""

    clock: grievances.Clock
    due_at: datetime
    met_at: datetime | None
    missed: bool
    seconds_left: float | None


class GrievanceItem(msgspec.Struct, frozen=True, kw_only=True):
    """A grievance with its clocks, as staff see it."""

    grievance_id: str
    retailer_id: str
    score_id: str | None
    filed_by: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["lender", "retailer"]})]
    filer_id: str
    channel: grievances.Channel
    grievance_type: grievances.GrievanceType
    description: str
    status: grievances.Status
    filed_at: datetime
    sla: list[Sla]
    overdue: list[grievances.Clock]
    escalated: list[grievances.Clock]
    reviewer: str | None
    corrected_at: datetime | None
    resolved_at: datetime | None
    outcome: grievances.Outcome | None
    resolution: str | None
    new_score_id: str | None
    notes: list[grievances.Note]


class Grievances(msgspec.Struct, frozen=True, kw_only=True):
    """A page of open grievances, the oldest first: that is also the order in which clocks run out."""

    grievances: list[GrievanceItem]
    next_cursor: Annotated[str | None, msgspec.Meta(description="Asks for the next page; null on the last.")]


class NewNote(Change, frozen=True, kw_only=True):
    """Something to write down on the case."""

    text: Text
    visible: Annotated[bool, msgspec.Meta(description="Shown to lender and retailer too.")] = False


class Correction(Change, frozen=True, kw_only=True):
    """What was corrected at its source; the parties see it, and the retailer is scored again."""

    correction: Text


class Resolution(Change, frozen=True, kw_only=True):
    """What the case came to, as the parties read it."""

    outcome: grievances.Outcome
    resolution: Text


async def _state(call: Call, db: Connection, grievance_id: str) -> dict[str, Any]:
    """Return how far a case has come; what is written in it stays out of the audit log."""
    case = await grievances.find(
        db, keyring=call.platform.keyring, grievance_id=grievance_id, reader=_STAFF, now=call.now
    )
    return {
        "status": case.status,
        "reviewer": case.reviewer,
        "outcome": case.outcome,
        "new_score_id": case.new_score_id,
        "notes": len(case.notes),
    }


async def list_grievances(call: Call, asked: GrievancesQuery) -> Grievances:
    keyring = call.platform.keyring
    after = None
    if asked.cursor is not None:
        after = await grievances.find(call.db, keyring=keyring, grievance_id=asked.cursor, reader=_STAFF, now=call.now)
    found = await grievances.list_open(
        call.db, keyring=keyring, now=call.now, overdue=asked.overdue, after=after, limit=asked.limit + 1
    )
    page = found[: asked.limit]
    return Grievances(
        grievances=[_item(one) for one in page],
        next_cursor=page[-1].grievance_id if len(found) > asked.limit else None,
    )


async def show(call: Call, asked: WhichGrievance) -> GrievanceItem:
    return _item(
        await grievances.find(
            call.db, keyring=call.platform.keyring, grievance_id=asked.id, reader=_STAFF, now=call.now
        )
    )


def _item(case: grievances.Case) -> GrievanceItem:
    shown = msgspec.structs.asdict(case)
    shown["sla"] = [
        Sla(
            clock=one.clock,
            due_at=one.due_at,
            met_at=one.met_at,
            missed=one.missed,
            seconds_left=None if one.left is None else one.left.total_seconds(),
        )
        for one in case.timers
    ]
    shown |= {"overdue": list(case.overdue), "escalated": list(case.escalated), "notes": list(case.notes)}
    return GrievanceItem(**{name: shown[name] for name in GrievanceItem.__struct_fields__})


def _working(call: Call) -> dict[str, Any]:
    """Return what every work on a case is told."""
    return {
        "keyring": call.platform.keyring,
        "grievance_id": call.path["id"],
        "actor": actor(call),
        "role": ",".join(session_of(call).roles),
        "now": call.now,
    }


async def acknowledge(call: Call, _asked: Change) -> GrievanceItem:
    return _item(await grievances.acknowledge(call.db, **_working(call)))


async def note(call: Call, asked: NewNote) -> GrievanceItem:
    return _item(await grievances.note(call.db, text=asked.text, visible=asked.visible, **_working(call)))


async def review(call: Call, _asked: Change) -> GrievanceItem:
    return _item(await grievances.review(call.db, **_working(call)))


async def correct(call: Call, asked: Correction) -> GrievanceItem:
    return _item(await grievances.correct(call.db, correction=asked.correction, **_working(call)))


async def resolve(call: Call, asked: Resolution) -> GrievanceItem:
    return _item(
        await grievances.resolve(call.db, outcome=asked.outcome, resolution=asked.resolution, **_working(call))
    )


_WORKED: dict[str, Any] = {
    "tag": "Grievances",
    "permission": _WORK,
    "about": "id",
    "state": _state,
    "places": {"id": EXAMPLE},
    "answers": GrievanceItem,
    "replays": "X-Request-ID",
}
_KNOWN = (grievances.CaseUnknown, grievances.CaseClosed)
ROUTES = (
    looking(
        path=BASE,
        operation="listGrievances",
        tag="Grievances",
        summary="List open grievances with their clocks",
        permissions=_READ,
        about="grievances",
        handler=list_grievances,
        asks=GrievancesQuery,
        answers=Grievances,
        refusals=(grievances.CaseUnknown,),
    ),
    looking(
        path=f"{BASE}/{{id}}",
        operation="showGrievance",
        tag="Grievances",
        summary="Show a grievance with its notes",
        permissions=_READ,
        about="id",
        handler=show,
        asks=WhichGrievance,
        answers=GrievanceItem,
        refusals=(grievances.CaseUnknown,),
    ),
    changing(
        path=f"{BASE}/{{id}}/acknowledge",
        operation="acknowledgeGrievance",
        summary="Tell the filer that the case was received and is looked at",
        handler=acknowledge,
        asks=Change,
        refusals=_KNOWN,
        **_WORKED,
    ),
    changing(
        path=f"{BASE}/{{id}}/note",
        operation="noteOnGrievance",
        summary="Write something down on a case",
        handler=note,
        asks=NewNote,
        refusals=_KNOWN,
        **_WORKED,
    ),
    changing(
        path=f"{BASE}/{{id}}/review",
        operation="reviewGrievance",
        summary="Take a case up: you answer for it from now on",
        handler=review,
        asks=Change,
        refusals=_KNOWN,
        **_WORKED,
    ),
    changing(
        path=f"{BASE}/{{id}}/correct",
        operation="correctGrievance",
        summary="Note that the data was corrected, and have the retailer scored again",
        handler=correct,
        asks=Correction,
        refusals=(*_KNOWN, grievances.NotUnderReview),
        **_WORKED,
    ),
    changing(
        path=f"{BASE}/{{id}}/resolve",
        operation="resolveGrievance",
        summary="Close a case after a person's review",
        description="`corrected` binds the new score, which must be there.",
        handler=resolve,
        asks=Resolution,
        refusals=(*_KNOWN, grievances.NotUnderReview, grievances.RescorePending),
        **_WORKED,
    ),
)
