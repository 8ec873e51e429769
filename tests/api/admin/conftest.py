"""Staff at their desks: signed in, with a key, over HTTPS on the admin listener."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from tests.api.conftest import Installation
from tests.staffing import Member, staff_member

from altcredit.engine import audit, identity


class Desk:
    """A member of staff with an open connection to the admin listener."""

    def __init__(self, altscore: Installation, who: Member, client: httpx2.AsyncClient) -> None:
        self.altscore, self.who, self.client = altscore, who, client

    async def get(self, path: str, **query: Any) -> httpx2.Response:
        return await self.client.get(f"/v1/admin{path}", params=query)

    async def send(
        self, method: str, path: str, *, key: str | None = None, reason: str | None = "as asked", **body: Any
    ) -> httpx2.Response:
        """Send a change; ``key`` is the action that the hardware key signs for, over this very body."""
        raw = json.dumps(body if reason is None else {**body, "reason": reason}).encode()
        headers = {"content-type": "application/json"}
        if key is not None:
            headers["x-key-assertion"] = await self.who.assertion(key, raw)
        return await self.client.request(method, f"/v1/admin{path}", content=raw, headers=headers)

    async def post(self, path: str, **body: Any) -> httpx2.Response:
        return await self.send("POST", path, **body)

    async def put(self, path: str, **body: Any) -> httpx2.Response:
        return await self.send("PUT", path, **body)

    async def recorded(self, operation: str) -> list[audit.AuditEvent]:
        """Return this person's rows of an operation, the newest first."""
        async with self.altscore.platform.database.transaction() as db:
            return await audit.read(db, actor=self.who.actor, action=f"admin.{operation}")


Desks = Callable[..., Awaitable[Desk]]


@pytest.fixture
async def desk(altscore: Installation) -> AsyncIterator[Desks]:
    """Return a function that signs somebody with these roles in."""
    async with AsyncExitStack() as open_:

        async def sit(*roles: identity.Role) -> Desk:
            platform = altscore.platform
            who = await staff_member(platform.database, platform.keyring, *roles, settings=platform.settings)
            client = httpx2.AsyncClient(
                base_url=altscore.admin_url, verify=altscore.context, headers=who.headers, timeout=10
            )
            return Desk(altscore, who, await open_.enter_async_context(client))

        yield sit
