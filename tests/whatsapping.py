"""A phone network for tests: the stand-in for WhatsApp over HTTP, and the worker's jobs run in this process."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from altcredit.engine import messaging, retailers
from altcredit.runtime import jobs, outbox
from altcredit.runtime.platform import Platform
from altcredit.simulator.source_serving import serving
from altcredit.simulator.whatsapp import Message, WhatsApp
from altcredit.subscriptions import SUBSCRIPTIONS
from altcredit.worker import HANDLERS, Work
from altcredit.worker.work import Kept
from tests.api.conftest import Installation, Shop, a_gstin

_numbers = itertools.count(1)
RUN = ("messaging.", "grievances.")


class Network:
    """Phones, and the platform's end of the line."""

    def __init__(self, platform: Platform, whatsapp: WhatsApp) -> None:
        self.platform = platform
        self.whatsapp = whatsapp
        self.ahead = timedelta()
        """How far the worker's clock is ahead."""
        self.work = Work(platform=platform, clock=lambda: datetime.now(UTC) + self.ahead, kept=Kept())

    def inbox(self, phone: str) -> list[Message]:
        return self.whatsapp.inboxes.get(phone, [])

    def last(self, phone: str) -> Message:
        return self.inbox(phone)[-1]

    async def say(self, phone: str, text: str, **how: Any) -> list[str]:
        """Have a phone write, let the worker work, and return the texts that came back."""
        before = len(self.inbox(phone))
        assert await self.whatsapp.say(phone, text, **how) == 200
        await self.run()
        return [one.text for one in self.inbox(phone)[before:]]

    async def press(self, phone: str, title: str, **how: Any) -> list[str]:
        before = len(self.inbox(phone))
        assert await self.whatsapp.press(phone, title, **how) == 200
        await self.run()
        return [one.text for one in self.inbox(phone)[before:]]

    async def run(self) -> None:
        """Run reactions, and jobs of conversations and grievances that are due, until there are none."""
        while True:
            async with self.platform.database.transaction() as db:
                reacted = await outbox.react(db, SUBSCRIPTIONS, now=datetime.now(UTC))
                due = await db.fetch(
                    "DELETE FROM pgqueuer WHERE (entrypoint LIKE 'messaging.%' OR entrypoint LIKE 'grievances.%')"
                    " AND execute_after <= now() + $1 RETURNING entrypoint, payload",
                    self.ahead,
                )
            for job in due:
                payload: jobs.Payload = msgspec.json.decode(job["payload"])
                await HANDLERS[job["entrypoint"]].run(self.work, [payload])
            if not due and not reacted:
                break
        await self.whatsapp.settled()


def a_phone() -> str:
    return f"9198{next(_numbers):08d}"


async def a_shop(installation: Installation, phone: str, *, distributor_id: str | None = None) -> Shop:
    """Add a shop that a distributor knows by a phone."""
    number = next(_numbers)
    phone_hash = hashlib.sha256(phone.encode()).hexdigest()
    place = distributor_id or f"dist_f{number:015x}"
    gstin = a_gstin(50_000 + number)
    (retailer_id,) = await retailers.resolve(
        installation.platform.database,
        keyring=installation.platform.keyring,
        distributor_id=place,
        shops=[retailers.ShopKey(gstin=gstin, ref=f"W{number}", phone_hash=phone_hash, name=f"Shop {number}")],
        now=datetime.now(UTC),
    )
    async with installation.platform.database.transaction() as db:
        await db.execute(
            "INSERT INTO distributor_feed (distributor_id, coverage, watermark, lag_days, lag_p90_days, returns_seen, last_batch_at)"
            " VALUES ($1, '{}', $2, '{}', 1, true, now()) ON CONFLICT DO NOTHING",
            place,
            datetime.now(UTC).date() - timedelta(days=3),
        )
    return Shop(retailer_id=retailer_id, gstin=gstin, phone_hash=phone_hash, distributor_id=place)


@asynccontextmanager
async def networked(installation: Installation) -> AsyncIterator[Network]:
    """Lend a network whose stand-in serves over HTTP, and posts its webhooks to the installation over HTTPS."""
    account = messaging.Account.of(installation.platform.settings)
    whatsapp = WhatsApp(
        webhook_url=f"{installation.base_url}/v1/webhooks/whatsapp",
        app_secret=account.app_secret,
        access_token=account.access_token,
        phone_number_id=account.phone_number_id,
        context=installation.context,
    )
    async with serving(whatsapp) as base_url:
        settings = msgspec.structs.replace(installation.platform.settings, whatsapp_base_url=base_url)
        before, installation.platform.settings = installation.platform.settings, settings
        network = Network(installation.platform, whatsapp)
        try:
            yield network
        finally:
            await network.work.kept.close()
            installation.platform.settings = before
            await asyncio.sleep(0)
