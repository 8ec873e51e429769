from collections.abc import Iterable, Sequence
from datetime import date, datetime

import msgspec

from altcredit.engine.retailers.matching import Shop
from altcredit.runtime.db import Connection
from altcredit.runtime.locks import Lock

# Identities are decided one batch at a time, in a short transaction: two batches that name the same new shop at once
# get one id.
LOCK = f"SELECT pg_advisory_xact_lock({Lock.RETAILERS})"

# With the database's own number, since one process may hold pools on several.
EPOCH = """
SELECT epoch, (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database FROM retailer_epoch
"""
BUMP_EPOCH = "UPDATE retailer_epoch SET epoch = epoch + 1"

KNOWN = """
SELECT i.kind, i.hash, coalesce(a.retailer_id, i.retailer_id) AS retailer_id
FROM retailer_identifier i LEFT JOIN retailer_alias a ON a.alias_id = i.retailer_id
WHERE i.hash = ANY($1::bytea[])
"""

SHOPS = """
WITH member AS (
    SELECT id AS root, id FROM unnest($1::text[]) AS asked (id)
    UNION ALL
    SELECT retailer_id, alias_id FROM retailer_alias WHERE retailer_id = ANY($1::text[])
)
SELECT r.retailer_id, r.seniority, r.name_hash,
    ARRAY(SELECT i.hash FROM member m JOIN retailer_identifier i ON i.retailer_id = m.id
          WHERE m.root = r.retailer_id AND i.kind = 'gst') AS gsts,
    (SELECT coalesce(sum(d.refs), 0)::int FROM member m JOIN retailer_distributor d ON d.retailer_id = m.id
     WHERE m.root = r.retailer_id AND d.distributor_id = $2) AS refs
FROM retailer r WHERE r.retailer_id = ANY($1::text[])
"""

APART = """
SELECT survivor_id, absorbed_id FROM retailer_merge
WHERE undone_at IS NOT NULL AND (survivor_id = ANY($1::text[]) OR absorbed_id = ANY($1::text[]))
"""

CREATE = """
INSERT INTO retailer (retailer_id, created_at, sealed, name_hash)
SELECT id, $1, sealed, name_hash
FROM unnest($2::text[], $3::bytea[], $4::bytea[]) WITH ORDINALITY AS n (id, sealed, name_hash, place) ORDER BY place
"""

ATTACH = """
INSERT INTO retailer_identifier (hash, retailer_id, kind, distributor_id)
SELECT hash, retailer_id, kind, $1 FROM unnest($2::bytea[], $3::text[], $4::text[]) AS n (hash, retailer_id, kind)
ON CONFLICT (hash, retailer_id) DO NOTHING
"""

MOVE = """
UPDATE retailer_identifier i SET retailer_id = n.retailer_id
FROM unnest($1::bytea[], $2::text[]) AS n (hash, retailer_id) WHERE i.hash = n.hash AND i.kind = 'ref'
"""

SEALED = "SELECT retailer_id, sealed FROM retailer WHERE retailer_id = ANY($1::text[]) ORDER BY retailer_id FOR UPDATE"

SEALED_OF_SHOP = """
SELECT retailer_id, sealed FROM retailer
WHERE retailer_id = $1 OR retailer_id IN (SELECT alias_id FROM retailer_alias WHERE retailer_id = $1)
"""
RESEAL = """
UPDATE retailer r SET sealed = n.sealed, name_hash = coalesce(n.name_hash, r.name_hash)
FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS n (id, sealed, name_hash) WHERE r.retailer_id = n.id
"""

SEEN = """
INSERT INTO retailer_distributor (retailer_id, distributor_id, first_seen, last_seen, refs, has_gst, has_phone)
SELECT id, $1, $2, $2, refs, has_gst, has_phone
FROM unnest($3::text[], $4::int[], $5::bool[], $6::bool[]) AS n (id, refs, has_gst, has_phone) ORDER BY id
ON CONFLICT (retailer_id, distributor_id) DO UPDATE SET
    last_seen = greatest(retailer_distributor.last_seen, excluded.last_seen),
    refs = retailer_distributor.refs + excluded.refs,
    has_gst = retailer_distributor.has_gst OR excluded.has_gst,
    has_phone = retailer_distributor.has_phone OR excluded.has_phone
"""

