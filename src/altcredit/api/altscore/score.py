"""Score API (API-ALTSCORE-001, section 03): score, history, look-up."""

import re
from datetime import UTC
from typing import Annotated

import msgspec

from altcredit.api.altscore.credentials import LENDER
from altcredit.api.altscore.languages import spoken
from altcredit.api.contract import BodyMalformed, Call, Link, Route
from altcredit.engine import consent, retailers, scoring
from altcredit.runtime.quotas import Allowance
from altcredit.runtime.refusal import Detail, Refusal

RETAILER_ID = r"^ret_[0-9a-f]{16}$"
# How a text that is not of a pattern is described, as opposed to a missing field or another type.
_FORM = re.compile("pattern|regex")
_EXAMPLE_ID = "ret_7f3a92c1d4e8b051"
MAX_LIMIT_INR = 1_000_000_000

RetailerId = Annotated[
    str, msgspec.Meta(pattern=RETAILER_ID, description="AltScore's id of the retailer.", examples=[_EXAMPLE_ID])
]
Purpose = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        description="What the score is for; must match the consent.",
        examples=["working_capital_loan"],
    ),
]


class RetailerIdInvalid(Refusal):
    """``retailer_id`` is not ``ret_`` and 16 hex digits (contract A1)."""


class ScoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which retailer's score, and for what."""

    retailer_id: RetailerId
    purpose: Purpose
    requested_limit_inr: (
        Annotated[int, msgspec.Meta(ge=0, le=MAX_LIMIT_INR, description="The lender's own limit, to compare.")] | None
    ) = None


class ReasonCode(msgspec.Struct, frozen=True, kw_only=True):
    """One true statement about the retailer that moved, or could move, the score."""

    code: str
    direction: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["positive", "negative"]})]
    rank: Annotated[int, msgspec.Meta(ge=1)]
    label_en: str
    label_hi: str
    label: Annotated[str, msgspec.Meta(description="The label in the language of Accept-Language.")]
    tip: Annotated[str, msgspec.Meta(description="What the retailer can do about it, in that language; may be empty.")]
    impact_points: Annotated[
        float | None, msgspec.Meta(description="Points of score; null for a comparison with the portfolio.")
    ]


class LimitCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How the lender's own limit compares with the recommendation, which it never raises."""

    requested_inr: int
    within_recommendation: bool
    cap_inr: int


class ScoreAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The retailer's current credit assessment."""

    retailer_id: RetailerId
    altscore: Annotated[int, msgspec.Meta(ge=300, le=900)]
    risk_band: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["A", "B", "C", "D"]})]
    probability_of_default: Annotated[float, msgspec.Meta(ge=0, le=1)]
    pd_horizon_days: int
    recommended_limit_inr: Annotated[int, msgspec.Meta(ge=0)]
    reason_codes: Annotated[list[ReasonCode], msgspec.Meta(min_length=5)]
    data_freshness_days: Annotated[int, msgspec.Meta(ge=0)]
    low_confidence: bool
    score_version: str
    policy_version: str
    score_id: str
    scored_at: str
    request_id: str
    limit_check: LimitCheck | None = None


class HistoryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Whose history, how far back."""

    retailer_id: RetailerId
    months: Annotated[int, msgspec.Meta(ge=1, le=12, description="How many monthly snapshots, newest first.")] = 6


class HistoryMonth(msgspec.Struct, frozen=True, kw_only=True):
    """The last score of a calendar month (IST)."""

    month: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}$")]
    altscore: Annotated[int, msgspec.Meta(ge=300, le=900)]
    risk_band: str
    score_version: str
    score_id: str


class HistoryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Monthly snapshots, newest first."""

    retailer_id: RetailerId
    history: list[HistoryMonth]


class LookupRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which GSTIN."""

    gst: Annotated[
        str, msgspec.Meta(description="15-character GSTIN; looked up by a keyed hash, never stored.", min_length=1)
    ]


class LookupAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The retailer behind a GSTIN."""

    retailer_id: RetailerId
    consent_active: bool


def malformed(details: tuple[Detail, ...]) -> Refusal:
    """Tell a badly formed id (INVALID_RETAILER_ID) from everything else (INVALID_REQUEST), section 08."""
    only_the_id = all(one.path == "$.retailer_id" and _FORM.search(one.problem) for one in details)
    return RetailerIdInvalid(details=details) if details and only_the_id else BodyMalformed(details=details)


def asker(call: Call) -> scoring.Asker:
    assert call.caller is not None
    return scoring.Asker(lender_id=call.caller.id, token_id=call.caller.subject.jti, request_id=call.request_id)


async def peek(call: Call) -> Allowance | None:
    assert call.caller is not None
    return await scoring.peek(call.platform.database, lender_id=call.caller.id, now=call.now)


