"""The SQL of the consent ledger."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from altcredit.engine.consent.ledger import Active, Consent, Entry
from altcredit.runtime.db import Connection, Record

INSERT = """
INSERT INTO consent (consent_id, retailer_id, lender_ids, distributor_ids, purpose, granted_at, expires_at,
                     record, signature, key_id, sealed_business)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
FIND = """
SELECT consent_id, retailer_id, lender_ids, distributor_ids, purpose, granted_at, expires_at, record, signature, key_id,
       revoked_at
FROM consent WHERE consent_id = $1
"""
LOCK = FIND + " FOR UPDATE"
OF_RETAILERS = "SELECT consent_id FROM consent WHERE retailer_id = ANY($1) AND revoked_at IS NULL"
RECORDS = """
SELECT consent_id, record, signature, key_id, revoked_at, revocation::text AS revocation FROM consent
WHERE retailer_id = ANY($1) ORDER BY granted_at, consent_id
"""
# What opens the shop's name in a signed text. Erasure destroys it; the record and its signature are not touched.
BUSINESSES = """
SELECT consent_id, record, sealed_business FROM consent WHERE retailer_id = ANY($1) AND sealed_business IS NOT NULL
"""
FORGET_BUSINESSES = "UPDATE consent SET sealed_business = NULL WHERE retailer_id = ANY($1)"
REVOKE = "UPDATE consent SET revoked_at = $2, revocation = $3 WHERE consent_id = $1 AND revoked_at IS NULL"
HEAD = """
SELECT retailer_id, purposes, consent_ids, expires_at FROM consent_head WHERE head_key = $1
"""
HEAD_FOR_UPDATE = HEAD + " FOR UPDATE"
# Serialises grants and revocations of one shop; readers never wait for it.
SERIALISE = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7242002))"
PUT_HEAD = """
INSERT INTO consent_head (head_key, retailer_id, lender_id, requested_id, purposes, consent_ids, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (head_key) DO UPDATE
SET retailer_id = EXCLUDED.retailer_id, purposes = EXCLUDED.purposes, consent_ids = EXCLUDED.consent_ids,
    expires_at = EXCLUDED.expires_at
"""
DROP_HEAD = "DELETE FROM consent_head WHERE head_key = $1"
ENTRIES = """
SELECT consent_id, lender_ids, purpose, granted_at, expires_at, revoked_at FROM consent WHERE retailer_id = ANY ($1)
"""
CLEAR_HEADS = "DELETE FROM consent_head WHERE requested_id = ANY ($1)"
CLEAR_GST_HEADS = "DELETE FROM consent_gst_head WHERE retailer_id = ANY ($1)"
PUT_GST_HEAD = """
INSERT INTO consent_gst_head (head_key, retailer_id, expires_at) VALUES ($1, $2, $3)
ON CONFLICT (head_key) DO UPDATE SET retailer_id = EXCLUDED.retailer_id, expires_at = EXCLUDED.expires_at
"""
DROP_GST_HEAD = "DELETE FROM consent_gst_head WHERE head_key = $1"
# What may be used for whom: the union of the distributors that live grants of a shop name.
SCOPE = """
SELECT h.retailer_id, array_agg(DISTINCT d) AS distributor_ids
FROM consent_head h
CROSS JOIN LATERAL unnest(h.purposes, h.consent_ids, h.expires_at) AS live (purpose, consent_id, expires_at)
JOIN consent c USING (consent_id)
CROSS JOIN LATERAL unnest(c.distributor_ids) AS d
WHERE live.expires_at > $1 AND (live.purpose = 'model_development') = $2
  AND ($3::text[] IS NULL OR h.retailer_id = ANY($3))
GROUP BY h.retailer_id
"""


async def insert(
    db: Connection,
    consent: Consent,
    record: bytes,
    signature: bytes,
    key_id: str,
    *,
    sealed_business: bytes | None,
    granted_at: datetime,
) -> None:
    await db.execute(
        INSERT,
        consent.consent_id,
        consent.retailer_id,
        list(consent.lender_scope),
        list(consent.distributor_ids),
        consent.purpose,
        granted_at,
        consent.expires_at,
        record,
        signature,
        key_id,
        sealed_business,
    )


async def find(db: Connection, consent_id: str, *, lock: bool = False) -> Record | None:
    return await db.fetchrow(LOCK if lock else FIND, consent_id)


async def standing(db: Connection, retailer_ids: Iterable[str]) -> list[str]:
    """Return the consents of a shop that were not revoked."""
    return [row["consent_id"] for row in await db.fetch(OF_RETAILERS, list(retailer_ids))]


async def records(db: Connection, retailer_ids: Iterable[str]) -> list[Record]:
    rows: list[Record] = await db.fetch(RECORDS, list(retailer_ids))
    return rows


async def businesses(db: Connection, retailer_ids: Iterable[str]) -> list[Record]:
    """Return the consents of a shop whose notice called it by name, with what opens the name."""
    rows: list[Record] = await db.fetch(BUSINESSES, list(retailer_ids))
    return rows


async def forget_businesses(db: Connection, retailer_ids: Iterable[str]) -> None:
    await db.execute(FORGET_BUSINESSES, list(retailer_ids))


async def revoke(db: Connection, consent_id: str, at: datetime, revocation: str) -> None:
    await db.execute(REVOKE, consent_id, at, revocation)


async def serialise(db: Connection, retailer_id: str) -> None:
    await db.execute(SERIALISE, retailer_id)


def actives(row: Record | None) -> tuple[Active, ...]:
    if row is None:
        return ()
    return tuple(
        Active(purpose=purpose, consent_id=consent_id, expires_at=expires_at)
        for purpose, consent_id, expires_at in zip(row["purposes"], row["consent_ids"], row["expires_at"], strict=True)
    )


async def head(db: Connection, head_key: bytes) -> tuple[Active, ...]:
    return actives(await db.fetchrow(HEAD, head_key))


async def put_head(
    db: Connection, head_key: bytes, *, retailer_id: str, lender_id: str, requested_id: str, active: Sequence[Active]
) -> None:
    if not active:
        await db.execute(DROP_HEAD, head_key)
        return
    await db.execute(
        PUT_HEAD,
        head_key,
        retailer_id,
        lender_id,
        requested_id,
        [one.purpose for one in active],
        [one.consent_id for one in active],
        [one.expires_at for one in active],
    )


async def put_gst_head(db: Connection, head_key: bytes, *, retailer_id: str, expires_at: datetime | None) -> None:
    if expires_at is None:
        await db.execute(DROP_GST_HEAD, head_key)
    else:
        await db.execute(PUT_GST_HEAD, head_key, retailer_id, expires_at)


async def entries(db: Connection, retailer_ids: Iterable[str]) -> list[Entry]:
    rows = await db.fetch(ENTRIES, list(retailer_ids))
    return [Entry(**{**row, "lender_ids": tuple(row["lender_ids"])}) for row in rows]


async def clear_heads(db: Connection, retailer_ids: Iterable[str]) -> None:
    ids = list(retailer_ids)
    await db.execute(CLEAR_HEADS, ids)
    await db.execute(CLEAR_GST_HEADS, ids)


async def scope(
    db: Connection, *, now: datetime, model_development: bool, retailer_ids: Sequence[str] | None
) -> dict[str, tuple[str, ...]]:
    given: Any = None if retailer_ids is None else list(retailer_ids)
    rows = await db.fetch(SCOPE, now, model_development, given)
    return {row["retailer_id"]: tuple(sorted(row["distributor_ids"])) for row in rows}
