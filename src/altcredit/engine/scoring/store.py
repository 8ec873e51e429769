"""
The SQL of scores.

A read is ONE statement: it counts the quota, looks the consent up, fetches the score, judges, and writes the access
row, for every outcome, refusals too, which it also hands to the sealer of the audit log. It therefore uses tables of
other capabilities (client, denied_token, consent_head, distributor_feed, audit_unsealed); they are theirs to change
only together with this statement, and a test prepares it against the migrated schema.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from altcredit.engine.scoring.assessment import MIN_COMPLETENESS, TOO_OLD_AFTER_DAYS, Assessment
from altcredit.engine.scoring.standing import Standing
from altcredit.runtime.db import Connection, Database, Record

# $1 client id, $2 token id, $3 start of the minute, $4 start of the day, $5 head key, $6 now, $7 request id,
# $8 what was asked for, as sent
_CALLER_AND_QUOTA = """
WITH caller AS (
    SELECT client_id, max_limit_inr, minute_limit, day_limit
    FROM client
    WHERE client_id = $1 AND kind = 'lender' AND status = 'active'
      AND NOT EXISTS (SELECT FROM denied_token WHERE jti = $2)
), minute AS (
    INSERT INTO quota_minute AS q (subject, window_start, taken) SELECT 'score|' || client_id, $3, 1 FROM caller
    ON CONFLICT (subject, window_start) DO UPDATE SET taken = q.taken + 1
    RETURNING taken
), day AS (
    INSERT INTO quota_window AS q (subject, window_start, taken)
    SELECT 'score|' || client_id, $4, 1 FROM caller, minute WHERE minute.taken <= caller.minute_limit
    ON CONFLICT (subject, window_start) DO UPDATE SET taken = q.taken + 1
    RETURNING taken
), quota AS (
    SELECT caller.*, minute.taken AS minute_taken, day.taken AS day_taken,
           minute.taken > caller.minute_limit OR day.taken > caller.day_limit AS exceeded
    FROM caller CROSS JOIN minute LEFT JOIN day ON true
)
"""
_LOG = """
, logged AS (
    INSERT INTO score_access (at, lender_id, operation, requested_id, retailer_id, purpose, outcome, consent_id,
                              score_id, request_id)
    SELECT $6, $1, '{operation}', {requested}, retailer_id, {purpose}, outcome, consent_id, score_id, $7 FROM judged
    RETURNING at, access_id
), unsealed AS (
    INSERT INTO audit_unsealed (log, at, row_id) SELECT 'score_access', at, access_id FROM logged
)
SELECT * FROM judged
"""
# $9 purpose, $10 today in India
READ = (
    _CALLER_AND_QUOTA
    + f"""
, found AS (
    SELECT quota.*, head.retailer_id AS head_retailer_id, head.consent_ids, head.live, head.at_purpose,
           CASE WHEN head.live THEN head.retailer_id END AS retailer_id, s.score_id, s.scored_at, s.altscore,
           s.risk_band, s.pd, s.base_limit_inr, s.hard_cap_inr,
           s.overdue_inr, s.reasons, s.completeness, s.reduced_confidence, s.score_version, s.policy_version,
           fresh.days AS freshness_days
    FROM quota
    LEFT JOIN LATERAL (
        SELECT retailer_id, consent_ids,
               EXISTS (SELECT FROM unnest(expires_at) AS e (at) WHERE e.at > $6) AS live,
               CASE WHEN expires_at[array_position(purposes, $9)] > $6 THEN array_position(purposes, $9) END
                   AS at_purpose
        FROM consent_head WHERE head_key = $5
    ) head ON true
    -- A grant that has expired costs what no grant costs (contract A2): nothing is read for it.
    LEFT JOIN current_score s ON s.retailer_id = head.retailer_id AND head.live
    LEFT JOIN LATERAL (
        SELECT greatest($10::date - min(watermark), 0) AS days FROM distributor_feed
        WHERE distributor_id = ANY (s.feed)
    ) fresh ON true
), judged AS (
    SELECT found.*, consent_ids[at_purpose] AS consent_id, CASE
        WHEN exceeded THEN 'RATE_LIMIT_EXCEEDED'
        WHEN live IS NOT TRUE THEN 'CONSENT_NOT_GRANTED'
        WHEN at_purpose IS NULL THEN 'SCOPE_MISMATCH'
        WHEN score_id IS NULL THEN 'RETAILER_NOT_SCORED'
        WHEN altscore IS NULL OR completeness < {MIN_COMPLETENESS} OR freshness_days > {TOO_OLD_AFTER_DAYS}
             OR freshness_days IS NULL THEN 'DATA_INSUFFICIENT'
        ELSE 'OK' END AS outcome
    FROM found
)
"""
    + _LOG.format(operation="score", requested="$8", purpose="$9")
)
# $9 months
READ_HISTORY = (
    _CALLER_AND_QUOTA
    + """
