from altcredit.migrations.script import run

revision = "0006"
down_revision = "0005"

SQL = """
CREATE TABLE lake_base (
    version bigint PRIMARY KEY,
    covers bigint NOT NULL,
    made_at timestamptz NOT NULL
);
COMMENT ON COLUMN lake_base.version IS 'version of the manifest that listed this base of silver';
COMMENT ON COLUMN lake_base.covers IS 'it holds every bronze file added up to this version; later ones are deltas';

CREATE TABLE lake_removed (
    file_id bigint PRIMARY KEY,
    removed_at timestamptz NOT NULL
);
CREATE INDEX lake_removed_at ON lake_removed (removed_at);
COMMENT ON TABLE lake_removed IS 'files that no new reader takes and that go from disk when the last old one must be done';
"""


def upgrade() -> None:
    run(SQL)
