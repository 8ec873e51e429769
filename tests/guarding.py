"""A whole GUARD: ``altcredit serve``, the simulator of the sources, a partner, and the partner's receiver."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from altcredit.engine import delivery, identity
from altcredit.pipeline.learning import learn
from altcredit.pipeline.models import GUARD, GUARD_SCREEN
from altcredit.runtime import clock
from altcredit.runtime.certificates import Authority
from altcredit.runtime.http import Sender
from altcredit.runtime.platform import Platform
from altcredit.simulator.source_serving import deployment_file
from tests.api.conftest import Installation
from tests.receivers import Receiver, Request, context_for, receiving
from tests.served import ROOT, Served, free_ports, serving, until

PATH = "/api/partner/credit/cards/underwritings"


class Guard:
    """The installation as one partner sees it."""

    def __init__(
        self, served: Served, installation: Installation, receiver: Receiver, client: httpx2.AsyncClient
    ) -> None:
        self.served = served
        self.platform = installation.platform
        self.receiver = receiver
        self.client = client
        self.partner_id = ""
        self.secrets = delivery.IssuedSecrets(secret="", public_key="")

    async def accepted(self, body: dict[str, Any], **headers: str) -> str:
        """Return the id of a new application."""
        answer = await self.client.post(PATH, json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        request_id: str = answer.json()["requestId"]
        return request_id

    async def standing(self, request_id: str) -> dict[str, Any]:
        answer = await self.client.get(f"{PATH}/{request_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def callbacks(self, request_id: str) -> list[Request]:
        """Return what has come for an application, each with good signatures."""
        found = [one for one in self.receiver.requests if one.headers.get("x-guard-request-id") == request_id]
        for one in found:
            for key in (self.secrets.secret, self.secrets.public_key):
                delivery.verify(headers=one.headers, body=one.body, key=key, now=datetime.now(UTC))
        return found

    async def callback(self, request_id: str, *, count: int = 1, seconds: float = 30) -> dict[str, Any]:
        """Wait for an application's callback and return its body."""

        async def arrived() -> bool:
            return len(self.callbacks(request_id)) >= count

        await until(arrived, seconds=seconds, pause=0.02)
        body: dict[str, Any] = json.loads(self.callbacks(request_id)[-1].body)
        return body


async def install_guard_models(platform: Platform) -> None:
    """Make the expert scorecards the champions, as training does where there is nothing to learn from yet."""
    for purpose in (GUARD, GUARD_SCREEN):
        await learn(
            platform, None, purpose=purpose, data_origin="simulated", promote=True, actor="test", now=clock.now()
        )


@contextmanager
def simulated_sources(folder: Path, *options: str) -> Iterator[tuple[Path, str]]:
    """Run ``altcredit sources serve`` for the block; lend the file of sources and the address."""
    (port,) = free_ports(1)
    config, address = folder / "sources.toml", f"http://127.0.0.1:{port}"
    config.write_text(deployment_file(address))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTCREDIT_")}
    environ |= {"PYTHONPATH": str(ROOT / "src"), "ALTCREDIT_HOME": str(folder)}
    argv = [sys.executable, "-m", "altcredit", "sources", "serve", "--port", str(port), *options]
    child = subprocess.Popen(argv, env=environ, stderr=subprocess.DEVNULL)
    try:
        yield config, address
    finally:
        child.terminate()
        child.wait(timeout=20)


@asynccontextmanager
async def guarding(**settings: Any) -> AsyncIterator[Guard]:
    """Lend a running GUARD with one partner, whose receiver has a certificate of an authority of its own."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority.create(now=datetime.now(UTC))
        ca_file = Path(folder) / "ca.pem"
        ca_file.write_text(authority.pem)
        async with receiving(context_for(authority, Path(folder), "localhost")) as receiver:
            callbacks = {
                "callback_ca": ca_file,
                "callback_networks": "127.0.0.0/8,::1/128",
                "callback_ports": str(receiver.port),
            }
            async with (
                serving(**callbacks, **settings) as (served, installation),
                joined(served, installation, receiver) as guard,
            ):
                yield guard


@asynccontextmanager
async def joined(served: Served, installation: Installation, receiver: Receiver) -> AsyncIterator[Guard]:
    """Add a partner with a verified callback."""
    platform, now = installation.platform, clock.now()
    async with platform.database.transaction() as db:
        issued = await identity.add_partner(
            db, keyring=platform.keyring, name="Partner", addresses=["127.0.0.0/8"], minute_limit=100_000,
            actor="test", now=now,
        )  # fmt: skip
        secrets = await delivery.issue_secrets(
            db, keyring=platform.keyring, partner_id=issued.partner_id, actor="test", now=now
        )
    sender = Sender.of(served.settings, keyring=platform.keyring, now=now)
    await delivery.set_endpoint(
        platform.database, keyring=platform.keyring, sender=sender, partner_id=issued.partner_id,
        url=receiver.url(), actor="test", clock=clock.now,
    )  # fmt: skip
    await sender.close()
    async with installation.client(**{"x-partner-auth": issued.token}) as client:
        guard = Guard(served, installation, receiver, client)
        guard.partner_id, guard.secrets = issued.partner_id, secrets
        yield guard
