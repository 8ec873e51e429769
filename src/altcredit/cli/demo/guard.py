"""The demo's GUARD part: a partner, its callback, five applicants, and the callbacks that came."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from altcredit.cli.clients import ACTOR
from altcredit.cli.demo.receiver import Received, Receiver, receiving
from altcredit.cli.demo.stage import DemoRefused, Steps
from altcredit.cli.output import errors
from altcredit.engine import delivery, identity
from altcredit.runtime import clock
from altcredit.runtime.certificates import Authority
from altcredit.runtime.http import Sender
from altcredit.runtime.keys import write_private
from altcredit.runtime.platform import Platform
from altcredit.runtime.ports import free_port
from altcredit.runtime.settings import Settings

SEED = 0  # of the simulated applicants; `altcredit sources serve` answers for the same ones
PATH = "/api/partner/credit/cards/underwritings"
_LOOPBACK = ("127.0.0.0/8", "::1/128")
_CALLBACK_SECONDS = 30.0


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """A partner of the demo, as demo.json shows it."""

    partner_id: str
    token: str
    webhook_secret: str
    webhook_public_key: str
    callback_url: str | None = None
    callback_cert_file: str | None = None
    callback_key_file: str | None = None


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What one application came to."""

    title: str
    request_id: str
    outcome: str
    callback: dict[str, Any]
    ms: int


async def train(platform: Platform, applicants: int) -> list[str]:
    """Train both models on simulated applicants and promote them; return a line about each."""
    from altcredit.pipeline import learning
    from altcredit.pipeline.models import GUARD, GUARD_SCREEN
    from altcredit.simulator.applicant_portfolio import portfolio_of_applicants

    now = clock.now()
    frame = await asyncio.to_thread(lambda: portfolio_of_applicants(3, applicants, now.date()))
    said = []
    for purpose, what in ((GUARD, "all sources"), (GUARD_SCREEN, "the funnel's")):
        learned = await learning.learn(
            platform, frame, purpose=purpose, data_origin="simulated", promote=True, actor=ACTOR, now=now
        )
        said.append(f"{learned.version} ({what}): {learned.rows} rows, {learned.bad} defaults to learn from")
    return said


async def play(
    platform: Platform, client: httpx2.AsyncClient, steps: Steps, *, folder: Path
) -> tuple[Partner, Partner, list[Played]]:
    """Play GUARD's part against the running server; return the partners and what their applications came to."""
    port = free_port()
    with steps("Add two card partners; one with a callback URL") as note:
        partner = await _partner(platform, "Loja Azul Cartões", "partner_lojaazul")
        other = await _partner(platform, "Banco do Bairro", "partner_bairro")
        cert, key = _server_certificate(platform, folder)
        partner = msgspec.structs.replace(
            partner,
            callback_url=f"https://localhost:{port}/guard",
            callback_cert_file=str(cert),
            callback_key_file=str(key),
        )
        note(f"{partner.partner_id} may call from {' and '.join(_LOOPBACK)}; token and secrets are shown once")
    with receiving(cert_file=cert, key_file=key, port=port) as receiver:
        with steps("Verify the callback by a signed test event") as note:
            await _set_endpoint(platform, partner)
            note(f"{partner.callback_url} answered it")
        with steps("Underwrite card applicants: seven sources over HTTP, decision, signed callback") as note:
            played = [await _apply(client, receiver, partner, title, body) for title, body in _applications().items()]
            for one in played:
                note(_told(one))
    return partner, other, played


async def _partner(platform: Platform, name: str, partner_id: str) -> Partner:
    now = clock.now()
    async with platform.database.transaction() as db:
        issued = await identity.add_partner(
            db,
            keyring=platform.keyring,
            name=name,
            addresses=_LOOPBACK,
            partner_id=partner_id,
            actor=ACTOR,
            now=now,
        )
        secrets = await delivery.issue_secrets(
            db, keyring=platform.keyring, partner_id=partner_id, actor=ACTOR, now=now
        )
    return Partner(
        partner_id=issued.partner_id,
        token=issued.token,
        webhook_secret=secrets.secret,
        webhook_public_key=secrets.public_key,
    )


