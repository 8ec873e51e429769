"""
What can be done with an application: accept it, work on it, conclude it, look at it, have a person look at it.

The pipeline that asks sources and models lies between ``begin`` and ``conclude``; it runs in the worker, which may run
it again after a failure. ``conclude`` is where a decision becomes one, and where its callback is queued.
"""

from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from altcredit.engine import audit, delivery, identity, sources
from altcredit.engine.underwriting import callback, store
from altcredit.engine.underwriting.application import Application
from altcredit.engine.underwriting.decision import NONE, Decision
from altcredit.engine.underwriting.policy import POLICY
from altcredit.engine.underwriting.report import Row, UnderwritingReport, summarise
from altcredit.engine.underwriting.sandbox import Environment, rehearsal
from altcredit.runtime import ids, jobs
from altcredit.runtime.db import Connection, Database, Record
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Refusal

# After this long without a decision an application has failed: nobody waits for a card that long.
FAILED_AFTER = timedelta(hours=24)
_AT_ONCE = 500
_PIPELINE = "system:guard"

Verdict = Literal["upheld", "reassessed", "overturned"]


class RequestUnknown(Refusal):
    """There is no such application of this partner."""


class NotReviewable(Refusal):
    """Only a finished application that was not approved can be put to review, once at a time."""


class ReviewUnknown(Refusal):
    """There is no such review, or it is decided."""


class VerdictImpossible(Refusal):
    """The verdict does not fit the case; the message says why."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An application that is being worked on. ``asks_all``: there is no funnel in its way."""

    request_id: str
    partner_id: str
    application: Application
    asks_all: bool
    reassessed: bool
    started_at: datetime


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A person's look at a decision (LGPD, art. 20). ``decision`` is None while it is open."""

    review_id: str
    asked_at: datetime
    due_at: datetime
    decision: Verdict | None = None
    decided_at: datetime | None = None


class OpenReview(msgspec.Struct, frozen=True, kw_only=True):
    """A review that waits for a person."""

    review_id: str
    request_id: str
    partner_id: str
    outcome: str
    risk_band: int | None
    asked_at: datetime
    due_at: datetime
    reason: str


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where an application stands. ``score``, ``risk_band`` and ``limit_brl`` are -1 together (contract U5)."""

    request_id: str
    partner_id: str
    customer_uuid: str
    status: Literal["processing", "finished", "failed"]
    cost_saving: bool
    accepted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    outcome: str | None
    score: float | int
    risk_band: int
    limit_brl: int
    cost_centavos: int
    decision: dict[str, Any]
    review: Review | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Codes of the reasons, the weightiest first."""
        return tuple(one["code"] for one in self.decision.get("reasons", ()))


async def accept(
    db: Connection,
    *,
    keyring: Keyring,
    partner_id: str,
    application: Application,
    environment: Environment,
    sandbox_delay: timedelta,
    now: datetime,
) -> str:
    """
    Take an application on, in the caller's transaction; return its id, ``uw_`` and 16 hex digits (contract U1).

    Once that transaction has committed the application is worked on until it is decided. In the sandbox the work
    begins after the delay that the CPF stands for (contract U8).
    """
    request_id = ids.new_id("uw")
    await store.insert(
        db,
        request_id=request_id,
        partner_id=partner_id,
        customer_uuid=application.customer_uuid,
        subject_hash=keyring.hmac("cpf", application.cpf),
        sealed=keyring.seal(msgspec.json.encode(application), owner=request_id, purpose="application"),
        cost_saving=application.cost_saving_enabled,
        now=now,
    )
    rehearsed = rehearsal(application, environment=environment) if environment == "sandbox" else None
    delay = rehearsed.delays * sandbox_delay if rehearsed else None
    await jobs.enqueue(db, "underwriting.run", {"request_id": request_id}, execute_after=delay)
    await audit.append(db, actor=partner_id, action="underwriting.accepted", subject=request_id, details={}, now=now)
    return request_id


async def begin(database: Database, *, keyring: Keyring, request_id: str, now: datetime) -> Case | None:
    """Return the application to work on, or None when it is decided already."""
    row = await store.begin(database.reads, request_id, now=now)
    if row is None:
        return None
    plain = keyring.unseal(row["sealed"], owner=request_id, purpose="application")
    return Case(
        request_id=request_id,
        partner_id=row["partner_id"],
        application=msgspec.json.decode(plain, type=Application),
        asks_all=row["asks_all"],
        reassessed=row["reassessed"],
        started_at=row["started_at"],
    )


async def conclude(
    db: Connection,
    *,
    keyring: Keyring,
    case: Case,
    decision: Decision,
    cost_centavos: int,
    withheld: bool = False,
    now: datetime,
) -> bool:
    """
    Decide an application and queue its callback, in the caller's transaction; False when it was decided before.

    :param cost_centavos: what the application's answers cost, those of an earlier run included.
    :param withheld: the first attempt at the callback counts as failed unsent (a case of the sandbox).
    """
    pd = decision.pd
    decided = await store.conclude(
        db,
        case.request_id,
        outcome=decision.outcome,
        pd=pd,
        risk_band=None if pd is None else decision.risk_band,
        limit_brl=None if pd is None else decision.limit,
        cost_centavos=cost_centavos,
        decision=msgspec.json.encode(decision).decode(),
        now=now,
    )
    if not decided:
        return False
    details = {"outcome": decision.outcome, "policy": decision.policy_version, "model": decision.model_version}
    await audit.append(
        db, actor=_PIPELINE, action="underwriting.decided", subject=case.request_id, details=details, now=now
    )
    partner = await identity.partner_options(db, partner_id=case.partner_id)
    await delivery.submit(
        db,
        keyring=keyring,
        partner_id=case.partner_id,
        request_id=case.request_id,
        kind="review" if case.reassessed else "result",
        body=callback.body(
            customer_uuid=case.application.customer_uuid,
            started_at=case.started_at,
            finished_at=now,
            cost_saving=case.application.cost_saving_enabled,
            score=decision.score,
            risk_band=decision.risk_band,
            limit_brl=decision.limit,
            reason_codes=tuple(one.code for one in decision.reasons) if partner.reason_codes else (),
        ),
        withheld=withheld,
        now=now,
    )
    return True