, found AS (
    SELECT quota.*, head.retailer_id AS head_retailer_id, head.consent_id, s.retailer_id, s.score_id,
           (SELECT json_agg(m) FROM (
               SELECT to_char(month, 'YYYY-MM') AS month, altscore, risk_band, score_version, score_id
               FROM score_month WHERE retailer_id = head.retailer_id AND head.consent_id IS NOT NULL
               ORDER BY score_month.month DESC LIMIT $9) m)::text AS months
    FROM quota
    LEFT JOIN LATERAL (
        SELECT retailer_id, (SELECT c FROM unnest(consent_ids, expires_at) AS u (c, at) WHERE at > $6 LIMIT 1)
            AS consent_id
        FROM consent_head WHERE head_key = $5
    ) head ON true
    LEFT JOIN current_score s ON s.retailer_id = head.retailer_id AND head.consent_id IS NOT NULL
), judged AS (
    SELECT found.*, CASE
        WHEN exceeded THEN 'RATE_LIMIT_EXCEEDED'
        WHEN consent_id IS NULL THEN 'CONSENT_NOT_GRANTED'
        WHEN score_id IS NULL THEN 'RETAILER_NOT_SCORED'
        ELSE 'OK' END AS outcome
    FROM found
)
"""
    + _LOG.format(operation="history", requested="$8", purpose="NULL")
)
LOOK_UP = (
    _CALLER_AND_QUOTA
    + """
, found AS (
    SELECT quota.*, head.retailer_id AS head_retailer_id, head.retailer_id, NULL::text AS consent_id,
           NULL::text AS score_id
    FROM quota
    LEFT JOIN consent_gst_head head ON head.head_key = $5 AND head.expires_at > $6
), judged AS (
    SELECT found.*, CASE
        WHEN exceeded THEN 'RATE_LIMIT_EXCEEDED'
        WHEN head_retailer_id IS NULL THEN 'CONSENT_NOT_GRANTED'
        ELSE 'OK' END AS outcome
    FROM found
)
"""
    + _LOG.format(operation="lookup", requested="$8::text", purpose="NULL")
)
# $8 score id, $9 whose score that is ('' where there is none such), $10 today in India. The age of the feed counts for
# the current score; what it was when an older one was made is not known any more.
READ_RECEIPT = (
    _CALLER_AND_QUOTA
    + """
