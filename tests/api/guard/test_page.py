"""docs/partners.md is true: its receivers are run against real signed callbacks, its paths and codes exist."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.api.conftest import Installation
from tests.api.guard.conftest import Partner
from tests.receivers import sending
from tests.served import free_ports

from altcredit.api.guard.surface import ERROR_TABLE, ROUTES
from altcredit.api.refusals import INTERNAL
from altcredit.engine import delivery
from altcredit.runtime import clock

PAGE = (Path(__file__).parents[3] / "docs" / "partners.md").read_text(encoding="utf-8")
RECEIVER, ED25519 = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PROGRAMS = {"hmac": RECEIVER, "ed25519": RECEIVER.replace("class Receiver", f"{ED25519}\n\nclass Receiver")}


@asynccontextmanager
async def running(
    guard: Installation, program: str, folder: Path, secrets: delivery.IssuedSecrets
) -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    """Run a receiver as the page says, and lend its URL and what it prints."""
    certificate = guard.authority.issue_server(["localhost", "127.0.0.1"], now=datetime.now(UTC))
    (folder / "cert.pem").write_text(certificate.pem)
    (folder / "key.pem").write_text(certificate.key_pem or "")
    (folder / "receiver.py").write_text(program)
    (port,) = free_ports(1)
    environ = {"WEBHOOK_SECRET": secrets.secret, "WEBHOOK_PUBLIC_KEY": secrets.public_key, "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "receiver.py", cwd=folder, env=os.environ | environ, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            while not await _is_open(port):  # noqa: ASYNC110 - the condition is in another process
                await asyncio.sleep(0.02)
        yield f"https://localhost:{port}/guard", process.stdout
    finally:
        process.terminate()
        await process.wait()


async def _is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def secrets_of(partner: Partner) -> delivery.IssuedSecrets:
    async with partner.guard.platform.database.transaction() as db:
        return await delivery.issue_secrets(
            db, keyring=partner.guard.platform.keyring, partner_id=partner.partner_id, actor="test", now=clock.now()
        )


@pytest.mark.parametrize("variant", PROGRAMS)
async def test_the_pages_receiver_verifies_its_first_callback(partner: Partner, variant: str, tmp_path: Path) -> None:
    guard, secrets = partner.guard, await secrets_of(partner)
    means = {"keyring": guard.platform.keyring, "partner_id": partner.partner_id, "clock": clock.now}
    async with (
        running(guard, PROGRAMS[variant], tmp_path, secrets) as (url, printed),
        sending(guard.authority) as sender,
    ):
        await delivery.set_endpoint(guard.platform.database, sender=sender, url=url, actor="test", **means)
        assert b"callback.test" in await asyncio.wait_for(printed.readline(), 10)
        delivery_id = await partner.called_back("uw_00000000000000c1")
        await delivery.drain(guard.platform.database, sender=sender, **means)
        assert await asyncio.wait_for(printed.readline(), 10) == b"uw_00000000000000c1 {}\n"
        # A replay is taken, and not processed twice: the next line that is printed is another's.
        await partner.client.post(f"/api/partner/credit/cards/deliveries/{delivery_id}/replay")
        await delivery.drain(guard.platform.database, sender=sender, **means)
        await partner.called_back("uw_00000000000000c2")
        await delivery.drain(guard.platform.database, sender=sender, **means)
        assert await asyncio.wait_for(printed.readline(), 10) == b"uw_00000000000000c2 {}\n"
    listed = (await partner.client.get("/api/partner/credit/cards/deliveries")).json()["deliveries"]
    assert [(one["state"], len(one["attempts"])) for one in listed] == [("delivered", 1), ("delivered", 2)]


@pytest.mark.parametrize("variant", PROGRAMS)
async def test_the_pages_receiver_takes_nothing_that_another_signed(
    partner: Partner, stranger: Partner, variant: str, tmp_path: Path
) -> None:
    guard, foreign = partner.guard, await secrets_of(stranger)
    await secrets_of(partner)
    async with (
        running(guard, PROGRAMS[variant], tmp_path, foreign) as (url, _),
        sending(guard.authority) as sender,
    ):
        with pytest.raises(delivery.EndpointRefused, match="401"):
            await delivery.set_endpoint(
                guard.platform.database,
                keyring=guard.platform.keyring,
                sender=sender,
                partner_id=partner.partner_id,
                url=url,
                actor="test",
                clock=clock.now,
            )


def test_every_path_that_the_page_asks_is_served() -> None:
    shown = re.findall(r"\$BASE(/[^\s\"\\?]+)", PAGE)
    served = [re.sub(r"\{\w+\}", "[^/]+", route.path) for route in ROUTES]
    assert len(shown) >= 6
    assert [path for path in shown if not any(re.fullmatch(one, path) for one in served)] == []


def test_every_code_that_a_partner_can_meet_is_explained() -> None:
    codes = {error.code for error in (*ERROR_TABLE.table.values(), INTERNAL)}
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()
