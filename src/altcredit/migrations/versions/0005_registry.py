from altcredit.migrations.script import run

revision = "0005"
down_revision = "0004"

SQL = """
-- Every model that may be used, once. The artefact's files lie under the home folder; the card's digest binds them.
CREATE TABLE model_version (
    version       text PRIMARY KEY CHECK (version ~ '^[a-z0-9][a-z0-9.-]{0,63}$'),
    kind          text NOT NULL CHECK (kind IN ('expert', 'xgboost')),
    data_origin   text NOT NULL CHECK (data_origin IN ('expert', 'simulated', 'ledgers', 'public')),
    card          jsonb NOT NULL,
    path          text NOT NULL,
    sha256        text NOT NULL UNIQUE CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    key_id        text NOT NULL,
    signature     bytea NOT NULL,
    registered_by text NOT NULL,
    registered_at timestamptz NOT NULL
);

-- Who is in office. Rollback is one update of the champion's row.
CREATE TABLE model_alias (
    alias   text PRIMARY KEY CHECK (alias IN ('champion', 'challenger')),
    version text NOT NULL REFERENCES model_version,
    since   timestamptz NOT NULL
);

-- Who followed whom as champion: what a rollback goes back to.
CREATE TABLE model_promotion (
    promotion_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version      text NOT NULL REFERENCES model_version,
    predecessor  text REFERENCES model_version,
    promoted_by  text[] NOT NULL,
    promoted_at  timestamptz NOT NULL
);
CREATE INDEX model_promotion_by_version ON model_promotion (version, promotion_id);

-- How a model compares with the champion on the same shops, as the gate reads it.
CREATE TABLE model_comparison (
    version     text NOT NULL REFERENCES model_version,
    against     text NOT NULL REFERENCES model_version,
    comparison  jsonb NOT NULL,
    compared_at timestamptz NOT NULL,
    PRIMARY KEY (version, against)
);

-- Signatures under a promotion that has not happened yet; a promotion uses them up.
CREATE TABLE model_approval (
    version     text NOT NULL REFERENCES model_version,
    actor       text NOT NULL,
    approved_at timestamptz NOT NULL,
    PRIMARY KEY (version, actor)
);
"""


def upgrade() -> None:
    run(SQL)
