from altcredit.migrations.script import run

revision = "0015"
down_revision = "0014"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
