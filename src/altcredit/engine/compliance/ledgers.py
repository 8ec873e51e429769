"""
What the report reads: the ledgers of all capabilities, recomputed and never counted along the way.

The one place where a capability reads tables of others (docs/decisions/0013-the-report-reads-ledgers.md says why).
These statements change nothing, and tests run each in a transaction that cannot write, on the migrated schema: whoever
changes a table changes them too. $1 is the first moment of the period, $2 the first after it.
"""

from datetime import datetime
from typing import Any

from altcredit.runtime.db import Connection, Record

CONSENT_TOTALS = """
SELECT count(*) FILTER (WHERE granted_at >= $1 AND granted_at < $2) AS granted,
       count(*) FILTER (WHERE revoked_at >= $1 AND revoked_at < $2) AS revoked,
       count(*) FILTER (WHERE expires_at >= $1 AND expires_at < $2 AND revoked_at IS NULL) AS expired
FROM consent
"""
CONSENT_KINDS = """
SELECT convert_from(record, 'utf8')::jsonb ->> 'consent_channel' AS channel,
       convert_from(record, 'utf8')::jsonb -> 'notice' ->> 'language' AS language, purpose, count(*) AS granted
FROM consent WHERE granted_at >= $1 AND granted_at < $2 GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3
"""
CONSENT_MONTHS = """
SELECT to_char(at AT TIME ZONE 'Asia/Kolkata', 'YYYY-MM') AS month, sum(granted)::int AS granted,
       sum(revoked)::int AS revoked
FROM (SELECT granted_at AS at, 1 AS granted, 0 AS revoked FROM consent
      UNION ALL SELECT revoked_at, 0, 1 FROM consent WHERE revoked_at IS NOT NULL) AS one
WHERE at >= $1 AND at < $2 GROUP BY 1 ORDER BY 1
"""
REVOCATIONS = """
SELECT coalesce(revocation ->> 'reason', '?') AS reason, count(*) AS revoked
FROM consent WHERE revoked_at >= $1 AND revoked_at < $2 GROUP BY 1 ORDER BY 2 DESC, 1
"""
# How long after a revocation the last score was told that stood under it: 0 where none was.
HALTS = """
SELECT extract(epoch FROM coalesce(max(a.at) - c.revoked_at, '0'))::float8 AS seconds
FROM consent c
LEFT JOIN score_access a ON a.consent_id = c.consent_id AND a.outcome = 'OK' AND a.at > c.revoked_at
WHERE c.revoked_at >= $1 AND c.revoked_at < $2 GROUP BY c.consent_id
"""
# Every answer that was given, held against what the shop had agreed to at that moment: the newest grant to this lender
# (for this purpose, where the operation has one) must have begun, not have expired, and no grant of its chain may have
# been revoked since (contract C3). Shops are taken as one with the ids merged into them.
UNCONSENTED = """
WITH answered AS (
    SELECT a.at, a.lender_id, a.operation, a.purpose, a.request_id,
           coalesce(alias.retailer_id, a.retailer_id) AS root
    FROM score_access a LEFT JOIN retailer_alias alias ON alias.alias_id = a.retailer_id
    WHERE a.at >= $1 AND a.at < $2 AND a.outcome = 'OK'
), agreed AS (
    SELECT c.consent_id, c.purpose, c.granted_at, c.expires_at, c.revoked_at, lender_id,
           coalesce(alias.retailer_id, c.retailer_id) AS root
    FROM consent c CROSS JOIN LATERAL unnest(c.lender_ids) AS lender_id
    LEFT JOIN retailer_alias alias ON alias.alias_id = c.retailer_id
)
SELECT answered.at, answered.lender_id, answered.operation, answered.request_id
FROM answered WHERE NOT EXISTS (
    SELECT FROM agreed
    WHERE agreed.root = answered.root AND agreed.lender_id = answered.lender_id
      AND (answered.purpose IS NULL OR agreed.purpose = answered.purpose)
      AND agreed.granted_at <= answered.at AND agreed.expires_at > answered.at
      AND NOT EXISTS (
          SELECT FROM agreed other
          WHERE other.root = agreed.root AND other.lender_id = agreed.lender_id AND other.purpose = agreed.purpose
            AND ((other.granted_at > agreed.granted_at AND other.granted_at <= answered.at)
                 OR (other.revoked_at >= agreed.granted_at AND other.revoked_at <= answered.at)))
)
ORDER BY answered.at
"""
ACCESSES = """
SELECT operation, outcome, count(*) AS calls, count(DISTINCT retailer_id) AS retailers
FROM score_access WHERE at >= $1 AND at < $2 GROUP BY 1, 2 ORDER BY 1, 2
"""

