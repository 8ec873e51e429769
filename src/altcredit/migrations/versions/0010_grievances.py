from altcredit.migrations.script import run

revision = "0010"
down_revision = "0009"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
