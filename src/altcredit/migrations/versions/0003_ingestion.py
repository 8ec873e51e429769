from altcredit.migrations.script import run

revision = "0003"
down_revision = "0002"

RETAILERS = """
CREATE TABLE retailer (
    retailer_id text PRIMARY KEY,
    seniority bigint GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL,
    sealed bytea NOT NULL,
    name_hash bytea
);
COMMENT ON COLUMN retailer.seniority IS 'order of arrival: of two merged shops the lower one survives';
COMMENT ON COLUMN retailer.sealed IS 'name, GSTINs and phone hashes, sealed under a data key of this retailer alone';

CREATE TABLE retailer_identifier (
    hash bytea NOT NULL,
    retailer_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('gst', 'ref', 'phone')),
    distributor_id text NOT NULL,
    PRIMARY KEY (hash, retailer_id)
);
-- A GSTIN and a distributor's own code name one shop; a phone may be shared by several.
CREATE UNIQUE INDEX retailer_identifier_names_one ON retailer_identifier (hash) WHERE kind <> 'phone';
CREATE INDEX retailer_identifier_of ON retailer_identifier (retailer_id);
COMMENT ON COLUMN retailer_identifier.hash IS 'HMAC under a key of its kind; a ref is hashed with its distributor';
COMMENT ON COLUMN retailer_identifier.distributor_id IS 'who said so first';

CREATE TABLE retailer_merge (
    merge_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    survivor_id text NOT NULL REFERENCES retailer,
    absorbed_id text NOT NULL REFERENCES retailer,
    evidence text NOT NULL,
    merged_at timestamptz NOT NULL,
    undone_at timestamptz,
    CHECK (survivor_id <> absorbed_id)
);
CREATE UNIQUE INDEX retailer_merge_once ON retailer_merge (absorbed_id) WHERE undone_at IS NULL;
CREATE INDEX retailer_merge_survivor ON retailer_merge (survivor_id);

-- The closure of the merges that stand: every absorbed id, and the id that answers for it.
CREATE TABLE retailer_alias (
    alias_id text PRIMARY KEY REFERENCES retailer,
    retailer_id text NOT NULL REFERENCES retailer,
    CHECK (alias_id <> retailer_id)
);
CREATE INDEX retailer_alias_of ON retailer_alias (retailer_id);

CREATE TABLE retailer_distributor (
    retailer_id text NOT NULL,
    distributor_id text NOT NULL,
    first_seen date NOT NULL,
    last_seen date NOT NULL,
    refs integer NOT NULL,
    has_gst boolean NOT NULL,
    has_phone boolean NOT NULL,
    PRIMARY KEY (retailer_id, distributor_id)
);
CREATE INDEX retailer_distributor_by_distributor ON retailer_distributor (distributor_id, retailer_id);
COMMENT ON COLUMN retailer_distributor.refs IS 'how many codes of its own this distributor has for the shop';

-- Counts what makes a remembered identity wrong (a code moved, a merge undone, an erasure): processes then forget.
CREATE TABLE retailer_epoch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch bigint NOT NULL
);
INSERT INTO retailer_epoch (epoch) VALUES (0);
"""

LAKE = """
CREATE TABLE lake_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version bigint NOT NULL
);
INSERT INTO lake_version (version) VALUES (0);

CREATE TABLE lake_file (
    file_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    layer text NOT NULL CHECK (layer IN ('bronze', 'silver', 'gold')),
    kind text NOT NULL,
    path text NOT NULL UNIQUE,
    distributor_id text,
    batch_id text,
    bucket integer,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    created_at timestamptz NOT NULL,
    added_version bigint NOT NULL,
    removed_version bigint
);
CREATE INDEX lake_file_live ON lake_file (layer, added_version) WHERE removed_version IS NULL;
CREATE INDEX lake_file_batch ON lake_file (batch_id) WHERE batch_id IS NOT NULL;
COMMENT ON COLUMN lake_file.path IS 'relative to the lake';
COMMENT ON COLUMN lake_file.added_version IS 'a reader at version v takes added_version <= v < coalesce(removed_version, infinity)';
"""

INGESTION = """
CREATE TABLE ingest_batch (
    batch_id text PRIMARY KEY,
    distributor_id text NOT NULL,
    client_batch_id uuid NOT NULL,
    body_sha256 bytea NOT NULL,
    erp_type text NOT NULL,
    received_at timestamptz NOT NULL,
    sync_from timestamptz NOT NULL,
    sync_to timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('processing', 'complete')),
    accepted integer NOT NULL,
    quarantined integer NOT NULL,
    written integer NOT NULL,
    touched text[] NOT NULL,
    warnings jsonb NOT NULL,
    completeness double precision,
    completed_at timestamptz,
    UNIQUE (distributor_id, client_batch_id)
);
CREATE INDEX ingest_batch_pending ON ingest_batch (received_at) WHERE status = 'processing';
CREATE INDEX ingest_batch_by_distributor ON ingest_batch (distributor_id, received_at DESC);
COMMENT ON COLUMN ingest_batch.written IS 'rows of the bronze file';
COMMENT ON COLUMN ingest_batch.touched IS 'retailers that its records name; those that only an invoice tells of are found by the pipeline';

CREATE TABLE ingest_quarantine (
    batch_id text NOT NULL,
    kind text NOT NULL,
    row_number integer NOT NULL,
    problems jsonb NOT NULL,
    PRIMARY KEY (batch_id, kind, row_number)
);

-- The records themselves, one sealed value a batch: sealing each alone would cost 25 us a record.
CREATE TABLE ingest_quarantine_body (
    batch_id text PRIMARY KEY,
    distributor_id text NOT NULL,
    sealed bytea NOT NULL,
    purge_at timestamptz NOT NULL
);
CREATE INDEX ingest_quarantine_purge ON ingest_quarantine_body (purge_at);

CREATE TABLE distributor_feed (
    distributor_id text PRIMARY KEY,
    coverage datemultirange NOT NULL,
    watermark date NOT NULL,
    lag_days integer[] NOT NULL,
    lag_p90_days integer NOT NULL,
    returns_seen boolean NOT NULL,
    last_batch_at timestamptz NOT NULL
);
COMMENT ON COLUMN distributor_feed.watermark IS 'last day of the first contiguous run of coverage';
COMMENT ON COLUMN distributor_feed.lag_days IS 'records of live batches by posting lag: element 1 is 0 days, element 61 is 60';

CREATE FUNCTION lag_sum(one integer[], other integer[]) RETURNS integer[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(a + b ORDER BY day) FROM unnest(one, other) WITH ORDINALITY AS u (a, b, day)
$$;

CREATE FUNCTION lag_p90(lag_days integer[], unknown integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(min(day) FILTER (WHERE running >= 0.9 * total AND total > 0), unknown)::integer
    FROM (
        SELECT ordinality - 1 AS day, sum(n) OVER (ORDER BY ordinality) AS running, sum(n) OVER () AS total
        FROM unnest(lag_days) WITH ORDINALITY AS u (n, ordinality)
    ) AS days
$$;
"""


def upgrade() -> None:
    run(RETAILERS + LAKE + INGESTION)
