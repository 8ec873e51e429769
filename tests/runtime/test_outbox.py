from datetime import UTC, datetime

import pytest

from altcredit.runtime import outbox
from altcredit.runtime.db import Database

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


async def test_an_event_vanishes_with_the_transaction_that_published_it(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as db:
            await outbox.publish(db, type="consent.granted", key="ret_1", data={}, now=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await database.reads.fetchval("SELECT count(*) FROM outbox") == 0
