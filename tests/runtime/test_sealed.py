"""A new key-encryption key reaches every sealed column there is."""

from altcredit.runtime import sealed
from altcredit.runtime.db import Database


async def test_columns_of_sealed_values_are_found_by_their_name_alone(database: Database) -> None:
    async with database.transaction() as db:
        await db.execute("CREATE TABLE later (id int, sealed_note bytea, sealed text)")
        found = await sealed.columns(db)
    assert ("later", "sealed_note") in found
    assert ("later", "sealed") not in found
    assert {"retailer", "ingest_quarantine_body", "distributor_secret", "delivery", "underwriting"} <= {
        table for table, _ in found
    }
