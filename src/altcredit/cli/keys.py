"""``altcredit keys``: the keys that sign tokens, consents, models and receipts, and the key file that seals them."""

from pathlib import Path
from typing import Annotated, Any

import cyclopts
import msgspec

from altcredit.cli.clients import ACTOR
from altcredit.cli.output import emit, say
from altcredit.cli.session import run, settings
from altcredit.runtime import clock, custody
from altcredit.runtime.platform import Platform
from altcredit.runtime.signing import Purpose

group = cyclopts.App(name="keys", help="Signing keys (next, active, retiring, gone) and the key file.")
Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]
_CUSTODIAN = cyclopts.Parameter(
    help="Who wraps the file: pkcs11:token=LABEL;object=LABEL or vault:MOUNT/KEY, reached as ALTCREDIT_PKCS11_… and"
    " ALTCREDIT_VAULT_… say."
)


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
def withdraw(kid: str) -> None:
    """
    Refuse the tokens of a retiring key at once, as when it leaked; `altcredit keys rotate` makes it retiring.

    Parameters
    ----------
    kid: str
        The key, as `altcredit keys list` names it.
    """
    from altcredit.engine import identity

    async def work(platform: Platform) -> None:
        async with platform.database.transaction() as db:
            await identity.withdraw_signing_key(db, kid=kid, actor=ACTOR, now=clock.now())

    run(work)
    say(f"{kid} is gone: running processes refuse its tokens within 15 seconds.")


@group.command
def create(file: Path, *, custodian: Annotated[str | None, _CUSTODIAN] = None) -> None:
    """
    Write a new key file for ALTCREDIT_KEY_FILE, mode 0600; one that exists is never overwritten.

    It holds the root of all keyed hashes and the key-encryption key. Back it up apart from the database: without it
    nothing that is sealed can be read, and no stored hash matches.
    """
    from altcredit.runtime import keys

    try:
        keys.create_key_file(file, keeper=_keeper(custodian))
    except FileExistsError as error:
        raise keys.KeysUnusable(f"{file}: there is a file already; keys in use are never overwritten.") from error
    say(f"Wrote {file}. Name it in ALTCREDIT_KEY_FILE, and keep a copy apart from the database.")


@group.command
def wrap(file: Path, *, custodian: Annotated[str, _CUSTODIAN]) -> None:
    """
    Have a hardware module or a key service wrap a key file, which is replaced; its keys stay what they are.

    A file that is wrapped already goes from one custodian to the other, or under the newest version of its key.
    """
    from altcredit.runtime import keys

    keys.wrap_key_file(file, settings(), keeper=_keeper(custodian))
    say(f"{file} is wrapped by {custodian}. The keys it held in clear may still be in copies and backups of it.")


@group.command
def unwrap(file: Path) -> None:
    """Replace a wrapped key file by one in clear: for a copy in a safe, or to leave a custodian."""
    from altcredit.runtime import keys

    keys.wrap_key_file(file, settings(), keeper=None)
    say(f"{file} holds its keys in clear.")


@group.command(name="add-kek")
def add_kek(file: Path) -> None:
    """
    Put a new key-encryption key first in a key file; then restart every process, and run `altcredit keys rewrap`.

    The older ones stay in the file, and open what was sealed under them, until `altcredit keys drop-keks`.
    """
    from altcredit.runtime import keys

    keys.add_kek(file, settings())
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


@group.command(name="drop-keks")
def drop_keks() -> None:
    """
    Remove the older key-encryption keys from the key file in use; refused while anything is sealed under them.

    Keep a copy of the file from before, apart, for as long as backups from before `altcredit keys rewrap` are kept.
    """
    from altcredit.runtime import keys, sealed
    from altcredit.runtime.certificates import Authority

    async def work(platform: Platform) -> None:
        Authority.open(platform.settings, keyring=platform.keyring, now=clock.now())  # brings its file up to date
        async with platform.database.transaction() as db:
            left = await sealed.outdated(db, keyring=platform.keyring)
        if left:
            named = ", ".join(f"{count} in {place}" for place, count in left.items())
            raise keys.KeysUnusable(f"Values are sealed under older keys ({named}): run `altcredit keys rewrap` first.")

    run(work)
    chosen = settings()
    path = keys.KeyProvider.path(chosen)
    say(f"{keys.drop_keks(path, chosen)} older key-encryption keys were removed from {path}.")


def _keeper(address: str | None) -> custody.Custodian | None:
    return custody.custodian(address, settings()) if address else None
