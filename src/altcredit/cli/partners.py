"""``altcredit partner``: who may ask GUARD, from where, and where the answers go. Secrets are shown once."""

from datetime import timedelta
from typing import Annotated, Any

import cyclopts

from altcredit.cli.clients import ACTOR, Json
from altcredit.cli.output import emit, say
from altcredit.cli.session import run
from altcredit.runtime import clock
from altcredit.runtime.platform import Platform

partners = cyclopts.App(name="partner", help="Partners: who may request underwritings.")

Addresses = Annotated[list[str], cyclopts.Parameter(name="--address")]


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(partners)


@partners.command(name="add")
def add_partner(
    name: str,
    *,
    address: Addresses,
    partner_id: str | None = None,
    minute: int = 600,
    json: Json = False,
) -> None:
    """
    Add a partner and print its token, once.

    Parameters
    ----------
    name: str
        The partner's name.
    address: list[str]
        A network that its requests come from, IPv4 or IPv6 in CIDR notation; repeatable.
    partner_id: str | None
        An id of your choice (`partner_…`); made up otherwise.
    minute: int
        Requests a minute.
    """
    from altcredit.engine import identity

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await identity.add_partner(
                db,
                keyring=platform.keyring,
                name=name,
                addresses=address,
                partner_id=partner_id,
                minute_limit=minute,
                actor=ACTOR,
                now=clock.now(),
            )

    emit(run(work), json=json)


@partners.command(name="rotate-token")
def rotate_token(partner_id: str, *, overlap_hours: float = 168, json: Json = False) -> None:
    """
    Issue a new token and print it, once; the old one works beside it for a while.

    Parameters
    ----------
    overlap_hours: float
        How long the old token still works; 0 ends it now, as after a leak.
    """
    from altcredit.engine import identity

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await identity.rotate_partner_token(
                db,
                keyring=platform.keyring,
                partner_id=partner_id,
                overlap=timedelta(hours=overlap_hours),
                actor=ACTOR,
                now=clock.now(),
            )

    emit(run(work), json=json)


@partners.command(name="set-addresses")
def set_addresses(partner_id: str, *, address: Addresses) -> None:
    """
    Replace the list of networks that a partner's requests may come from.

    Parameters
    ----------
    address: list[str]
        IPv4 or IPv6 in CIDR notation; repeatable.
    """
    from altcredit.engine import identity

    async def work(platform: Platform) -> None:
        async with platform.database.transaction() as db:
            await identity.set_partner_addresses(
                db, partner_id=partner_id, addresses=address, actor=ACTOR, now=clock.now()
            )

    run(work)
    say(f"{partner_id} may call from {', '.join(address)}.")


@partners.command(name="set-options")
def set_options(
    partner_id: str,
    *,
    failure_callbacks: bool | None = None,
    reason_codes: bool | None = None,
    minute: int | None = None,
) -> None:
    """
    Set what a partner's callbacks tell, and its quota; what is left out stays as it is.

    Parameters
    ----------
    failure_callbacks: bool | None
        Tell it of applications that failed, too.
    reason_codes: bool | None
        Callbacks carry the reasons of the decision.
    minute: int | None
        Requests a minute.
    """
    _change(partner_id, failure_callbacks=failure_callbacks, reason_codes=reason_codes, minute_limit=minute)
    say(f"{partner_id} is set.")


@partners.command
def suspend(partner_id: str) -> None:
    """Refuse all of a partner's requests from now on; what it asked before is still decided and sent."""
    _change(partner_id, status="suspended")
    say(f"{partner_id} is suspended.")


@partners.command
def activate(partner_id: str) -> None:
    """Let a suspended partner call again."""
    _change(partner_id, status="active")
    say(f"{partner_id} is active.")


def _change(partner_id: str, **changes: Any) -> None:
    from altcredit.engine import identity

    async def work(platform: Platform) -> None:
        async with platform.database.transaction() as db:
            await identity.set_partner(db, partner_id=partner_id, actor=ACTOR, now=clock.now(), **changes)

    run(work)


@partners.command(name="list")
def list_partners(*, json: Json = False) -> None:
    """List partners with their addresses, options and live tokens."""
    from altcredit.engine import identity

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await identity.list_partners(db, now=clock.now())

    emit(run(work), json=json)
