"""Data portability: a shop's copy of all that is held of it (API-ALTSCORE-001, section 07; DPDP Act s. 11)."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from altcredit.engine import audit, consent, grievances, identity, retailers, scoring
from altcredit.engine.compliance import store
from altcredit.engine.compliance.events import ExportProduced
from altcredit.engine.compliance.policy import POLICY
from altcredit.runtime import jobs, outbox
from altcredit.runtime.db import Connection, Record
from altcredit.runtime.ids import new_id
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.signing import SigningKeys

SCHEMA: Final = "altcredit.retailer-export.v1"
JOB: Final = "compliance.export"
_SEAL: Final = "compliance.export"


class ExportUnknown(Refusal):
    """There is no such export."""


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """
    A shop's export. ``document``: the JSON, once it is produced and until ``expires_at``; ``sha256`` is over it.

    ``due_at``: 15 days after the request, by the published promise; the worker takes seconds to minutes.
    """

    export_id: str
    retailer_id: str
    status: Literal["requested", "produced", "expired"]
    requested_by: str
    requested_at: datetime
    due_at: datetime
    produced_at: datetime | None
    expires_at: datetime | None
    sha256: str | None
    document: bytes | None


async def export(db: Connection, *, keyring: Keyring, retailer_id: str, requested_by: str, now: datetime) -> Export:
    """
    Return a shop's export: the one that is produced, else the one that is under way, else a new request.

    A worker produces it (job ``compliance.export``), since a ledger is read from the lake. Call again for the document.

    :raises retailers.RetailerUnknown: no retailer has this id, or it is being erased.
    """
    shop = await retailers.profile(db, keyring=keyring, retailer_id=retailer_id)
    if await store.erasure(db, shop.retailer_id) is not None:
        raise retailers.RetailerUnknown("No retailer has this id.")
    await store.serialise(db, shop.retailer_id)
    row = await store.current_export(db, retailer_ids=shop.ids, now=now)
    if row is not None:
        if row["produced_at"] is not None:
            await _note(db, "export.fetched", requested_by, row["export_id"], shop.retailer_id, now)
        return _opened(row, keyring=keyring, now=now)
    export_id = new_id("exp")
    await store.add_export(
        db,
        export_id=export_id,
        retailer_id=shop.retailer_id,
        requested_by=requested_by,
        requested_at=now,
        due_at=now + timedelta(days=POLICY.export.within_days),
        set_back=await grievances.read_clock(db, now=now),
    )
    await jobs.enqueue(db, JOB, {"export_id": export_id})
    await _note(db, "export.requested", requested_by, export_id, shop.retailer_id, now)
    return await find_export(db, keyring=keyring, export_id=export_id, now=now)


async def find_export(db: Connection, *, keyring: Keyring, export_id: str, now: datetime) -> Export:
    """
    Return an export.

    :raises ExportUnknown:
    """
    row = await store.find_export(db, export_id)
    if row is None:
        raise ExportUnknown("There is no such export.")
    return _opened(row, keyring=keyring, now=now)


async def produce(
    db: Connection,
    *,
    keyring: Keyring,
    signing: SigningKeys,
    export_id: str,
    ledger: Sequence[dict[str, Any]],
    now: datetime,
) -> Export:
    """
    Put a requested export together and seal it for its shop. Producing again changes nothing.

    :param ledger: the shop's records in the lake, every version that was sent.
    :raises ExportUnknown: there is no such request (an erasure cancels it).
    """
    row = await store.find_export(db, export_id, lock=True)
    if row is None:
        raise ExportUnknown("There is no such export.")
    if row["produced_at"] is not None:
        return _opened(row, keyring=keyring, now=now)
    document = await _document(db, keyring=keyring, signing=signing, row=row, ledger=ledger, now=now)
    sha256 = hashlib.sha256(document).hexdigest()
    sealed = keyring.seal(document, owner=row["retailer_id"], purpose=_SEAL)
    expires = now + timedelta(days=POLICY.export.keep_days)
    # On record by the request's own time: a clock that was set back since makes nothing that is late be in time.
    behind = max(await grievances.read_clock(db, now=now) - row["set_back"], timedelta())
    await store.produce(
        db, export_id=export_id, produced_at=now + behind, expires_at=expires, sha256=sha256, sealed=sealed
    )
    await _note(db, "export.produced", "system:export", export_id, row["retailer_id"], now)
    await outbox.publish(db, ExportProduced(export_id=export_id, retailer_id=row["retailer_id"]), now=now)
    return await find_export(db, keyring=keyring, export_id=export_id, now=now)


async def shop_of(db: Connection, *, keyring: Keyring, export_id: str) -> str:
    """
    Return the id that now answers for the shop of an export, for whoever reads its ledger.

    :raises ExportUnknown:
    """
    row = await store.find_export(db, export_id)
    if row is None:
        raise ExportUnknown("There is no such export.")
    return (await retailers.profile(db, keyring=keyring, retailer_id=row["retailer_id"])).retailer_id


async def drop_expired(db: Connection, *, now: datetime) -> int:
    """Destroy the documents whose keeping is over; return how many."""
    return await store.drop_exports(db, now=now)


async def _document(
    db: Connection,
    *,
    keyring: Keyring,
    signing: SigningKeys,
    row: Record,
    ledger: Sequence[dict[str, Any]],
    now: datetime,
) -> bytes:
    shop = await retailers.dossier(db, keyring=keyring, retailer_id=row["retailer_id"])
    consents = await consent.records(db, retailer_ids=shop.ids)
    shown = await consent.as_shown(db, keyring=keyring, retailer_ids=shop.ids)
    accesses = await scoring.accesses(db, retailer_ids=shop.ids)
    scores = await scoring.assessments(db, retailer_ids=shop.ids)
    lenders = await identity.lender_names(db, lender_ids=sorted({one.lender_id for one in accesses}))
    distributors = await identity.distributor_names(
        db, distributor_ids=[one.distributor_id for one in shop.distributors]
    )
    return msgspec.json.encode(
        {
            "schema": SCHEMA,
            "export_id": row["export_id"],
            "retailer_id": shop.retailer_id,
            "requested_at": row["requested_at"],
            "produced_at": now,
            "identity": shop,
            "distributors": [
                {**msgspec.to_builtins(one), "name": distributors.get(one.distributor_id)} for one in shop.distributors
            ],
            "consents": [_consent(one, shown.get(one.consent_id), signing) for one in consents],
            "ledger": list(ledger),
            "scores": scores,
            "accesses": [{**msgspec.to_builtins(one), "lender": lenders.get(one.lender_id)} for one in accesses],
            "grievances": await grievances.of_retailer(
                db, keyring=keyring, retailer_id=shop.retailer_id, now=now, limit=10_000
            ),
            "history": await _history(db, shop.ids),
        }
    )


def _consent(one: consent.Recorded, shown: consent.Shown | None, signing: SigningKeys) -> dict[str, Any]:
    record = msgspec.json.decode(one.record)
    return {
        "record": record,
        "shown": record["notice"]["text"] if shown is None else shown.text,
        "disclosure": None if shown is None else shown.disclosure,
        "signature": one.signature.hex(),
        "key_id": one.key_id,
        "public_key": signing.public_pem(one.key_id),
        "revoked_at": one.revoked_at,
        "revocation": one.revocation,
    }


async def _history(db: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return what the audit log says of the shop itself."""
    events = [event for one in ids for event in await audit.read(db, subject=one, limit=1_000)]
    return [{"at": one.at, "action": one.action, "actor": one.actor} for one in sorted(events, key=lambda e: e.at)]


def _opened(row: Record, *, keyring: Keyring, now: datetime) -> Export:
    produced, gone = row["produced_at"] is not None, row["sealed"] is None or row["expires_at"] <= now
    document = None
    if produced and not gone:
        document = keyring.unseal(row["sealed"], owner=row["retailer_id"], purpose=_SEAL)
    return Export(
        export_id=row["export_id"],
        retailer_id=row["retailer_id"],
        status="requested" if not produced else "expired" if gone else "produced",
        requested_by=row["requested_by"],
        requested_at=row["requested_at"],
        due_at=row["due_at"],
        produced_at=row["produced_at"],
        expires_at=row["expires_at"],
        sha256=row["sha256"],
        document=document,
    )


async def _note(db: Connection, action: str, actor: str, export_id: str, retailer_id: str, now: datetime) -> None:
    details = {"retailer_id": retailer_id}
    await audit.append(db, actor=actor, action=action, subject=export_id, details=details, now=now)
