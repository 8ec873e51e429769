"""The SQL of applications and their reviews."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from altcredit.engine.underwriting.outcomes import CardOutcome, Granted
from altcredit.engine.underwriting.standing import Conclusion
from altcredit.runtime.db import Connection, Reads, Record

INSERT = """
INSERT INTO underwriting (request_id, partner_id, customer_uuid, subject_hash, sealed, cost_saving, asks_all, status,
                          accepted_at)
VALUES ($1, $2, $3, $4, $5, $6, NOT $6, 'processing', $7)
"""

# One statement, committed by itself: a second run of the same job finds when the first one began.
BEGIN = """
UPDATE underwriting SET started_at = coalesce(started_at, $2)
WHERE request_id = ANY($1::text[]) AND status = 'processing'
RETURNING request_id, partner_id, customer_uuid, sealed, cost_saving, asks_all, reassessed, started_at
"""

# Whoever comes first decides; a job that was taken over after it had decided changes nothing. The cost counts what
# earlier runs of the application paid, too: their answers are used again.
CONCLUDE = """
UPDATE underwriting u SET status = 'finished', finished_at = $1, outcome = n.outcome, pd = n.pd,
    risk_band = n.risk_band, limit_brl = n.limit_brl, cost_centavos = greatest(u.cost_centavos, n.cost),
    in_doubt_centavos = greatest(u.in_doubt_centavos, n.in_doubt), decision = n.decision::jsonb,
    sealed_features = n.features
FROM unnest($2::text[], $3::text[], $4::float8[], $5::int[], $6::int[], $7::int[], $8::int[], $9::text[],
            $10::bytea[])
    AS n (request_id, outcome, pd, risk_band, limit_brl, cost, in_doubt, decision, features)