def _server_certificate(platform: Platform, folder: Path) -> tuple[Path, Path]:
    now = clock.now()
    authority = Authority.open(platform.settings, keyring=platform.keyring, now=now)
    issued = authority.issue_server(["localhost", "127.0.0.1"], now=now)
    assert issued.key_pem is not None
    cert, key = folder / "callback-cert.pem", folder / "callback-key.pem"
    cert.write_text(issued.pem)
    write_private(key, issued.key_pem.encode(), replace=True)
    return cert, key


async def _set_endpoint(platform: Platform, partner: Partner) -> None:
    sender = Sender.of(platform.settings, keyring=platform.keyring, now=clock.now())
    assert partner.callback_url is not None
    try:
        await delivery.set_endpoint(
            platform.database,
            keyring=platform.keyring,
            sender=sender,
            partner_id=partner.partner_id,
            url=partner.callback_url,
            actor=ACTOR,
            clock=clock.now,
        )
    finally:
        await sender.close()


def _applications() -> dict[str, dict[str, Any]]:
    """Return the published CPFs, and two simulated applicants who are underwritten in earnest."""
    from altcredit.simulator.applicants import applicant, cpfs

    found = {
        "published approval": {"customerUuid": "demo-1", "cpf": "39549600017", "costSavingEnabled": False},
        "published rejection": {"customerUuid": "demo-2", "cpf": "14779111030", "costSavingEnabled": False},
        "published filter": {"customerUuid": "demo-3", "cpf": "41955366004", "costSavingEnabled": True},
    }
    people = (applicant(cpf, seed=SEED) for cpf in cpfs(SEED))
    good = next(one for one in people if one.true_pd < 0.01 and one.consents)
    poor = next(one for one in people if one.true_pd > 0.4)
    for number, (title, person) in enumerate((("a good applicant", good), ("a poor one, with the funnel", poor)), 4):
        application = person.application(customer_uuid=f"demo-{number}", cost_saving_enabled=person is poor)
        found[title] = msgspec.to_builtins(application)
    return found


async def _apply(
    client: httpx2.AsyncClient, receiver: Receiver, partner: Partner, title: str, body: dict[str, Any]
) -> Played:
    headers = {"X-Partner-Auth": partner.token}
    began = time.monotonic()
    accepted = await client.post(PATH, json=body, headers=headers)
    if accepted.status_code != 202:
        raise DemoRefused(f"An application was not accepted: {accepted.status_code} {accepted.text}")
    request_id = accepted.json()["requestId"]
    received = await asyncio.to_thread(receiver.wait, request_id, seconds=_CALLBACK_SECONDS)
    if received is None:
        raise DemoRefused(f"No callback came for {request_id}; see serve.log under the home folder.")
    ms = round((time.monotonic() - began) * 1000)
    _verify(partner, received)
    standing = (await client.get(f"{PATH}/{request_id}", headers=headers)).json()
    return Played(
        title=title,
        request_id=request_id,
        outcome=standing["outcome"],
        callback=msgspec.json.decode(received.body),
        ms=ms,
    )


def _verify(partner: Partner, received: Received) -> None:
    """Check a callback's signatures as the partner would. Raises delivery.SignatureInvalid."""
    for key in (partner.webhook_secret, partner.webhook_public_key):
        delivery.verify(headers=received.headers, body=received.body, key=key, now=clock.now())


def _told(one: Played) -> str:
    answer = one.callback["response"]
    figures = f"score {answer['score']}, band {answer['riskBand']}, limit {answer['limit']}"
    return f"{one.title}: {one.outcome} ({figures}); callback after {one.ms} ms, signatures verified"


def finish(chosen: Settings, partner: Partner, played: list[Played], *, ca_file: Path) -> None:
    """Print the callbacks that came, and the request that can be repeated with curl."""
    errors.print("\nThe callbacks that GUARD sent:")
    for one in played:
        sys.stdout.write(msgspec.json.encode(one.callback).decode() + "\n")
    body = msgspec.json.encode({"customerUuid": "my-first", "cpf": "39549600017", "costSavingEnabled": False}).decode()
    lines = [f"curl --cacert {ca_file}", f"-H 'X-Partner-Auth: {partner.token}'"]
    lines += ["-H 'Content-Type: application/json'", f"-d '{body}'", f"{chosen.base_url}{PATH}"]
    errors.print("\nAn application of your own with curl:")
    sys.stdout.write(" \\\n  ".join(lines) + "\n")
    sys.stdout.flush()
