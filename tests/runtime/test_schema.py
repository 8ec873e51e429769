from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from altcredit import migrations
from altcredit.runtime import schema
from altcredit.runtime.db import Database


async def test_a_migrated_database_is_accepted(database: Database) -> None:
    async with database.transaction() as db:
        await schema.require(db)
        assert await db.fetchval(schema.CURRENT) == schema.head()


def test_the_newest_revision_is_the_one_that_alembic_would_upgrade_to() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.head()
