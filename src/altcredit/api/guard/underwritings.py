"""Underwritings: request, status, review (GUARD API, Request and Response; contract U1 to U8)."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from altcredit.api.contract import Call, Callback, Header, Link, Place, Route
from altcredit.api.guard.credentials import OF_PARTNERS, partner_of
from altcredit.engine import underwriting
from altcredit.engine.underwriting import stamp
from altcredit.runtime.refusal import Detail

BASE = "/api/partner/credit/cards"
MAX_BODY = 64 * 1024

_REQUEST_ID = re.compile(r"uw_[0-9a-f]{16}")
_ELEVEN_DIGITS = re.compile(r"\d{11}")
_EXAMPLE_ID = "uw_7f3a92c1d4e8b051"
_CUSTOMER = "6f1c2a34-9a51-4c2b-8a0e-3d5b7c9e1f20"

RequestId = Annotated[
    str, msgspec.Meta(description="`uw_` and 16 hex digits, as the POST answered.", examples=[_EXAMPLE_ID])
]
Moment = Annotated[str, msgspec.Meta(examples=["2014-06-25T00:00:00.000Z"])]
Outcome = Annotated[
    str, msgspec.Meta(extra_json_schema={"enum": ["filtered", "not_calculable", "approved", "rejected"]})
]


class Accepted(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The application is durable and on its way; the result is posted to the callback URL."""

    request_id: RequestId
    customer_uuid: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["processing"]})]


class UnderwritingQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which underwriting."""

    request_id: RequestId


class Decision(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The result as the callback has it: the three figures are real together, or -1 together (contract U5)."""

    cost_saving_enabled: bool
    score: Annotated[float, msgspec.Meta(description="Probability of 90+ days past due within 12 months; or -1.")]
    risk_band: Annotated[int, msgspec.Meta(description="1 (best) to 7; or -1.")]
    limit: Annotated[int, msgspec.Meta(description="R$; 0 if not approved; or -1.")]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """A true statement that weighed in the decision."""

    code: str
    label: Annotated[str, msgspec.Meta(description="In the language of Accept-Language.")]
    direction: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["positive", "negative"]})]


class ReviewState(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A person's look at a decision (LGPD, art. 20)."""

    review_id: str
    state: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["open", "upheld", "reassessed", "overturned"]})]
    asked: Moment
    due: Annotated[str, msgspec.Meta(description="By when it is decided.")]


class UnderwritingAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where an underwriting stands. What is below ``accepted`` is there as soon as it is known."""

    request_id: RequestId
    customer_uuid: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["processing", "finished", "failed"]})]
    accepted: Moment
    outcome: Outcome | None = None
    started: Moment | None = None
    finished: Moment | None = None
    service_type: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["GUARD_SCORE"]})] | None = None
    response: Decision | None = None
    reason_codes: list[Reason] | None = None
    review: ReviewState | None = None


class ReviewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Why a person should look at it."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]


async def submit(call: Call, asked: underwriting.Application) -> Accepted:
    settings = call.platform.settings
    request_id = await underwriting.accept(
        call.db,
        keyring=call.platform.keyring,
        partner_id=partner_of(call).partner_id,
        application=asked,
        environment=settings.environment,
        sandbox_delay=timedelta(seconds=settings.sandbox_delay),
        now=call.now,
    )
    return Accepted(request_id=request_id, customer_uuid=asked.customer_uuid, status="processing")


def _check_digits(body: dict[str, Any]) -> tuple[Detail, ...]:
    """Name a CPF that is 11 digits, but none that was ever issued (contract U4)."""
    cpf = body.get("cpf")
    if not isinstance(cpf, str) or not _ELEVEN_DIGITS.fullmatch(cpf) or underwriting.is_cpf(cpf):
        return ()
    return (Detail("$.cpf", "the check digits are wrong"),)


def _known_form(request_id: str) -> str:
    """Return the id if it could be one of ours; no other text is looked up."""
    if not _REQUEST_ID.fullmatch(request_id):
        raise underwriting.RequestUnknown
    return request_id


async def read(call: Call, asked: UnderwritingQuery) -> UnderwritingAnswer:
    request_id = _known_form(asked.request_id)
    async with call.platform.database.reads.acquire() as db:
        standing = await underwriting.find(db, partner_id=partner_of(call).partner_id, request_id=request_id)
    finished = standing.status == "finished"
    return UnderwritingAnswer(
        request_id=standing.request_id,
        customer_uuid=standing.customer_uuid,
        status=standing.status,
        accepted=stamp(standing.accepted_at),
        outcome=standing.outcome,
        started=_stamped(standing.started_at),
        finished=_stamped(standing.finished_at),
        service_type="GUARD_SCORE" if finished else None,
        response=_decision(standing) if finished else None,
        reason_codes=_reasons(standing, call) if finished else None,
        review=_review(standing.review) if standing.review else None,
    )


def _stamped(at: datetime | None) -> str | None:
    return None if at is None else stamp(at)


def _decision(standing: underwriting.Standing) -> Decision:
    return Decision(
        cost_saving_enabled=standing.cost_saving,
        score=standing.score,
        risk_band=standing.risk_band,
        limit=standing.limit_brl,
    )


def _reasons(standing: underwriting.Standing, call: Call) -> list[Reason]:
    language: Literal["en", "pt"] = "pt" if call.language == "pt" else "en"
    codes = [underwriting.CODES[code] for code in standing.reasons]
    return [Reason(code=one.code, label=one.label(language), direction=one.direction) for one in codes]


def _review(review: underwriting.Review) -> ReviewState:
    return ReviewState(
        review_id=review.review_id,
        state=review.decision or "open",
        asked=stamp(review.asked_at),
        due=stamp(review.due_at),
    )


async def ask_review(call: Call, asked: ReviewRequest) -> ReviewState:
    review = await underwriting.ask_review(
        call.db,
        policy=underwriting.policy_of(call.platform.settings),
        keyring=call.platform.keyring,
        partner_id=partner_of(call).partner_id,
        request_id=_known_form(call.path["requestId"]),
        reason=asked.reason,
        now=call.now,
    )
    return _review(review)


def _by_string(name: str, description: str, **schema: Any) -> Header:
    return Header(name=name, description=description, required=True, schema={"type": "string", **schema})


IDEMPOTENCY_KEY = Header(
    name="Idempotency-Key",
    description=(
        "Makes a repetition safe for 24 hours: the same key with the same body gets the stored answer"
        " (`Idempotency-Replayed: true`), with another body 409. Any 1 to 255 visible ASCII characters; a UUID, say."
    ),
    schema={"type": "string", "pattern": "^[!-~]{1,255}$"},
)

RESULT = Callback(
    name="result",
    url="https://partner.example/your-registered-callback-url",
    summary="The result of an underwriting",
    description=(
        "Posted to the callback URL that was registered in the preparation stage, over HTTPS, as soon as the pipeline"
        " has finished. Verify `webhook-signature` over `webhook-id.webhook-timestamp.body` (Standard Webhooks) before"
        " reading it. Any 2xx within 15 seconds is success; otherwise it is sent again for 24 hours, ever more slowly."
        " It may arrive more than once, always with the same `webhook-id` and body, and in any order. A partner may"
        " opt in to `reasonCodes` and to callbacks of applications that failed (`outcome`)."
    ),
    body=underwriting.Callback,
    example={
        "customerUuid": _CUSTOMER,
        "started": "2014-06-25T00:00:00.000Z",
        "finished": "2014-06-25T00:00:00.000Z",
        "serviceType": "GUARD_SCORE",
        "response": {"costSavingEnabled": False, "score": 0.015, "riskBand": 3, "limit": 500},
    },
    headers=(
        _by_string(
            "webhook-id", "The callback's id, the same at every attempt: process each once.", examples=["msg_1"]
        ),
        _by_string("webhook-timestamp", "Unix time of this attempt; refuse one that is minutes away."),
        _by_string(
            "webhook-signature",
            "Separated by spaces, one for each live secret: `v1,<base64>` is HMAC-SHA256, `v1a,<base64>` ed25519.",
        ),
        _by_string("X-Guard-Request-Id", "The `requestId` that the POST answered.", examples=[_EXAMPLE_ID]),
    ),
    expected={
        "2XX": "Received. Nothing is sent again.",
        "410": "Gone: callbacks to this address are switched off until it is set again.",
        "default": "Anything else, or nothing within 15 seconds: sent again later. Redirects are not followed.",
    },
)

REQUEST_PLACE = Place(
    name="requestId", description="As the POST answered.", schema={"type": "string", "examples": [_EXAMPLE_ID]}
)

ROUTES = (
    Route(
        method="POST",
        path=f"{BASE}/underwritings",
        operation="requestUnderwriting",
        tag="Underwriting",
        summary="Start the underwriting of a card applicant",
        description=(
            "Answers at once; the result is posted to the callback URL. The same customer twice is two independent"
            " runs, unless `Idempotency-Key` says that it is one."
        ),
        handler=submit,
        asks=underwriting.Application,
        answers=Accepted,
        status=202,
        headers=(IDEMPOTENCY_KEY,),
        writes=True,
        replays="Idempotency-Key",
        max_body=MAX_BODY,
        examines=_check_digits,
        callbacks=(RESULT,),
        links={"status": Link(operation="readUnderwriting", parameters={"requestId": "/requestId"})},
        example={
            "customerUuid": _CUSTOMER,
            "cpf": "39549600017",
            "costSavingEnabled": False,
            "srd": {
                "grossIncome": 5200,
                "housingSpends": 1200,
                "cardSpends": 600,
                "loanSpends": 0,
                "address": {
                    "street": "Rua das Flores",
                    "number": "10",
                    "complement": "",
                    "city": "São Paulo",
                    "state": "SP",
                },
                "occupation": "Company Employee",
                "desiredCreditLimit": 2000,
            },
        },
        **OF_PARTNERS,
    ),
    Route(
        method="GET",
        path=f"{BASE}/underwritings/{{requestId}}",
        operation="readUnderwriting",
        tag="Underwriting",
        summary="Read where an underwriting stands",
        description="When it is finished: outcome, result and reasons. Another partner's are answered as unknown ones.",
        handler=read,
        asks=UnderwritingQuery,
        answers=UnderwritingAnswer,
        refusals=(underwriting.RequestUnknown,),
        **OF_PARTNERS,
    ),
    Route(
        method="POST",
        path=f"{BASE}/underwritings/{{requestId}}/review",
        operation="requestReview",
        tag="Underwriting",
        summary="Ask for a person's review of a decision",
        description=(
            "The customer's right under art. 20 of the LGPD, for decisions that are not an approval. What the review"
            " changes is posted to the callback URL."
        ),
        handler=ask_review,
        asks=ReviewRequest,
        answers=ReviewState,
        status=202,
        refusals=(underwriting.RequestUnknown, underwriting.NotReviewable),
        headers=(IDEMPOTENCY_KEY,),
        places=(REQUEST_PLACE,),
        writes=True,
        replays="Idempotency-Key",
        **OF_PARTNERS,
    ),
)
