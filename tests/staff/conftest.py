"""A running installation whose admin listener has a port that is known beforehand, as browsers need it, and Chromium."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright
from tests.api.conftest import Installation
from tests.conftest import new_database
from tests.served import free_ports

from altcredit.api.process import Addresses, serve_platform
from altcredit.runtime.certificates import Authority
from altcredit.runtime.platform import opened
from altcredit.runtime.settings import Settings
from altcredit.runtime.tls import Tls


@asynccontextmanager
async def office(server: str, home: Path, **changes: Any) -> AsyncIterator[Installation]:
    """Lend an installation whose staff can sign in at ``https://localhost:<port>``."""
    (port,) = free_ports(1)
    async with new_database(server) as dsn:
        settings = Settings(
            home=str(home), port=0, admin_port=port, database_url=dsn, log_level="error",
            **{"staff_virtual_keys": True, **changes},
        )  # fmt: skip
        async with opened(settings, dsn) as platform:
            now = datetime.now(UTC)
            tls = Tls.open(settings, keyring=platform.keyring, now=now)
            ready: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
            stop = asyncio.Event()
            serving = asyncio.create_task(serve_platform(platform, tls, stop=stop, ready=ready.set_result))
            await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
            where = ready.result() if ready.done() else await serving
            assert where is not None
            authority = Authority.open(settings, keyring=platform.keyring, now=now)
            yield Installation(platform, Addresses(public=where.public, admin=settings.staff_origin), authority)
            stop.set()
            await serving


@pytest.fixture(scope="session")
async def staffed(server: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """An installation with the built-in identity provider."""
    async with office(server, tmp_path_factory.mktemp("office")) as installation:
        yield installation


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A real browser. The development authority is unknown to it: its certificate errors are ignored, ours are tested."""
    found = shutil.which("chromium")
    assert found is not None, "run `make system`"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        await browser.close()
