"""What can be done with grievances: file, acknowledge, note, review, correct, resolve, escalate, forget."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from altcredit.engine import audit, consent, retailers, scoring
from altcredit.engine.grievances import events, store
from altcredit.engine.grievances.case import (
    CLOCKS,
    TOLERANCE,
    Case,
    Channel,
    Escalation,
    GrievanceType,
    Language,
    Outcome,
    Party,
    legal_now,
    timers,
)
from altcredit.engine.grievances.reading import DESCRIPTION, NOTE, RESOLUTION, CaseUnknown, case_of, shown
from altcredit.runtime import jobs, outbox, quotas
from altcredit.runtime.db import Connection, Record
from altcredit.runtime.ids import new_id
from altcredit.runtime.keys import Keyring
from altcredit.runtime.quotas import Quota
from altcredit.runtime.refusal import Refusal

# Section 09. A retailer's own filings are counted apart: no lender uses up a retailer's right to complain.
FILINGS: Final = Quota(name="day", limit=5, seconds=86_400)


class CaseClosed(Refusal):
    """The case is resolved: nothing changes it any more."""


class NotUnderReview(Refusal):
    """Nobody has taken the case up: corrections and resolutions follow a review by a person."""


class RescorePending(Refusal):
    """The correction has not reached a new score yet."""


async def file(
    db: Connection,
    *,
    keyring: Keyring,
    filer: Party,
    retailer_id: str,
    score_id: str | None,
    grievance_type: GrievanceType,
    description: str,
    language: Language,
    now: datetime,
    channel: Channel = "api",
    contact_phone_hash: str | None = None,
) -> Case:
    """
    File a grievance; its clocks start. Emits ``grievance.filed`` (API-ALTSCORE-001, section 06; contract G1, G2).

    :param filer: a lender with live consent, or the retailer itself.
    :param score_id: of this retailer; None only from a retailer who has no score.
    :param contact_phone_hash: SHA-256 of the phone's digits (contract C1); kept under a keyed hash.
    :raises CaseUnknown: no consent, no such retailer, or the score is another's: one refusal for all.
    :raises quotas.RateLimitExceeded: more than five filings for the retailer in 24 hours.
    """
    of = await _subject(db, keyring, filer, retailer_id, score_id, now)
    own = "own|" if filer.kind == "retailer" else ""
    await quotas.take(db, quota=FILINGS, subject=f"grievance|{own}{of}", now=now)
    set_back = await store.tick(db, now, TOLERANCE)
    due = {clock: now + span for clock, span in CLOCKS.items()}
    case = Case(
        grievance_id=new_id("grv"),
        retailer_id=of,
        score_id=score_id,
        filed_by="retailer" if filer.kind == "retailer" else "lender",
        filer_id=of if filer.kind == "retailer" else filer.id,
        channel=channel,
        grievance_type=grievance_type,
        description=description,
        language=language,
        contact=None if contact_phone_hash is None else retailers.phone_hash(keyring, contact_phone_hash),
        status="open",
        filed_at=now,
        timers=timers(now, due=due, acknowledged_at=None, resolved_at=None),
    )
    sealed = keyring.seal(description.encode(), owner=of, purpose=DESCRIPTION)
    await store.insert(db, case, sealed=sealed, due=list(due.values()), set_back=set_back)
    fact = events.GrievanceFiled(
        grievance_id=case.grievance_id,
        retailer_id=of,
        score_id=score_id,
        grievance_type=grievance_type,
        filed_by=case.filed_by,
        channel=channel,
    )
    await _announce(db, fact, filer.actor, now)
    return case


async def _subject(
    db: Connection, keyring: Keyring, filer: Party, retailer_id: str, score_id: str | None, now: datetime
) -> str:
    """Return the retailer that the filer may complain for, under the id that answers for it."""
    if filer.kind == "lender":
        key = consent.head_key(keyring, retailer_id, filer.id)
        found = await store.may_file(db, key, score_id or "", now)
        if found is None:
            raise CaseUnknown
        return found
    scored = await scoring.recorded(db, score_ids=[] if score_id is None else [score_id])
    asked = {retailer_id, filer.id, *(one.retailer_id for one in scored.values())}
    ids = await retailers.canonical(db, retailer_ids=asked)
    if filer.kind != "retailer" or {ids.get(one) for one in asked} != {ids.get(filer.id)} or filer.id not in ids:
        raise CaseUnknown
    if score_id is not None and score_id not in scored:
        raise CaseUnknown
    return ids[filer.id]


async def acknowledge(
    db: Connection, *, keyring: Keyring, grievance_id: str, actor: str, now: datetime, role: str = ""
) -> Case:
    """
    Tell the filer that the case was received and is looked at. Doing it again changes nothing.

    :raises CaseUnknown, CaseClosed:
    """
    row, case = await _open(db, keyring, grievance_id, now)
    await _acknowledge(db, row, case, actor, role, now)
    return await _after(db, keyring, grievance_id, now)


async def note(
    db: Connection,
    *,
    keyring: Keyring,
    grievance_id: str,
    actor: str,
    text: str,
    visible: bool,
    now: datetime,
    role: str = "",
) -> Case:
    """
    Write something down on a case, for colleagues, or ``visible`` to the parties too.

    :raises CaseUnknown, CaseClosed:
    """
    row, case = await _open(db, keyring, grievance_id, now)
    await _note(db, keyring, row, actor, text, visible, now)
    await _record(db, case, "noted", actor, {"role": role, "visible": visible}, now)
    if visible:
        fact = events.GrievanceNoted(grievance_id=grievance_id, retailer_id=case.retailer_id, role=role)
        await outbox.publish(db, fact, now=now)
    return await _after(db, keyring, grievance_id, now)


async def review(
    db: Connection, *, keyring: Keyring, grievance_id: str, actor: str, now: datetime, role: str = ""
) -> Case:
    """
    Take a case up: from now on a person answers for it. That acknowledges it too.

    :raises CaseUnknown, CaseClosed:
    """
    row, case = await _open(db, keyring, grievance_id, now)
    await _acknowledge(db, row, case, actor, role, now)
    await store.review(db, grievance_id, actor)
    before = {"status": case.status, "reviewer": case.reviewer}
    after = {"status": "under_review", "reviewer": actor}
    await _record(db, case, "reviewed", actor, {"role": role, "before": before, "after": after}, now)
    return await _after(db, keyring, grievance_id, now)


async def correct(
    db: Connection, *, keyring: Keyring, grievance_id: str, actor: str, correction: str, now: datetime, role: str = ""
) -> Case:
    """
    Note that the data was corrected at its source, visibly, and have the retailer scored again.

    :raises CaseUnknown, CaseClosed, NotUnderReview:
    """
    row, case = await _open(db, keyring, grievance_id, now)
    if case.status != "under_review":
        raise NotUnderReview
    await store.correct(db, grievance_id, now)
    await _note(db, keyring, row, actor, correction, True, now)
    ids = await retailers.canonical(db, retailer_ids=(case.retailer_id,))
    await jobs.enqueue(db, "altscore.refresh", {"retailer_ids": sorted(set(ids.values()))})
    await _record(db, case, "corrected", actor, {"role": role, "score_id": case.score_id}, now)
    return await _after(db, keyring, grievance_id, now)


async def resolve(
    db: Connection,
    *,
    keyring: Keyring,
    grievance_id: str,
    actor: str,
    outcome: Outcome,
    resolution: str,
    now: datetime,
    role: str = "",
) -> Case:
    """
    Close a case after a person's review. Emits ``grievance.resolved``.

    ``corrected`` binds the score that came of the correction; :func:`explain` tells the two apart.

    :raises CaseUnknown, CaseClosed, NotUnderReview:
    :raises RescorePending: nothing was corrected, or there is no newer score yet.
    """
    row, case = await _open(db, keyring, grievance_id, now)
    if case.status != "under_review":
        raise NotUnderReview
    new_score_id = await _new_score(db, case) if outcome == "corrected" else None
    sealed = keyring.seal(resolution.encode(), owner=row["retailer_id"], purpose=RESOLUTION)
    at = await _now_of(db, row, now)
    await store.resolve(db, grievance_id, at=at, outcome=outcome, sealed=sealed, new_score_id=new_score_id)
    fact = events.GrievanceResolved(
        grievance_id=grievance_id,
        retailer_id=case.retailer_id,
        role=role,
        outcome=outcome,
        old_score_id=case.score_id,
        new_score_id=new_score_id,
    )
    await _announce(db, fact, actor, now)
    return await _after(db, keyring, grievance_id, now)


async def escalate_overdue(db: Connection, *, now: datetime) -> list[Escalation]:
    """
    Escalate every clock that has run out, once. Emits ``grievance.escalated`` for each. For a schedule.

    The clocks are the cases' own: setting the system's clock back postpones nothing.
    """
    set_back = await store.tick(db, now, TOLERANCE)
    found = await store.escalate(db, now + set_back, now)
    for one in found:
        fact = events.GrievanceEscalated(
            grievance_id=one.grievance_id, retailer_id=one.retailer_id, clock=one.clock, due_at=one.due_at
        )
        await _announce(db, fact, "system:schedule", now)
    return found


async def forget(db: Connection, *, retailer_ids: Sequence[str]) -> None:
    """Destroy what was written in the cases of a shop (all its ids); that there were cases, and their clocks, stays."""
    await store.forget(db, retailer_ids)


async def _new_score(db: Connection, case: Case) -> str:
    ids = await retailers.canonical(db, retailer_ids=(case.retailer_id,))
    try:
        current = await scoring.latest(db, retailer_id=ids.get(case.retailer_id, case.retailer_id))
    except scoring.NotScored as none:
        raise RescorePending from none
    score_id: str = current["score_id"]
    if case.corrected_at is None or current["scored_at"] <= case.corrected_at or score_id == case.score_id:
        raise RescorePending
    return score_id


async def _open(db: Connection, keyring: Keyring, grievance_id: str, now: datetime) -> tuple[Record, Case]:
    row = await store.find(db, grievance_id, lock=True)
    if row is None:
        raise CaseUnknown
    if row["resolved_at"] is not None:
        raise CaseClosed
    return row, case_of(keyring, row, now, ())


async def _after(db: Connection, keyring: Keyring, grievance_id: str, now: datetime) -> Case:
    row = await store.find(db, grievance_id)
    assert row is not None
    return await shown(db, keyring, row, Party(kind="staff", id=""), now)


async def _acknowledge(db: Connection, row: Record, case: Case, actor: str, role: str, now: datetime) -> None:
    if case.acknowledged_at is None:
        await store.acknowledge(db, case.grievance_id, await _now_of(db, row, now))
        fact = events.GrievanceAcknowledged(grievance_id=case.grievance_id, retailer_id=case.retailer_id, role=role)
        await _announce(db, fact, actor, now)


async def read_clock(db: Connection, *, now: datetime) -> timedelta:
    """Note what the clock says, for all that has a legal clock; return by how much it was set back in all."""
    return await store.tick(db, now, TOLERANCE)


async def _note(
    db: Connection, keyring: Keyring, row: Record, actor: str, text: str, visible: bool, now: datetime
) -> None:
    sealed = keyring.seal(text.encode(), owner=row["retailer_id"], purpose=NOTE)
    await store.add_note(db, row["grievance_id"], at=now, author=actor, visible=visible, sealed=sealed)


async def _now_of(db: Connection, row: Record, now: datetime) -> datetime:
    """Return the time on the case's own clock, for the record."""
    return legal_now(now, set_back=await store.tick(db, now, TOLERANCE), at_filing=row["set_back"])


async def _record(db: Connection, case: Case, what: str, actor: str, details: dict[str, Any], now: datetime) -> None:
    await audit.append(db, actor=actor, action=f"grievance.{what}", subject=case.grievance_id, details=details, now=now)


async def _announce(db: Connection, fact: events.GrievanceFact, actor: str, now: datetime) -> None:
    details = {name: value for name, value in msgspec.structs.asdict(fact).items() if name != "grievance_id"}
    await audit.append(db, actor=actor, action=fact.TYPE, subject=fact.grievance_id, details=details, now=now)
    await outbox.publish(db, fact, now=now)
