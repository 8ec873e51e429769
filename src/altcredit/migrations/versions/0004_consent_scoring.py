from altcredit.migrations.script import run

revision = "0004"
down_revision = "0003"

SQL = """
-- Fixed windows. The minute counter need not survive a crash of the server (the worst case is one minute's allowance
-- given twice) and so pays for no write-ahead log; hours and days do.
CREATE UNLOGGED TABLE quota_minute (
    subject text NOT NULL,
    window_start timestamptz NOT NULL,
    taken integer NOT NULL,
    PRIMARY KEY (subject, window_start)
) WITH (fillfactor = 50);

CREATE TABLE quota_window (
    subject text NOT NULL,
    window_start timestamptz NOT NULL,
    taken integer NOT NULL,
    PRIMARY KEY (subject, window_start)
) WITH (fillfactor = 50);

CREATE TABLE idempotent_answer (
    caller text NOT NULL,
    path text NOT NULL,
    key text NOT NULL,
    body_sha256 bytea NOT NULL,
    status smallint,
    answer bytea,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (caller, path, key)
);
CREATE INDEX idempotent_answer_created ON idempotent_answer (created_at);

-- The consent ledger: immutable signed records. Only revoked_at, revocation and superseded_by are ever set, once.
CREATE TABLE consent (
    consent_id text PRIMARY KEY,
    retailer_id text NOT NULL,
    lender_ids text[] NOT NULL,
    distributor_ids text[] NOT NULL,
    purpose text NOT NULL,
    granted_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    record bytea NOT NULL,
    signature bytea NOT NULL,
    key_id text NOT NULL,
    revoked_at timestamptz,
    revocation jsonb
);
CREATE INDEX consent_retailer ON consent (retailer_id);

-- One row per (retailer, lender) under a keyed hash: every outcome costs the same single look-up.
CREATE TABLE consent_head (
    head_key bytea PRIMARY KEY,
    retailer_id text NOT NULL,
    lender_id text NOT NULL,
    requested_id text NOT NULL,
    purposes text[] NOT NULL,
    consent_ids text[] NOT NULL,
    expires_at timestamptz[] NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX consent_head_retailer ON consent_head (retailer_id);

CREATE TABLE consent_gst_head (
    head_key bytea PRIMARY KEY,
    retailer_id text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX consent_gst_head_retailer ON consent_gst_head (retailer_id);

-- Every assessment ever made; the newest of each retailer is repeated in current_score, which the read path uses.
CREATE TABLE assessment (
    score_id text NOT NULL,
    retailer_id text NOT NULL,
    scored_at timestamptz NOT NULL,
    as_of date NOT NULL,
    altscore smallint,
    risk_band text,
    pd double precision,
    model_pd double precision,
    base_limit_inr bigint,
    hard_cap_inr bigint,
    overdue_inr bigint NOT NULL,
    reasons jsonb NOT NULL,
    completeness real NOT NULL,
    reduced_confidence boolean NOT NULL,
    insufficient text,
    in_default boolean NOT NULL,
    feed text[] NOT NULL,
    score_version text NOT NULL,
    model_sha256 text NOT NULL,
    policy_version text NOT NULL,
    inputs_sha256 text NOT NULL,
    standing jsonb NOT NULL,
    PRIMARY KEY (retailer_id, score_id)
) PARTITION BY HASH (retailer_id);
DO $$ BEGIN
    FOR i IN 0..7 LOOP
        EXECUTE format('CREATE TABLE assessment_%s PARTITION OF assessment FOR VALUES WITH (MODULUS 8, REMAINDER %s)', i, i);
    END LOOP;
END $$;
CREATE INDEX assessment_score ON assessment (score_id);

CREATE TABLE current_score (
    retailer_id text PRIMARY KEY,
    score_id text NOT NULL,
    scored_at timestamptz NOT NULL,
    altscore smallint,
    risk_band text,
    pd double precision,
    base_limit_inr bigint,
    hard_cap_inr bigint,
    overdue_inr bigint NOT NULL,
    reasons text NOT NULL,
    completeness real NOT NULL,
    reduced_confidence boolean NOT NULL,
    score_version text NOT NULL,
    policy_version text NOT NULL,
    feed text[] NOT NULL
) WITH (fillfactor = 80);

-- Contract A12: the last score of each calendar month (IST).
CREATE TABLE score_month (
    retailer_id text NOT NULL,
    month date NOT NULL,
    score_id text NOT NULL,
    scored_at timestamptz NOT NULL,
    altscore smallint NOT NULL,
    risk_band text NOT NULL,
    score_version text NOT NULL,
    PRIMARY KEY (retailer_id, month)
) WITH (fillfactor = 80);

-- Who asked for what and was told what: every call of the Score API that reached the rules, refusals included.
CREATE TABLE score_access (
    at timestamptz NOT NULL,
    lender_id text NOT NULL,
    operation text NOT NULL,
    requested_id text,
    retailer_id text,
    purpose text,
    outcome text NOT NULL,
    consent_id text,
    score_id text,
    request_id text NOT NULL
) PARTITION BY RANGE (at);
CREATE TABLE score_access_default PARTITION OF score_access DEFAULT;
CREATE INDEX score_access_retailer ON score_access (retailer_id, at) WHERE retailer_id IS NOT NULL;
"""


def upgrade() -> None:
    run(SQL)