async def fail(db: Connection, *, keyring: Keyring, request_id: str, now: datetime) -> None:
    """Give an application up; a partner who opted in to failure callbacks gets one (contract U6)."""
    row = await store.fail(db, request_id, now=now)
    if row is None:
        return
    await audit.append(db, actor=_PIPELINE, action="underwriting.failed", subject=request_id, details={}, now=now)
    partner = await identity.partner_options(db, partner_id=row["partner_id"])
    if partner.failure_callbacks:
        await delivery.submit(
            db,
            keyring=keyring,
            partner_id=row["partner_id"],
            request_id=request_id,
            kind="failure",
            body=_body(row, finished_at=now, failed=True),
            now=now,
        )


def _body(row: Record, *, finished_at: datetime, failed: bool = False) -> bytes:
    return callback.body(
        customer_uuid=row["customer_uuid"],
        started_at=row["started_at"] or row["accepted_at"],
        finished_at=finished_at,
        cost_saving=row["cost_saving"],
        score=row.get("pd", NONE),
        risk_band=row.get("risk_band", NONE),
        limit_brl=row.get("limit_brl", NONE),
        failed=failed,
    )


async def fail_overdue(db: Connection, *, keyring: Keyring, now: datetime) -> int:
    """Give up what has waited for a decision for 24 hours; return how many. For a schedule."""
    overdue = await store.overdue(db, before=now - FAILED_AFTER, limit=_AT_ONCE)
    for request_id in overdue:
        await fail(db, keyring=keyring, request_id=request_id, now=now)
    return len(overdue)


async def find(db: Connection, *, request_id: str, partner_id: str | None = None) -> Standing:
    """
    Return where an application stands; with a partner, only one of its own.

    :raises RequestUnknown:
    """
    row = await store.find(db, request_id, partner_id=partner_id)
    if row is None:
        raise RequestUnknown(f"There is no application {request_id}")
    calculated = row["pd"] is not None
    review = None
    if row["review_id"]:
        review = Review(
            review_id=row["review_id"],
            asked_at=row["asked_at"],
            due_at=row["due_at"],
            decision=row["review_decision"],
            decided_at=row["decided_at"],
        )
    return Standing(
        request_id=row["request_id"],
        partner_id=row["partner_id"],
        customer_uuid=row["customer_uuid"],
        status=row["status"],
        cost_saving=row["cost_saving"],
        accepted_at=row["accepted_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        outcome=row["outcome"],
        score=row["pd"] if calculated else NONE,
        risk_band=row["risk_band"] if calculated else NONE,
        limit_brl=row["limit_brl"] if calculated else NONE,
        cost_centavos=row["cost_centavos"],
        decision=msgspec.json.decode(row["decision"]) if row["decision"] else {},
        review=review,
    )


async def ask_review(
    db: Connection, *, keyring: Keyring, partner_id: str, request_id: str, reason: str, now: datetime
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
    review = Review(review_id=ids.new_id("rev"), asked_at=now, due_at=now + timedelta(days=POLICY.review.due_days))
    sealed = keyring.seal(reason.encode(), owner=request_id, purpose="review_reason")
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
            reason=keyring.unseal(row["sealed"], owner=row["request_id"], purpose="review_reason").decode(),
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
    actor: str,
    now: datetime,
) -> str:
    """
    Close a review; return the application's id.

    ``upheld`` leaves the decision. ``reassessed`` has it underwritten anew with every source, answers that were paid
    for being used again. ``overturned`` approves it at ``limit_brl``. A changed result is called back.

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
            raise VerdictImpossible(f"{request_id} is being worked on")
        await jobs.enqueue(db, "underwriting.run", {"request_id": request_id})
    if limit_brl is not None:
        await _overturn(db, keyring, request_id, limit_brl, now)
    return request_id


async def _overturn(db: Connection, keyring: Keyring, request_id: str, limit_brl: int, now: datetime) -> None:
    floor, cap = POLICY.limit.floor_brl, POLICY.limit.cap_brl
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
        body=_body(row, finished_at=now),
        now=now,
    )


async def report_on(db: Connection, *, since: datetime, until: datetime) -> UnderwritingReport:
    """Return what became of applications accepted in ``since <= t < until``, and what sources were asked then."""
    rows = [
        Row(**{**row, "decision": msgspec.json.decode(row["decision"]) if row["decision"] else None})
        for row in await store.report_rows(db, since=since, until=until)
    ]
    uses = await sources.cost_by_source(db, since=since, until=until)
    return summarise(rows, uses, policy=POLICY, since=since, until=until)
