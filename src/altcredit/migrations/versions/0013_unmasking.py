from altcredit.migrations.script import run

revision = "0013"
down_revision = "0012"

SQL = """
-- Counts what takes power from somebody, or changes it: suspension, new roles, a revoked key. What they had signed for
-- before names the standing of then, and counts no more; being active again does not bring it back.
ALTER TABLE staff ADD COLUMN standing integer NOT NULL DEFAULT 0;

-- First signatures of before name none: they are given again.
DELETE FROM staff_first_signature;
ALTER TABLE staff_first_signature ADD COLUMN standing integer NOT NULL;

-- What staff sign for is a first signature, models and recoveries too. Here is what is approved on the host; `standing`
-- is null where the name is nobody's of the staff.
DELETE FROM model_approval WHERE actor LIKE 'staff:%';
ALTER TABLE model_approval ADD COLUMN standing integer;
DROP TABLE staff_recovery;

-- How long the host had run, as with sessions: where its clock is set back, neither of these lives longer for it.
ALTER TABLE staff_assertion ADD COLUMN boot text, ADD COLUMN uptime double precision;
ALTER TABLE sign_in_code ADD COLUMN boot text, ADD COLUMN uptime double precision;
"""


def upgrade() -> None:
    run(SQL)
