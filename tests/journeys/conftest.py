"""One real, running installation for all journeys: API process and worker, over the test run's database server."""

from collections.abc import AsyncIterator

import pytest
from tests.api.conftest import Installation
from tests.conftest import new_database
from tests.served import install_expert, serving


@pytest.fixture(scope="session")
async def installation(server: str) -> AsyncIterator[Installation]:
    async with new_database(server) as dsn, serving(database_url=dsn) as (_, altscore):
        await install_expert(altscore.platform)
        yield altscore
