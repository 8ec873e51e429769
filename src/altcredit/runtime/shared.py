"""Writes of several jobs that share statements and commits (docs/decisions/0009-source-client.md)."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from altcredit.runtime.db import UNAVAILABLE

Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row")
Result = TypeVar("Result")

AT_MOST = 500


class Shared(Generic[Key, Row, Result]):
    """
    Writes rows in batches: whatever is given while one batch is written goes into the next.

    ``write`` makes a batch durable, all of it or nothing, and returns results by key; a row without one gets None.
    Nothing waits for company, so a lone row is written at once. A row that cannot be written spoils only itself: a
    batch that fails is written again row by row, unless it is the database that is away.
    """

    def __init__(
        self, write: Callable[[Sequence[Row]], Awaitable[Mapping[Key, Result]]], *, at_most: int = AT_MOST
    ) -> None:
        self._write = write
        self._at_most = at_most
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
                keys = list(self._waiting)[: self._at_most]
                await self._written({key: self._waiting.pop(key) for key in keys})
        finally:
            self._task = None

    async def _written(self, batch: Mapping[Key, tuple[Row, asyncio.Future[Result | None]]]) -> None:
        try:
            results = await self._write([row for row, _ in batch.values()])
        except UNAVAILABLE as error:
            _fail(batch, error)
        except Exception as error:
            if len(batch) == 1:
                _fail(batch, error)
            else:
                for key, one in batch.items():
                    await self._written({key: one})
        except BaseException as error:
            _fail(batch, error)
            raise
        else:
            for key, (_, future) in batch.items():
                future.set_result(results.get(key))


def _fail(batch: Mapping[Key, tuple[Row, asyncio.Future[Result | None]]], error: BaseException) -> None:
    for _, future in batch.values():
        if not future.done():
            future.set_exception(error)
            future.exception()  # whoever gave up waiting need not hear of it
