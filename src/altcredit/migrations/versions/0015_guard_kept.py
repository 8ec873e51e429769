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
"""


def upgrade() -> None:
    run(SQL)
