from altcredit.migrations.script import run

revision = "0013"
down_revision = "0012"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
