"""What one process holds while it runs: settings, database pools, keys."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Self

from altcredit.runtime import clock, log, schema, signing
from altcredit.runtime.db import UNAVAILABLE, Database
from altcredit.runtime.keys import Keyring
from altcredit.runtime.peer import trusted_networks
from altcredit.runtime.settings import Settings
from altcredit.runtime.signing import SigningKeys

# More often than any key is rotated, and soon enough that a withdrawn key is not believed for long.
_REFRESH_SECONDS = 15


class Platform:
    """The means that operations work with; made once, at the edge of a process."""

    def __init__(self, *, settings: Settings, database: Database, keyring: Keyring, signing: SigningKeys) -> None:
        self.settings = settings
        self.database = database
        self.keyring = keyring
        self.signing = signing
        self._looked_up = 0.0
        self.trusted_proxies = trusted_networks(settings)

    @classmethod
    async def open(cls, settings: Settings, dsn: str, *, now: datetime) -> Self:
        """
        Connect to a migrated database and load the keys; the first process of an installation makes them.

        :raises schema.SchemaOutdated: the database is not at this version's revision.
        :raises KeysUnusable, CustodianUnusable: the key file cannot be used, or not unwrapped.
        """
        keyring = await asyncio.to_thread(Keyring.open, settings)  # a custodian may be far away
        database = await Database.connect(dsn, connections=settings.database_connections)
        try:
            async with database.transaction() as db:
                await schema.require(db)
                await signing.maintain(db, keyring=keyring, now=now)
                keys = await signing.load(db, keyring=keyring, issuer=settings.issuer, now=now)
        except BaseException:
            await database.close()
            raise
        return cls(settings=settings, database=database, keyring=keyring, signing=keys)

    async def close(self) -> None:
        """Let go of the database."""
        await self.database.close()

    async def refresh_keys(self) -> None:
        """Read the signing keys again."""
        async with self.database.transaction() as db:
            await self.signing.refresh(db, keyring=self.keyring, now=clock.now())

    async def keys_looked_up(self) -> bool:
        """Read the signing keys again, unless that was done within the last second; tell whether it was done."""
        now = time.monotonic()
        if now - self._looked_up < 1.0:
            return False
        self._looked_up = now
        await self.refresh_keys()
        return True

    async def keep_keys_fresh(self) -> None:
        """Read the signing keys again every few seconds, for as long as the process runs."""
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            try:
                await self.refresh_keys()
            except UNAVAILABLE as away:
                log.warning("keys_not_refreshed", error=type(away).__name__)


@asynccontextmanager
async def opened(settings: Settings, dsn: str) -> AsyncIterator[Platform]:
    """Lend a platform to the block and close it after."""
    platform = await Platform.open(settings, dsn, now=clock.now())
    try:
        yield platform
    finally:
        await platform.close()
