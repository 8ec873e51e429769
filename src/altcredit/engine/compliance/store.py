"""The tables of compliance: erasures and their steps, exports, breaches."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from altcredit.engine.compliance.breach import Breach
from altcredit.engine.compliance.erasure import Certificate, Erasure, Step
from altcredit.runtime.db import Connection, Record

# One request at a time for a shop, whatever id of it is named.
SERIALISE = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7242011))"

ADD_ERASURE = """
INSERT INTO erasure (erasure_id, retailer_id, retailer_ids, distributor_ids, identifiers, requested_by, approved_by,
                     reason, policy_version, requested_at, due_at, set_back)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
ADD_STEPS = """
INSERT INTO erasure_step (erasure_id, position, step, due_at)
SELECT $1, position, step, due_at
FROM unnest($2::text[], $3::timestamptz[]) WITH ORDINALITY AS s (step, due_at, position)
"""
COLUMNS = """
erasure_id, retailer_id, retailer_ids, distributor_ids, requested_by, approved_by, reason, policy_version, requested_at,
due_at, completed_at, certificate, signature, key_id, set_back, (
    SELECT json_agg(json_build_object('step', step, 'due_at', s.due_at, 'done_at', done_at, 'facts', facts)
                    ORDER BY position) FROM erasure_step s WHERE s.erasure_id = erasure.erasure_id
)::text AS steps
"""
ERASURE = f"SELECT {COLUMNS} FROM erasure WHERE erasure_id = $1 OR retailer_ids @> ARRAY[$1]"
ERASURES = f"""
SELECT {COLUMNS} FROM erasure WHERE completed_at IS NULL OR NOT $1 ORDER BY completed_at IS NOT NULL, due_at, erasure_id
"""
LOCK_ERASURE = "SELECT identifiers FROM erasure WHERE erasure_id = $1 FOR UPDATE"
FINISH_STEP = """
UPDATE erasure_step SET done_at = $3, facts = facts || $4::jsonb
WHERE erasure_id = $1 AND step = $2 AND done_at IS NULL
"""
NOTE_STEP = "UPDATE erasure_step SET facts = $3::jsonb WHERE erasure_id = $1 AND step = $2 AND done_at IS NULL"
POSTPONE = "UPDATE erasure_step SET due_at = $3 WHERE erasure_id = $1 AND step = $2"
FORGET_IDENTIFIERS = "UPDATE erasure SET identifiers = '{}' WHERE erasure_id = $1"
CERTIFY = """
UPDATE erasure SET completed_at = $2, certificate = $3, signature = $4, key_id = $5
WHERE erasure_id = $1 AND completed_at IS NULL
"""

EXPORT_COLUMNS = """
export_id, retailer_id, requested_by, requested_at, due_at, produced_at, expires_at, sha256, sealed, set_back
"""
ADD_EXPORT = """
INSERT INTO retailer_export (export_id, retailer_id, requested_by, requested_at, due_at, set_back)
VALUES ($1, $2, $3, $4, $5, $6)
"""
CURRENT_EXPORT = f"""
SELECT {EXPORT_COLUMNS} FROM retailer_export
WHERE retailer_id = ANY($1::text[]) AND (produced_at IS NULL OR (sealed IS NOT NULL AND expires_at > $2))
ORDER BY requested_at DESC LIMIT 1
"""
EXPORT = f"SELECT {EXPORT_COLUMNS} FROM retailer_export WHERE export_id = $1"
LOCK_EXPORT = EXPORT + " FOR UPDATE"
PRODUCE = """
UPDATE retailer_export SET produced_at = $2, expires_at = $3, sha256 = $4, sealed = $5
WHERE export_id = $1 AND produced_at IS NULL
"""
WAITING_EXPORTS = "SELECT export_id, retailer_id FROM retailer_export WHERE produced_at IS NULL ORDER BY requested_at"
DROP_EXPORTS = "UPDATE retailer_export SET sealed = NULL WHERE sealed IS NOT NULL AND expires_at <= $1"
DROP_EXPORTS_OF = "UPDATE retailer_export SET sealed = NULL WHERE sealed IS NOT NULL AND retailer_id = ANY($1::text[])"
CANCEL_EXPORTS_OF = "DELETE FROM retailer_export WHERE produced_at IS NULL AND retailer_id = ANY($1::text[])"

BREACH_COLUMNS = """
breach_id, nature, severity, affected, reported_by, occurred_at, aware_at, notify_by, board_at, principals_at,
closed_at, closing_note, set_back
"""
ADD_BREACH = f"""
INSERT INTO breach ({BREACH_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, NULL, NULL, NULL, $9)
"""
BREACH = f"SELECT {BREACH_COLUMNS} FROM breach WHERE breach_id = $1 FOR UPDATE"
BREACHES = f"""
SELECT {BREACH_COLUMNS} FROM breach WHERE closed_at IS NULL OR NOT $1
ORDER BY closed_at IS NOT NULL, notify_by, breach_id
"""
NOTIFIED = """
UPDATE breach SET board_at = coalesce(board_at, $2), principals_at = coalesce(principals_at, $3) WHERE breach_id = $1
"""
# $2: how far the clocks were set back in all; what of it was since the entry is the breach's own time ahead.
NEWLY_OVERDUE = f"""
UPDATE breach SET escalated_at = $1::timestamptz
WHERE escalated_at IS NULL AND notify_by < $1::timestamptz + greatest($2::interval - set_back, '0')
  AND (board_at IS NULL OR principals_at IS NULL)
RETURNING {BREACH_COLUMNS}
"""
CLOSE_BREACH = "UPDATE breach SET closed_at = $2, closing_note = $3 WHERE breach_id = $1 AND closed_at IS NULL"


