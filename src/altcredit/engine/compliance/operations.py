"""Erasure: halted and unlinked at once, then by dated steps until the certificate (contract D1)."""

from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import msgspec

from altcredit.engine import audit, consent, grievances, ingestion, messaging, retailers, scoring
from altcredit.engine.compliance import store
from altcredit.engine.compliance.erasure import STEPS, Certificate, Erasure, Name, Step, certified, schedule
from altcredit.engine.compliance.events import ErasureRequested, RetailerErased
from altcredit.engine.compliance.policy import POLICY
from altcredit.runtime import outbox
from altcredit.runtime.db import Connection
from altcredit.runtime.ids import new_id
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.signing import SigningKeys


class ErasureUnknown(Refusal):
    """There is no such erasure, and none of a retailer of this id."""


class ErasureUnderWay(Refusal):
    """There is no certificate before the last step is done."""


class StepNotDue(Refusal):
    """The step was done, is not due yet, or another comes before it."""


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A step that is to be carried out now, and of whom."""

    erasure_id: str
    step: Name
    retailer_ids: tuple[str, ...]
    distributor_ids: tuple[str, ...]
    facts: dict[str, Any]


async def request_erasure(
    db: Connection,
    *,
    keyring: Keyring,
    retailer_id: str,
    requested_by: str,
    reason: str,
    now: datetime,
    approved_by: str | None = None,
) -> Erasure:
    """
    Halt and unlink a shop now, and date the destruction of its data (API-ALTSCORE-001, section 07; contract D1).

    When this commits, every consent of the shop is ended, no GSTIN, phone or code leads to it, and lenders are refused
    as for an unknown shop. Requesting again changes nothing and returns the erasure under way.

    :param requested_by, approved_by: actors (``staff:stf_…``, ``retailer:ret_…``); ``reason``: no personal data, since
        it stays in the audit log.
    :raises retailers.RetailerUnknown: no retailer has this id.
    """
    known = (await retailers.canonical(db, retailer_ids=(retailer_id,))).get(retailer_id)
    if known is None:
        raise retailers.RetailerUnknown("No retailer has this id.")
    await store.serialise(db, known)
    under_way = await store.erasure(db, known)
    if under_way is not None:
        return under_way
    # Consents first: revoking one drops the look-up rows of the GSTINs that the identity still tells.
    ids = (await retailers.profile(db, keyring=keyring, retailer_id=known)).ids
    ended = await consent.end_all(db, keyring=keyring, actor=requested_by, retailer_ids=ids, reason="erasure", now=now)
    shop = await retailers.unlink(db, retailer_id=known)
    await scoring.withdraw(db, retailer_ids=shop.ids)
    await store.drop_exports_of(db, shop.ids)
    erasure = Erasure(
        erasure_id=new_id("era"),
        retailer_id=known,
        retailer_ids=shop.ids,
        distributor_ids=shop.distributor_ids,
        requested_by=requested_by,
        approved_by=approved_by,
        reason=reason,
        policy_version=POLICY.version,
        requested_at=now,
        due_at=now + timedelta(days=POLICY.erasure.within_days),
        completed_at=None,
        steps=schedule(POLICY, requested_at=now),
        set_back=await grievances.read_clock(db, now=now),
    )
    await store.add_erasure(db, erasure, identifiers=shop.identifiers)
    facts = {"consents_ended": ended, "identifiers_removed": len(shop.identifiers)}
    await store.finish_step(db, erasure.erasure_id, "halt", now, facts)
    details = {
        "retailer_ids": list(shop.ids),
        "reason": reason,
        "approved_by": approved_by,
        "due_at": erasure.due_at,
        "policy": POLICY.version,
        "consents_ended": ended,
    }
    await _say(db, ErasureRequested, "erasure.requested", requested_by, erasure, details, now)
    return await find_erasure(db, erasure_id=erasure.erasure_id)


async def find_erasure(db: Connection, *, erasure_id: str) -> Erasure:
    """
    Return an erasure, by its id or by any id of its shop.

    :raises ErasureUnknown:
    """
    found = await store.erasure(db, erasure_id)
    if found is None:
        raise ErasureUnknown("There is no such erasure.")
    return _timed(found, await grievances.set_back(db))


def _timed(erasure: Erasure, set_back: timedelta) -> Erasure:
    """Return an erasure that knows its own time."""
    return msgspec.structs.replace(erasure, behind=max(set_back - erasure.set_back, timedelta()))


async def certificate(db: Connection, *, erasure_id: str) -> Certificate:
    """
    Return the signed certificate of an erasure that is done.

    :raises ErasureUnknown:
    :raises ErasureUnderWay:
    """
    found = await find_erasure(db, erasure_id=erasure_id)
    if found.certificate is None:
        waits = found.next.step if found.next else "certificate"
        raise ErasureUnderWay(f"{found.erasure_id} waits for {waits}; it is due by {found.due_at:%Y-%m-%d}.")
    return found.certificate


async def erasures(db: Connection, *, open_only: bool = False) -> list[Erasure]:
    """Return erasures: those under way, the most urgent first, then those that are done."""
    set_back = await grievances.set_back(db)
    return [_timed(one, set_back) for one in await store.erasures(db, open_only=open_only)]


async def due_steps(db: Connection, *, now: datetime) -> list[Due]:
    """Return the next step of every erasure under way, where it is due."""
    await grievances.read_clock(db, now=now)
    return [
        Due(
            erasure_id=one.erasure_id,
            step=one.next.step,
            retailer_ids=one.retailer_ids,
            distributor_ids=one.distributor_ids,
            facts=one.next.facts,
        )
        for one in await erasures(db, open_only=True)
        if one.next is not None and one.is_due(now)
    ]


async def note_progress(db: Connection, *, erasure_id: str, step: Name, facts: Mapping[str, Any]) -> None:
    """Keep what a step that takes several goes has done so far."""
    await store.lock_erasure(db, erasure_id)
    await store.note_step(db, erasure_id, step, dict(facts))


async def carry_out(
    db: Connection,
    *,
    keyring: Keyring,
    signing: SigningKeys,
    erasure_id: str,
    step: Name,
    facts: Mapping[str, Any] | None = None,
    now: datetime,
) -> Erasure:
    """
    Do a step that is due, record what it did, and after the last one sign the certificate.

    Everything happens in the caller's transaction, so that a kill leaves a step undone or done. ``facts``: what was
    done beforehand outside the database, which is the caller's to do: the lake's rows (step ``lake``).

    :raises ErasureUnknown:
    :raises StepNotDue: the step was done, is not due, or another comes before it.
    """
    identifiers = await store.lock_erasure(db, (await find_erasure(db, erasure_id=erasure_id)).erasure_id)
    erasure = await find_erasure(db, erasure_id=erasure_id)
    if erasure.next is None or erasure.next.step != step or not erasure.is_due(now):
        raise StepNotDue(f"{step} is not what {erasure_id} waits for now.")
    done = {**(facts or {}), **await _WORK[step](db, keyring, erasure, identifiers, now)}
    await store.finish_step(db, erasure_id, step, now + erasure.behind, done)
    await audit.append(db, actor="system:erasure", action=f"erasure.{step}", subject=erasure_id, details=done, now=now)
    erasure = await find_erasure(db, erasure_id=erasure_id)
    if erasure.next is not None:
        return erasure
    return await _certify(db, signing=signing, erasure=erasure, now=now)


async def _certify(db: Connection, *, signing: SigningKeys, erasure: Erasure, now: datetime) -> Erasure:
    completed_at = now + erasure.behind
    record = certified(erasure, POLICY, completed_at=completed_at)
    key_id, signature = signing.sign("receipt", record)
    await store.certify(
        db, erasure.erasure_id, completed_at, Certificate(record=record, signature=signature, key_id=key_id)
    )
    details = {"retailer_ids": list(erasure.retailer_ids), "in_time": completed_at <= erasure.due_at, "key_id": key_id}
    await _say(db, RetailerErased, "erasure.completed", "system:erasure", erasure, details, now)
    return await find_erasure(db, erasure_id=erasure.erasure_id)


async def _say(
    db: Connection,
    fact: type[ErasureRequested | RetailerErased],
    action: str,
    actor: str,
    erasure: Erasure,
    details: dict[str, Any],
    now: datetime,
) -> None:
    await audit.append(db, actor=actor, action=action, subject=erasure.erasure_id, details=details, now=now)
    said = fact(erasure_id=erasure.erasure_id, retailer_id=erasure.retailer_id, due_at=erasure.due_at)
    await outbox.publish(db, said, now=now)


Work: TypeAlias = Callable[
    [Connection, Keyring, Erasure, frozenset[bytes], datetime], Coroutine[Any, Any, dict[str, Any]]
]


async def _scores(
    db: Connection, _keyring: Keyring, erasure: Erasure, _identifiers: frozenset[bytes], _now: datetime
) -> dict[str, Any]:
    erased = await scoring.erase(db, retailer_ids=erasure.retailer_ids)
    return {"deleted": erased.assessments, "months_deleted": erased.snapshots, "kept_without_features": erased.kept}


async def _quarantine(
    db: Connection, keyring: Keyring, erasure: Erasure, identifiers: frozenset[bytes], _now: datetime
) -> dict[str, Any]:
    gone = await ingestion.erase(
        db,
        keyring=keyring,
        retailer_ids=erasure.retailer_ids,
        distributor_ids=erasure.distributor_ids,
        identifiers=identifiers,
    )
    return {"quarantined_records_dropped": gone}


async def _key(
    db: Connection, _keyring: Keyring, erasure: Erasure, identifiers: frozenset[bytes], now: datetime
) -> dict[str, Any]:
    # Once more, for what a run that was under way at the halt may have stored after the scores went.
    late = await scoring.erase(db, retailer_ids=erasure.retailer_ids)
    await grievances.forget(db, retailer_ids=erasure.retailer_ids)
    await messaging.forget(db, phones=identifiers, retailer_ids=erasure.retailer_ids)
    destroyed = await retailers.destroy(db, retailer_ids=erasure.retailer_ids)
    await store.drop_exports_of(db, erasure.retailer_ids)
    await store.forget_identifiers(db, erasure.erasure_id)
    # The last backup with the key is as old as today.
    await store.postpone(db, erasure.erasure_id, "backups", now + POLICY.backups_kept)
    return {"keys_destroyed": destroyed, "scores_deleted_late": late.assessments}


async def _backups(
    _db: Connection, _keyring: Keyring, erasure: Erasure, _identifiers: frozenset[bytes], now: datetime
) -> dict[str, Any]:
    destroyed = _step(erasure, "key").done_at
    assert destroyed is not None
    return {"kept_days": POLICY.backups.keep_days, "none_older_than": now - POLICY.backups_kept, "key_gone": destroyed}


def _step(erasure: Erasure, name: Name) -> Step:
    return erasure.steps[STEPS.index(name)]


_WORK: Mapping[Name, Work] = {"scores": _scores, "lake": _quarantine, "key": _key, "backups": _backups}
