from altcredit.migrations.script import run

revision = "0002"
down_revision = "0001"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
