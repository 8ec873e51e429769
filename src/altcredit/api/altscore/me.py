"""A retailer's own rights (contract C7): see and end what concerns oneself, and nothing else."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from altcredit.api.altscore import grievances as cases
from altcredit.api.altscore.credentials import RETAILER
from altcredit.api.altscore.score import ReasonCode, shown_reason
from altcredit.api.contract import Call, Nothing, Route
from altcredit.engine import compliance, consent, grievances, identity, retailers, scoring
from altcredit.runtime.jobs import Payload

Moment = Annotated[str, msgspec.Meta(description="RFC 3339, UTC.")]
_MOST = 500


class OwnScore(msgspec.Struct, frozen=True, kw_only=True):
    """The retailer's current score, why it is so, and what can be done about it."""

    retailer_id: str
    score_id: str
    altscore: Annotated[int, msgspec.Meta(ge=300, le=900)]
    risk_band: str
    probability_of_default: float
    reason_codes: list[ReasonCode]
    scored_at: Moment
    score_version: str


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look of a lender."""

    at: Moment
    lender_id: str
    lender_name: str | None
    operation: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["score", "history", "lookup"]})]
    purpose: str | None
    outcome: str
    score_id: str | None


class LooksAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Who looked, the newest first; refused looks too, as far as they were about a consent of this retailer."""

    accesses: list[Look]


class OwnConsent(msgspec.Struct, frozen=True, kw_only=True):
    """A consent: who may see what, until when; its signed text."""

    consent_id: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["active", "expired", "revoked"]})]
    lender_scope: list[str]
    lender_names: list[str]
    purpose: str
    granted_at: str
    expires_at: str
    revoked_at: Moment | None
    notice: Annotated[dict[str, Any], msgspec.Meta(description="Version, language, text and its SHA-256, as signed.")]
    shown: Annotated[str, msgspec.Meta(description="The notice word for word, with the shop's name.")]
    disclosure: Annotated[
        str | None,
        msgspec.Meta(
            description="Proves the name in the notice: `notice.business_sha256` is its SHA-256 (RFC 9901, 4.2). Null "
            "where no name was shown."
        ),
    ]


class OwnConsents(msgspec.Struct, frozen=True, kw_only=True):
    """All consents of the retailer, the newest first."""

    consents: list[OwnConsent]


class OwnRevocation(msgspec.Struct, frozen=True, kw_only=True):
    """Which consent ends."""

    consent_id: Annotated[str, msgspec.Meta(pattern=r"^cns_[A-Za-z0-9]{1,64}$", examples=["cns_8a2f4c6d8e0b1a3c"])]


class OwnRevoked(msgspec.Struct, frozen=True, kw_only=True):
    """The consent has ended."""

    consent_id: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["revoked"]})]
    processing_halt_by: Moment


class OwnGrievances(msgspec.Struct, frozen=True, kw_only=True):
    """All cases about the retailer, whoever filed them, the newest first."""

    grievances: list[cases.GrievanceAnswer]


class OwnExport(msgspec.Struct, frozen=True, kw_only=True):
    """An export of all that is held of the retailer; ``document`` once it is produced."""

    export_id: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["requested", "produced", "expired"]})]
    requested_at: Moment
    due_at: Moment
    expires_at: Moment | None
    sha256: str | None
    document: Annotated[dict[str, Any] | None, msgspec.Meta(description="Machine-readable; the SHA-256 is over it.")]


class ErasureRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Said outright, since it cannot be undone."""

    confirm: Literal["erase my data"]


class OwnErasure(msgspec.Struct, frozen=True, kw_only=True):
    """All use has ended; what is held goes by dated steps."""

    erasure_id: str
    requested_at: Moment
    due_at: Moment


def _id(call: Call) -> str:
    assert call.caller is not None
    return call.caller.id


def _moment(at: datetime | None) -> str | None:
    return None if at is None else consent.timestamp(at)


async def read_score(call: Call, _asked: Nothing) -> OwnScore:
    async with call.platform.database.transaction() as db:
        current = await scoring.latest(db, retailer_id=_id(call))
    if current["altscore"] is None:
        raise scoring.DataInsufficient
    reasons = msgspec.convert(current["reasons"], tuple[scoring.Reason, ...])
    return OwnScore(
        retailer_id=_id(call),
        score_id=current["score_id"],
        altscore=current["altscore"],
        risk_band=current["risk_band"],
        probability_of_default=current["pd"],
        reason_codes=[shown_reason(one, call) for one in reasons],
        scored_at=consent.timestamp(current["scored_at"]),
        score_version=current["score_version"],
    )


async def read_accesses(call: Call, _asked: Nothing) -> LooksAnswer:
    async with call.platform.database.transaction() as db:
        found = await scoring.accesses(db, retailer_ids=await _ids(call, db))
        newest = found[: -_MOST - 1 : -1]
        names = await identity.lender_names(db, lender_ids=sorted({one.lender_id for one in newest}))
    return LooksAnswer(
        accesses=[
            Look(
                at=consent.timestamp(one.at),
                lender_id=one.lender_id,
                lender_name=names.get(one.lender_id),
                operation=one.operation,
                purpose=one.purpose,
                outcome=one.outcome,
                score_id=one.score_id,
            )
            for one in newest
        ]
    )


async def _ids(call: Call, db: Any) -> tuple[str, ...]:
    shop = await retailers.profile(db, keyring=call.platform.keyring, retailer_id=_id(call))
    return shop.ids


async def read_consents(call: Call, _asked: Nothing) -> OwnConsents:
    async with call.platform.database.transaction() as db:
        ids = await _ids(call, db)
        found = await consent.records(db, retailer_ids=ids)
        shown = await consent.as_shown(db, keyring=call.platform.keyring, retailer_ids=ids)
        records = [(one, msgspec.json.decode(one.record, type=dict[str, Any])) for one in reversed(found)]
        lenders = sorted({lender for _, record in records for lender in record["lender_scope"]})
        names = await identity.lender_names(db, lender_ids=lenders)
    return OwnConsents(
        consents=[_consent(one, record, names, shown.get(one.consent_id), call) for one, record in records]
    )


def _consent(
    one: consent.Recorded, record: Payload, names: dict[str, str], shown: consent.Shown | None, call: Call
) -> OwnConsent:
    expired = record["expires_at"] <= consent.timestamp(call.now)
    return OwnConsent(
        consent_id=one.consent_id,
        status="revoked" if one.revoked_at is not None else "expired" if expired else "active",
        lender_scope=record["lender_scope"],
        lender_names=[names.get(lender, lender) for lender in record["lender_scope"]],
        purpose=record["purpose"],
        granted_at=record["granted_at"],
        expires_at=record["expires_at"],
        revoked_at=_moment(one.revoked_at),
        notice=record["notice"],
        shown=record["notice"]["text"] if shown is None else shown.text,
        disclosure=None if shown is None else shown.disclosure,
    )


async def revoke_consent(call: Call, asked: OwnRevocation) -> OwnRevoked:
    own = await consent.records(call.db, retailer_ids=await _ids(call, call.db))
    if asked.consent_id not in {one.consent_id for one in own}:
        raise consent.ConsentUnknown
    ended = await consent.revoke(
        call.db,
        keyring=call.platform.keyring,
        actor=f"retailer:{_id(call)}",
        consent_id=asked.consent_id,
        reason="retailer_request",
        message_id=None,
        now=call.now,
    )
    return OwnRevoked(
        consent_id=ended.consent_id, status="revoked", processing_halt_by=consent.timestamp(ended.halt_by)
    )


async def read_grievances(call: Call, _asked: Nothing) -> OwnGrievances:
    async with call.platform.database.transaction() as db:
        found = await grievances.of_retailer(db, keyring=call.platform.keyring, retailer_id=_id(call), now=call.now)
        explained = [(case, await grievances.explain(db, case=case)) for case in found]
    return OwnGrievances(grievances=[cases.shown(case, why, call) for case, why in explained])


async def export(call: Call, _asked: Nothing) -> OwnExport:
    found = await compliance.export(
        call.db,
        keyring=call.platform.keyring,
        retailer_id=_id(call),
        requested_by=f"retailer:{_id(call)}",
        now=call.now,
    )
    document = found.document
    return OwnExport(
        export_id=found.export_id,
        status=found.status,
        requested_at=consent.timestamp(found.requested_at),
        due_at=consent.timestamp(found.due_at),
        expires_at=_moment(found.expires_at),
        sha256=found.sha256,
        document=None if document is None else msgspec.json.decode(document, type=dict[str, Any]),
    )


async def erase(call: Call, _asked: ErasureRequest) -> OwnErasure:
    begun = await compliance.request_erasure(
        call.db,
        keyring=call.platform.keyring,
        retailer_id=_id(call),
        requested_by=f"retailer:{_id(call)}",
        reason="retailer_request",
        now=call.now,
    )
    return OwnErasure(
        erasure_id=begun.erasure_id,
        requested_at=consent.timestamp(begun.requested_at),
        due_at=consent.timestamp(begun.due_at),
    )


def _own(method: Literal["GET", "POST"], path: str, operation: str, summary: str, **more: Any) -> Route:
    """Declare a route of the retailer's own."""
    return Route(
        method=method,
        path=f"/v1/me/{path}",
        operation=operation,
        tag="Retailer",
        summary=summary,
        credentials=(RETAILER,),
        writes=method == "POST",
        **more,
    )


_UNKNOWN = (retailers.RetailerUnknown,)
ROUTES = (
    _own(
        "GET",
        "score",
        "readOwnScore",
        "Read one's own score, with reasons and tips",
        handler=read_score,
        answers=OwnScore,
        refusals=(scoring.NotScored, scoring.DataInsufficient),
    ),
    _own(
        "GET",
        "accesses",
        "readOwnAccesses",
        "Read who looked at one's score, and when",
        handler=read_accesses,
        answers=LooksAnswer,
        refusals=_UNKNOWN,
    ),
    _own(
        "GET",
        "consents",
        "readOwnConsents",
        "Read one's consents",
        handler=read_consents,
        answers=OwnConsents,
        refusals=_UNKNOWN,
    ),
    _own(
        "POST",
        "consents/revoke",
        "revokeOwnConsent",
        "End a consent",
        handler=revoke_consent,
        asks=OwnRevocation,
        answers=OwnRevoked,
        refusals=(*_UNKNOWN, consent.ConsentUnknown),
        replays="X-Request-ID",
    ),
    _own(
        "GET",
        "grievances",
        "readOwnGrievances",
        "Read all grievances about oneself",
        handler=read_grievances,
        answers=OwnGrievances,
        refusals=_UNKNOWN,
    ),
    _own(
        "POST",
        "export",
        "exportOwnData",
        "Request, then fetch, all that is held of oneself",
        description="The first call requests it (15 days at most, minutes as a rule); a later one brings the document.",
        handler=export,
        answers=OwnExport,
        refusals=_UNKNOWN,
    ),
    _own(
        "POST",
        "erasure",
        "eraseOwnData",
        "Have one's data erased",
        description="Every use ends with this answer; what is held is destroyed by dated steps within 30 days.",
        handler=erase,
        asks=ErasureRequest,
        answers=OwnErasure,
        status=202,
        refusals=_UNKNOWN,
        replays="X-Request-ID",
    ),
)
