"""
PostgreSQL by asyncpg: two pools and nothing else.

``transaction`` is for everything that writes: one transaction per request or job, committed at the edge. ``reads`` is
for single statements: its connections are not reset on release, which alone is worth a factor of 1.5 (a statement
leaves nothing behind to reset).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = PoolConnectionProxy
Record: TypeAlias = asyncpg.Record


class _KeptConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    async def reset(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's own signature
        """Do nothing: single statements leave no session state."""


class Database:
    """The connection pools of one process."""

    def __init__(self, *, dsn: str, writes: asyncpg.Pool, reads: asyncpg.Pool) -> None:
        self.dsn = dsn
        self.writes = writes
        self.reads = reads

    @classmethod
    async def connect(cls, dsn: str, *, connections: int = 16) -> Self:
        """Open the pools; at most ``connections`` connections, shared out evenly. Raises OSError or PostgresError."""
        half = max(connections // 2, 1)
        options: dict[str, Any] = {
            "server_settings": {"application_name": "altcredit", "timezone": "UTC"},
            "command_timeout": 30,
            "timeout": 5,
        }
        writes = await asyncpg.create_pool(dsn, min_size=1, max_size=half, **options)
        reads = await asyncpg.create_pool(dsn, min_size=1, max_size=half, connection_class=_KeptConnection, **options)
        return cls(dsn=dsn, writes=writes, reads=reads)

    async def close(self) -> None:
        """Close both pools, waiting for what is under way."""
        await self.writes.close()
        await self.reads.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside one transaction: committed when the block ends, rolled back when it raises."""
        async with self.writes.acquire() as connection, connection.transaction():
            yield connection


# What a database that is away, going away or full of connections looks like from here. Refusing beats guessing: an
# operation that meets one of these was not done.
UNAVAILABLE: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was lost between two messages, as its pool takes it back
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DiskFullError,
    asyncpg.ReadOnlySQLTransactionError,
)
