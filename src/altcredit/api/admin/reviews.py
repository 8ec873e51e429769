"""Human reviews of GUARD's decisions (LGPD, art. 20; contract U5)."""

from datetime import datetime
from typing import Annotated

import msgspec

from altcredit.api.admin.actions import Change, actor, changing, looking
from altcredit.api.contract import Call, Nothing
from altcredit.engine import underwriting

BASE = "/v1/admin/reviews"
_PERMISSION = "reviews.decide"


class Reviews(msgspec.Struct, frozen=True, kw_only=True):
    """Reviews that wait for a person, the most urgent first."""

    reviews: list[underwriting.OpenReview]


class ReviewDecision(Change, frozen=True, kw_only=True):
    """
    What the review came to.

    ``upheld`` leaves the decision; ``reassessed`` has it underwritten anew with every source; ``overturned`` approves
    it with ``limit_brl``.
    """

    verdict: underwriting.Verdict
    note: Annotated[str, msgspec.Meta(min_length=1, max_length=4_000, description="Why; kept with the review.")]
    limit_brl: Annotated[int, msgspec.Meta(ge=0, le=10_000_000, description="In R$.")] | None = None


class DecidedReview(msgspec.Struct, frozen=True, kw_only=True):
    """The review is closed; ``request_id`` is the underwriting it was of."""

    review_id: str
    request_id: str
    verdict: underwriting.Verdict
    at: datetime


async def list_reviews(call: Call, _asked: Nothing) -> Reviews:
    return Reviews(reviews=await underwriting.open_reviews(call.db, keyring=call.platform.keyring))


async def decide(call: Call, asked: ReviewDecision) -> DecidedReview:
    request_id = await underwriting.decide_review(
        call.db,
        policy=underwriting.policy_of(call.platform.settings),
        keyring=call.platform.keyring,
        review_id=call.path["id"],
        verdict=asked.verdict,
        note=asked.note,
        limit_brl=asked.limit_brl,
        actor=actor(call),
        now=call.now,
    )
    return DecidedReview(review_id=call.path["id"], request_id=request_id, verdict=asked.verdict, at=call.now)


ROUTES = (
    looking(
        path=BASE,
        operation="listReviews",
        tag="Reviews",
        summary="List the reviews that wait for a person",
        permissions=(_PERMISSION,),
        about="reviews",
        handler=list_reviews,
        answers=Reviews,
    ),
    changing(
        path=f"{BASE}/{{id}}/decide",
        operation="decideReview",
        tag="Reviews",
        summary="Decide a review",
        permission=_PERMISSION,
        about="id",
        places={"id": "rev_2c9e4b7a1f0d8356"},
        handler=decide,
        asks=ReviewDecision,
        answers=DecidedReview,
        refusals=(underwriting.ReviewUnknown, underwriting.VerdictImpossible),
        replays="X-Request-ID",
    ),
)
