from altcredit.migrations.script import run

revision = "0015"
down_revision = "0014"

SQL = """
-- A question that is known to have failed can be put again, under a new key, when a person has its application
-- underwritten anew: it stays on record, superseded. At any time one question a source counts.
ALTER TABLE source_query ADD COLUMN superseded_at timestamptz
    CHECK (superseded_at IS NULL OR (state = 'failed' AND NOT in_doubt AND price_centavos = 0));
ALTER TABLE source_query DROP CONSTRAINT source_query_request_id_source_key;
CREATE UNIQUE INDEX source_query_current ON source_query (request_id, source) WHERE superseded_at IS NULL;
CREATE INDEX source_query_by_request ON source_query (request_id);

-- What sources may bill for questions that failed without a word.
ALTER TABLE underwriting ADD COLUMN in_doubt_centavos integer NOT NULL DEFAULT 0;

-- What a decision was made from, to learn from once its outcome is known. What is past its keeping, or erased at the
-- applicant's wish, is no longer there: the decision stays, under an opaque id.
ALTER TABLE underwriting
    ADD COLUMN sealed_features bytea,
    ADD COLUMN erased_at timestamptz,
    ALTER COLUMN sealed DROP NOT NULL,
    ADD CHECK (sealed IS NOT NULL OR status <> 'processing'),
    ADD CHECK (erased_at IS NULL OR (sealed IS NULL AND sealed_features IS NULL AND subject_hash = '' AND
               customer_uuid = ''));
CREATE INDEX underwriting_sealed ON underwriting (accepted_at) WHERE sealed IS NOT NULL OR sealed_features IS NOT NULL;
ALTER TABLE underwriting_review ALTER COLUMN sealed DROP NOT NULL, ADD CHECK (sealed IS NOT NULL OR decision IS NOT NULL);
CREATE INDEX underwriting_review_sealed ON underwriting_review (decided_at) WHERE sealed IS NOT NULL;
CREATE INDEX underwriting_review_by_request ON underwriting_review (request_id);

-- How the cards went that were granted, as their lender tells us: the most days past due within 12 months of booking,
-- as seen on `observed_on`.
CREATE TABLE underwriting_outcome (
    request_id  text PRIMARY KEY REFERENCES underwriting,
    booked_on   date NOT NULL,
    observed_on date NOT NULL,
    max_dpd     integer NOT NULL CHECK (max_dpd >= 0),
    imported_at timestamptz NOT NULL,
    CHECK (observed_on >= booked_on)
);

-- Of the limit policy's file; the version is the operator's word. Empty: assessed before it was recorded.
ALTER TABLE assessment ADD COLUMN policy_sha256 text NOT NULL DEFAULT '';
"""


def upgrade() -> None:
    run(SQL)
