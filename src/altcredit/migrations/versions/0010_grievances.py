from altcredit.migrations.script import run

revision = "0010"
down_revision = "0009"

SQL = """
-- Cases (API-ALTSCORE-001, section 06; contract G1, G2). What people write is sealed: owner is retailer_id as filed.
CREATE TABLE grievance (
    grievance_id text PRIMARY KEY,
    retailer_id text NOT NULL,
    score_id text,
    filed_by text NOT NULL CHECK (filed_by IN ('lender', 'retailer')),
    filer_id text NOT NULL,
    channel text NOT NULL CHECK (channel IN ('api', 'whatsapp')),
    grievance_type text NOT NULL,
    sealed_description bytea,
    contact bytea,
    language text NOT NULL CHECK (language IN ('en', 'hi')),
    filed_at timestamptz NOT NULL,
    ack_by timestamptz NOT NULL,
    resolve_by timestamptz NOT NULL,
    escalate_by timestamptz NOT NULL,
    -- How far the clocks of this installation had been set back, in all, when the case was filed.
    set_back interval NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'acknowledged', 'under_review', 'resolved')),
    acknowledged_at timestamptz,
    reviewer text,
    corrected_at timestamptz,
    resolved_at timestamptz,
    outcome text,
    sealed_resolution bytea,
    new_score_id text,
    CHECK ((status = 'resolved') = (resolved_at IS NOT NULL))
);
CREATE INDEX grievance_retailer ON grievance (retailer_id, filed_at);
CREATE INDEX grievance_unresolved ON grievance (ack_by) WHERE resolved_at IS NULL;
CREATE INDEX grievance_filed ON grievance (filed_at);

-- The clocks are facts of the filing: nobody edits them, not even by SQL.
CREATE FUNCTION grievance_clocks_stand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the clocks of % were set at its filing and stand', OLD.grievance_id;
END $$;
CREATE TRIGGER grievance_clocks_stand BEFORE UPDATE ON grievance FOR EACH ROW
WHEN ((OLD.filed_at, OLD.ack_by, OLD.resolve_by, OLD.escalate_by, OLD.set_back)
      IS DISTINCT FROM (NEW.filed_at, NEW.ack_by, NEW.resolve_by, NEW.escalate_by, NEW.set_back))
EXECUTE FUNCTION grievance_clocks_stand();

CREATE TABLE grievance_note (
    note_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    grievance_id text NOT NULL REFERENCES grievance,
    at timestamptz NOT NULL,
    author text NOT NULL,
    visible boolean NOT NULL,
    sealed_text bytea
);
CREATE INDEX grievance_note_case ON grievance_note (grievance_id, note_id);

-- A clock that ran out is escalated once.
CREATE TABLE grievance_escalation (
    grievance_id text NOT NULL REFERENCES grievance,
    clock text NOT NULL CHECK (clock IN ('acknowledgement', 'resolution', 'escalation')),
    due_at timestamptz NOT NULL,
    escalated_at timestamptz NOT NULL,
    PRIMARY KEY (grievance_id, clock)
);
CREATE INDEX grievance_escalation_at ON grievance_escalation (escalated_at);

-- When the system's clock was last read for a case, and by how much it has been set back since the beginning.
CREATE TABLE grievance_clock (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    read_at timestamptz NOT NULL,
    set_back interval NOT NULL DEFAULT '0'
);

-- WhatsApp. A phone is known by its keyed hash; the number itself is sealed (owner: the hash, hex), to answer to.
CREATE TABLE conversation (
    phone bytea PRIMARY KEY,
    sealed bytea NOT NULL,
    language text NOT NULL CHECK (language IN ('en', 'hi')),
    -- Opens the 24 hours in which anything but a template may be sent.
    heard_at timestamptz,
    used_at timestamptz NOT NULL
);
CREATE INDEX conversation_used ON conversation (used_at);

-- A wamid is taken once: it stays, without body and phone in the end, so that no replay counts.
CREATE TABLE inbound_message (
    wamid text PRIMARY KEY,
    phone bytea NOT NULL,
    written_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    kind text NOT NULL,
    sealed_body bytea,
    answered_at timestamptz
);
CREATE INDEX inbound_message_received ON inbound_message (received_at);
CREATE INDEX inbound_message_phone ON inbound_message (phone);

CREATE TABLE outbound_message (
    message_id text PRIMARY KEY,
    place bigint GENERATED ALWAYS AS IDENTITY,
    phone bytea NOT NULL,
    topic text NOT NULL,
    sealed_body bytea,
    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'sent', 'delivered', 'read', 'failed', 'dropped')),
    wamid text UNIQUE,
    created_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    leased_until timestamptz,
    tries integer NOT NULL DEFAULT 0,
    problem text,
    sent_at timestamptz,
    state_at timestamptz NOT NULL
);
CREATE INDEX outbound_message_queue ON outbound_message (phone, place) WHERE state = 'queued';
CREATE INDEX outbound_message_due ON outbound_message (due_at) WHERE state = 'queued';
CREATE INDEX outbound_message_created ON outbound_message (created_at);

-- What became of messages, as WhatsApp says; it may say so before its answer to the sending has been written down.
CREATE TABLE message_status (
    wamid text NOT NULL,
    state text NOT NULL,
    at timestamptz NOT NULL,
    code text,
    PRIMARY KEY (wamid, state)
);
CREATE INDEX message_status_at ON message_status (at);

-- One showing of a consent notice, in one language; its buttons carry the nonce.
CREATE TABLE consent_invitation (
    nonce text PRIMARY KEY,
    phone bytea NOT NULL,
    retailer_id text NOT NULL,
    lender_ids text[] NOT NULL,
    purpose text NOT NULL,
    language text NOT NULL,
    sealed_shown bytea,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'granted', 'declined', 'replaced', 'stopped')),
    shown_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    settled_at timestamptz,
    consent_id text
);
CREATE INDEX consent_invitation_phone ON consent_invitation (phone, shown_at);
CREATE INDEX consent_invitation_retailer ON consent_invitation (retailer_id);

-- At most one live code a phone; only a keyed hash of it.
CREATE TABLE sign_in_code (
    phone bytea PRIMARY KEY,
    code_hmac bytea NOT NULL,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    tries integer NOT NULL DEFAULT 0
);
"""


def upgrade() -> None:
    run(SQL)
