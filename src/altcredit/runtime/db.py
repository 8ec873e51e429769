"""
PostgreSQL by asyncpg: transactions, and single statements.

``transaction`` is for everything that writes: one transaction per request or job, committed at the edge. ``reads`` is
for single statements, which leave nothing behind in a session: there is nothing to reset after them.

What a lost or silent connection raises comes out of both as ``DatabaseAway``. What a wrong statement, a wrong argument
or the caller's own block raises comes out as it is: a bug must not look like an outage.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Self, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = PoolConnectionProxy
Record: TypeAlias = asyncpg.Record


# Longer than any wait behind healthy requests: then the database hangs, and refusing beats queueing.
_ACQUIRE_SECONDS = 5.0
_STATEMENT_SECONDS = 30
# A borrower that was cancelled as it took or returned a connection may have lost it: nobody would ever return that one.
_CLOSE_SECONDS = 10.0


class DatabaseAway(Exception):
    """The database cannot be reached, was lost, or does not answer in time."""


async def connect(dsn: str) -> asyncpg.Connection:
    """Open one connection of no pool. Raises DatabaseAway or PostgresError."""
    try:
        return await asyncpg.connect(dsn)
    except OSError as problem:  # TimeoutError among them
        raise DatabaseAway(f"no connection: {problem}") from problem


# What these mean depends on the connection: one that is closed was lost, one that is open was wrongly used.
_LOST = (ConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Reads:
    """
    Connections for single statements, each committed by itself.

    They are handed on from caller to caller as they are: asyncpg's pool, with a reset and a task a release, costs as
    much as the statement. One whose borrower was cancelled, perhaps amid a statement, is dropped; a lost one is
    replaced.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], *, size: int) -> None:
        self.size = size
        self._connect = connect
        # None stands for a connection that is not open; the one used last is the warmest.
        self._free: asyncio.LifoQueue[Connection | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._free.put_nowait(None)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Lend a connection. Raises DatabaseAway and what connecting raises."""
        connection = self._free.get_nowait() if not self._free.empty() else await self._awaited()
        try:
            if connection is None or connection.is_closed():
                connection = None
                connection = await self._connected()
            yield connection
        except asyncio.CancelledError:
            if connection is not None:
                connection.terminate()
            connection = None
            raise
        except TimeoutError as problem:
            raise DatabaseAway("no answer in time") from problem
        except _LOST as problem:
            if connection is not None and connection.is_closed():
                raise DatabaseAway("the connection was lost") from problem
            raise
        finally:
            self._free.put_nowait(connection)

    async def _awaited(self) -> Connection | None:
        try:
            return await asyncio.wait_for(self._free.get(), _ACQUIRE_SECONDS)
        except TimeoutError as problem:
            raise DatabaseAway("no connection became free in time") from problem

    async def _connected(self) -> Connection:
        try:
            return await self._connect()
        except OSError as problem:  # TimeoutError among them
            raise DatabaseAway(f"no connection: {problem}") from problem

    async def fetchrow(self, sql: str, *args: Any) -> Record | None:
        """Return the first row, if there is one."""
        async with self.acquire() as connection:
            return await connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """Return the first column of the first row."""
        async with self.acquire() as connection:
            return await connection.fetchval(sql, *args)

    async def fetch(self, sql: str, *args: Any) -> list[Record]:
        """Return all rows."""
        async with self.acquire() as connection:
            rows: list[Record] = await connection.fetch(sql, *args)
            return rows

    async def close(self) -> None:
        """Close every connection, when what is under way on it is done."""
        for _ in range(self.size):
            connection = await self._free.get()
            if connection is not None:
                await connection.close()


def _is_gone(connection: Connection) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # its pool has taken it back already, because it was lost
        return True


async def _as_it_is(_connection: Connection) -> None:
    """
    Give a connection back without a word to the server.

    asyncpg has seen to transactions and listeners by then. Whatever else outlives a transaction (session locks,
    settings, listening) is done on connections of their own, and a statement to undo it would be one in five.
    """


class Database:
    """The connections of one process."""

    def __init__(self, *, dsn: str, writes: asyncpg.Pool, reads: Reads) -> None:
        self.dsn = dsn
        self.writes = writes
        self.reads = reads

    @classmethod
    async def connect(cls, dsn: str, *, connections: int = 16) -> Self:
        """Connect; at most ``connections`` connections, shared out evenly. Raises DatabaseAway or PostgresError."""
        half = max(connections // 2, 1)
        options: dict[str, Any] = {
            "server_settings": {"application_name": "altcredit", "timezone": "UTC"},
            "command_timeout": _STATEMENT_SECONDS,
            "timeout": 5,
        }
        try:
            writes = await asyncpg.create_pool(dsn, min_size=1, max_size=half, reset=_as_it_is, **options)
        except OSError as problem:
            raise DatabaseAway(f"no connection: {problem}") from problem
        return cls(dsn=dsn, writes=writes, reads=Reads(partial(asyncpg.connect, dsn, **options), size=half))

    async def close(self) -> None:
        """Close them, waiting for what is under way; after ten seconds that is broken off."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.writes.close()
                await self.reads.close()
        except TimeoutError:
            self.writes.terminate()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside one transaction: committed when the block ends, rolled back when it raises."""
        connection = await self._acquired()
        try:
            async with connection.transaction():
                yield connection
        except TimeoutError as problem:
            raise DatabaseAway("no answer in time") from problem
        except _LOST as problem:
            if _is_gone(connection):
                raise DatabaseAway("the connection was lost") from problem
            raise
        finally:
            # The block has its outcome by now, whatever the pool finds as it takes back a connection that was lost.
            with suppress(asyncpg.InternalClientError, asyncpg.InterfaceError):
                await self.writes.release(connection)

    async def _acquired(self) -> Connection:
        try:
            return await self.writes.acquire(timeout=_ACQUIRE_SECONDS)
        except (OSError, asyncpg.InterfaceError) as problem:  # TimeoutError among the former; the pool may be closing
            raise DatabaseAway(f"no connection: {problem}") from problem


# What a database that is away, going away or full of connections looks like from here. Refusing beats guessing: an
# operation that meets one of these was not done, or, where its commit met it, may have been.
UNAVAILABLE: tuple[type[Exception], ...] = (
    DatabaseAway,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DiskFullError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.QueryCanceledError,
)
