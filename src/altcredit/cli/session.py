"""How a command reaches the installation: settings from the environment, the database, the keys."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from altcredit.runtime import log, postgres, schema
from altcredit.runtime.platform import Platform, opened
from altcredit.runtime.settings import Settings, load

T = TypeVar("T")


def settings() -> Settings:
    """Read the settings of this process. Raises SettingsInvalid."""
    return load(os.environ)


@asynccontextmanager
async def platform() -> AsyncIterator[Platform]:
    """
    Lend the installation's platform, starting the embedded database where it is the default.

    Development and sandbox databases are brought up to date on the way; in production that is ``altcredit db upgrade``.
    """
    chosen = settings()
    log.configure(chosen.log_level)
    dsn = await asyncio.to_thread(postgres.ensure, chosen)
    if chosen.environment != "production":
        await schema.upgrade(dsn)
    async with opened(chosen, dsn) as lent:
        yield lent


def run(work: Callable[[Platform], Awaitable[T]]) -> T:
    """Run ``work`` on the installation's platform and return what it returns."""

    async def main() -> T:
        async with platform() as lent:
            return await work(lent)

    return asyncio.run(main())
