from altcredit.migrations.script import run

revision = "0001"
down_revision = None

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
