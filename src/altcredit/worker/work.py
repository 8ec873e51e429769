import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from altcredit.runtime.jobs import Payload
from altcredit.runtime.platform import Platform

T = TypeVar("T")


class Kept:
    """What jobs open once and share until the worker's connections change: clients, models, the lake's engine."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._open: dict[Any, Any] = {}
        self._opening: defaultdict[Any, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, opener: Callable[[Platform], AbstractAsyncContextManager[T]], platform: Platform) -> T:
        """Return what ``opener`` lends, opening it for the first who asks."""
        if opener not in self._open:
            async with self._opening[opener]:
                if opener not in self._open:
                    self._open[opener] = await self._stack.enter_async_context(opener(platform))
        kept: T = self._open[opener]
        return kept

    async def close(self) -> None:
        """Close everything, the last opened first."""
        self._open.clear()
        await self._stack.aclose()


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a job may use."""

    platform: Platform
    clock: Callable[[], datetime]
    kept: Kept

    async def keep(self, opener: Callable[[Platform], AbstractAsyncContextManager[T]]) -> T:
        """Return what ``opener`` lends, the same for every job until the worker's connections change."""
        return await self.kept.get(opener, self.platform)


Lane = Literal["general", "underwriting", "delivery"]
Run: TypeAlias = Callable[[Work, list[Payload]], Awaitable[None]]


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """
    How a kind of job is run.

    ``run`` gets one payload, or with ``merging`` all that wait. It is run again after a failure or a kill, so its
    effects must bear that: one transaction at its end, after the slow part. What keeps a processor busy goes through
    ``asyncio.to_thread``, or this process's heartbeats and every other job stop with it.
    """

    run: Run
    merging: bool = False
    at_once: int = 0
    """How many of these run at a time in the whole fleet; 0 sets no limit."""
    lane: Lane = "general"
    """Jobs of one lane share a worker's places; those of others are not held up when all of them are taken."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When a job is queued by itself: a cron expression, in Indian Standard Time."""

    job: str
    cron: str