async def read_score(call: Call, asked: ScoreRequest) -> ScoreAnswer:
    reading = await scoring.read(
        call.platform.database,
        keyring=call.platform.keyring,
        asker=asker(call),
        retailer_id=asked.retailer_id,
        purpose=asked.purpose,
        now=call.now,
    )
    call.allowance = reading.allowance
    found = scoring.score(reading.require(), requested_limit_inr=asked.requested_limit_inr)
    check = found.limit_check
    return ScoreAnswer(
        retailer_id=asked.retailer_id,
        altscore=found.altscore,
        risk_band=found.risk_band,
        probability_of_default=found.probability_of_default,
        pd_horizon_days=scoring.PD_HORIZON_DAYS,
        recommended_limit_inr=found.recommended_limit_inr,
        reason_codes=[shown_reason(one, call) for one in found.reasons],
        data_freshness_days=found.data_freshness_days,
        low_confidence=found.low_confidence,
        score_version=found.score_version,
        policy_version=found.policy_version,
        score_id=found.score_id,
        scored_at=found.scored_at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z",
        request_id=call.request_id,
        limit_check=None
        if check is None
        else LimitCheck(
            requested_inr=check.requested_inr,
            within_recommendation=check.within_recommendation,
            cap_inr=check.cap_inr,
        ),
    )


def shown_reason(reason: scoring.Reason, call: Call) -> ReasonCode:
    """Return a reason with its words."""
    code = scoring.CODES[reason.code]
    return ReasonCode(
        code=code.code,
        direction=code.direction,
        rank=reason.rank,
        label_en=code.label_en,
        label_hi=code.label_hi,
        label=code.label(spoken(call)),
        tip=code.tip(spoken(call)),
        impact_points=reason.impact_points,
    )


async def read_history(call: Call, asked: HistoryRequest) -> HistoryAnswer:
    reading = await scoring.history(
        call.platform.database,
        keyring=call.platform.keyring,
        asker=asker(call),
        retailer_id=asked.retailer_id,
        months=asked.months,
        now=call.now,
    )
    call.allowance = reading.allowance
    found = scoring.months(reading.require())
    return HistoryAnswer(
        retailer_id=asked.retailer_id,
        history=[HistoryMonth(**msgspec.structs.asdict(month)) for month in found],
    )


async def look_up(call: Call, asked: LookupRequest) -> LookupAnswer:
    reading = await scoring.look_up(
        call.platform.database,
        keyring=call.platform.keyring,
        asker=asker(call),
        gstin=retailers.require_gstin(asked.gst),
        now=call.now,
    )
    call.allowance = reading.allowance
    return LookupAnswer(retailer_id=reading.require()["retailer_id"], consent_active=True)


# Section 09; an operator may set others per lender.
LIMITS = {"minute": 100, "day": 5000}
_READS = (consent.NotGranted, scoring.ClientInactive)

ROUTES = (
    Route(
        method="POST",
        path="/v1/score",
        operation="readScore",
        tag="Score",
        summary="Read a retailer's current score",
        description=(
            "Score, risk band, probability of default, recommended limit and reasons. Consent is verified on every"
            " call; unknown retailers and retailers who did not consent are answered alike."
        ),
        handler=read_score,
        asks=ScoreRequest,
        answers=ScoreAnswer,
        credentials=(LENDER,),
        refusals=(*_READS, RetailerIdInvalid, consent.ScopeMismatch, scoring.NotScored, scoring.DataInsufficient),
        refuses_malformed=malformed,
        peeks=peek,
        limits=LIMITS,
        links={"history": Link(operation="readHistory", parameters={"retailer_id": "/retailer_id"})},
    ),
    Route(
        method="GET",
        path="/v1/score/{retailer_id}/history",
        operation="readHistory",
        tag="Score",
        summary="Read a retailer's monthly scores",
        description="The last score of each calendar month (IST), newest first. Same consent check as a score.",
        handler=read_history,
        asks=HistoryRequest,
        answers=HistoryAnswer,
        credentials=(LENDER,),
        refusals=(*_READS, RetailerIdInvalid, scoring.NotScored),
        refuses_malformed=malformed,
        peeks=peek,
        limits=LIMITS,
    ),
    Route(
        method="GET",
        path="/v1/retailers/lookup",
        operation="lookUpRetailer",
        tag="Score",
        summary="Find a retailer by GSTIN",
        description="The opaque retailer id, if the retailer consented to this lender. The GSTIN is not stored.",
        handler=look_up,
        asks=LookupRequest,
        answers=LookupAnswer,
        credentials=(LENDER,),
        refusals=(*_READS, retailers.GstinInvalid),
        peeks=peek,
        limits=LIMITS,
        links={"history": Link(operation="readHistory", parameters={"retailer_id": "/retailer_id"})},
    ),
)
