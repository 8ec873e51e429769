"""``altcredit partner``: who may ask GUARD, from where, and where the answers go. Secrets are shown once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts

from altcredit.cli.clients import ACTOR, Json
from altcredit.cli.output import emit, say
from altcredit.cli.session import run
from altcredit.runtime import clock
from altcredit.runtime.platform import Platform

if TYPE_CHECKING:
    from altcredit.runtime.http import Sender

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
    callback_url: str | None = None,
    partner_id: str | None = None,
    minute: int = 600,
    json: Json = False,
) -> None:
    """
    Add a partner and print its token and webhook secret, once.

    Parameters
    ----------
    name: str
        The partner's name.
    address: list[str]
        A network that its requests come from, IPv4 or IPv6 in CIDR notation; repeatable.
    callback_url: str | None
        Where results go; it must answer a signed test event now. `set-callback` sets it later.
    partner_id: str | None
        An id of your choice (`partner_…`); made up otherwise.
    minute: int
        Requests a minute.
    """
    from altcredit.engine import delivery, identity

    async def work(platform: Platform) -> None:
        now, keyring = clock.now(), platform.keyring
        async with platform.database.transaction() as db:
            issued = await identity.add_partner(
                db,
                keyring=keyring,
                name=name,
                addresses=address,
                partner_id=partner_id,
                minute_limit=minute,
                actor=ACTOR,
                now=now,
            )
            secrets = await delivery.issue_secrets(
                db, keyring=keyring, partner_id=issued.partner_id, actor=ACTOR, now=now
            )
        # Before the address is tried: what is shown once must be seen even where that fails.
        emit({"partner_id": issued.partner_id, "token": issued.token, **_shown(secrets)}, json=json)
        if callback_url is not None:
            await _set_callback(platform, issued.partner_id, callback_url)

    run(work)


def _shown(secrets: Any) -> dict[str, str]:
    return {"webhook_secret": secrets.secret, "webhook_public_key": secrets.public_key}


@asynccontextmanager
async def _sender(platform: Platform) -> AsyncIterator["Sender"]:
    from altcredit.runtime.http import Sender

    sender = Sender.of(platform.settings, keyring=platform.keyring, now=clock.now())
    try:
        yield sender
    finally:
        await sender.close()


async def _set_callback(platform: Platform, partner_id: str, url: str) -> None:
    from altcredit.engine import delivery

    async with _sender(platform) as sender:
        await delivery.set_endpoint(
            platform.database,
            keyring=platform.keyring,
            sender=sender,
            partner_id=partner_id,
            url=url,
            actor=ACTOR,
            clock=clock.now,
        )
    say(f"{partner_id}: {url} has answered the test event; callbacks go there.")


@partners.command(name="set-callback")
def set_callback(partner_id: str, url: str) -> None:
    """
    Send a partner's callbacks to a URL, once it has answered a signed test event with 2xx.

    Parameters
    ----------
    url: str
        https, on a port that callbacks may go to.
    """
    from altcredit.engine import identity

    async def work(platform: Platform) -> None:
        async with platform.database.transaction() as db:
            await identity.partner_options(db, partner_id=partner_id)
        await _set_callback(platform, partner_id, url)

    run(work)


@partners.command(name="test-callback")
def send_test(partner_id: str, *, json: Json = False) -> int:
    """Send a signed test event to a partner's callback URL and show how that went; 1 when it did not arrive."""
    from altcredit.engine import delivery

    async def work(platform: Platform) -> delivery.Attempt:
        async with _sender(platform) as sender:
            return await delivery.test_endpoint(
                platform.database,
                keyring=platform.keyring,
                sender=sender,
                partner_id=partner_id,
                actor=ACTOR,
                clock=clock.now,
            )

    attempt = run(work)
    emit(attempt, json=json)
    return 0 if attempt.is_success else 1


@partners.command(name="rotate-secret")
def rotate_secret(partner_id: str, *, overlap_hours: float = 168, json: Json = False) -> None:
    """
    Issue a new webhook secret and public key and print them, once; callbacks are signed with both for a while.

    Parameters
    ----------
    overlap_hours: float
        How long callbacks carry the old signatures, too.
    """
    from altcredit.engine import delivery, identity

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            await identity.partner_options(db, partner_id=partner_id)
            return await delivery.rotate_secrets(
                db,
                keyring=platform.keyring,
                partner_id=partner_id,
                overlap=timedelta(hours=overlap_hours),
                actor=ACTOR,
                now=clock.now(),
            )

    emit({"partner_id": partner_id, **_shown(run(work))}, json=json)


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
