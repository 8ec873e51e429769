"""``altcredit keys``: the keys that sign tokens, consents, models and receipts, and the key file that seals them."""

from pathlib import Path
from typing import Annotated, Any

import cyclopts
import msgspec

from altcredit.cli.clients import ACTOR
from altcredit.cli.output import emit, say
from altcredit.cli.session import run
from altcredit.runtime import clock
from altcredit.runtime.keys import KeysUnusable, create_key_file
from altcredit.runtime.platform import Platform
from altcredit.runtime.signing import Purpose

group = cyclopts.App(name="keys", help="Signing keys (next, active, retiring, gone) and the key file.")
Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(group)


@group.command(name="list")
def list_(*, json: Json = False) -> None:
    """List the signing keys and their states."""
    from altcredit.runtime import signing

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await signing.list_keys(db)

    rows = [
        {name: value for name, value in msgspec.to_builtins(key).items() if name not in ("public_pem", "proof")}
        for key in run(work)
    ]
    emit(rows, json=json)


@group.command
def rotate(*, purpose: Purpose = "access_token", json: Json = False) -> None:
    """
    Make the next key of a purpose active; the old one is accepted for 14 more days.

    Parameters
    ----------
    purpose: Purpose
        What the key signs.
    """
    from altcredit.engine import identity

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await identity.rotate_signing_keys(
                db, keyring=platform.keyring, purpose=purpose, actor=ACTOR, now=clock.now()
            )

    emit(run(work), json=json)


@group.command
def create(file: Path) -> None:
    """
    Write a new key file for ALTCREDIT_KEY_FILE, mode 0600; one that exists is never overwritten.

    It holds the root of all keyed hashes and the key-encryption key. Back it up apart from the database: without it
    nothing that is sealed can be read, and no stored hash matches.
    """
    try:
        create_key_file(file)
    except FileExistsError as error:
        raise KeysUnusable(f"{file}: there is a file already; keys in use are never overwritten.") from error
    say(f"Wrote {file}. Name it in ALTCREDIT_KEY_FILE, and keep a copy apart from the database.")


@group.command(name="add-kek")
def add_kek(file: Path) -> None:
    """
    Put a new key-encryption key first in a key file; then restart every process, and run `altcredit keys rewrap`.

    The older ones stay in the file, and open what was sealed under them.
    """
    from altcredit.runtime import keys

    keys.add_kek(file)
    say(f"{file} has a new key-encryption key. Restart every process, then run: altcredit keys rewrap")


@group.command
def rewrap() -> None:
    """Bring every sealed value of the database under the first key-encryption key of the key file."""
    from altcredit.engine import identity

    async def work(platform: Platform) -> int:
        total = 0
        while True:
            async with platform.database.transaction() as db:
                moved = await identity.rewrap_secrets(db, keyring=platform.keyring, actor=ACTOR, now=clock.now())
            total += moved
            if not moved:
                return total

    say(f"{run(work)} values were moved under the current key-encryption key.")
