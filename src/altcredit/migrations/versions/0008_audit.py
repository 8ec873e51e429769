from altcredit.migrations.script import run

revision = "0008"
down_revision = "0007"

SQL = """
ALTER TABLE signing_key DROP CONSTRAINT signing_key_purpose_check;
ALTER TABLE signing_key ADD CONSTRAINT signing_key_purpose_check
    CHECK (purpose IN ('access_token', 'consent', 'model', 'receipt', 'audit'));

-- Two logs are sealed: what was changed (audit_event) and what was read (score_access). Their rows are never changed.
-- A month that has outlived its retention is dropped whole, and rows of it that strayed into the default partition are
-- deleted by the same transaction, which says so by this setting.
CREATE OR REPLACE FUNCTION audit_event_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('altcredit.purging', true) = 'yes' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE SEQUENCE score_access_id;
ALTER TABLE score_access ADD COLUMN access_id bigint NOT NULL DEFAULT nextval('score_access_id');
ALTER SEQUENCE score_access_id OWNED BY score_access.access_id;
ALTER TABLE score_access ADD PRIMARY KEY (at, access_id);
CREATE TRIGGER score_access_append_only BEFORE UPDATE OR DELETE ON score_access
    FOR EACH ROW EXECUTE FUNCTION audit_event_refuse();
CREATE TRIGGER score_access_no_truncate BEFORE TRUNCATE ON score_access
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse();
CREATE TRIGGER score_access_no_truncate BEFORE TRUNCATE ON score_access_default
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse();

CREATE FUNCTION score_access_partition(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := 'score_access_' || to_char(month, 'YYYY_MM');
    first timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
    beyond timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM score_access_default WHERE at >= first AND at < beyond) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF score_access FOR VALUES FROM (%L) TO (%L)', name, first, beyond);
    EXECUTE format('CREATE TRIGGER score_access_no_truncate BEFORE TRUNCATE ON %I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse()', name);
END $$;
SELECT score_access_partition((now() AT TIME ZONE 'UTC' + make_interval(months => ahead))::date)
FROM generate_series(0, 2) AS ahead;

-- Rows that have no leaf yet. Whoever appends to a log writes here in the same statement; the sealer empties it.
CREATE TABLE audit_unsealed (
    log    text NOT NULL CHECK (log IN ('audit_event', 'score_access')),
    at     timestamptz NOT NULL,
    row_id bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
INSERT INTO audit_unsealed (log, at, row_id) SELECT 'audit_event', at, event_id FROM audit_event;
INSERT INTO audit_unsealed (log, at, row_id) SELECT 'score_access', at, access_id FROM score_access;

-- Leaf n of the Merkle tree stands for one row. `proof` is a keyed hash of the whole leaf: who can write to the
-- database, but has not the installation's keys, cannot put another leaf in its place.
CREATE TABLE audit_leaf (
    leaf   bigint PRIMARY KEY CHECK (leaf >= 0),
    log    text NOT NULL,
    at     timestamptz NOT NULL,
    row_id bigint NOT NULL,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    proof  bytea NOT NULL CHECK (length(proof) = 16),
    UNIQUE (log, row_id)
);

-- Signed tree heads. `record` is what was signed.
CREATE TABLE audit_head (
    tree_size bigint PRIMARY KEY CHECK (tree_size > 0),
    record    bytea NOT NULL,
    key_id    text NOT NULL,
    signature bytea NOT NULL
);

-- Months whose rows were destroyed because nobody needs them any longer: their leaves stay.
CREATE TABLE audit_purge (
    log        text NOT NULL,
    month      date NOT NULL,
    first_leaf bigint NOT NULL,
    record     bytea NOT NULL,
    key_id     text NOT NULL,
    signature  bytea NOT NULL,
    PRIMARY KEY (log, first_leaf)
);

CREATE TRIGGER audit_leaf_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_leaf
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse();
CREATE TRIGGER audit_head_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse();
CREATE TRIGGER audit_purge_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_purge
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse();

-- Decision receipts, as they were first given to a lender. `record` is what was signed.
CREATE TABLE score_receipt (
    score_id  text NOT NULL,
    lender_id text NOT NULL,
    record    bytea NOT NULL,
    signature bytea NOT NULL,
    issued_at timestamptz NOT NULL,
    PRIMARY KEY (score_id, lender_id)
);
"""


def upgrade() -> None:
    run(SQL)
