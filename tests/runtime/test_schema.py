from altcredit.runtime import schema
from altcredit.runtime.db import Database


async def test_a_migrated_database_is_accepted(database: Database) -> None:
    async with database.transaction() as db:
        await schema.require(db)
        assert await db.fetchval(schema.CURRENT) == schema.head()
