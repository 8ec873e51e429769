from altcredit.migrations.script import run

revision = "0011"
down_revision = "0010"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