WHERE u.request_id = n.request_id AND status = 'processing' RETURNING u.request_id
"""

_COLUMNS = """
u.request_id, u.partner_id, u.customer_uuid, u.cost_saving, u.status, u.accepted_at, u.started_at, u.finished_at,
u.outcome, u.pd, u.risk_band, u.limit_brl, u.cost_centavos, u.in_doubt_centavos, u.decision::text AS decision,
r.review_id, r.asked_at, r.due_at, r.decision AS review_decision, r.decided_at
"""
FIND = f"""
SELECT {_COLUMNS} FROM underwriting u
LEFT JOIN LATERAL (
    SELECT * FROM underwriting_review WHERE request_id = u.request_id ORDER BY asked_at DESC LIMIT 1
) r ON true
WHERE u.request_id = $1 AND ($2::text IS NULL OR (u.partner_id = $2 AND u.erased_at IS NULL))
"""

LOCK = """
SELECT status, outcome FROM underwriting WHERE request_id = $1 AND partner_id = $2 AND sealed IS NOT NULL FOR UPDATE
"""

FAIL = """
UPDATE underwriting SET status = 'failed', finished_at = $2
WHERE status = 'processing' AND request_id = $1
RETURNING request_id, partner_id, customer_uuid, cost_saving, accepted_at, started_at
"""
# What a person had underwritten anew is counted from then.
OVERDUE = """
SELECT request_id FROM underwriting u
WHERE status = 'processing' AND accepted_at < $1 AND NOT (reassessed AND EXISTS (
    SELECT FROM underwriting_review r
    WHERE r.request_id = u.request_id AND r.decision = 'reassessed' AND r.decided_at >= $1
))
ORDER BY accepted_at LIMIT $2
"""

INSERT_REVIEW = """
INSERT INTO underwriting_review (review_id, request_id, sealed, asked_by, asked_at, due_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (request_id) WHERE decision IS NULL DO NOTHING RETURNING true
"""
OPEN_REVIEWS = """
SELECT r.review_id, r.request_id, u.partner_id, u.outcome, u.risk_band, r.asked_at, r.due_at, r.sealed
FROM underwriting_review r JOIN underwriting u USING (request_id)
WHERE r.decision IS NULL ORDER BY r.due_at LIMIT $1
"""
DECIDE_REVIEW = """
UPDATE underwriting_review SET decision = $2, decided_by = $3, decided_at = $4, note = $5, before = (
    SELECT to_jsonb(u) - 'sealed' - 'subject_hash' FROM underwriting u
    WHERE u.request_id = underwriting_review.request_id
)
WHERE review_id = $1 AND decision IS NULL RETURNING request_id
"""
OVERTURN = """
UPDATE underwriting SET outcome = 'approved', limit_brl = $2, finished_at = $3
WHERE request_id = $1 AND status = 'finished' AND pd IS NOT NULL
RETURNING request_id, partner_id, customer_uuid, cost_saving, started_at, finished_at, pd, risk_band, limit_brl
"""
REASSESS = """
UPDATE underwriting SET status = 'processing', asks_all = true, reassessed = true, started_at = NULL,
    finished_at = NULL, outcome = NULL, pd = NULL, risk_band = NULL, limit_brl = NULL, decision = NULL
WHERE request_id = $1 AND status = 'finished' AND sealed IS NOT NULL RETURNING true
"""

REPORT = """
SELECT request_id, accepted_at, started_at, finished_at, outcome, pd, risk_band, limit_brl, cost_centavos,
       in_doubt_centavos, cost_saving, decision::text AS decision
FROM underwriting WHERE accepted_at >= $1 AND accepted_at < $2 AND status <> 'failed' ORDER BY accepted_at
"""


# What the applicant may see and have erased, and what is past its keeping.
BY_SUBJECT = "SELECT request_id FROM underwriting WHERE subject_hash = $1 ORDER BY accepted_at"
FILE = """
SELECT request_id, partner_id, customer_uuid, accepted_at, started_at, finished_at, status, outcome, pd, risk_band,
       limit_brl, decision::text AS decision, sealed, sealed_features, erased_at
FROM underwriting WHERE request_id = $1
"""
REVIEWS = """
SELECT review_id, asked_at, due_at, decision, decided_at, note, sealed FROM underwriting_review
WHERE request_id = $1 ORDER BY asked_at
"""
ERASE = """
UPDATE underwriting SET sealed = NULL, sealed_features = NULL, subject_hash = '', customer_uuid = '', erased_at = $2,
    decision = decision - 'bounds'
WHERE request_id = $1 AND status <> 'processing' AND erased_at IS NULL RETURNING true
"""
ERASE_REVIEWS = "DELETE FROM underwriting_review WHERE request_id = $1"
ERASE_OUTCOME = "DELETE FROM underwriting_outcome WHERE request_id = $1"
PURGE_REQUESTS = """
WITH purged AS (
    UPDATE underwriting SET sealed = NULL
    WHERE accepted_at < $1 AND sealed IS NOT NULL AND status <> 'processing' AND NOT EXISTS (
        SELECT FROM underwriting_review r WHERE r.request_id = underwriting.request_id AND r.decision IS NULL
    ) RETURNING 1
)
SELECT count(*) FROM purged
"""
PURGE_FEATURES = """
WITH purged AS (
    UPDATE underwriting SET sealed_features = NULL WHERE accepted_at < $1 AND sealed_features IS NOT NULL RETURNING 1
)
SELECT count(*) FROM purged
"""
PURGE_REVIEWS = """
WITH purged AS (
    UPDATE underwriting_review SET sealed = NULL, note = NULL
    WHERE decided_at < $1 AND sealed IS NOT NULL RETURNING 1
)
SELECT count(*) FROM purged
"""

# Outcomes of granted cards
GRANTED = """
SELECT request_id, (accepted_at AT TIME ZONE 'America/Sao_Paulo')::date AS accepted_on, u.outcome AS decision,
       o.booked_on, o.observed_on, o.max_dpd
FROM underwriting u LEFT JOIN underwriting_outcome o USING (request_id)
WHERE request_id = ANY($1::text[]) AND erased_at IS NULL
"""
RECORD_OUTCOMES = """
INSERT INTO underwriting_outcome AS o (request_id, booked_on, observed_on, max_dpd, imported_at)
SELECT *, $5 FROM unnest($1::text[], $2::date[], $3::date[], $4::int[])
ON CONFLICT (request_id) DO UPDATE
SET observed_on = excluded.observed_on, max_dpd = excluded.max_dpd, imported_at = excluded.imported_at
"""
OUTCOMES = """
SELECT request_id, subject_hash, accepted_at, sealed_features, booked_on, observed_on, max_dpd
FROM underwriting_outcome JOIN underwriting USING (request_id)
WHERE sealed_features IS NOT NULL ORDER BY accepted_at, request_id
"""


async def insert(
    db: Connection,
    *,
    request_id: str,
    partner_id: str,
    customer_uuid: str,
    subject_hash: bytes,
    sealed: bytes,
    cost_saving: bool,
    now: datetime,
) -> None:
    await db.execute(INSERT, request_id, partner_id, customer_uuid, subject_hash, sealed, cost_saving, now)


async def begin(reads: Reads, request_ids: Sequence[str], *, now: datetime) -> list[Record]:
    return await reads.fetch(BEGIN, request_ids, now)


async def conclude(
    db: Connection, conclusions: Sequence[Conclusion], *, features: Sequence[bytes | None], now: datetime
) -> frozenset[str]:
    """``features`` are sealed. Return the ids of the applications that were undecided until now."""
    decisions = [one.decision for one in conclusions]
    rows = await db.fetch(
        CONCLUDE,
        now,
        [one.case.request_id for one in conclusions],
        [one.outcome for one in decisions],
        [one.pd for one in decisions],
        [None if one.pd is None else one.risk_band for one in decisions],
        [None if one.pd is None else one.limit for one in decisions],
        [one.cost_centavos for one in conclusions],
        [one.in_doubt_centavos for one in conclusions],
        [msgspec.json.encode(one).decode() for one in decisions],
        features,
    )
    return frozenset(row["request_id"] for row in rows)


async def find(db: Connection, request_id: str, *, partner_id: str | None) -> Record | None:
    return await db.fetchrow(FIND, request_id, partner_id)


async def lock(db: Connection, request_id: str, *, partner_id: str) -> Record | None:
    return await db.fetchrow(LOCK, request_id, partner_id)


async def fail(db: Connection, request_id: str, *, now: datetime) -> Record | None:
    return await db.fetchrow(FAIL, request_id, now)


async def overdue(db: Connection, *, before: datetime, limit: int) -> list[str]:
    return [row["request_id"] for row in await db.fetch(OVERDUE, before, limit)]


async def insert_review(
    db: Connection, review_id: str, *, request_id: str, sealed: bytes, asked_by: str, now: datetime, due_at: datetime
) -> bool:
    return bool(await db.fetchval(INSERT_REVIEW, review_id, request_id, sealed, asked_by, now, due_at))


async def open_reviews(db: Connection, *, limit: int) -> Sequence[Record]:
    rows: list[Record] = await db.fetch(OPEN_REVIEWS, limit)
    return rows


async def decide_review(
    db: Connection, review_id: str, *, decision: str, actor: str, note: str, now: datetime
) -> str | None:
    request_id: str | None = await db.fetchval(DECIDE_REVIEW, review_id, decision, actor, now, note)
    return request_id


async def overturn(db: Connection, request_id: str, *, limit_brl: int, now: datetime) -> Record | None:
    return await db.fetchrow(OVERTURN, request_id, limit_brl, now)


async def reassess(db: Connection, request_id: str) -> bool:
    return bool(await db.fetchval(REASSESS, request_id))


async def report_rows(db: Connection, *, since: datetime, until: datetime) -> list[dict[str, Any]]:
    return [dict(row) for row in await db.fetch(REPORT, since, until)]


async def by_subject(db: Connection, subject_hash: bytes) -> list[str]:
    return [row["request_id"] for row in await db.fetch(BY_SUBJECT, subject_hash)]


async def file(db: Connection, request_id: str) -> Record | None:
    return await db.fetchrow(FILE, request_id)


async def reviews(db: Connection, request_id: str) -> list[Record]:
    rows: list[Record] = await db.fetch(REVIEWS, request_id)
    return rows


async def erase(db: Connection, request_id: str, *, now: datetime) -> bool:
    """Unlink an application from its person; False where it is being worked on, or was erased before."""
    if not await db.fetchval(ERASE, request_id, now):
        return False
    await db.execute(ERASE_REVIEWS, request_id)
    await db.execute(ERASE_OUTCOME, request_id)
    return True


async def purge(db: Connection, *, requests: datetime, features: datetime, reviews: datetime) -> dict[str, int]:
    """Destroy what is from before these times; return how many of each."""
    return {
        "requests": await db.fetchval(PURGE_REQUESTS, requests),
        "features": await db.fetchval(PURGE_FEATURES, features),
        "reviews": await db.fetchval(PURGE_REVIEWS, reviews),
    }


async def granted(db: Connection, request_ids: Sequence[str]) -> dict[str, Granted]:
    found = {}
    for row in await db.fetch(GRANTED, request_ids):
        before = None
        if row["booked_on"] is not None:
            before = CardOutcome(**{name: row[name] for name in CardOutcome.__struct_fields__})
        found[row["request_id"]] = Granted(accepted_on=row["accepted_on"], decision=row["decision"], before=before)
    return found


async def record_outcomes(db: Connection, outcomes: Sequence[CardOutcome], *, now: datetime) -> None:
    columns = ([getattr(one, name) for one in outcomes] for name in CardOutcome.__struct_fields__)
    await db.execute(RECORD_OUTCOMES, *columns, now)


async def outcomes(db: Connection) -> list[Record]:
    rows: list[Record] = await db.fetch(OUTCOMES)
    return rows
