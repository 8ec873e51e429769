"""``altcredit db``: schema, backup, restore."""

import asyncio
from pathlib import Path
from typing import Annotated

import cyclopts

from altcredit.cli.output import say
from altcredit.cli.session import settings
from altcredit.runtime import postgres, schema

group = cyclopts.App(name="db", help="The database: schema, backup, restore.")


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(group)


@group.command
def upgrade() -> None:
    """Bring the schema to this version's revision. Safe to run from several places at once."""
    dsn = postgres.ensure(settings())
    asyncio.run(schema.upgrade(dsn))
    say(f"The database is at revision {schema.head()}.")


@group.command
def dump(file: Path) -> None:
    """
    Write a consistent dump of the database to FILE (pg_dump, custom format).

    The dump holds the lake's manifest; copy the lake's folder after it. Files that the manifest does not list are
    harmless.
    """
    from altcredit.runtime import backup

    backup.dump(settings(), file)
    say(f"Wrote {file} ({file.stat().st_size / 1e6:.1f} MB).")


@group.command
def restore(file: Path, *, force: Annotated[bool, cyclopts.Parameter(negative="")] = False) -> None:
    """
    Restore FILE into the database; one that is not empty is refused without --force.

    Parameters
    ----------
    force: bool
        Replace what the database holds.
    """
    from altcredit.runtime import backup

    backup.restore(settings(), file, force=force)
    say("Restored.")


@group.command
def stop() -> None:
    """Stop the embedded server; commands and `serve` start it when they need it."""
    chosen = settings()
    if chosen.database_url:
        say("ALTCREDIT_DATABASE_URL names a server of your own; nothing was done.")
        return
    postgres.embedded(chosen).stop()
    say("Stopped.")
