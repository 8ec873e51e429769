"""Who plays in the demo, and what every part of it needs to know of them."""

from pathlib import Path
from typing import Any

import httpx2
import msgspec

from altcredit.cli.demo.stage import DemoRefused
from altcredit.engine import identity, retailers
from altcredit.runtime.platform import Platform

PURPOSE = "working_capital_loan"


class Cast(msgspec.Struct, kw_only=True):
    """Who plays: the simulated world, and the clients and distributors that were added for it."""

    world: Any
    lender: identity.IssuedClient
    other_lender: identity.IssuedClient
    service: identity.IssuedClient
    distributors: list[identity.IssuedDistributor]
    folder: Path
    ca_file: Path

    @property
    def shopkeeper(self) -> Any:
        """The shop that is asked by WhatsApp: one that nobody has asked before, with a year of trade."""
        return self.world.group("unconsented")[-1]


async def id_of(platform: Platform, gstin: str) -> str:
    """Return the id under which a simulated shop arrived."""
    async with platform.database.transaction() as db:
        found = await retailers.by_gst(db, keyring=platform.keyring, gstin=gstin)
    if found is None:
        raise DemoRefused("A simulated shop did not arrive; see serve.log under the home folder.")
    return found


async def signed_in(client: httpx2.AsyncClient, issued: identity.IssuedClient) -> dict[str, str]:
    """Return the headers of a lender or service that has fetched its token."""
    body = {"client_id": issued.client_id, "client_secret": issued.client_secret}
    answer = await client.post("/v1/auth/token", json=body)
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}", "X-Client-ID": issued.client_id}
