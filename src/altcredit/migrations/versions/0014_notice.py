from altcredit.migrations.script import run

revision = "0014"
down_revision = "0013"

SQL = """
-- A notice calls the shop by its name. The signed record holds a salted hash of it; salt and name are sealed here, and
-- destroyed by erasure, after which nothing in the record tells whose it was.
ALTER TABLE consent ADD COLUMN sealed_business bytea;
"""


def upgrade() -> None:
    run(SQL)
