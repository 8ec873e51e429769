"""``altcredit lender | service | distributor``: who may call, and their credentials, which are shown once."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import msgspec

from altcredit.cli.output import emit, say
from altcredit.cli.session import run
from altcredit.runtime import clock
from altcredit.runtime.keys import write_private
from altcredit.runtime.platform import Platform

lenders = cyclopts.App(name="lender", help="Lenders: who may read scores.")
services = cyclopts.App(name="service", help="Internal services: who may record and check consent.")
distributors = cyclopts.App(name="distributor", help="Distributors: who may send ledgers.")

Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]
# Whoever may run commands on the host; people's own names come with staff sign-in.
ACTOR = "operator:cli"


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    for group in (lenders, services, distributors):
        app.command(group)


@lenders.command(name="add")
def add_lender(
    name: str,
    *,
    client_id: str | None = None,
    minute: int = 100,
    day: int = 5000,
    max_limit_inr: int | None = None,
    json: Json = False,
) -> None:
    """
    Add a lender and print its client id and secret, once.

    Parameters
    ----------
    name: str
        The lender's name, as consent notices show it.
    client_id: str | None
        An id of your choice (`lender_…`); made up otherwise.
    minute: int
        Requests a minute.
    day: int
        Requests a day.
    max_limit_inr: int | None
        The most that this lender lends to one retailer; caps its recommendations.
    """
    from altcredit.engine import identity

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await identity.add_lender(
                db,
                keyring=platform.keyring,
                name=name,
                client_id=client_id,
                minute=minute,
                day=day,
                max_limit_inr=max_limit_inr,
                actor=ACTOR,
                now=clock.now(),
            )

    emit(run(work), json=json)


@lenders.command(name="set-limits")
def set_limits(client_id: str, *, minute: int, day: int, max_limit_inr: int | None = None) -> None:
    """
    Set a lender's quotas and its cap.

    Parameters
    ----------
    minute: int
        Requests a minute.
    day: int
        Requests a day.
    max_limit_inr: int | None
        The most that this lender lends to one retailer; no cap when left out.
    """
    from altcredit.engine import identity

    async def work(platform: Platform) -> None:
        async with platform.database.transaction() as db:
            await identity.set_limits(
                db,
                client_id=client_id,
                minute=minute,
                day=day,
                max_limit_inr=max_limit_inr,
                actor=ACTOR,
                now=clock.now(),
            )

    run(work)
    say(f"{client_id}: {minute} requests a minute, {day} a day.")


@lenders.command(name="list")
def list_lenders(*, json: Json = False) -> None:
    """List lenders and services."""
    from altcredit.engine import identity

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await identity.list_clients(db)

    emit(run(work), json=json)


@services.command(name="add")
def add_service(
    name: str,
    *,
    scope: list[str],
    client_id: str | None = None,
    json: Json = False,
) -> None:
    """
    Add an internal service and print its client id and secret, once.

    Parameters
    ----------
    name: str
        What the service is.
    scope: list[str]
        consent:grant, consent:check, consent:revoke; repeatable.
    client_id: str | None
        An id of your choice (`svc_…`); made up otherwise.
    """
    from altcredit.engine import identity

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await identity.add_service(
                db,
                keyring=platform.keyring,
                name=name,
                client_id=client_id,
                scopes=scope,
                actor=ACTOR,
                now=clock.now(),
            )

    emit(run(work), json=json)


@distributors.command(name="add")
def add_distributor(
    name: str,
    *,
    distributor_id: str | None = None,
    csr: Path | None = None,
    out: Path | None = None,
    json: Json = False,
) -> None:
    """
    Add a distributor and issue its certificate, API key and signing secret, once.

    Parameters
    ----------
    name: str
        The distributor's name, as consent notices show it.
    distributor_id: str | None
        An id of your choice (`dist_…`); made up otherwise.
    csr: Path | None
        Certificate signing request (PEM) for a key that the distributor made; a key is generated otherwise.
    out: Path | None
        Write cert.pem, key.pem, ca.pem and secrets (mode 0600) into this folder instead of printing them.
    """
    from altcredit.engine import identity

    issue = partial(identity.add_distributor, name=name, distributor_id=distributor_id)
    _hand_over(_issued(issue, csr), out, json=json)


@distributors.command(name="rotate")
def rotate_distributor(
    distributor_id: str, *, csr: Path | None = None, out: Path | None = None, json: Json = False
) -> None:
    """
    Issue new credentials; the old ones work beside them for a while.

    Parameters
    ----------
    csr: Path | None
        Certificate signing request (PEM); a key is generated otherwise.
    out: Path | None
        Write the files into this folder instead of printing them.
    """
    from altcredit.engine import identity

    _hand_over(_issued(partial(identity.rotate_distributor, distributor_id=distributor_id), csr), out, json=json)


@distributors.command
def backfill(distributor_id: str, *, batches_per_hour: int = 2000, hours: int = 24) -> None:
    """
    Let a distributor send more batches for a while, as for its first load.

    Parameters
    ----------
    batches_per_hour: int
        How many batches an hour.
    hours: int
        For how long.
    """
    from altcredit.engine import identity

    now = clock.now()

    async def work(platform: Platform) -> None:
        async with platform.database.transaction() as db:
            await identity.grant_backfill(
                db,
                distributor_id=distributor_id,
                limit=batches_per_hour,
                until=now + timedelta(hours=hours),
                actor=ACTOR,
                now=now,
            )

    run(work)
    say(f"{distributor_id} may send {batches_per_hour} batches an hour for {hours} hours.")


@distributors.command(name="list")
def list_distributors(*, json: Json = False) -> None:
    """List distributors with their certificates and keys."""
    from altcredit.engine import identity

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await identity.list_distributors(db)

    emit(run(work), json=json)


def _issued(issue: Callable[..., Awaitable[Any]], csr: Path | None) -> Any:
    """Return the credentials that ``issue`` makes, for the key of a request or for one of its own."""
    from altcredit.runtime.certificates import Authority

    request = csr.read_text() if csr else None

    async def work(platform: Platform) -> Any:
        keyring, now = platform.keyring, clock.now()
        authority = Authority.open(platform.settings, keyring=keyring, now=now)
        async with platform.database.transaction() as db:
            return await issue(db, keyring=keyring, authority=authority, csr_pem=request, actor=ACTOR, now=now)

    return run(work)


def _hand_over(issued: Any, out: Path | None, *, json: bool) -> None:
    if out is None:
        emit(issued, json=True)  # certificates have many lines: JSON for people, too
        return
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    values = msgspec.to_builtins(issued)
    certificate = values["certificate"]
    files = {"cert.pem": certificate["pem"], "key.pem": certificate["key_pem"], "ca.pem": values["authority_pem"]}
    files |= {"api-key": values["api_key"], "signing-secret": values["signing_secret"]}
    for name, content in files.items():
        if content is not None:
            write_private(out / name, content.encode(), replace=True)
    emit({"distributor_id": values["distributor_id"], "folder": str(out), "files": sorted(files)}, json=json)