# `behind`: by how much the clocks were set back since; whatever is still open is judged by its own time.
ERASURES = """
SELECT erasure_id, requested_at, due_at, completed_at,
       greatest((SELECT c.set_back FROM grievance_clock c) - erasure.set_back, '0') AS behind
FROM erasure
WHERE (requested_at >= $1 AND requested_at < $2) OR (completed_at >= $1 AND completed_at < $2)
   OR (requested_at < $2 AND completed_at IS NULL)
ORDER BY requested_at, erasure_id
"""
EXPORTS = """
SELECT export_id, requested_at, due_at, produced_at,
       greatest((SELECT c.set_back FROM grievance_clock c) - retailer_export.set_back, '0') AS behind
FROM retailer_export
WHERE requested_at >= $1 AND requested_at < $2 ORDER BY requested_at, export_id
"""
GRIEVANCES = """
SELECT grievance_type, status, outcome, filed_at, ack_by, resolve_by, escalate_by, acknowledged_at, resolved_at,
       greatest((SELECT c.set_back FROM grievance_clock c) - grievance.set_back, '0') AS behind
FROM grievance WHERE filed_at >= $1 AND filed_at < $2 ORDER BY filed_at, grievance_id
"""
REVIEWS = """
SELECT coalesce(decision, 'open') AS decision, count(*) AS reviews,
       count(*) FILTER (WHERE coalesce(decided_at, $2::timestamptz) > due_at) AS late
FROM underwriting_review WHERE asked_at >= $1 AND asked_at < $2 GROUP BY 1 ORDER BY 1
"""
UNDERWRITINGS = """
SELECT coalesce(outcome, status) AS outcome, count(*) AS applications, avg(pd)::float8 AS mean_pd
FROM underwriting WHERE accepted_at >= $1 AND accepted_at < $2 GROUP BY 1 ORDER BY 1
"""
MODELS = """
SELECT v.version, v.product, v.kind, v.data_origin, v.registered_at, v.sha256,
       coalesce((SELECT string_agg(alias, ', ') FROM model_alias a WHERE a.version = v.version), '') AS aliases
FROM model_version v WHERE v.registered_at < $1 ORDER BY v.product, v.registered_at, v.version
"""
PROMOTIONS = """
SELECT version, predecessor, promoted_by, promoted_at FROM model_promotion
WHERE promoted_at >= $1 AND promoted_at < $2 ORDER BY promoted_at, promotion_id
"""
# The last score of each shop in the period.
POPULATION = """
SELECT DISTINCT ON (a.retailer_id) a.retailer_id, a.altscore, a.risk_band, a.pd,
       (a.standing -> 'features' ->> 'vintage_months')::float8 AS vintage_months,
       (SELECT convert_from(c.record, 'utf8')::jsonb -> 'notice' ->> 'language' FROM consent c
        WHERE c.retailer_id = a.retailer_id ORDER BY c.granted_at DESC LIMIT 1) AS language
FROM assessment a WHERE a.altscore IS NOT NULL AND a.scored_at >= $1 AND a.scored_at < $2
ORDER BY a.retailer_id, a.scored_at DESC, a.score_id
"""
SCORES = """
SELECT DISTINCT ON (retailer_id) altscore FROM assessment
WHERE altscore IS NOT NULL AND scored_at >= $1 AND scored_at < $2 ORDER BY retailer_id, scored_at DESC, score_id
"""
# What the scores of the champion's own model were made from, the last of each shop.
FEATURES = """
SELECT DISTINCT ON (a.retailer_id) (a.standing -> 'features')::text AS features
FROM assessment a JOIN model_version v ON v.version = a.score_version AND v.product = 'altscore'
JOIN model_alias m ON m.version = v.version AND m.alias = 'champion'
WHERE a.altscore IS NOT NULL AND a.scored_at >= $1 AND a.scored_at < $2 AND a.standing ? 'features'
ORDER BY a.retailer_id, a.scored_at DESC, a.score_id
"""
# Shops whose 90 days (contract A9) ended in the period, by their first score then; those that were not looked at again
# in the last 30 of those days are left out, since nobody knows of them.
MATURED = """
WITH first AS (
    SELECT DISTINCT ON (retailer_id) retailer_id, scored_at, risk_band, pd FROM assessment
    WHERE altscore IS NOT NULL AND NOT in_default
      AND scored_at >= $1::timestamptz - interval '90 days' AND scored_at < $2::timestamptz - interval '90 days'
    ORDER BY retailer_id, scored_at, score_id
)
SELECT f.retailer_id, f.risk_band, f.pd, coalesce(later.defaulted, false) AS defaulted
FROM first f CROSS JOIN LATERAL (
    SELECT bool_or(l.in_default) AS defaulted, max(l.scored_at) AS last_seen FROM assessment l
    WHERE l.retailer_id = f.retailer_id AND l.scored_at > f.scored_at
      AND l.scored_at <= f.scored_at + interval '90 days'
) later
WHERE later.defaulted OR later.last_seen >= f.scored_at + interval '60 days'
ORDER BY f.retailer_id
"""
REASONS = """
SELECT reason ->> 'code' AS code, reason ->> 'direction' AS direction, count(*) AS given
FROM assessment a CROSS JOIN LATERAL jsonb_array_elements(a.reasons) AS reason
WHERE a.scored_at >= $1 AND a.scored_at < $2 GROUP BY 1, 2 ORDER BY 3 DESC, 1 LIMIT 40
"""
REASON_PROMISE = """
SELECT count(*) AS scored, count(*) FILTER (WHERE positives >= 3 AND negatives >= 2) AS kept
FROM (SELECT (SELECT count(*) FROM jsonb_array_elements(reasons) r WHERE r ->> 'direction' = 'positive') AS positives,
             (SELECT count(*) FROM jsonb_array_elements(reasons) r WHERE r ->> 'direction' = 'negative') AS negatives
      FROM assessment WHERE altscore IS NOT NULL AND scored_at >= $1 AND scored_at < $2) AS one
"""
QUALITY = """
SELECT b.distributor_id, count(*) AS batches, sum(b.accepted)::int8 AS accepted,
       sum(b.quarantined)::int8 AS quarantined,
       round(avg(b.completeness)::numeric, 1)::float8 AS completeness, f.watermark::text AS watermark
FROM ingest_batch b LEFT JOIN distributor_feed f USING (distributor_id)
WHERE b.received_at >= $1 AND b.received_at < $2 GROUP BY b.distributor_id, f.watermark ORDER BY b.distributor_id
"""
ASSESSED = """
SELECT count(*) AS assessments, count(*) FILTER (WHERE altscore IS NULL) AS insufficient,
       count(*) FILTER (WHERE reduced_confidence) AS low_confidence
FROM assessment WHERE scored_at >= $1 AND scored_at < $2
"""
SIGNING = """
SELECT kid, purpose, state, created_at, activated_at FROM signing_key WHERE state <> 'gone' ORDER BY purpose, created_at
"""
CERTIFICATES = """
SELECT count(*) AS live, count(*) FILTER (WHERE not_after < $1::timestamptz + interval '14 days') AS ending
FROM distributor_certificate WHERE not_after > $1 AND (revoked_at IS NULL OR revoked_at > $1)
"""
REFUSED_SIGN_INS = """
SELECT action, count(*) AS events FROM audit_event
WHERE at >= $1 AND at < $2 AND action ~ '(sign_in|session|assertion|token|staff).*(refused|failed|denied)'
GROUP BY 1 ORDER BY 1
"""
AUDITED = """
SELECT split_part(action, '.', 1) AS subject, count(*) AS events FROM audit_event
WHERE at >= $1 AND at < $2 GROUP BY 1 ORDER BY 2 DESC, 1
"""
# The last look before the end of the period, and the last one before it that was at everything.
VERIFIED = """
SELECT at, details ->> 'holds' = 'true' AS holds, details ->> 'full' = 'true' AS was_full,
       (details ->> 'tree_size')::int8 AS tree_size, details ->> 'root' AS root, details -> 'findings' AS findings
FROM audit_event WHERE action = 'audit.verified' AND at >= $1 AND at < $2 ORDER BY at DESC, event_id DESC
"""
RESUMED = """
SELECT at, actor, (details ->> 'lost_rows')::int8 AS lost_rows, details ->> 'reason' AS reason
FROM audit_event WHERE action = 'audit.resumed' AND at >= $1 AND at < $2 ORDER BY at, event_id
"""
UNSEALED = """
SELECT count(*) AS events FROM audit_event e
WHERE at >= $1 AND at < $2
  AND NOT EXISTS (SELECT FROM audit_leaf l WHERE l.log = 'audit_event' AND l.row_id = e.event_id)
"""
BREACHES = """
SELECT breach_id, nature, severity, affected, aware_at, notify_by, board_at, principals_at, closed_at,
       greatest((SELECT c.set_back FROM grievance_clock c) - breach.set_back, '0') AS behind
FROM breach WHERE aware_at < $2 AND (aware_at >= $1 OR closed_at IS NULL OR closed_at >= $1)
ORDER BY aware_at, breach_id
"""
# What should have gone by $1 and is still there.
BACKLOG = """
SELECT 'Records in quarantine' AS what, count(*) AS overdue FROM ingest_quarantine_body
WHERE purge_at < $1::timestamptz - interval '2 days'
UNION ALL SELECT 'Exports of retailers', count(*) FROM retailer_export
WHERE sealed IS NOT NULL AND expires_at < $1::timestamptz - interval '2 days'
UNION ALL SELECT 'Answers of GUARD''s sources', count(*) FROM source_query
WHERE sealed IS NOT NULL AND asked_at < $1::timestamptz - interval '92 days'
UNION ALL SELECT 'Callbacks', count(*) FROM delivery
WHERE state <> 'pending' AND created_at < $1::timestamptz - interval '92 days'
UNION ALL SELECT 'Files of the lake off the list', count(*) FROM lake_removed
WHERE removed_at < $1::timestamptz - interval '2 days'
"""
HELD = """
SELECT (SELECT count(*) FROM pgqueuer WHERE status = 'failed') AS jobs,
       (SELECT count(*) FROM outbox WHERE reacted_at IS NULL AND attempts >= 10) AS events
"""


async def rows(db: Connection, statement: str, *arguments: datetime) -> list[Record]:
    """Return the rows of one of this module's statements."""
    found: list[Record] = await db.fetch(statement, *arguments)
    return found


async def row(db: Connection, statement: str, *arguments: datetime) -> Any:
    """Return the only row of one of this module's statements."""
    return await db.fetchrow(statement, *arguments)
