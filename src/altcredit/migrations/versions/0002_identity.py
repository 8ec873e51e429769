from altcredit.migrations.script import run

revision = "0002"
down_revision = "0001"

SQL = """
-- Lenders and services: who may fetch a token. Limits left null are the published ones.
CREATE TABLE client (
    client_id     text PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('lender', 'service')),
    name          text NOT NULL,
    scopes        text[] NOT NULL DEFAULT '{}',
    status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    minute_limit  integer NOT NULL CHECK (minute_limit >= 0),
    day_limit     integer NOT NULL CHECK (day_limit >= 0),
    max_limit_inr bigint CHECK (max_limit_inr >= 0),
    created_at    timestamptz NOT NULL
);

-- `revoked_at`, here and below, may lie ahead: that is the end of an overlap, when a successor has been issued.
-- Only HMACs of secrets are kept. The HMAC covers the client id, so one index lookup answers every case alike.
CREATE TABLE client_secret (
    secret_hmac bytea PRIMARY KEY,
    client_id   text NOT NULL REFERENCES client,
    created_at  timestamptz NOT NULL,
    revoked_at  timestamptz
);
CREATE INDEX client_secret_by_client ON client_secret (client_id);

-- Access tokens that are refused before they expire; rows are dropped once the token has expired by itself.
CREATE TABLE denied_token (
    jti        text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX denied_token_by_expiry ON denied_token (expires_at);

CREATE TABLE distributor (
    distributor_id   text PRIMARY KEY,
    name             text NOT NULL,
    status           text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    require_v2       boolean NOT NULL DEFAULT false,
    batches_per_hour integer NOT NULL CHECK (batches_per_hour >= 0),
    backfill_limit   integer CHECK (backfill_limit >= 0),
    backfill_until   timestamptz,
    created_at       timestamptz NOT NULL,
    CHECK ((backfill_limit IS NULL) = (backfill_until IS NULL))
);

-- The pin: a certificate's fingerprint, looked up on every request, is what identifies a distributor.
CREATE TABLE distributor_certificate (
    sha256         bytea PRIMARY KEY CHECK (length(sha256) = 32),
    distributor_id text NOT NULL REFERENCES distributor,
    serial         text NOT NULL UNIQUE,
    not_before     timestamptz NOT NULL,
    not_after      timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    revoked_at     timestamptz
);
CREATE INDEX distributor_certificate_by_distributor ON distributor_certificate (distributor_id);

CREATE TABLE distributor_key (
    key_id         text PRIMARY KEY,
    key_hmac       bytea NOT NULL UNIQUE,
    distributor_id text NOT NULL REFERENCES distributor,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    revoked_at     timestamptz
);
CREATE INDEX distributor_key_by_distributor ON distributor_key (distributor_id);

-- Signing secrets must be read back, so they are sealed (owner: the distributor).
CREATE TABLE distributor_secret (
    secret_id      text PRIMARY KEY,
    distributor_id text NOT NULL REFERENCES distributor,
    sealed         bytea NOT NULL,
    created_at     timestamptz NOT NULL,
    revoked_at     timestamptz
);
CREATE INDEX distributor_secret_by_distributor ON distributor_secret (distributor_id);

-- Keys that sign tokens, consents, models and receipts. The private part is destroyed when a key retires; the public
-- part stays for ever, since what it signed must be verifiable for ever. `proof` ties it to the installation's keys.
CREATE TABLE signing_key (
    kid            text PRIMARY KEY,
    purpose        text NOT NULL CHECK (purpose IN ('access_token', 'consent', 'model', 'receipt')),
    state          text NOT NULL CHECK (state IN ('next', 'active', 'retiring', 'gone')),
    public_pem     text NOT NULL,
    proof          bytea NOT NULL,
    sealed_private bytea,
    created_at     timestamptz NOT NULL,
    activated_at   timestamptz,
    retires_at     timestamptz,
    CHECK ((sealed_private IS NOT NULL) = (state IN ('next', 'active'))),
    CHECK ((activated_at IS NOT NULL) = (state <> 'next')),
    CHECK ((retires_at IS NOT NULL) = (state IN ('retiring', 'gone')))
);
CREATE UNIQUE INDEX signing_key_one_next ON signing_key (purpose) WHERE state = 'next';
CREATE UNIQUE INDEX signing_key_one_active ON signing_key (purpose) WHERE state = 'active';

-- The audit log: one partition a month, made ahead of time; the default partition takes what falls outside.
CREATE SEQUENCE audit_event_id;
CREATE TABLE audit_event (
    event_id bigint NOT NULL DEFAULT nextval('audit_event_id'),
    at       timestamptz NOT NULL,
    actor    text NOT NULL,
    action   text NOT NULL,
    subject  text NOT NULL,
    details  jsonb NOT NULL,
    PRIMARY KEY (at, event_id)
) PARTITION BY RANGE (at);
ALTER SEQUENCE audit_event_id OWNED BY audit_event.event_id;
CREATE INDEX audit_event_by_subject ON audit_event (subject, at);
CREATE INDEX audit_event_by_actor ON audit_event (actor, at);

CREATE FUNCTION audit_event_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_event is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;

-- Row triggers reach the partitions by themselves; truncation does not, so each partition has a trigger of its own.
CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE ON audit_event
    FOR EACH ROW EXECUTE FUNCTION audit_event_refuse();
CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse();

CREATE FUNCTION audit_event_partition(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := 'audit_event_' || to_char(month, 'YYYY_MM');
    first timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
    beyond timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Rows that came before their partition stay in the default one.
    IF EXISTS (SELECT FROM audit_event_default WHERE at >= first AND at < beyond) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF audit_event FOR VALUES FROM (%L) TO (%L)', name, first, beyond);
    EXECUTE format('CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON %I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse()', name);
END $$;

CREATE TABLE audit_event_default PARTITION OF audit_event DEFAULT;
CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event_default
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse();
SELECT audit_event_partition((now() AT TIME ZONE 'UTC' + make_interval(months => ahead))::date)
FROM generate_series(0, 2) AS ahead;
"""


def upgrade() -> None:
    run(SQL)
