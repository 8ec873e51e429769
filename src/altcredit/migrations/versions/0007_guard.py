from altcredit.migrations.script import run

revision = "0007"
down_revision = "0006"

SQL = """
-- GUARD's partners (identity). A partner without an address in its list reaches nothing.
CREATE TABLE partner (
    partner_id        text PRIMARY KEY,
    name              text NOT NULL,
    status            text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    addresses         cidr[] NOT NULL,
    minute_limit      integer NOT NULL CHECK (minute_limit >= 0),
    failure_callbacks boolean NOT NULL DEFAULT false,
    reason_codes      boolean NOT NULL DEFAULT false,
    created_at        timestamptz NOT NULL
);

-- Nobody: looked at where a token names no partner, so that this takes as long as any other refusal (contract U1).
INSERT INTO partner (partner_id, name, status, addresses, minute_limit, created_at)
VALUES ('', 'nobody', 'suspended', '{192.0.2.0/32}', 0, 'epoch');

CREATE TABLE partner_token (
    token_hmac bytea PRIMARY KEY,
    partner_id text NOT NULL REFERENCES partner,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX partner_token_by_partner ON partner_token (partner_id);

-- Where callbacks go (delivery). `failing_since`: the last attempt failed; such a partner is sent one at a time,
-- and not before `resumes_at`.
-- `claims` counts the rounds in which deliveries were leased: each goes by a number that no other has gone by.
CREATE TABLE callback_endpoint (
    partner_id      text PRIMARY KEY,
    url             text NOT NULL,
    state           text NOT NULL CHECK (state IN ('active', 'disabled')),
    verified_at     timestamptz NOT NULL,
    failing_since   timestamptz,
    resumes_at      timestamptz,
    disabled_at     timestamptz,
    disabled_reason text,
    claims          bigint NOT NULL DEFAULT 0,
    CHECK ((state = 'disabled') = (disabled_at IS NOT NULL))
);

-- What callbacks are signed with, two live at once during a rotation. Private parts must be read back: sealed.
CREATE TABLE callback_secret (
    secret_id  text PRIMARY KEY,
    partner_id text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('hmac', 'ed25519')),
    sealed     bytea NOT NULL,
    public_key text,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CHECK ((kind = 'ed25519') = (public_key IS NOT NULL))
);
CREATE INDEX callback_secret_by_partner ON callback_secret (partner_id);

-- One callback to be delivered. `leased_until`: a worker is sending it; a dead worker's lease runs out.
-- `tries` since the delivery, or its replay, began; `gives_up_at` is set with the first of them.
CREATE TABLE delivery (
    delivery_id     text PRIMARY KEY,
    partner_id      text NOT NULL,
    request_id      text NOT NULL,
    webhook_id      text NOT NULL UNIQUE,
    kind            text NOT NULL CHECK (kind IN ('result', 'failure', 'review')),
    sealed          bytea NOT NULL,
    state           text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    created_at      timestamptz NOT NULL,
    next_attempt_at timestamptz,
    gives_up_at     timestamptz,
    leased_until    timestamptz,
    attempts        integer NOT NULL DEFAULT 0,
    tries           integer NOT NULL DEFAULT 0,
    delivered_at    timestamptz,
    CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL))
);
CREATE INDEX delivery_due ON delivery (partner_id, next_attempt_at) WHERE state = 'pending';
CREATE INDEX delivery_leased ON delivery (partner_id, leased_until) WHERE leased_until IS NOT NULL;
CREATE INDEX delivery_by_partner ON delivery (partner_id, created_at DESC, delivery_id DESC);
CREATE INDEX delivery_by_request ON delivery (request_id);
CREATE INDEX delivery_undelivered ON delivery (created_at) WHERE state <> 'delivered';

CREATE TABLE delivery_attempt (
    delivery_id text NOT NULL REFERENCES delivery ON DELETE CASCADE,
    number      integer NOT NULL,
    at          timestamptz NOT NULL,
    status      integer,
    problem     text,
    latency_ms  integer NOT NULL,
    answer      text NOT NULL DEFAULT '',
    PRIMARY KEY (delivery_id, number)
);

-- One question to one source for one application (sources). Written before the call, so that a call in doubt is known;
-- `query_id` is the idempotency key that the source gets. `question_hash` is over all that the answer depends on;
-- `copied_from`: a valid answer of an earlier query with the same one was used.
CREATE TABLE source_query (
    query_id       text PRIMARY KEY,
    request_id     text NOT NULL,
    partner_id     text NOT NULL,
    subject_hash   bytea NOT NULL,
    question_hash  bytea NOT NULL,
    source         text NOT NULL,
    state          text NOT NULL CHECK (state IN ('asked', 'answered', 'failed')),
    in_doubt       boolean NOT NULL DEFAULT false,
    tries          integer NOT NULL DEFAULT 0,
    price_centavos integer NOT NULL DEFAULT 0,
    asked_at       timestamptz NOT NULL,
    finished_at    timestamptz,
    valid_until    timestamptz,
    copied_from    text,
    problem        text,
    sealed         bytea,
    UNIQUE (request_id, source),
    CHECK ((state = 'asked') = (finished_at IS NULL))
);
CREATE INDEX source_query_valid ON source_query (partner_id, question_hash, valid_until)
    WHERE state = 'answered' AND copied_from IS NULL AND sealed IS NOT NULL;
CREATE INDEX source_query_by_subject ON source_query (subject_hash);
CREATE INDEX source_query_by_time ON source_query (asked_at);
CREATE INDEX source_query_sealed ON source_query (asked_at) WHERE sealed IS NOT NULL;

-- An application (underwriting). The CPF is kept as a keyed hash and, with the rest of the request, sealed.
-- `asks_all`: no funnel, all sources. `reassessed`: a person had it underwritten anew.
CREATE TABLE underwriting (
    request_id     text PRIMARY KEY,
    partner_id     text NOT NULL,
    customer_uuid  text NOT NULL,
    subject_hash   bytea NOT NULL,
    sealed         bytea NOT NULL,
    cost_saving    boolean NOT NULL,
    asks_all       boolean NOT NULL,
    reassessed     boolean NOT NULL DEFAULT false,
    status         text NOT NULL CHECK (status IN ('processing', 'finished', 'failed')),
    accepted_at    timestamptz NOT NULL,
    started_at     timestamptz,
    finished_at    timestamptz,
    outcome        text CHECK (outcome IN ('filtered', 'not_calculable', 'approved', 'rejected')),
    pd             double precision,
    risk_band      integer,
    limit_brl      integer,
    cost_centavos  integer NOT NULL DEFAULT 0,
    decision       jsonb,
    CHECK ((status = 'finished') = (outcome IS NOT NULL)),
    CHECK ((status = 'processing') = (finished_at IS NULL))
);
CREATE INDEX underwriting_by_partner ON underwriting (partner_id, accepted_at DESC);
CREATE INDEX underwriting_by_time ON underwriting (accepted_at);
CREATE INDEX underwriting_by_subject ON underwriting (subject_hash);

-- A person looks at what the machine declined (LGPD, art. 20).
CREATE TABLE underwriting_review (
    review_id    text PRIMARY KEY,
    request_id   text NOT NULL REFERENCES underwriting,
    sealed       bytea NOT NULL,
    asked_by     text NOT NULL,
    asked_at     timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    decision     text CHECK (decision IN ('upheld', 'reassessed', 'overturned')),
    decided_by   text,
    decided_at   timestamptz,
    note         text,
    before       jsonb,
    CHECK ((decision IS NULL) = (decided_at IS NULL))
);
CREATE UNIQUE INDEX underwriting_review_one_open ON underwriting_review (request_id) WHERE decision IS NULL;
CREATE INDEX underwriting_review_open ON underwriting_review (due_at) WHERE decision IS NULL;

-- One champion and one challenger a product. What was registered so far is AltScore's; from now on the product is said.
ALTER TABLE model_version ADD COLUMN product text NOT NULL DEFAULT 'altscore'
    CHECK (product IN ('altscore', 'guard', 'guard_screen'));
ALTER TABLE model_version ALTER COLUMN product DROP DEFAULT;
ALTER TABLE model_alias ADD COLUMN product text NOT NULL DEFAULT 'altscore'
    CHECK (product IN ('altscore', 'guard', 'guard_screen'));
ALTER TABLE model_alias ALTER COLUMN product DROP DEFAULT;
ALTER TABLE model_alias DROP CONSTRAINT model_alias_pkey;
ALTER TABLE model_alias ADD PRIMARY KEY (product, alias);
"""


def upgrade() -> None:
    run(SQL)
