"""What a person can do with a decision that was not an approval (LGPD, art. 20; contract U5)."""

from datetime import datetime, timedelta

from altcredit.engine import audit, delivery, sources
from altcredit.engine.underwriting import callback, store
from altcredit.engine.underwriting.policy import Policy
from altcredit.engine.underwriting.standing import SEALED_REASON, OpenReview, RequestUnknown, Review, Verdict
from altcredit.runtime import ids, jobs
from altcredit.runtime.db import Connection
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Refusal


class NotReviewable(Refusal):
    """Only a finished application that was not approved can be put to review, once at a time."""


class ReviewUnknown(Refusal):
    """There is no such review, or it is decided."""


class VerdictImpossible(Refusal):
    """The verdict does not fit the case; the message says why."""


async def ask_review(
    db: Connection, *, keyring: Keyring, partner_id: str, request_id: str, reason: str, policy: Policy, now: datetime
) -> Review:
    """
    Put a decision that was not an approval to a person (LGPD, art. 20; contract U5).

    :raises RequestUnknown, NotReviewable:
    """
    row = await store.lock(db, request_id, partner_id=partner_id)
    if row is None:
        raise RequestUnknown(f"There is no application {request_id}")
    if row["status"] != "finished" or row["outcome"] == "approved":
        raise NotReviewable("Only a finished application that was not approved can be reviewed")
    review = Review(review_id=ids.new_id("rev"), asked_at=now, due_at=now + timedelta(days=policy.review.due_days))
    sealed = keyring.seal(reason.encode(), owner=request_id, purpose=SEALED_REASON)
    if not await store.insert_review(
        db, review.review_id, request_id=request_id, sealed=sealed, asked_by=partner_id, now=now, due_at=review.due_at
    ):
        raise NotReviewable("A review of this application is open")
    details = {"review_id": review.review_id}
    await audit.append(
        db, actor=partner_id, action="underwriting.review_asked", subject=request_id, details=details, now=now
    )
    return review


async def open_reviews(db: Connection, *, keyring: Keyring, limit: int = 100) -> list[OpenReview]:
    """Return the reviews that wait for a person, the most urgent first."""
    return [
        OpenReview(
            reason=keyring.unseal(row["sealed"], owner=row["request_id"], purpose=SEALED_REASON).decode(),
            **{name: value for name, value in row.items() if name != "sealed"},
        )
        for row in await store.open_reviews(db, limit=limit)
    ]


async def decide_review(
    db: Connection,
    *,
    keyring: Keyring,
    review_id: str,
    verdict: Verdict,
    note: str,
    limit_brl: int | None = None,
    policy: Policy,
    actor: str,
    now: datetime,
) -> str:
    """
    Close a review; return the application's id.

    ``upheld`` leaves the decision. ``reassessed`` has it underwritten anew with every source: answers that were paid
    for are used again, questions that are known to have failed are put anew. ``overturned`` approves it at
    ``limit_brl``. A changed result is called back.

    :raises ReviewUnknown, VerdictImpossible:
    """
    if (verdict == "overturned") != (limit_brl is not None):
        raise VerdictImpossible("A limit goes with overturned, and with nothing else")
    request_id = await store.decide_review(db, review_id, decision=verdict, actor=actor, note=note, now=now)
    if request_id is None:
        raise ReviewUnknown(f"There is no open review {review_id}")
    details = {"review_id": review_id, "verdict": verdict, "limit_brl": limit_brl}
    await audit.append(db, actor=actor, action="underwriting.reviewed", subject=request_id, details=details, now=now)
    if verdict == "reassessed":
        if not await store.reassess(db, request_id):
            raise VerdictImpossible(f"{request_id} is being worked on, or no longer kept")
        await sources.supersede_failed(db, request_id=request_id, now=now)
        await jobs.enqueue(db, "underwriting.run", {"request_id": request_id})
    if limit_brl is not None:
        await _overturn(db, keyring, request_id, limit_brl, policy, now)
    return request_id


async def _overturn(
    db: Connection, keyring: Keyring, request_id: str, limit_brl: int, policy: Policy, now: datetime
) -> None:
    floor, cap = policy.limit.floor_brl, policy.limit.cap_brl
    if not floor <= limit_brl <= cap:
        raise VerdictImpossible(f"A limit is from R${floor} to R${cap}")
    row = await store.overturn(db, request_id, limit_brl=limit_brl, now=now)
    if row is None:
        raise VerdictImpossible("Without a PD there is nothing to overturn: have it reassessed")
    await delivery.submit(
        db,
        keyring=keyring,
        partner_id=row["partner_id"],
        request_id=request_id,
        kind="review",
        body=callback.of_row(row, finished_at=now),
        now=now,
    )
