from altcredit.migrations.script import run

revision = "0006"
down_revision = "0005"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
