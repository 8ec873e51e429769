"""``altcredit db``: schema, dump, restore; ``altcredit backup`` and ``restore``: all of an installation."""

import asyncio
from pathlib import Path
from typing import Annotated

import cyclopts

from altcredit.cli.output import say
from altcredit.cli.session import run, settings
from altcredit.runtime import postgres, schema, sealed
from altcredit.runtime.platform import Platform

group = cyclopts.App(name="db", help="The database: schema, dump, restore.")
Force = Annotated[bool, cyclopts.Parameter(negative="")]


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(group)
    app.command(backup_all, name="backup")
    app.command(restore_all, name="restore")


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

    It is a part of a backup; `altcredit backup` makes all of one.
    """
    from altcredit.runtime import backup

    backup.dump(settings(), file)
    say(f"Wrote {file} ({file.stat().st_size / 1e6:.1f} MB).")


@group.command
def restore(file: Path, *, force: Force = False) -> None:
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


def backup_all(folder: Path) -> None:
    """
    Write a backup of the installation into a new FOLDER while it is in use: database, lake, models, certificates.

    The key file is not in it: keep that elsewhere, since it opens what the backup holds sealed.
    """
    from altcredit.runtime import archive, clock
    from altcredit.runtime.keys import Keyring

    chosen = settings()
    index = archive.write(chosen, folder, keyring=Keyring.open(chosen), now=clock.now(), say=say)
    size = sum(one.bytes for one in index.files)
    say(f"Wrote {folder}: {len(index.files)} files, {size / 1e6:.1f} MB, as of {index.made_at:%Y-%m-%d %H:%M:%S} UTC.")


def restore_all(folder: Path, *, check: Force = False, force: Force = False) -> int:
    """
    Put an installation back from the backup in FOLDER; stop the API and the workers first.

    Everything in FOLDER is read before anything is changed, and the database is replaced last, in one transaction.

    Parameters
    ----------
    check: bool
        Read the backup, say whether it is whole, and change nothing.
    force: bool
        Replace the database, and put the files where there are some.
    """
    from altcredit.runtime import archive
    from altcredit.runtime.keys import Keyring

    if check:
        index = archive.check(folder)
        say(f"{folder} is whole: {len(index.files)} files as of {index.made_at:%Y-%m-%d %H:%M:%S} UTC.")
        return 0
    chosen = settings()
    index = archive.put_back(chosen, folder, keyring=Keyring.open(chosen), force=force, say=say)
    if index.revision != schema.head() and chosen.environment == "production":
        say(f"The backup is of revision {index.revision}: run `altcredit db upgrade`, then `altcredit doctor`.")
        return 0
    lost = run(_lost)
    for place, count in lost.items():
        say(f"{count} values in {place} are sealed under a key that the key file does not hold.")
    say("Restored. Before you serve, go on with the drill: doctor, audit, erasures, revocations (docs/operating.md).")
    return 1 if lost else 0


async def _lost(platform: Platform) -> dict[str, int]:
    async with platform.database.transaction() as db:
        return await sealed.lost(db, keyring=platform.keyring)
