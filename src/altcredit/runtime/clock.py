from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time in UTC. The only call to the system clock in the product."""
    return datetime.now(UTC)
