from altcredit.migrations.script import run

revision = "0017"
down_revision = "0016"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