async def serialise(db: Connection, retailer_id: str) -> None:
    await db.execute(SERIALISE, retailer_id)


async def add_erasure(db: Connection, erasure: Erasure, *, identifiers: Sequence[bytes]) -> None:
    await db.execute(
        ADD_ERASURE,
        erasure.erasure_id,
        erasure.retailer_id,
        list(erasure.retailer_ids),
        list(erasure.distributor_ids),
        list(identifiers),
        erasure.requested_by,
        erasure.approved_by,
        erasure.reason,
        erasure.policy_version,
        erasure.requested_at,
        erasure.due_at,
        erasure.set_back,
    )
    steps = erasure.steps
    await db.execute(ADD_STEPS, erasure.erasure_id, [one.step for one in steps], [one.due_at for one in steps])


async def erasure(db: Connection, id_: str) -> Erasure | None:
    """Return an erasure by its id, or by any id of its shop."""
    row = await db.fetchrow(ERASURE, id_)
    return _erasure(row) if row else None


async def erasures(db: Connection, *, open_only: bool) -> list[Erasure]:
    return [_erasure(row) for row in await db.fetch(ERASURES, open_only)]


async def lock_erasure(db: Connection, erasure_id: str) -> frozenset[bytes]:
    """Keep others from working on an erasure until this transaction ends; return its keyed hashes."""
    return frozenset(await db.fetchval(LOCK_ERASURE, erasure_id))


async def finish_step(db: Connection, erasure_id: str, step: str, at: datetime, facts: dict[str, Any]) -> None:
    await db.execute(FINISH_STEP, erasure_id, step, at, msgspec.json.encode(facts).decode())


async def note_step(db: Connection, erasure_id: str, step: str, facts: dict[str, Any]) -> None:
    await db.execute(NOTE_STEP, erasure_id, step, msgspec.json.encode(facts).decode())


async def postpone(db: Connection, erasure_id: str, step: str, due_at: datetime) -> None:
    await db.execute(POSTPONE, erasure_id, step, due_at)


async def forget_identifiers(db: Connection, erasure_id: str) -> None:
    await db.execute(FORGET_IDENTIFIERS, erasure_id)


async def certify(db: Connection, erasure_id: str, at: datetime, certificate: Certificate) -> None:
    await db.execute(CERTIFY, erasure_id, at, certificate.record, certificate.signature, certificate.key_id)


def _erasure(row: Record) -> Erasure:
    plain = dict(row)
    record, signature, key_id = (plain.pop(name) for name in ("certificate", "signature", "key_id"))
    certificate = Certificate(record=record, signature=signature, key_id=key_id) if record else None
    return Erasure(
        **{
            **plain,
            "retailer_ids": tuple(row["retailer_ids"]),
            "distributor_ids": tuple(row["distributor_ids"]),
            "steps": msgspec.json.decode(row["steps"], type=tuple[Step, ...]),
        },
        certificate=certificate,
    )


async def add_export(
    db: Connection,
    *,
    export_id: str,
    retailer_id: str,
    requested_by: str,
    requested_at: datetime,
    due_at: datetime,
    set_back: timedelta,
) -> None:
    await db.execute(ADD_EXPORT, export_id, retailer_id, requested_by, requested_at, due_at, set_back)


async def current_export(db: Connection, *, retailer_ids: Iterable[str], now: datetime) -> Record | None:
    return await db.fetchrow(CURRENT_EXPORT, list(retailer_ids), now)


async def find_export(db: Connection, export_id: str, *, lock: bool = False) -> Record | None:
    return await db.fetchrow(LOCK_EXPORT if lock else EXPORT, export_id)


async def produce(
    db: Connection, *, export_id: str, produced_at: datetime, expires_at: datetime, sha256: str, sealed: bytes
) -> None:
    await db.execute(PRODUCE, export_id, produced_at, expires_at, sha256, sealed)


async def waiting_exports(db: Connection) -> list[tuple[str, str]]:
    return [(row["export_id"], row["retailer_id"]) for row in await db.fetch(WAITING_EXPORTS)]


async def drop_exports(db: Connection, *, now: datetime) -> int:
    done: str = await db.execute(DROP_EXPORTS, now)
    return int(done.rsplit(" ", 1)[1])


async def drop_exports_of(db: Connection, retailer_ids: Iterable[str]) -> None:
    ids = list(retailer_ids)
    await db.execute(DROP_EXPORTS_OF, ids)
    await db.execute(CANCEL_EXPORTS_OF, ids)


async def add_breach(db: Connection, breach: Breach) -> None:
    await db.execute(
        ADD_BREACH,
        breach.breach_id,
        breach.nature,
        breach.severity,
        breach.affected,
        breach.reported_by,
        breach.occurred_at,
        breach.aware_at,
        breach.notify_by,
        breach.set_back,
    )


async def breach(db: Connection, breach_id: str) -> Breach | None:
    row = await db.fetchrow(BREACH, breach_id)
    return Breach(**row) if row else None


async def breaches(db: Connection, *, open_only: bool) -> list[Breach]:
    return [Breach(**row) for row in await db.fetch(BREACHES, open_only)]


async def notified(db: Connection, breach_id: str, *, board: datetime | None, principals: datetime | None) -> None:
    await db.execute(NOTIFIED, breach_id, board, principals)


async def close_breach(db: Connection, breach_id: str, *, at: datetime, note: str) -> None:
    await db.execute(CLOSE_BREACH, breach_id, at, note)


async def newly_overdue(db: Connection, *, now: datetime, set_back: timedelta) -> list[Breach]:
    """Mark the breaches that have become overdue and were not said to be so yet; return them."""
    return [Breach(**row) for row in await db.fetch(NEWLY_OVERDUE, now, set_back)]
