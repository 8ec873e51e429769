from altcredit.migrations.script import run

revision = "0016"
down_revision = "0015"

SQL = """
-- How far the clocks of this installation had been set back, in all, when the thing began (grievance_clock counts): its
-- own time is the system's plus whatever that was set back since.
ALTER TABLE erasure ADD COLUMN set_back interval NOT NULL DEFAULT '0';
ALTER TABLE retailer_export ADD COLUMN set_back interval NOT NULL DEFAULT '0';
ALTER TABLE breach ADD COLUMN set_back interval NOT NULL DEFAULT '0';
UPDATE erasure SET set_back = c.set_back FROM grievance_clock c;
UPDATE retailer_export SET set_back = c.set_back FROM grievance_clock c;
UPDATE breach SET set_back = c.set_back FROM grievance_clock c;

-- These clocks are facts, too: nobody edits when something was asked for, and by when it is due.
CREATE FUNCTION compliance_clocks_stand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the clocks of % stand as they were set', TG_TABLE_NAME;
END $$;
CREATE TRIGGER erasure_clocks_stand BEFORE UPDATE ON erasure FOR EACH ROW
WHEN ((OLD.requested_at, OLD.due_at, OLD.set_back) IS DISTINCT FROM (NEW.requested_at, NEW.due_at, NEW.set_back))
EXECUTE FUNCTION compliance_clocks_stand();
CREATE TRIGGER retailer_export_clocks_stand BEFORE UPDATE ON retailer_export FOR EACH ROW
WHEN ((OLD.requested_at, OLD.due_at, OLD.set_back) IS DISTINCT FROM (NEW.requested_at, NEW.due_at, NEW.set_back))
EXECUTE FUNCTION compliance_clocks_stand();
CREATE TRIGGER breach_clocks_stand BEFORE UPDATE ON breach FOR EACH ROW
WHEN ((OLD.aware_at, OLD.notify_by, OLD.set_back) IS DISTINCT FROM (NEW.aware_at, NEW.notify_by, NEW.set_back))
EXECUTE FUNCTION compliance_clocks_stand();
"""


def upgrade() -> None:
    run(SQL)