MERGE = """
INSERT INTO retailer_merge (survivor_id, absorbed_id, evidence, merged_at)
SELECT survivor, absorbed, evidence, $1
FROM unnest($2::text[], $3::text[], $4::text[]) AS n (survivor, absorbed, evidence)
RETURNING merge_id
"""

# What answered by an absorbed id now answers by the survivor's; then the absorbed id does too.
REPOINT = """
UPDATE retailer_alias a SET retailer_id = n.root
FROM unnest($1::text[], $2::text[]) AS n (absorbed, root) WHERE a.retailer_id = n.absorbed
"""
ALIAS = "INSERT INTO retailer_alias (alias_id, retailer_id) SELECT * FROM unnest($1::text[], $2::text[])"

UNDO = """
UPDATE retailer_merge SET undone_at = $2 WHERE merge_id = $1 AND undone_at IS NULL
RETURNING survivor_id, absorbed_id
"""

# All that stands merged into the absorbed id, directly or by way of others, goes back to it.
SPLIT = """
WITH RECURSIVE below AS (
    SELECT $1::text AS id
    UNION
    SELECT m.absorbed_id FROM retailer_merge m JOIN below ON m.survivor_id = below.id WHERE m.undone_at IS NULL
), freed AS (
    DELETE FROM retailer_alias WHERE alias_id = $1
)
UPDATE retailer_alias SET retailer_id = $1 WHERE alias_id <> $1 AND alias_id IN (SELECT id FROM below)
"""

CANONICAL = """
SELECT r.retailer_id AS asked, coalesce(a.retailer_id, r.retailer_id) AS retailer_id, coalesce(c.seniority, r.seniority)
    AS seniority
FROM retailer r
LEFT JOIN retailer_alias a ON a.alias_id = r.retailer_id
LEFT JOIN retailer c ON c.retailer_id = a.retailer_id
WHERE r.retailer_id = ANY($1::text[])
"""

BY_NAME = """
SELECT coalesce(a.retailer_id, i.retailer_id)
FROM retailer_identifier i LEFT JOIN retailer_alias a ON a.alias_id = i.retailer_id
WHERE i.hash = $1 AND i.kind <> 'phone'
"""

BY_PHONE = """
WITH shop AS (
    SELECT DISTINCT coalesce(a.retailer_id, i.retailer_id) AS id
    FROM retailer_identifier i LEFT JOIN retailer_alias a ON a.alias_id = i.retailer_id
    WHERE i.hash = $1 AND i.kind = 'phone'
)
SELECT shop.id FROM shop JOIN retailer r ON r.retailer_id = shop.id
WHERE EXISTS (
    SELECT FROM retailer_distributor d LEFT JOIN retailer_alias a ON a.alias_id = d.retailer_id
    WHERE d.distributor_id = $2 AND d.retailer_id IN (
        SELECT shop.id UNION ALL SELECT alias_id FROM retailer_alias WHERE retailer_id = shop.id
    )
)
ORDER BY r.seniority
"""

OF_PHONE = """
SELECT DISTINCT coalesce(a.retailer_id, i.retailer_id) AS id
FROM retailer_identifier i LEFT JOIN retailer_alias a ON a.alias_id = i.retailer_id
WHERE i.hash = $1 AND i.kind = 'phone' ORDER BY 1
"""

DISTRIBUTORS_OF_PHONE = """
WITH shop AS (
    SELECT DISTINCT coalesce(a.retailer_id, i.retailer_id) AS id
    FROM retailer_identifier i LEFT JOIN retailer_alias a ON a.alias_id = i.retailer_id
    WHERE i.hash = $1 AND i.kind = 'phone'
), member AS (
    SELECT id FROM shop UNION SELECT a.alias_id FROM retailer_alias a JOIN shop ON shop.id = a.retailer_id
)
SELECT DISTINCT d.distributor_id FROM retailer_distributor d JOIN member ON member.id = d.retailer_id ORDER BY 1
"""

