from altcredit.migrations.script import run

revision = "0003"
down_revision = "0002"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    run(SQL)
