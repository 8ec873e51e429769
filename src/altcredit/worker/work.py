from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeAlias

import msgspec

from altcredit.runtime.jobs import Payload
from altcredit.runtime.platform import Platform


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a job may use."""

    platform: Platform
    clock: Callable[[], datetime]


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


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When a job is queued by itself: a cron expression, in Indian Standard Time."""

    job: str
    cron: str