# Erasure: the identifiers go at once, so that nothing finds the shop; what is sealed goes with its data key, later. A
# null `sealed` says that the key was destroyed; ids and merges stay, since signed records name them.
MEMBERS = "SELECT $1::text AS id UNION SELECT alias_id FROM retailer_alias WHERE retailer_id = $1 ORDER BY 1"
DISTRIBUTORS = """
SELECT distributor_id, min(first_seen) AS first_seen, max(last_seen) AS last_seen
FROM retailer_distributor WHERE retailer_id = ANY($1::text[]) GROUP BY distributor_id ORDER BY distributor_id
"""
UNLINK = "DELETE FROM retailer_identifier WHERE retailer_id = ANY($1::text[]) RETURNING hash"
FORGET_NAMES = "UPDATE retailer SET name_hash = NULL WHERE retailer_id = ANY($1::text[])"
DESTROY = (
    "UPDATE retailer SET sealed = NULL, name_hash = NULL WHERE retailer_id = ANY($1::text[]) AND sealed IS NOT NULL"
)
FORGET_SIGHTINGS = "DELETE FROM retailer_distributor WHERE retailer_id = ANY($1::text[])"
SEALED_IDENTITIES = (
    "SELECT retailer_id, sealed FROM retailer WHERE retailer_id = ANY($1::text[]) AND sealed IS NOT NULL"
)
CREATED = "SELECT min(created_at) FROM retailer WHERE retailer_id = ANY($1::text[])"


class Known(msgspec.Struct):
    """What the database knows of the identifiers of one batch."""

    named: dict[bytes, Shop]
    phones: dict[bytes, list[Shop]]
    apart: set[frozenset[str]]


async def lock(db: Connection) -> None:
    await db.execute(LOCK)


async def epoch(db: Connection) -> tuple[int, int]:
    row = await db.fetchrow(EPOCH)
    return row["database"], row["epoch"]


async def bump_epoch(db: Connection) -> None:
    await db.execute(BUMP_EPOCH)


async def known(db: Connection, *, distributor_id: str, hashes: list[bytes]) -> Known:
    hits = await db.fetch(KNOWN, hashes)
    ids = sorted({hit["retailer_id"] for hit in hits})
    rows = await db.fetch(SHOPS, ids, distributor_id)
    shops = {
        row["retailer_id"]: Shop(
            retailer_id=row["retailer_id"],
            seniority=row["seniority"],
            gsts=set(row["gsts"]),
            refs=row["refs"],
            name_hash=row["name_hash"],
        )
        for row in rows
    }
    phones: dict[bytes, list[Shop]] = {}
    for hit in hits:
        if hit["kind"] == "phone" and shops[hit["retailer_id"]] not in phones.setdefault(hit["hash"], []):
            phones[hit["hash"]].append(shops[hit["retailer_id"]])
    return Known(
        named={hit["hash"]: shops[hit["retailer_id"]] for hit in hits if hit["kind"] != "phone"},
        phones=phones,
        apart={frozenset(row) for row in await db.fetch(APART, ids)},
    )


async def create(db: Connection, *, rows: Sequence[tuple[str, bytes, bytes | None]], now: datetime) -> None:
    """``rows``: retailer_id, sealed, name_hash."""
    await db.execute(CREATE, now, *_columns(rows, 3))


async def attach(db: Connection, *, distributor_id: str, rows: Sequence[tuple[bytes, str, str]]) -> None:
    """``rows``: hash, retailer_id, kind."""
    await db.execute(ATTACH, distributor_id, *_columns(rows, 3))


async def move_refs(db: Connection, *, rows: Sequence[tuple[bytes, str]]) -> None:
    """``rows``: hash, retailer_id that it names from now on."""
    await db.execute(MOVE, *_columns(rows, 2))


async def sealed(db: Connection, *, retailer_ids: list[str]) -> dict[str, bytes]:
    return {row["retailer_id"]: row["sealed"] for row in await db.fetch(SEALED, retailer_ids)}


async def sealed_of_shop(db: Connection, *, retailer_id: str) -> dict[str, bytes | None]:
    """Return the sealed identities of a surviving id and of the ids that it absorbed; None where it was destroyed."""
    return {row["retailer_id"]: row["sealed"] for row in await db.fetch(SEALED_OF_SHOP, retailer_id)}


