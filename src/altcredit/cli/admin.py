"""``altcredit admin``: the first administrator, what roles may do, who is of the staff."""

from typing import Any

import cyclopts

from altcredit.cli.clients import ACTOR, Json
from altcredit.cli.output import emit, say
from altcredit.cli.session import run
from altcredit.runtime import clock
from altcredit.runtime.platform import Platform

admin = cyclopts.App(name="admin", help="Staff: the first administrator, roles, who there is.")
staff = cyclopts.App(name="staff", help="Members of staff.")
admin.command(staff)


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(admin)


@admin.command
def bootstrap(*, user: str, json: Json = False) -> None:
    """
    Name the first administrator and print a ticket, once: it enrols their first key, within an hour.

    The ticket counts only after single sign-on as that user. Once an administrator has a key, they invite everybody
    else, and this command is refused.

    Parameters
    ----------
    user: str
        The NameID by which the identity provider will name them.
    """
    from altcredit.engine import identity

    async def work(platform: Platform) -> tuple[identity.IssuedTicket, str]:
        async with platform.database.transaction() as db:
            issued = await identity.bootstrap_admin(
                db, keyring=platform.keyring, name_id=user, actor=ACTOR, now=clock.now()
            )
        return issued, platform.settings.staff_origin

    issued, origin = run(work)
    emit(issued, json=json)
    say(f"Sign in at {origin}/staff/login as {user}, and enter the ticket.")


@admin.command
def roles(*, json: Json = False) -> None:
    """Print which role may do what."""
    from altcredit.engine import identity

    rows: list[dict[str, Any]] = [
        {
            "permission": name,
            "roles": [role for role in identity.ROLES if role in permission.roles],
            "does": permission.does,
        }
        for name, permission in identity.PERMISSION_TABLE.items()
    ]
    emit(rows, json=json)


@staff.command(name="list")
def list_staff(*, json: Json = False) -> None:
    """List the staff with their roles and how many live keys they have."""
    from altcredit.engine import identity

    async def work(platform: Platform) -> list[identity.StaffAccount]:
        async with platform.database.transaction() as db:
            return await identity.list_staff(db)

    accounts = run(work)
    if json:
        emit(accounts, json=True)
        return
    emit(
        [
            {
                "staff_id": one.staff_id,
                "name_id": one.name_id,
                "roles": list(one.roles),
                "status": one.status,
                "keys": sum(key.revoked_at is None for key in one.keys),
            }
            for one in accounts
        ],
        json=False,
    )
