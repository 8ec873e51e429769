"""Writes of several jobs that share statements and commits (docs/decisions/0009-source-client.md)."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from altcredit.runtime.db import UNAVAILABLE

Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row")
Result = TypeVar("Result")
Waiting = tuple[Row, list[asyncio.Future[Result | None]]]

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
        self._waiting: dict[Key, Waiting[Row, Result]] = {}
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, key: Key, row: Row) -> Result | None:
        """Write a row and return when it is durable. Raises what writing raises."""
        # A future of its own for each caller: one that is cancelled takes nobody's result away.
        future: asyncio.Future[Result | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, (row, []))[1].append(future)
        if self._task is None:
            self._task = asyncio.create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[: self._at_most]
                await self._written({key: self._waiting.pop(key) for key in keys})
        finally:
            self._task = None

    async def _written(self, batch: Mapping[Key, Waiting[Row, Result]]) -> None:
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
            _settle(batch, results)


def _awaited(futures: Iterable[asyncio.Future[Result]]) -> list[asyncio.Future[Result]]:
    """Return the futures that somebody still waits for."""
    return [one for one in futures if not one.done()]


def _settle(batch: Mapping[Key, Waiting[Row, Result]], results: Mapping[Key, Result]) -> None:
    for key, (_, futures) in batch.items():
        for future in _awaited(futures):
            future.set_result(results.get(key))


def _fail(batch: Mapping[Key, Waiting[Row, Result]], error: BaseException) -> None:
    for _, futures in batch.values():
        for future in _awaited(futures):
            future.set_exception(error)
            future.exception()  # whoever gives up waiting need not hear of it
