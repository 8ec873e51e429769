from altcredit.migrations.script import run

revision = "0009"
down_revision = "0008"

SQL = """
-- Staff (identity): who they are to the identity provider, and what they may do. `user_handle` is WebAuthn's user id.
CREATE TABLE staff (
    staff_id     text PRIMARY KEY CHECK (staff_id ~ '^stf_[0-9a-f]{16}$'),
    name_id      text NOT NULL UNIQUE CHECK (length(name_id) BETWEEN 1 AND 256),
    name         text NOT NULL,
    roles        text[] NOT NULL
                 CHECK (roles <@ ARRAY['ops', 'dpo', 'legal', 'model_owner', 'auditor', 'admin'] AND cardinality(roles) > 0),
    status       text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    user_handle  bytea NOT NULL UNIQUE CHECK (octet_length(user_handle) = 32),
    created_at   timestamptz NOT NULL
);

-- Hardware keys. `credential` is WebAuthn's attested credential data: AAGUID, id, public key.
CREATE TABLE staff_key (
    key_id         text PRIMARY KEY CHECK (key_id ~ '^sky_[0-9a-f]{16}$'),
    credential_id  bytea NOT NULL UNIQUE,
    staff_id       text NOT NULL REFERENCES staff,
    credential     bytea NOT NULL,
    attested_by    text NOT NULL,
    sign_count     bigint NOT NULL,
    created_at     timestamptz NOT NULL,
    last_used_at   timestamptz,
    revoked_at     timestamptz
);
CREATE INDEX staff_key_staff ON staff_key (staff_id);

-- Leave to enrol a key, once: it counts after single sign-on as the person that it is for, and not before.
CREATE TABLE staff_ticket (
    ticket_hmac  bytea PRIMARY KEY,
    staff_id     text NOT NULL REFERENCES staff,
    kind         text NOT NULL CHECK (kind IN ('bootstrap', 'invitation', 'recovery')),
    issued_at    timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz
);
CREATE INDEX staff_ticket_staff ON staff_ticket (staff_id);

-- Lost keys: one administrator asks, another one agrees, neither is the person concerned.
CREATE TABLE staff_recovery (
    recovery_id   text PRIMARY KEY,
    staff_id      text NOT NULL REFERENCES staff,
    reason        text NOT NULL,
    requested_by  text NOT NULL REFERENCES staff,
    requested_at  timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    approved_by   text REFERENCES staff CHECK (approved_by <> requested_by AND approved_by <> staff_id),
    approved_at   timestamptz,
    CHECK (requested_by <> staff_id)
);

-- A sign-in under way: `asked` of the identity provider, then `proven` by it; it ends where a session begins.
CREATE TABLE staff_sign_in (
    cookie_hmac  bytea PRIMARY KEY,
    request_id   text NOT NULL UNIQUE,
    state        text NOT NULL CHECK (state IN ('asked', 'proven', 'done')),
    staff_id     text REFERENCES staff,
    ceremony     text CHECK (ceremony IN ('enrol', 'sign_in')),
    challenge    bytea,
    ticket_hmac  bytea,
    started_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX staff_sign_in_expiry ON staff_sign_in (expires_at);

-- A session lives 15 minutes from sign-in, by two clocks: `seen_at` never goes back, so that a clock that was set back
-- is noticed; `uptime` (seconds) counts on the host whose start `boot` names, and nobody can set it.
CREATE TABLE staff_session (
    session_id    text PRIMARY KEY,
    token_hmac    bytea NOT NULL UNIQUE,
    staff_id      text NOT NULL REFERENCES staff,
    key_id        text NOT NULL REFERENCES staff_key,
    signed_in_at  timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL CHECK (expires_at > signed_in_at),
    seen_at       timestamptz NOT NULL,
    boot          text,
    uptime        double precision,
    ended_at      timestamptz,
    ended_by      text
);
CREATE INDEX staff_session_staff ON staff_session (staff_id) WHERE ended_at IS NULL;

-- Challenges for one action on one request each. Used ones stay as evidence: `signed` is what the key has signed.
CREATE TABLE staff_assertion (
    challenge       bytea PRIMARY KEY,
    session_id      text NOT NULL REFERENCES staff_session,
    action          text NOT NULL,
    request_sha256  bytea NOT NULL CHECK (octet_length(request_sha256) = 32),
    rp_id           text NOT NULL,
    origin          text NOT NULL,
    asked_at        timestamptz NOT NULL,
    used_at         timestamptz,
    key_id          text REFERENCES staff_key,
    signed          bytea
);
CREATE INDEX staff_assertion_session ON staff_assertion (session_id);

-- Assertions of the identity provider that were accepted, until they have expired: each counts once.
CREATE TABLE saml_assertion (
    issuer        text NOT NULL,
    assertion_id  text NOT NULL,
    expires_at    timestamptz NOT NULL,
    PRIMARY KEY (issuer, assertion_id)
);
CREATE INDEX saml_assertion_expiry ON saml_assertion (expires_at);
"""


def upgrade() -> None:
    run(SQL)
