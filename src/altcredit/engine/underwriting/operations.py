"""
What can be done with an application: accept it, work on it, conclude it, look at it.

The pipeline that asks sources and models lies between ``begin`` and ``conclude``; it runs in the worker, which may run
it again after a failure. ``conclude`` is where a decision becomes one, and where its callback is queued.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from altcredit.engine import audit, delivery, identity, sources
from altcredit.engine.underwriting import callback, store
from altcredit.engine.underwriting.application import Application
from altcredit.engine.underwriting.decision import NONE
from altcredit.engine.underwriting.policy import Policy
from altcredit.engine.underwriting.report import Row, UnderwritingReport, summarise
from altcredit.engine.underwriting.sandbox import Environment, rehearsal
from altcredit.engine.underwriting.standing import (
    SEALED_APPLICATION,
    SEALED_FEATURES,
    Case,
    Conclusion,
    RequestUnknown,
    Review,
    Standing,
)
from altcredit.runtime import ids, jobs
from altcredit.runtime.db import Connection, Database, Record
from altcredit.runtime.keys import Keyring

# After this long without a decision an application has failed: nobody waits for a card that long.
FAILED_AFTER = timedelta(hours=24)
_AT_ONCE = 500
_PIPELINE = "system:guard"


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
        sealed=keyring.seal(msgspec.json.encode(application), owner=request_id, purpose=SEALED_APPLICATION),
        cost_saving=application.cost_saving_enabled,
        now=now,
    )
    rehearsed = rehearsal(application, environment=environment) if environment == "sandbox" else None
    delay = rehearsed.delays * sandbox_delay if rehearsed else None
    await jobs.enqueue(db, "underwriting.run", {"request_id": request_id}, execute_after=delay)
    await audit.append(db, actor=partner_id, action="underwriting.accepted", subject=request_id, details={}, now=now)
    return request_id


async def begin(database: Database, *, keyring: Keyring, request_ids: Sequence[str], now: datetime) -> dict[str, Case]:
    """Return the applications to work on by their ids; those that are decided already are missing."""
    return {row["request_id"]: _case(row, keyring) for row in await store.begin(database.reads, request_ids, now=now)}


def _case(row: Record, keyring: Keyring) -> Case:
    plain = keyring.unseal(row["sealed"], owner=row["request_id"], purpose=SEALED_APPLICATION)
    return Case(
        request_id=row["request_id"],
        partner_id=row["partner_id"],
        application=msgspec.json.decode(plain, type=Application),
        asks_all=row["asks_all"],
        reassessed=row["reassessed"],
        started_at=row["started_at"],
    )


async def conclude(
    db: Connection, *, keyring: Keyring, conclusions: Sequence[Conclusion], now: datetime
) -> frozenset[str]:
    """
    Decide applications and queue their callbacks, in the caller's transaction.

    Returns the ids of those that are decided by this; the others had been decided before, and stay as they are.
    """
    features = [_sealed_features(one, keyring) for one in conclusions]
    decided = await store.conclude(db, conclusions, features=features, now=now)
    ours = [one for one in conclusions if one.case.request_id in decided]
    details = {
        one.case.request_id: {
            "outcome": one.decision.outcome,
            "policy": one.decision.policy_version,
            "policy_sha256": one.decision.policy_sha256,
            "model": one.decision.model_version,
        }
        for one in ours
    }
    await audit.append_all(db, actor=_PIPELINE, action="underwriting.decided", details=details, now=now)
    with_codes = {
        partner_id: (await identity.partner_options(db, partner_id=partner_id)).reason_codes
        for partner_id in sorted({one.case.partner_id for one in ours})
    }
    callbacks = [_called_back(one, with_codes=with_codes[one.case.partner_id], now=now) for one in ours]
    await delivery.submit_all(db, keyring=keyring, callbacks=callbacks, now=now)
    return decided


def _sealed_features(one: Conclusion, keyring: Keyring) -> bytes | None:
    if one.features is None:
        return None
    return keyring.seal(msgspec.json.encode(one.features), owner=one.case.request_id, purpose=SEALED_FEATURES)


def _called_back(one: Conclusion, *, with_codes: bool, now: datetime) -> delivery.Submitted:
    case, decision = one.case, one.decision
    return delivery.Submitted(
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
            reason_codes=tuple(reason.code for reason in decision.reasons) if with_codes else (),
        ),
        withheld=one.withheld,
    )


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
            body=callback.of_row(row, finished_at=now, failed=True),
            now=now,
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
        in_doubt_centavos=row["in_doubt_centavos"],
        decision=msgspec.json.decode(row["decision"]) if row["decision"] else {},
        review=review,
    )


async def report_on(db: Connection, *, policy: Policy, since: datetime, until: datetime) -> UnderwritingReport:
    """Return what became of applications accepted in ``since <= t < until``, and what sources were asked then."""
    rows = [
        Row(**{**row, "decision": msgspec.json.decode(row["decision"]) if row["decision"] else None})
        for row in await store.report_rows(db, since=since, until=until)
    ]
    uses = await sources.cost_by_source(db, since=since, until=until)
    return summarise(rows, uses, policy=policy, since=since, until=until)
