"""Bring a database to the schema that this version of the product expects."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from altcredit import migrations
from altcredit.runtime.db import connect
from altcredit.runtime.locks import Lock
from altcredit.runtime.refusal import Refusal

if TYPE_CHECKING:
    from alembic.config import Config

CURRENT = "SELECT version_num FROM alembic_version"


class SchemaOutdated(Refusal):
    """The database's schema is not the one that this version expects."""


def _config(dsn: str) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["url"] = "postgresql+asyncpg://" + dsn.split("://", 1)[1]
    return config


def head() -> str:
    """Return the newest revision that this version knows: revisions are numbered, in the names of their files."""
    # Not by Alembic, which would bring SQLAlchemy and 22 MB into every process that only checks.
    return max(file.name[:4] for file in (Path(migrations.__file__).parent / "versions").glob("[0-9]*.py"))


async def upgrade(dsn: str) -> None:
    """
    Apply all pending revisions in one transaction; several processes may call this at once.

    ``dsn`` is a ``postgresql://`` address. Raises DatabaseAway, and asyncpg.PostgresError when a statement fails:
    nothing is applied.
    """
    connection = await connect(dsn)
    try:
        if await _revision(connection) == head():
            return  # as at nearly every start, without loading Alembic
        from alembic import command

        await connection.execute("SELECT pg_advisory_lock($1)", Lock.MIGRATING)
        # Alembic's environment runs an event loop of its own.
        await asyncio.to_thread(command.upgrade, _config(dsn), "head")
    finally:
        await connection.close()


async def _revision(connection: asyncpg.Connection) -> str | None:
    try:
        current: str | None = await connection.fetchval(CURRENT)
    except asyncpg.UndefinedTableError:
        return None
    return current


async def require(connection: asyncpg.Connection) -> None:
    """Continue only on the expected schema. Raises SchemaOutdated with what to do about it."""
    current = await _revision(connection)
    if current != head():
        raise SchemaOutdated(
            f"The database is at revision {current or 'none'}, this version needs {head()}: run `altcredit db upgrade`."
        )
