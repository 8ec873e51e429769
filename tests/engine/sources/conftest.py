"""A deployment of every source against the real simulator, over real HTTP, on a real PostgreSQL."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import new_database
from tests.engine.sources.people import person

from altcredit.engine import sources
from altcredit.engine.sources import Clients, Finding, Subject
from altcredit.runtime.db import Database
from altcredit.runtime.keys import KeyProvider, Keyring
from altcredit.runtime.settings import Settings
from altcredit.simulator.source_server import SourceServer
from altcredit.simulator.source_serving import deployment_file, serving

CPF = "39549600017"
EVERYTHING = {"scr": "aut-1", "positiveHistory": "aut-2", "openFinance": "aut-3"}
SUBJECT = Subject(
    cpf=CPF, zip_code="01310-100", phone="+5511987654321", device_id="device-1", authorisations=EVERYTHING
)
_numbers = itertools.count(1)


def request_id() -> str:
    """Return the id of a new application."""
    return f"req_{next(_numbers):016x}"


@pytest.fixture(scope="session")
async def database(server: str) -> AsyncIterator[Database]:
    """Open pools on one database for all tests of sources: each has a partner and applications of its own."""
    async with new_database(server) as dsn:
        pools = await Database.connect(dsn, connections=8)
        yield pools
        await pools.close()


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring(KeyProvider(root=bytes(32), keks=(bytes(range(32)),)))


@pytest.fixture
async def simulator() -> AsyncIterator[SourceServer]:
    """Serve a simulator of this test's own; its address is ``simulator.base_url``."""
    app = SourceServer(person)
    async with serving(app) as base_url:
        app.base_url = base_url  # type: ignore[attr-defined]
        yield app


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Callable[[str], Any]]:
    """Open clients on the text of a file of sources; they are closed when the test ends."""
    made: list[Clients] = []

    async def open_(text: str, **settings: Any) -> Clients:
        file = tmp_path / f"sources-{len(made)}.toml"
        await asyncio.to_thread(file.write_text, text)
        made.append(await Clients.open(Settings(sources=str(file), **settings)))
        return made[-1]

    yield open_
    for clients in made:
        await clients.close()


@pytest.fixture
async def clients(simulator: SourceServer, opened: Any) -> Clients:
    """Open clients of every source at the simulator."""
    found: Clients = await opened(deployment_file(simulator.base_url))  # type: ignore[attr-defined]
    return found


class Asking:
    """What a worker does for an application."""

    def __init__(self, database: Database, keyring: Keyring, clients: Clients, clock: Clock) -> None:
        self.database = database
        self.keyring = keyring
        self.clients = clients
        self.clock = clock
        self.partner = f"partner_{next(_numbers)}"

    async def __call__(
        self,
        *names: str,
        request: str | None = None,
        partner: str | None = None,
        subject: Subject = SUBJECT,
        clients: Clients | None = None,
    ) -> dict[str, Finding]:
        return await sources.ask(
            self.database,
            keyring=self.keyring,
            clients=clients or self.clients,
            request_id=request or request_id(),
            partner_id=partner or self.partner,
            subject=subject,
            names=names,
            clock=self.clock,
        )

    async def queries(self, request: str) -> Sequence[sources.Query]:
        async with self.database.transaction() as db:
            return await sources.queries(db, request_id=request)


@pytest.fixture
def asking(database: Database, keyring: Keyring, clients: Clients, clock: Clock) -> Asking:
    return Asking(database, keyring, clients, clock)


@asynccontextmanager
async def listening(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[str]:
    """Serve a hostile source that does with a connection what it likes; lends its base URL."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