async def reseal(db: Connection, *, rows: Sequence[tuple[str, bytes, bytes | None]]) -> None:
    """``rows``: retailer_id, sealed, name_hash (None: as it was)."""
    await db.execute(RESEAL, *_columns(rows, 3))


async def seen(db: Connection, *, distributor_id: str, on: date, rows: Sequence[tuple[str, int, bool, bool]]) -> None:
    """``rows``: retailer_id, codes added, has_gst, has_phone."""
    await db.execute(SEEN, distributor_id, on, *_columns(rows, 4))


async def merge(db: Connection, *, rows: Sequence[tuple[str, str, str]], roots: list[str], now: datetime) -> list[int]:
    """Record merges (survivor, absorbed, evidence) and make the absorbed ids aliases of ``roots``, one beside each."""
    survivors, absorbed, evidence = _columns(rows, 3)
    recorded = await db.fetch(MERGE, now, survivors, absorbed, evidence)
    await db.execute(REPOINT, absorbed, roots)
    await db.execute(ALIAS, absorbed, roots)
    return [row["merge_id"] for row in recorded]


async def undo_merge(db: Connection, *, merge_id: int, now: datetime) -> tuple[str, str] | None:
    """Take a merge back; return survivor and absorbed, or None where no such merge stands."""
    row = await db.fetchrow(UNDO, merge_id, now)
    if row is None:
        return None
    await db.execute(SPLIT, row["absorbed_id"])
    return row["survivor_id"], row["absorbed_id"]


async def canonical(db: Connection, *, retailer_ids: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Return for each known id the one that answers for it, and its seniority."""
    rows = await db.fetch(CANONICAL, list(retailer_ids))
    return {row["asked"]: (row["retailer_id"], row["seniority"]) for row in rows}


async def by_name(db: Connection, *, hashed: bytes) -> str | None:
    found: str | None = await db.fetchval(BY_NAME, hashed)
    return found


async def by_phone(db: Connection, *, hashed: bytes, distributor_id: str) -> list[str]:
    return [row["id"] for row in await db.fetch(BY_PHONE, hashed, distributor_id)]


async def of_phone(db: Connection, *, hashed: bytes) -> list[str]:
    return [row["id"] for row in await db.fetch(OF_PHONE, hashed)]


async def distributors_of_phone(db: Connection, *, hashed: bytes) -> list[str]:
    return [row["distributor_id"] for row in await db.fetch(DISTRIBUTORS_OF_PHONE, hashed)]


async def members(db: Connection, *, retailer_id: str) -> list[str]:
    """Return a surviving id and all that were merged into it."""
    return [row["id"] for row in await db.fetch(MEMBERS, retailer_id)]


async def distributors(db: Connection, *, retailer_ids: list[str]) -> list[tuple[str, date, date]]:
    """Return who knows a shop: distributor, first and last day on which it was named."""
    return [tuple(row) for row in await db.fetch(DISTRIBUTORS, retailer_ids)]


async def created(db: Connection, *, retailer_ids: list[str]) -> datetime:
    first: datetime = await db.fetchval(CREATED, retailer_ids)
    return first


async def sealed_identities(db: Connection, *, retailer_ids: list[str]) -> dict[str, bytes]:
    """Return what is sealed of some ids, without locking; erased ones have nothing."""
    return {row["retailer_id"]: row["sealed"] for row in await db.fetch(SEALED_IDENTITIES, retailer_ids)}


async def unlink(db: Connection, *, retailer_ids: list[str]) -> list[bytes]:
    """Delete every look-up row of a shop; return their keyed hashes."""
    await db.execute(FORGET_NAMES, retailer_ids)
    return sorted({row["hash"] for row in await db.fetch(UNLINK, retailer_ids)})


async def destroy(db: Connection, *, retailer_ids: list[str]) -> int:
    """Destroy what is sealed of a shop together with its data key; return of how many ids there was something."""
    await db.execute(FORGET_SIGHTINGS, retailer_ids)
    done: str = await db.execute(DESTROY, retailer_ids)
    return int(done.rsplit(" ", 1)[1])


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [[row[column] for row in rows] for column in range(width)]
