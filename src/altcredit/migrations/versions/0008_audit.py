from altcredit.migrations.script import run

revision = "0008"
down_revision = "0007"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
