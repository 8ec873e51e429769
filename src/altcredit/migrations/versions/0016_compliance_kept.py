from altcredit.migrations.script import run

revision = "0016"
down_revision = "0015"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
