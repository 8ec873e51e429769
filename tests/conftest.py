"""
One real PostgreSQL server a test run; every test that asks for ``database`` gets a fresh, migrated database.

Whatever events a test leaves in its database must be as spec/events.json says.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from altcredit.runtime import schema
from altcredit.runtime.db import Database
from altcredit.runtime.postgres import Server
from tests.happening import require_conforming


def at(dsn: str, name: str) -> str:
    """Return the address of another database on the same server."""
    return dsn.rsplit("/", 1)[0] + "/" + name


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of the maintenance database of a running server that has the migrated template ``template_altcredit``."""
    home = Path(tempfile.mkdtemp(prefix="altcredit-test-"))
    home.chmod(0o755)  # for the account that runs the server when the tests run as root
    postgres = Server(home, durable=False)
    dsn = postgres.start()

    async def template() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE DATABASE template_altcredit")
        await connection.close()
        await schema.upgrade(at(dsn, "template_altcredit"))

    try:
        asyncio.run(template())
        yield dsn
    finally:
        postgres.stop()
        shutil.rmtree(home)


_counter = iter(range(1_000_000))


@asynccontextmanager
async def new_database(server: str) -> AsyncIterator[str]:
    """Make a migrated database, lend its address, see that the events in it conform, and drop it."""
    name = f"test_{next(_counter)}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template_altcredit STRATEGY FILE_COPY")
    try:
        yield at(server, name)
        await require_conforming(at(server, name))
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


@pytest.fixture
async def database_url(server: str) -> AsyncIterator[str]:
    """Address of a database that this test alone uses."""
    async with new_database(server) as dsn:
        yield dsn


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open pools on a database that this test alone uses."""
    pools = await Database.connect(database_url, connections=8)
    yield pools
    await pools.close()
