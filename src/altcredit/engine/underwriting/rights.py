"""An applicant's file: shown, erased, and let go of when its time is over (LGPD, art. 16 and 18)."""

from datetime import date, datetime
from typing import Any

import msgspec

from altcredit.engine import audit, delivery, sources
from altcredit.engine.underwriting import store
from altcredit.engine.underwriting.outcomes import CardOutcome, Quarantined, Reading, judge
from altcredit.engine.underwriting.retention import RETENTION
from altcredit.engine.underwriting.standing import (
    SEALED_APPLICATION,
    SEALED_FEATURES,
    SEALED_REASON,
    RequestUnknown,
)
from altcredit.runtime.db import Connection
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Refusal


class ErasureImpossible(Refusal):
    """The application is being worked on, or was erased before."""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file of outcomes. ``mature``: how many of the recorded are good or bad for good."""

    recorded: int
    mature: int
    bad: int
    quarantined: tuple[Quarantined, ...]


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """What can be learnt from one granted card: what it was decided from, and how it went."""

    subject: str
    """An opaque name of the person, the same in each of their applications."""
    accepted_at: datetime
    features: dict[str, float | None]
    outcome: CardOutcome


async def applications_of(db: Connection, *, keyring: Keyring, cpf: str) -> list[str]:
    """Return the ids of a person's applications to any partner, the oldest first."""
    return await store.by_subject(db, keyring.hmac("cpf", cpf))


async def export(db: Connection, *, keyring: Keyring, request_id: str, actor: str, now: datetime) -> dict[str, Any]:
    """
    Return all that is kept of an application, unsealed, as plain values for JSON; the look is recorded.

    :raises RequestUnknown: there is none, or it was erased.
    """
    row = await store.file(db, request_id)
    if row is None or row["erased_at"] is not None:
        raise RequestUnknown(f"There is no application {request_id}")
    shown: dict[str, Any] = {name: row[name] for name in row.keys() if not name.startswith("sealed")}  # noqa: SIM118
    shown.pop("erased_at")
    shown["decision"] = msgspec.json.decode(row["decision"]) if row["decision"] else None
    shown["request"] = _opened(keyring, row["sealed"], request_id, SEALED_APPLICATION)
    shown["features"] = _opened(keyring, row["sealed_features"], request_id, SEALED_FEATURES)
    shown["sources"] = await sources.answers(db, keyring=keyring, request_id=request_id)
    page = await delivery.list_deliveries(db, partner_id=row["partner_id"], request_id=request_id)
    shown["callbacks"] = msgspec.to_builtins(page.deliveries)
    shown["reviews"] = [_review(keyring, dict(one), request_id) for one in await store.reviews(db, request_id)]
    outcome = (await store.granted(db, [request_id]))[request_id].before
    shown["outcome_of_the_card"] = msgspec.to_builtins(outcome)
    await audit.append(db, actor=actor, action="underwriting.exported", subject=request_id, details={}, now=now)
    return shown


def _opened(keyring: Keyring, sealed: bytes | None, request_id: str, purpose: str) -> Any:
    return None if sealed is None else msgspec.json.decode(keyring.unseal(sealed, owner=request_id, purpose=purpose))


def _review(keyring: Keyring, values: dict[str, Any], request_id: str) -> dict[str, Any]:
    sealed = values.pop("sealed")
    reason = None if sealed is None else keyring.unseal(sealed, owner=request_id, purpose=SEALED_REASON).decode()
    return values | {"reason": reason}


async def erase(db: Connection, *, request_id: str, reason: str, actor: str, now: datetime) -> None:
    """
    Erase what an application tells of its person: request, features, answers, callbacks, reviews, outcome.

    Decision, band, limit, reasons, prices and versions stay under the opaque id, which nothing links to the person any
    more: a record of the decision that the lender of record has to keep (LGPD, art. 16, I). Callbacks that have not
    arrived by then never will. For partners the application is gone. Backups hold it until they expire.

    :raises RequestUnknown, ErasureImpossible:
    """
    if await store.file(db, request_id) is None:
        raise RequestUnknown(f"There is no application {request_id}")
    if not await store.erase(db, request_id, now=now):
        raise ErasureImpossible(f"{request_id} is being worked on, or was erased before")
    await sources.erase(db, request_id=request_id)
    await delivery.erase(db, request_id=request_id)
    details = {"reason": reason}
    await audit.append(db, actor=actor, action="underwriting.erased", subject=request_id, details=details, now=now)


async def purge(db: Connection, *, now: datetime) -> dict[str, int]:
    """Destroy what is past its keeping (``retention.toml``); return how many of each. For a schedule."""
    counts = await store.purge(
        db,
        requests=RETENTION.requests.before(now),
        features=RETENTION.features.before(now),
        reviews=RETENTION.reviews.before(now),
    )
    counts["answers"] = await sources.purge_answers(db, before=RETENTION.answers.before(now))
    counts["callbacks"] = await delivery.purge(db, before=RETENTION.callbacks.before(now))
    return counts


async def import_outcomes(
    db: Connection, reading: Reading, *, today: date, sha256: str, actor: str, now: datetime
) -> Imported:
    """
    Record how granted cards went, as far as a file can be believed; a later observation takes an earlier one's place.

    :param sha256: of the file, for the record.
    """
    known = await store.granted(db, [row.request_id for _, row in reading.rows])
    good, quarantined = judge(reading, known, today=today)
    await store.record_outcomes(db, good, now=now)
    details = {"rows": len(good), "quarantined": len(quarantined), "sha256": sha256}
    await audit.append(
        db, actor=actor, action="underwriting.outcomes_imported", subject="underwriting", details=details, now=now
    )
    return Imported(
        recorded=len(good),
        mature=sum(one.is_mature for one in good),
        bad=sum(one.is_mature and one.is_bad for one in good),
        quarantined=quarantined,
    )


async def lessons(db: Connection, *, keyring: Keyring) -> list[Lesson]:
    """Return what can be learnt from granted cards whose features are still kept, the oldest first."""
    return [
        Lesson(
            subject=row["subject_hash"].hex(),
            accepted_at=row["accepted_at"],
            features=_opened(keyring, row["sealed_features"], row["request_id"], SEALED_FEATURES),
            outcome=CardOutcome(**{name: row[name] for name in CardOutcome.__struct_fields__}),
        )
        for row in await store.outcomes(db)
    ]
