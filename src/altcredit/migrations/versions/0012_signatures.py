from altcredit.migrations.script import run

revision = "0012"
down_revision = "0011"

SQL = """
-- Who signed first for something that takes two people of the staff. The second signature removes the row.
CREATE TABLE staff_first_signature (
    action    text NOT NULL,
    subject   text NOT NULL,
    staff_id  text NOT NULL REFERENCES staff,
    signed_at timestamptz NOT NULL,
    PRIMARY KEY (action, subject)
);
"""


def upgrade() -> None:
    run(SQL)
