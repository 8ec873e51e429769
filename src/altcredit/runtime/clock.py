import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import msgspec


class Uptime(msgspec.Struct, frozen=True):
    """How long the host has run, in seconds, sleep included, and which start of which host that is counted from."""

    boot: str
    seconds: float


def now() -> datetime:
    """Return the current time in UTC. The only call to the system clock in the product."""
    return datetime.now(UTC)


def uptime() -> Uptime | None:
    """Return a clock that nobody can set, which counts on one host until it restarts; None where there is none."""
    boot = _boot()
    return Uptime(boot, time.clock_gettime(time.CLOCK_BOOTTIME)) if boot else None


def outlived(began: Uptime | None, at: Uptime | None, lifetime: timedelta) -> bool:
    """
    Tell whether the host itself has run for longer than a lifetime, whatever its clock shows.

    Where that cannot be told, because it began on another host or before a restart, it has not.
    """
    if began is None or at is None or began.boot != at.boot:
        return False
    return at.seconds - began.seconds >= lifetime.total_seconds()


@lru_cache(maxsize=1)
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # Linux has it, other systems have not
        return ""