, found AS (
    SELECT quota.*, head.retailer_id AS head_retailer_id, head.consent_id, a.retailer_id, a.score_id, a.scored_at,
           a.altscore, a.risk_band, a.pd, a.base_limit_inr, a.overdue_inr, a.reasons::text AS reasons,
           a.reduced_confidence, a.score_version, a.model_sha256, a.policy_version, a.inputs_sha256,
           CASE WHEN s.score_id = a.score_id THEN fresh.days END AS freshness_days,
           r.record, r.signature
    FROM quota
    LEFT JOIN LATERAL (
        SELECT retailer_id, (SELECT c FROM unnest(consent_ids, expires_at) AS u (c, at) WHERE at > $6 LIMIT 1)
            AS consent_id
        FROM consent_head WHERE head_key = $5
    ) head ON true
    LEFT JOIN assessment a ON a.retailer_id = $9 AND a.score_id = $8 AND head.consent_id IS NOT NULL
    LEFT JOIN score_receipt r ON r.score_id = a.score_id AND r.lender_id = $1
    LEFT JOIN current_score s ON s.retailer_id = head.retailer_id AND head.consent_id IS NOT NULL
    LEFT JOIN LATERAL (
        SELECT greatest($10::date - min(watermark), 0) AS days FROM distributor_feed
        WHERE distributor_id = ANY (a.feed)
    ) fresh ON true
), judged AS (
    SELECT found.*, CASE
        WHEN exceeded THEN 'RATE_LIMIT_EXCEEDED'
        WHEN consent_id IS NULL OR score_id IS NULL THEN 'CONSENT_NOT_GRANTED'
        WHEN altscore IS NULL THEN 'DATA_INSUFFICIENT'
        ELSE 'OK' END AS outcome
    FROM found
)
"""
    + _LOG.format(operation="receipt", requested="$8::text", purpose="NULL")
)
OWNER = "SELECT retailer_id FROM assessment WHERE score_id = $1"
STANDING = "SELECT standing::text FROM assessment WHERE score_id = $1"
# Whoever comes first issues it; everybody is given that one.
KEEP_RECEIPT = """
INSERT INTO score_receipt (score_id, lender_id, record, signature, issued_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (score_id, lender_id) DO UPDATE SET score_id = EXCLUDED.score_id
RETURNING record, signature
"""
PEEK = """
SELECT c.minute_limit, c.day_limit,
       coalesce((SELECT taken FROM quota_minute WHERE subject = 'score|' || $1 AND window_start = $2), 0)
           AS minute_taken,
       coalesce((SELECT taken FROM quota_window WHERE subject = 'score|' || $1 AND window_start = $3), 0) AS day_taken
FROM client c WHERE c.client_id = $1
"""

_COLUMNS = (
    "score_id",
    "retailer_id",
    "scored_at",
    "as_of",
    "altscore",
    "risk_band",
    "pd",
    "model_pd",
    "base_limit_inr",
    "hard_cap_inr",
    "overdue_inr",
    "reasons",
    "completeness",
    "reduced_confidence",
    "insufficient",
    "in_default",
    "feed",
    "score_version",
    "model_sha256",
    "policy_version",
    "policy_sha256",
    "inputs_sha256",
    "standing",
)
# A slower run never replaces the newer assessment of a faster one.
PUBLISH = """
INSERT INTO current_score (retailer_id, score_id, scored_at, altscore, risk_band, pd, base_limit_inr, hard_cap_inr,
    overdue_inr, reasons, completeness, reduced_confidence, score_version, policy_version, feed)
SELECT retailer_id, score_id, scored_at, altscore, risk_band, pd, base_limit_inr, hard_cap_inr,
    overdue_inr, reasons::text, completeness, reduced_confidence, score_version, policy_version, feed
FROM assessment WHERE retailer_id = ANY ($1) AND score_id = ANY ($2)
ON CONFLICT (retailer_id) DO UPDATE SET
    score_id = EXCLUDED.score_id, scored_at = EXCLUDED.scored_at, altscore = EXCLUDED.altscore,
    risk_band = EXCLUDED.risk_band, pd = EXCLUDED.pd, base_limit_inr = EXCLUDED.base_limit_inr,
    hard_cap_inr = EXCLUDED.hard_cap_inr, overdue_inr = EXCLUDED.overdue_inr, reasons = EXCLUDED.reasons,
    completeness = EXCLUDED.completeness, reduced_confidence = EXCLUDED.reduced_confidence,
    score_version = EXCLUDED.score_version, policy_version = EXCLUDED.policy_version, feed = EXCLUDED.feed
WHERE current_score.scored_at <= EXCLUDED.scored_at
"""
SNAPSHOT = """
INSERT INTO score_month AS m (retailer_id, month, score_id, scored_at, altscore, risk_band, score_version)
SELECT retailer_id, date_trunc('month', scored_at AT TIME ZONE 'Asia/Kolkata')::date, score_id, scored_at, altscore,
       risk_band, score_version
FROM assessment WHERE retailer_id = ANY ($1) AND score_id = ANY ($2) AND altscore IS NOT NULL
ON CONFLICT (retailer_id, month) DO UPDATE SET
    score_id = EXCLUDED.score_id, scored_at = EXCLUDED.scored_at, altscore = EXCLUDED.altscore,
    risk_band = EXCLUDED.risk_band, score_version = EXCLUDED.score_version
WHERE m.scored_at <= EXCLUDED.scored_at
"""
WITHDRAW = "DELETE FROM current_score WHERE retailer_id = ANY ($1)"
LATEST = "SELECT * FROM current_score WHERE retailer_id = $1"
# Erasure: an assessment that no lender was ever told goes; one that a lender was told stays as the record of a
# decision, without the features it was made from (their digest stays, so that a receipt still verifies).
FORGET_SNAPSHOTS = "DELETE FROM score_month WHERE retailer_id = ANY ($1)"
FORGET_ASSESSMENTS = """
DELETE FROM assessment a WHERE retailer_id = ANY ($1)
  AND NOT EXISTS (SELECT FROM score_access s
                  WHERE s.retailer_id = a.retailer_id AND s.score_id = a.score_id AND s.outcome = 'OK')
"""
STRIP_ASSESSMENTS = """
UPDATE assessment SET standing = '{}' WHERE retailer_id = ANY ($1) AND standing <> '{}'
"""
HELD = "SELECT count(*) FROM assessment WHERE retailer_id = ANY ($1)"
ASSESSMENTS = """
SELECT score_id, retailer_id, scored_at, as_of, altscore, risk_band, pd, base_limit_inr, hard_cap_inr, overdue_inr,
       reasons::text AS reasons, completeness, reduced_confidence, insufficient, in_default, feed, score_version,
       policy_version, policy_sha256, inputs_sha256, standing::text AS standing
FROM assessment WHERE retailer_id = ANY ($1) ORDER BY scored_at, score_id
"""
ACCESSES = """
SELECT at, lender_id, operation, purpose, outcome, consent_id, score_id, request_id
FROM score_access WHERE retailer_id = ANY ($1) ORDER BY at, request_id
"""
RECORDED = """
SELECT score_id, retailer_id, scored_at, altscore, risk_band, pd, reasons::text AS reasons, insufficient, score_version
FROM assessment WHERE score_id = ANY ($1)
"""
ADD_ACCESS_PARTITION = "SELECT score_access_partition($1)"


async def read(database: Database, *args: Any) -> Record | None:
    return await database.reads.fetchrow(READ, *args)


async def read_history(database: Database, *args: Any) -> Record | None:
    return await database.reads.fetchrow(READ_HISTORY, *args)


async def look_up(database: Database, *args: Any) -> Record | None:
    return await database.reads.fetchrow(LOOK_UP, *args)


async def read_receipt(database: Database, *args: Any) -> Record | None:
    return await database.reads.fetchrow(READ_RECEIPT, *args)


async def owner(database: Database, score_id: str) -> str | None:
    found: str | None = await database.reads.fetchval(OWNER, score_id)
    return found


async def standing(db: Connection, score_id: str) -> str | None:
    found: str | None = await db.fetchval(STANDING, score_id)
    return found


async def keep_receipt(database: Database, *args: Any) -> tuple[bytes, bytes]:
    row = await database.reads.fetchrow(KEEP_RECEIPT, *args)
    assert row is not None
    return row["record"], row["signature"]


async def peek(database: Database, client_id: str, minute: datetime, day: datetime) -> Record | None:
    return await database.reads.fetchrow(PEEK, client_id, minute, day)


async def latest(db: Connection, retailer_id: str) -> Record | None:
    return await db.fetchrow(LATEST, retailer_id)


async def recorded(db: Connection, score_ids: Sequence[str]) -> list[Record]:
    rows: list[Record] = await db.fetch(RECORDED, list(score_ids))
    return rows


async def insert(db: Connection, rows: Sequence[tuple[str, Assessment, Standing]], at: datetime) -> None:
    """Store assessments and publish them as current, in three statements however many there are."""
    encode = msgspec.json.Encoder().encode
    records = [
        (
            score_id,
            one.retailer_id,
            at,
            one.as_of,
            one.altscore,
            one.risk_band,
            one.probability_of_default,
            one.model_pd,
            one.limit.base_inr if one.limit else None,
            one.limit.gmv_cap_inr if one.limit else None,
            one.overdue_inr,
            encode(one.reasons).decode(),
            one.completeness,
            one.reduced_confidence,
            one.insufficient,
            one.in_default,
            list(one.feed),
            one.score_version,
            one.model_sha256,
            one.policy_version,
            one.policy_sha256,
            one.inputs_sha256,
            encode(standing).decode(),
        )
        for score_id, one, standing in rows
    ]
    await db.copy_records_to_table("assessment", records=records, columns=_COLUMNS)
    retailer_ids, score_ids = [one.retailer_id for _, one, _ in rows], [score_id for score_id, _, _ in rows]
    await db.execute(PUBLISH, retailer_ids, score_ids)
    await db.execute(SNAPSHOT, retailer_ids, score_ids)


async def withdraw(db: Connection, retailer_ids: Sequence[str]) -> None:
    await db.execute(WITHDRAW, list(retailer_ids))


async def forget(db: Connection, retailer_ids: list[str]) -> tuple[int, int, int]:
    """Delete and strip as erasure does; return snapshots deleted, assessments deleted, and those that stay."""
    await db.execute(WITHDRAW, retailer_ids)
    snapshots = _count(await db.execute(FORGET_SNAPSHOTS, retailer_ids))
    deleted = _count(await db.execute(FORGET_ASSESSMENTS, retailer_ids))
    await db.execute(STRIP_ASSESSMENTS, retailer_ids)
    return snapshots, deleted, await db.fetchval(HELD, retailer_ids)


async def assessments(db: Connection, retailer_ids: list[str]) -> list[Record]:
    rows: list[Record] = await db.fetch(ASSESSMENTS, retailer_ids)
    return rows


async def accesses(db: Connection, retailer_ids: list[str]) -> list[Record]:
    rows: list[Record] = await db.fetch(ACCESSES, retailer_ids)
    return rows


def _count(done: str) -> int:
    return int(done.rsplit(" ", 1)[1])


async def add_access_partition(db: Connection, month: date) -> None:
    await db.execute(ADD_ACCESS_PARTITION, month)
