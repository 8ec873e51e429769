from altcredit.migrations.script import run

revision = "0011"
down_revision = "0010"

SQL = """
-- Null: the shop was erased, and its data key destroyed with what it sealed.
ALTER TABLE retailer ALTER COLUMN sealed DROP NOT NULL;

-- A shop's erasure, from request to certificate. Rows stay: under opaque ids they prove what was done.
-- `identifiers`: the keyed hashes that led to the shop; needed to clean the quarantine, emptied with the data key.
CREATE TABLE erasure (
    erasure_id      text PRIMARY KEY,
    retailer_id     text NOT NULL UNIQUE,
    retailer_ids    text[] NOT NULL,
    distributor_ids text[] NOT NULL,
    identifiers     bytea[] NOT NULL,
    requested_by    text NOT NULL,
    approved_by     text,
    reason          text NOT NULL,
    policy_version  text NOT NULL,
    requested_at    timestamptz NOT NULL,
    due_at          timestamptz NOT NULL,
    completed_at    timestamptz,
    certificate     bytea,
    signature       bytea,
    key_id          text,
    CHECK ((completed_at IS NULL) = (certificate IS NULL)),
    CHECK ((certificate IS NULL) = (signature IS NULL)),
    CHECK ((certificate IS NULL) = (key_id IS NULL))
);
CREATE INDEX erasure_ids ON erasure USING gin (retailer_ids);
CREATE INDEX erasure_open ON erasure (due_at) WHERE completed_at IS NULL;
CREATE INDEX erasure_by_time ON erasure (requested_at);

CREATE TABLE erasure_step (
    erasure_id text NOT NULL REFERENCES erasure,
    position   smallint NOT NULL,
    step       text NOT NULL,
    due_at     timestamptz NOT NULL,
    done_at    timestamptz,
    facts      jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (erasure_id, position),
    UNIQUE (erasure_id, step)
);
CREATE INDEX erasure_step_due ON erasure_step (due_at) WHERE done_at IS NULL;

-- A shop's copy of all that is held of it. The document is sealed for the shop, and destroyed after `expires_at`.
CREATE TABLE retailer_export (
    export_id    text PRIMARY KEY,
    retailer_id  text NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    produced_at  timestamptz,
    expires_at   timestamptz,
    sha256       text,
    sealed       bytea,
    CHECK ((produced_at IS NULL) = (sha256 IS NULL)),
    CHECK ((produced_at IS NULL) = (expires_at IS NULL)),
    CHECK (sealed IS NULL OR produced_at IS NOT NULL)
);
CREATE INDEX retailer_export_of ON retailer_export (retailer_id, requested_at DESC);
CREATE INDEX retailer_export_by_time ON retailer_export (requested_at);
CREATE UNIQUE INDEX retailer_export_one_open ON retailer_export (retailer_id) WHERE produced_at IS NULL;
CREATE INDEX retailer_export_expired ON retailer_export (expires_at) WHERE sealed IS NOT NULL;

-- Personal data breaches and the clock of their notification (DPDP Rules 2025, rule 7: 72 hours).
CREATE TABLE breach (
    breach_id      text PRIMARY KEY,
    nature         text NOT NULL,
    severity       text NOT NULL CHECK (severity IN ('low', 'medium', 'high')),
    affected       integer NOT NULL CHECK (affected >= 0),
    reported_by    text NOT NULL,
    occurred_at    timestamptz NOT NULL,
    aware_at       timestamptz NOT NULL,
    notify_by      timestamptz NOT NULL,
    board_at       timestamptz,
    principals_at  timestamptz,
    escalated_at   timestamptz,
    closed_at      timestamptz,
    closing_note   text,
    CHECK (occurred_at <= aware_at),
    CHECK ((closed_at IS NULL) = (closing_note IS NULL)),
    CHECK (closed_at IS NULL OR (board_at IS NOT NULL AND principals_at IS NOT NULL))
);
CREATE INDEX breach_by_time ON breach (aware_at);
"""


def upgrade() -> None:
    run(SQL)
