"""Writes of several applications that share statements and commits."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

from altcredit.engine.sources import store
from altcredit.engine.sources.query import Closing, Opening
from altcredit.runtime.db import Database

Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row")
Result = TypeVar("Result")

AT_MOST = 500


class Shared(Generic[Key, Row, Result]):
    """
    Writes rows in batches: whatever is given while one statement runs goes into the next.

    ``write`` makes them durable in one statement and returns results by key; a row without one gets None. Nothing
    waits for company, so a lone row is written at once.
    """

    def __init__(self, write: Callable[[Sequence[Row]], Awaitable[Mapping[Key, Result]]]) -> None:
        self._write = write
        self._waiting: dict[Key, tuple[Row, asyncio.Future[Result | None]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, key: Key, row: Row) -> Result | None:
        """Write a row and return when it is durable. Raises what writing raises."""
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = (row, asyncio.get_running_loop().create_future())
        if self._task is None:
            self._task = asyncio.create_task(self._flush())
        return await asyncio.shield(waiting[1])  # another caller of the same key may wait for it, too

    async def _flush(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[:AT_MOST]
                batch = {key: self._waiting.pop(key) for key in keys}
                await self._written(batch)
        finally:
            self._task = None

    async def _written(self, batch: Mapping[Key, tuple[Row, asyncio.Future[Result | None]]]) -> None:
        try:
            results = await self._write([row for row, _ in batch.values()])
        except BaseException as error:
            for _, future in batch.values():
                future.set_exception(error)
                future.exception()  # whoever gave up waiting need not hear of it
            if not isinstance(error, Exception):
                raise
        else:
            for key, (_, future) in batch.items():
                future.set_result(results.get(key))


class Writes:
    """The two writes around a question on one database."""

    def __init__(self, database: Database) -> None:
        self.open: Shared[tuple[str, str], Opening, tuple[str, str, bool]] = Shared(
            partial(store.open_, database.reads)
        )
        self.close: Shared[str, Closing, bool] = Shared(partial(store.close, database.reads))
