from datetime import datetime
from typing import Any

import msgspec

from altcredit.engine.registry.version import Alias, ModelVersion, Product
from altcredit.runtime.db import Connection
from altcredit.runtime.locks import Lock

# Promotions and rollbacks take turns.
LOCK = f"SELECT pg_advisory_xact_lock({Lock.MODELS})"

INSERT = """
INSERT INTO model_version
    (version, product, kind, data_origin, card, path, sha256, key_id, signature, registered_by, registered_at)
VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING
RETURNING version
"""

SELECT = """
SELECT v.version, v.product, v.kind, v.data_origin, v.card::text AS card, v.path, v.sha256, v.key_id, v.signature,
       v.registered_by, v.registered_at,
       ARRAY(SELECT a.alias FROM model_alias a WHERE a.version = v.version ORDER BY a.alias) AS aliases
FROM model_version v
WHERE ($1::text IS NULL OR v.version = $1) AND ($2::text IS NULL OR v.product = $2)
ORDER BY v.registered_at DESC, v.version
"""

SELECT_ALIAS = """
SELECT v.version, v.product, v.kind, v.data_origin, v.card::text AS card, v.path, v.sha256, v.key_id, v.signature,
       v.registered_by, v.registered_at, ARRAY[a.alias] AS aliases
FROM model_alias a JOIN model_version v USING (version)
WHERE a.product = $1 AND a.alias = $2
"""

SELECT_CHAMPION_ARTEFACT = """
SELECT v.version, v.sha256, v.path
FROM model_alias a JOIN model_version v USING (version)
WHERE a.product = $1 AND a.alias = 'champion'
"""

SET_ALIAS = """
INSERT INTO model_alias (product, alias, version, since) VALUES ($1, $2, $3, $4)
ON CONFLICT (product, alias) DO UPDATE SET version = EXCLUDED.version, since = EXCLUDED.since
"""

DROP_ALIAS = "DELETE FROM model_alias WHERE alias = $1 AND version = $2"

RECORD_PROMOTION = """
INSERT INTO model_promotion (version, predecessor, promoted_by, promoted_at) VALUES ($1, $2, $3, $4)
"""

# The whole of a rollback: the champion's latest predecessor takes its place.
ROLL_BACK = """
UPDATE model_alias a SET version = p.predecessor, since = $1
FROM (
    SELECT DISTINCT ON (version) version, predecessor FROM model_promotion ORDER BY version, promotion_id DESC
) p
WHERE a.product = $2 AND a.alias = 'champion' AND p.version = a.version AND p.predecessor IS NOT NULL
RETURNING p.version AS version, p.predecessor AS predecessor
"""

RECORD_COMPARISON = """
INSERT INTO model_comparison (version, against, comparison, compared_at) VALUES ($1, $2, $3::jsonb, $4)
ON CONFLICT (version, against) DO UPDATE SET comparison = EXCLUDED.comparison, compared_at = EXCLUDED.compared_at
"""

SELECT_COMPARISON = """
SELECT comparison::text AS comparison FROM model_comparison WHERE version = $1 AND against = $2
"""

APPROVE = """
INSERT INTO model_approval (version, actor, standing, approved_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (version, actor) DO UPDATE SET approved_at = EXCLUDED.approved_at, standing = EXCLUDED.standing
"""

SELECT_APPROVALS = """
SELECT actor, standing FROM model_approval WHERE version = $1 AND approved_at >= $2 ORDER BY approved_at, actor
"""

USE_APPROVALS = "DELETE FROM model_approval WHERE version = $1"


def _version(row: Any) -> ModelVersion:
    return ModelVersion(**{**row, "card": msgspec.json.decode(row["card"]), "aliases": tuple(row["aliases"])})


async def lock(db: Connection) -> None:
    await db.execute(LOCK)


async def insert(db: Connection, model: ModelVersion) -> bool:
    """Tell whether the version is new."""
    return (
        await db.fetchval(
            INSERT,
            model.version,
            model.product,
            model.kind,
            model.data_origin,
            msgspec.json.encode(model.card).decode(),
            model.path,
            model.sha256,
            model.key_id,
            model.signature,
            model.registered_by,
            model.registered_at,
        )
        is not None
    )


async def find(db: Connection, version: str) -> ModelVersion | None:
    row = await db.fetchrow(SELECT, version, None)
    return _version(row) if row else None


async def every(db: Connection, product: Product | None) -> list[ModelVersion]:
    return [_version(row) for row in await db.fetch(SELECT, None, product)]


async def by_alias(db: Connection, product: Product, alias: Alias) -> ModelVersion | None:
    row = await db.fetchrow(SELECT_ALIAS, product, alias)
    return _version(row) if row else None


async def champion_artefact(db: Connection, product: Product) -> tuple[str, str, str] | None:
    row = await db.fetchrow(SELECT_CHAMPION_ARTEFACT, product)
    return (row["version"], row["sha256"], row["path"]) if row else None


async def set_alias(db: Connection, *, product: Product, alias: Alias, version: str, now: datetime) -> None:
    await db.execute(SET_ALIAS, product, alias, version, now)


async def drop_alias(db: Connection, *, alias: Alias, version: str) -> None:
    await db.execute(DROP_ALIAS, alias, version)


async def record_promotion(
    db: Connection, *, version: str, predecessor: str | None, promoted_by: tuple[str, ...], now: datetime
) -> None:
    await db.execute(RECORD_PROMOTION, version, predecessor, promoted_by, now)
    await db.execute(USE_APPROVALS, version)


async def roll_back(db: Connection, *, product: Product, now: datetime) -> tuple[str, str] | None:
    row = await db.fetchrow(ROLL_BACK, now, product)
    return (row["version"], row["predecessor"]) if row else None


async def record_comparison(db: Connection, *, version: str, against: str, comparison: str, now: datetime) -> None:
    await db.execute(RECORD_COMPARISON, version, against, comparison, now)


async def comparison(db: Connection, *, version: str, against: str) -> str | None:
    found: str | None = await db.fetchval(SELECT_COMPARISON, version, against)
    return found


async def approve(db: Connection, *, version: str, actor: str, standing: int | None, now: datetime) -> None:
    await db.execute(APPROVE, version, actor, standing, now)


async def approvals(db: Connection, *, version: str, since: datetime) -> list[tuple[str, int | None]]:
    """Return who has approved since, and in which standing as staff (None: as nobody of the staff)."""
    return [(row["actor"], row["standing"]) for row in await db.fetch(SELECT_APPROVALS, version, since)]
