from altcredit.migrations.script import run

revision = "0014"
down_revision = "0013"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
