from altcredit.migrations.script import run

revision = "0005"
down_revision = "0004"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
