"""``altcredit keys``: the keys that sign tokens, consents, models and receipts."""

from typing import Annotated, Any

import cyclopts
import msgspec

from altcredit.cli.output import emit
from altcredit.cli.session import run
from altcredit.runtime.platform import Platform
from altcredit.runtime.signing import Purpose

group = cyclopts.App(name="keys", help="Signing keys: next, active, retiring, gone.")
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
    from altcredit.runtime import clock, signing

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await signing.rotate(db, keyring=platform.keyring, purpose=purpose, now=clock.now())

    emit(run(work), json=json)
