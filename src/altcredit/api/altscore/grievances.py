"""Grievance API (API-ALTSCORE-001, section 06; contract G1, G2): file a case, see how it stands and why."""

from datetime import datetime
from typing import Annotated

import msgspec

from altcredit.api.altscore.credentials import LENDER, RETAILER
from altcredit.api.altscore.languages import spoken
from altcredit.api.altscore.score import ReasonCode, RetailerId, RetailerIdInvalid, malformed, shown_reason
from altcredit.api.contract import BodyMalformed, Call, Link, Route
from altcredit.engine import consent, grievances, identity, scoring
from altcredit.runtime.refusal import Detail

AnyId = Annotated[str, msgspec.Meta(pattern=r"^[a-z]+_[A-Za-z0-9_-]{1,64}$")]
Moment = Annotated[str, msgspec.Meta(description="RFC 3339, UTC.")]
STATUSES = ["open", "acknowledged", "under_review", "resolved"]


class FilingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is complained of."""

    retailer_id: RetailerId
    grievance_type: grievances.GrievanceType
    description: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=grievances.MAX_DESCRIPTION,
            description="What is wrong, in the filer's words; sealed at rest.",
            examples=["Payment records missing for March"],
        ),
    ]
    score_id: (
        Annotated[
            str,
            msgspec.Meta(
                pattern=r"^[a-z]+_[A-Za-z0-9_-]{1,64}$",
                description="The score in question; a lender must name it, a retailer without a score cannot.",
                examples=["scr_9b2c4d6e8f0a1b3c"],
            ),
        ]
        | None
    ) = None
    contact_phone_hash: (
        Annotated[
            str,
            msgspec.Meta(
                pattern=r"^[0-9a-f]{64}$",
                description="SHA-256 of the phone to answer to (E.164 digits without plus), lower-case hex.",
            ),
        ]
        | None
    ) = None


class FilingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The new case and its clocks, which nobody edits."""

    grievance_id: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": STATUSES})]
    ack_by: Moment
    resolution_sla: Moment
    escalation_by: Moment


class GrievanceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which case."""

    grievance_id: AnyId


class ClockAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One clock: 24 hours to acknowledge, 7 days to resolve, 30 days until the law escalates."""

    clock: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["acknowledgement", "resolution", "escalation"]})]
    due_at: Moment
    met_at: Moment | None
    seconds_left: Annotated[int | None, msgspec.Meta(description="Until it runs out; negative after; null once met.")]
    missed: bool
    escalated: bool


class NoteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was written down for the parties to see."""

    at: Moment
    text: str


class ScoreSaid(msgspec.Struct, frozen=True, kw_only=True):
    """A score as it was recorded, with its reasons; null where there was too little data."""

    score_id: str
    scored_at: Moment
    altscore: int | None
    risk_band: str | None
    score_version: str
    reason_codes: list[ReasonCode]


class ExplanationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The score in question, what the correction made of it, and both in a sentence."""

    text: Annotated[str, msgspec.Meta(description="In the language of Accept-Language.")]
    text_en: str
    text_hi: str
    old_score: ScoreSaid | None
    new_score: ScoreSaid | None


class GrievanceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A case as its lender, or the retailer it is about, may see it."""

    grievance_id: str
    retailer_id: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": STATUSES})]
    grievance_type: str
    description: str
    filed_by: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["lender", "retailer"]})]
    filed_at: Moment
    ack_by: Moment
    resolution_sla: Moment
    escalation_by: Moment
    clocks: list[ClockAnswer]
    acknowledged_at: Moment | None
    resolved_at: Moment | None
    outcome: Annotated[str | None, msgspec.Meta(description="corrected, confirmed, explained, rejected or withdrawn.")]
    resolution: str | None
    old_score_id: str | None
    new_score_id: str | None
    notes: list[NoteAnswer]
    explanation: ExplanationAnswer


async def party(call: Call) -> grievances.Party:
    """
    Return who calls, once it is known that the caller still may.

    :raises identity.ClientInactive: the lender is suspended, or its token was withdrawn.
    """
    assert call.caller is not None
    if call.caller.kind == "retailer":
        return grievances.Party(kind="retailer", id=call.caller.id)
    async with call.platform.database.transaction() as db:
        if not await identity.is_active(db, client_id=call.caller.id, jti=call.caller.subject.jti):
            raise identity.ClientInactive
    return grievances.Party(kind="lender", id=call.caller.id)


async def file(call: Call, asked: FilingRequest) -> FilingAnswer:
    filer = await party(call)
    if filer.kind == "lender" and asked.score_id is None:
        raise BodyMalformed(details=(Detail("$.score_id", "names no score"),))
    case = await grievances.file(
        call.db,
        keyring=call.platform.keyring,
        filer=filer,
        retailer_id=asked.retailer_id,
        score_id=asked.score_id,
        grievance_type=asked.grievance_type,
        description=asked.description,
        language=spoken(call),
        contact_phone_hash=asked.contact_phone_hash,
        now=call.now,
    )
    due = {timer.clock: consent.timestamp(timer.due_at) for timer in case.timers}
    return FilingAnswer(
        grievance_id=case.grievance_id,
        status=case.status,
        ack_by=due["acknowledgement"],
        resolution_sla=due["resolution"],
        escalation_by=due["escalation"],
    )


async def read(call: Call, asked: GrievanceRequest) -> GrievanceAnswer:
    reader = await party(call)
    async with call.platform.database.transaction() as db:
        case = await grievances.find(
            db, keyring=call.platform.keyring, grievance_id=asked.grievance_id, reader=reader, now=call.now
        )
        explained = await grievances.explain(db, case=case)
    return shown(case, explained, call)


def shown(case: grievances.Case, explained: grievances.Explanation, call: Call) -> GrievanceAnswer:
    """Return a case as it is answered."""
    due = {timer.clock: consent.timestamp(timer.due_at) for timer in case.timers}
    return GrievanceAnswer(
        grievance_id=case.grievance_id,
        retailer_id=case.retailer_id,
        status=case.status,
        grievance_type=case.grievance_type,
        description=case.description,
        filed_by=case.filed_by,
        filed_at=consent.timestamp(case.filed_at),
        ack_by=due["acknowledgement"],
        resolution_sla=due["resolution"],
        escalation_by=due["escalation"],
        clocks=[_clock(timer, timer.clock in case.escalated) for timer in case.timers],
        acknowledged_at=_moment(case.acknowledged_at),
        resolved_at=_moment(case.resolved_at),
        outcome=case.outcome,
        resolution=case.resolution,
        old_score_id=case.score_id,
        new_score_id=case.new_score_id,
        notes=[NoteAnswer(at=consent.timestamp(one.at), text=one.text) for one in case.notes],
        explanation=ExplanationAnswer(
            text=explained.hi if spoken(call) == "hi" else explained.en,
            text_en=explained.en,
            text_hi=explained.hi,
            old_score=_said(explained.before, call),
            new_score=_said(explained.after, call),
        ),
    )


def _clock(timer: grievances.Timer, escalated: bool) -> ClockAnswer:
    return ClockAnswer(
        clock=timer.clock,
        due_at=consent.timestamp(timer.due_at),
        met_at=_moment(timer.met_at),
        seconds_left=None if timer.left is None else int(timer.left.total_seconds()),
        missed=timer.missed,
        escalated=escalated,
    )


def _said(score: scoring.Recorded | None, call: Call) -> ScoreSaid | None:
    if score is None:
        return None
    return ScoreSaid(
        score_id=score.score_id,
        scored_at=consent.timestamp(score.scored_at),
        altscore=score.altscore,
        risk_band=score.risk_band,
        score_version=score.score_version,
        reason_codes=[shown_reason(one, call) for one in score.reasons],
    )


def _moment(at: datetime | None) -> str | None:
    return None if at is None else consent.timestamp(at)


_CALLERS = (LENDER, RETAILER)
ROUTES = (
    Route(
        method="POST",
        path="/v1/grievances",
        operation="fileGrievance",
        tag="Grievances",
        summary="File a grievance against a score",
        description=(
            "By a lender with the retailer's consent, or by the retailer itself. Starts the clocks of 24 hours, 7 days"
            " and 30 days and emits `grievance.filed`. No consent, an unknown retailer and a score of somebody else are"
            " one and the same 404."
        ),
        handler=file,
        asks=FilingRequest,
        answers=FilingAnswer,
        credentials=_CALLERS,
        refusals=(grievances.CaseUnknown, identity.ClientInactive, RetailerIdInvalid),
        refuses_malformed=malformed,
        writes=True,
        replays="X-Request-ID",
        limits={"day": grievances.FILINGS.limit},
        links={"status": Link(operation="readGrievance", parameters={"grievance_id": "/grievance_id"})},
    ),
    Route(
        method="GET",
        path="/v1/grievances/{grievance_id}",
        operation="readGrievance",
        tag="Grievances",
        summary="Read how a grievance stands",
        description=(
            "Status, clocks, notes and resolution, with an explanation of the score in question and, after a"
            " correction, of the new one. A lender sees its own cases while the consent lasts, a retailer all about it."
        ),
        handler=read,
        asks=GrievanceRequest,
        answers=GrievanceAnswer,
        credentials=_CALLERS,
        refusals=(grievances.CaseUnknown, identity.ClientInactive),
    ),
)
