from altcredit.migrations.script import run

revision = "0009"
down_revision = "0008"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
