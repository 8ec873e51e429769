"""Seals a test's database a few rows at a time until it is killed: ``python -m tests.engine.audit.sealer DSN FILE``."""

import asyncio
import sys
from pathlib import Path

from tests.engine.audit.conftest import NOW, Log, opened

from altcredit.runtime.db import Database


async def main(dsn: str, second: str) -> None:
    database = await Database.connect(dsn, connections=2)
    log: Log = await opened(database, Path(second))
    print("sealing", flush=True)  # noqa: T201 - the test waits for it
    while True:
        await log.seal(now=NOW, most=3)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
