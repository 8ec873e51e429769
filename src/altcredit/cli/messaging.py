"""``altcredit messaging``: the wordings to have approved at WhatsApp, invitations, and a stand-in for WhatsApp."""

import asyncio
from typing import Annotated, Any

import cyclopts

from altcredit.cli.output import emit, say
from altcredit.cli.session import run, settings
from altcredit.runtime import clock
from altcredit.runtime.platform import Platform
from altcredit.runtime.refusal import Refusal

group = cyclopts.App(name="messaging", help="WhatsApp: templates, invitations, and a stand-in for tests and demos.")
Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]


class StandInUnusable(Refusal):
    """The stand-in cannot be started as asked."""


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(group)


@group.command
def templates(*, json: Json = False) -> None:
    """Print the templates to have approved at WhatsApp, each as its API (POST …/message_templates) takes it."""
    from altcredit.engine.messaging import definitions

    found = definitions()
    emit(found if json else [_outlined(one) for one in found], json=json)


def _outlined(definition: dict[str, Any]) -> dict[str, Any]:
    parts = {one["type"]: one for one in definition["components"]}
    body = parts["BODY"].get("text", "WhatsApp's own words for a code, with the advice to tell it to nobody")
    buttons = ", ".join(one["text"] for one in parts.get("BUTTONS", {}).get("buttons", ()))
    head = {name: definition[name] for name in ("name", "language", "category")}
    return {**head, "body": body, "buttons": buttons}


@group.command
def invite(
    phone: str,
    *,
    distributor: str,
    lender: list[str],
    purpose: str = "working_capital_loan",
    ref: str | None = None,
    hindi: bool = False,
    json: Json = False,
) -> None:
    """
    Ask a retailer for its consent over WhatsApp.

    Parameters
    ----------
    phone: str
        E.164 digits without plus.
    distributor: str
        The distributor that knows the shop by this phone.
    lender: list[str]
        Lenders that may see the score.
    purpose: str
        What for.
    ref: str | None
        The distributor's own code of the shop, where several share the phone.
    hindi: bool
        Ask in Hindi.
    """
    from altcredit.engine import consent, messaging

    async def work(platform: Platform) -> messaging.Invitation:
        fiduciary = consent.Fiduciary.of(platform.settings)
        async with platform.database.transaction() as db:
            return await messaging.invite(
                db,
                means=messaging.Means(keyring=platform.keyring, signing=platform.signing, fiduciary=fiduciary),
                phone=phone,
                distributor_id=distributor,
                retailer_ref=ref,
                lender_scope=lender,
                purpose=purpose,
                language="hi" if hindi else "en",
                now=clock.now(),
            )

    emit(run(work), json=json)


@group.command
def serve(*, webhook: str = "", host: str = "127.0.0.1", port: int = 8470) -> None:
    """
    Serve a stand-in for WhatsApp and the phones behind it, until interrupted. Not in production.

    Set ALTCREDIT_WHATSAPP_BASE_URL to its address; then `POST /phones/919812345678/say {"text": "HELP"}` writes from a
    phone, `…/press {"button": "I agree"}` presses a button, and `GET /phones/919812345678` shows what the phone has.

    Parameters
    ----------
    webhook: str
        Where the platform takes webhooks; empty: this installation's public listener.
    host: str
        Address to listen on.
    port: int
        Port to listen on.
    """
    if settings().environment == "production":
        raise StandInUnusable("This is a stand-in for WhatsApp: it does not run in production.")
    asyncio.run(_serve(webhook, host, port))


async def _serve(webhook: str, host: str, port: int) -> None:
    import ssl

    from altcredit.engine.messaging import Account
    from altcredit.runtime.certificates import Authority
    from altcredit.runtime.keys import Keyring
    from altcredit.runtime.tls import signals
    from altcredit.simulator.source_serving import serving
    from altcredit.simulator.whatsapp import WhatsApp

    chosen = settings()
    account = Account.of(chosen)
    authority = Authority.open(chosen, keyring=Keyring.open(chosen), now=clock.now())
    public = chosen.base_url.rstrip("/") or f"https://localhost:{chosen.port}"
    app = WhatsApp(
        webhook_url=webhook or f"{public}/v1/webhooks/whatsapp",
        app_secret=account.app_secret,
        access_token=account.access_token,
        phone_number_id=account.phone_number_id,
        context=ssl.create_default_context(cadata=authority.pem),
    )
    stop = asyncio.Event()
    try:
        async with serving(app, host=host, port=port) as base_url:
            with signals(stop=stop, reload=lambda: None):
                say(f"A stand-in for WhatsApp is at {base_url}; its webhooks go to {app.webhook_url}")
                say(f"Set ALTCREDIT_WHATSAPP_BASE_URL={base_url} for the worker.")
                await stop.wait()
    except OSError as problem:
        raise StandInUnusable(f"{host} port {port}: {problem.strerror or problem}") from problem
