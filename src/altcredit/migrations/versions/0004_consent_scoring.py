from altcredit.migrations.script import run

revision = "0004"
down_revision = "0003"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
