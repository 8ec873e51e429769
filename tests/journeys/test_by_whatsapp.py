"""
A retailer's story, all of it over HTTPS: onboarded, fed, asked by WhatsApp, scored, objecting, corrected, told, gone.

Staff works through the Admin API, the distributor through mutual TLS, the retailer through WhatsApp and its own routes,
and whoever doubts the new score through its receipt, offline.
"""

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from tests.api.admin.conftest import Desk
from tests.api.admin.test_onboarding import certificate_of, feed_of
from tests.api.conftest import PURPOSE, Feed, Installation
from tests.conftest import new_database
from tests.journeys.books import bills, period, receipts
from tests.journeys.test_from_ledger_to_score import completed, scored
from tests.served import ROOT, install_expert, serving, until
from tests.staffing import staff_member

from altcredit.engine import identity
from altcredit.simulator.source_serving import serving as standing_in
from altcredit.simulator.whatsapp import WhatsApp
from altcredit.simulator.whatsapp_rules import Message

PHONE = "919812300001"
_PATIENCE = 240  # seconds, for machines that have much else to do
CORRECTION = "The missing payments have come."
TODAY = datetime.now(UTC).date()
FIRST = TODAY - timedelta(days=300)


class Story:
    """Who takes part: staff at their desks, the distributor, the lender, the service, and a phone."""

    def __init__(self, installation: Installation, whatsapp: WhatsApp, open_: AsyncExitStack) -> None:
        self.installation, self.whatsapp, self.open = installation, whatsapp, open_

    async def desk(self, *roles: identity.Role) -> Desk:
        """Sign a member of staff in at the admin listener."""
        platform = self.installation.platform
        who = await staff_member(platform.database, platform.keyring, *roles, settings=platform.settings)
        client = httpx2.AsyncClient(
            base_url=self.installation.admin_url, verify=self.installation.context, headers=who.headers, timeout=30
        )
        return Desk(self.installation, who, await self.open.enter_async_context(client))

    async def client_of(self, made: httpx2.Response) -> httpx2.AsyncClient:
        """Sign a lender or a service in with the secret that the Admin API has just issued."""
        assert made.status_code == 201, made.text
        issued = identity.IssuedClient(client_id=made.json()["client_id"], client_secret=made.json()["client_secret"])
        return await self.open.enter_async_context(await self.installation.signed_in(issued))

    async def feed_of(self, made: httpx2.Response) -> Feed:
        """Connect a distributor with the certificate, key and secret that the Admin API has just issued."""
        assert made.status_code == 201, made.text
        presenting = self.installation.presenting(certificate_of(made.json()))
        return feed_of(made.json(), await self.open.enter_async_context(presenting))

    async def hears(self, words: str) -> Message:
        """Wait until the phone has a message with these words."""

        async def found() -> Message | None:
            return next((one for one in reversed(self.whatsapp.inboxes.get(PHONE, [])) if words in one.text), None)

        message: Message = await until(found, seconds=_PATIENCE, pause=0.05)
        return message

    async def signed_in(self, language: str) -> httpx2.AsyncClient:
        """Sign the retailer in by the code that comes to its phone."""
        before = len(self.whatsapp.inboxes[PHONE])
        async with self.installation.client() as client:
            asked = await client.post("/v1/me/code", json={"phone": PHONE})
            assert asked.status_code == 202, asked.text

            async def code() -> str | None:
                said = " ".join(one.text for one in self.whatsapp.inboxes[PHONE][before:])
                return next(iter(re.findall(r"\b[0-9]{6}\b", said)), None)

            answer = await client.post(
                "/v1/me/token", json={"phone": PHONE, "code": await until(code, seconds=_PATIENCE)}
            )
        assert answer.status_code == 200, answer.text
        headers = {"authorization": f"Bearer {answer.json()['access_token']}", "accept-language": language}
        return await self.open.enter_async_context(self.installation.client(**headers))


@asynccontextmanager
async def playing(server: str, secrets: Path) -> AsyncIterator[Story]:
    """Lend an installation of its own, which sends to a stand-in for WhatsApp and hears from it over HTTPS."""
    for name, secret in (("secret", "app-secret"), ("token", "access-token")):
        (secrets / name).write_text(secret)
    whatsapp = WhatsApp(app_secret="app-secret", access_token="access-token", phone_number_id="1064")
    settings = {
        "whatsapp_phone_number_id": "1064",
        "whatsapp_app_secret_file": secrets / "secret",
        "whatsapp_access_token_file": secrets / "token",
    }
    async with (
        new_database(server) as dsn,
        standing_in(whatsapp) as base_url,
        serving(database_url=dsn, whatsapp_base_url=base_url, **settings) as (_, installation),
        AsyncExitStack() as open_,
    ):
        whatsapp.webhook_url = f"{installation.base_url}/v1/webhooks/whatsapp"
        whatsapp.trust(installation.context)
        await install_expert(installation.platform)
        yield Story(installation, whatsapp, open_)


async def test_from_onboarding_by_consent_and_grievance_to_a_new_score_and_its_receipt(
    server: str, tmp_path: Path
) -> None:
    async with playing(server, tmp_path) as story:
        ops, admin, dpo = await story.desk("ops"), await story.desk("admin"), await story.desk("dpo")
        feed = await story.feed_of(await ops.post("/distributors", name="Sharma Traders", reason="contract 17"))
        lender = await story.client_of(await ops.post("/lenders", name="Shriram Finance", reason="contract 18"))
        service = await story.client_of(
            await admin.post("/services", name="WhatsApp", scopes=["consent:grant"], reason="contract 19")
        )

        # The distributor's books lack most of what the shop has paid of late.
        shop = {"retailer_ref": "W-1"}
        link = {**shop, "retailer_phone_hash": hashlib.sha256(PHONE.encode()).hexdigest(), "name": "Ramesh Kirana"}
        invoices = bills(shop, first=FIRST, weeks=42)
        payments = receipts(invoices, late=1, until=TODAY)
        known = payments[: len(payments) - 12]
        await completed(
            feed, await feed.send(retailers=[link], invoices=invoices, payments=known, **period(FIRST, TODAY))
        )

        retailer_id = await _asked_and_agreed(story, feed, lender, service)
        first = await scored(lender, retailer_id)
        await story.whatsapp.say(PHONE, "मेरा स्कोर")
        assert "Ramesh Kirana" in (await story.hears(f"आपका स्कोर {first['altscore']} है")).text

        await story.whatsapp.say(PHONE, "GRIEVANCE my payments of the last months are missing")
        filed = await story.hears("दर्ज हो गई है। हम")
        (case,) = re.findall(r"grv_[0-9a-f]{16}", filed.text)
        second = await _corrected(story, dpo, feed, lender, case, payments[len(known) :], first)
        await _told_in_both_languages(story, case, first, second)
        await _proven_offline(story, lender, second, tmp_path)

        await story.whatsapp.say(PHONE, "STOP")
        refused = await lender.post("/v1/score", json={"retailer_id": retailer_id, "purpose": PURPOSE})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "CONSENT_NOT_GRANTED")
        await story.hears("वापस ले ली गई हैं")
        await _everything_was_delivered(story)


async def _asked_and_agreed(story: Story, feed: Feed, lender: httpx2.AsyncClient, service: httpx2.AsyncClient) -> str:
    """Ask beyond 24 hours by a template; show the notice, again in Hindi; have it agreed to. Returns the retailer."""
    body = {"phone": PHONE, "distributor_id": feed.distributor_id, "lender_scope": [lender.headers["x-client-id"]],
            "purpose": PURPOSE}  # fmt: skip
    invited = await service.post("/v1/consent/invitations", json=body)
    assert invited.status_code == 202, invited.text
    retailer_id: str = invited.json()["retailer_id"]
    assert (await story.hears("Sharma Traders")).template == "consent_invitation_v1"
    assert await story.whatsapp.press(PHONE, "Read the notice") == 200
    english = await story.hears("asks your permission")
    assert english.text.startswith("AltCredit asks your permission, Ramesh Kirana.")
    assert "WHO will see the score: Shriram Finance." in english.text
    await story.whatsapp.say(PHONE, "हिंदी")
    hindi = await story.hears("आपकी अनुमति चाहता है")
    assert hindi.text.startswith("Ramesh Kirana जी, AltCredit")
    refused = await lender.post("/v1/score", json={"retailer_id": retailer_id, "purpose": PURPOSE})
    assert refused.status_code == 403
    assert await story.whatsapp.press(PHONE, "सहमत हूँ") == 200
    await story.hears("आपकी सहमति दर्ज हो गई")
    await story.hears("क्या कोड रूप में डेटा")
    assert await story.whatsapp.press(PHONE, "Yes / हाँ") == 200
    await story.hears("यह सहमति भी दर्ज हो गई")

    me = await story.signed_in("hi")
    consents = (await me.get("/v1/me/consents")).json()["consents"]
    (own,) = [one for one in consents if one["purpose"] == PURPOSE]
    assert own["shown"] == hindi.text
    assert own["notice"]["business_sha256"] == hashlib.sha256(own["disclosure"].encode()).hexdigest()
    assert {one["purpose"] for one in consents} == {PURPOSE, "model_development"}
    return retailer_id


async def _corrected(
    story: Story, dpo: Desk, feed: Feed, lender: httpx2.AsyncClient, case: str, missing: list[Any], first: Any
) -> Any:
    """Have staff take the case up, the distributor send what was missing, and the case resolved by the new score."""
    assert (await dpo.post(f"/grievances/{case}/review")).status_code == 200
    await story.hears("मिल गई है")
    await completed(feed, await feed.send(payments=missing, **period(FIRST, TODAY)))
    corrected = await dpo.post(f"/grievances/{case}/correct", correction=CORRECTION)
    assert corrected.status_code == 200, corrected.text

    async def resolved() -> Any:
        answer = await dpo.post(f"/grievances/{case}/resolve", outcome="corrected", resolution="भुगतान जोड़ दिए गए हैं।")
        assert answer.status_code in (200, 409), answer.text
        return answer.json() if answer.status_code == 200 else None

    done = await until(resolved, seconds=_PATIENCE)
    second = await scored(lender, first["retailer_id"], after=first["score_id"])
    assert second["altscore"] > first["altscore"]
    assert (done["score_id"], done["new_score_id"]) == (first["score_id"], second["score_id"])
    return second


async def _told_in_both_languages(story: Story, case: str, first: Any, second: Any) -> None:
    told = await story.hears("भुगतान जोड़ दिए गए हैं।")
    assert str(first["altscore"]) in told.text
    assert str(second["altscore"]) in told.text
    for language, words in (("hi", "सुधार के बाद"), ("en", "After the correction")):
        me = await story.signed_in(language)
        (own,) = (await me.get("/v1/me/grievances")).json()["grievances"]
        assert (own["grievance_id"], own["status"], own["outcome"]) == (case, "resolved", "corrected")
        assert CORRECTION in [one["text"] for one in own["notes"]]
        why = own["explanation"]
        assert words in why["text"]
        assert why["text"] == why[f"text_{language}"]
        assert [why[one]["altscore"] for one in ("old_score", "new_score")] == [first["altscore"], second["altscore"]]
        assert all(str(one["altscore"]) in why["text"] for one in (first, second))


async def _proven_offline(story: Story, lender: httpx2.AsyncClient, second: Any, folder: Path) -> None:
    """Verify the new score's receipt by the command, away from the installation; and see a forged one refused."""
    answer = await lender.get(f"/v1/score/{second['score_id']}/receipt")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["altscore"], answer.json()["score_id"]) == (second["altscore"], second["score_id"])
    (folder / "receipt.json").write_bytes(answer.content)
    (folder / "forged.json").write_text(json.dumps(answer.json() | {"altscore": 900}))
    async with story.installation.client() as client:
        (folder / "jwks.json").write_bytes((await client.get("/.well-known/jwks.json")).content)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTCREDIT_")}
    environ |= {"PYTHONPATH": str(ROOT / "src"), "ALTCREDIT_HOME": str(folder / "elsewhere")}
    for name, status, words in (("receipt.json", 0, "holds."), ("forged.json", 1, "DOES NOT HOLD.")):
        command = [sys.executable, "-m", "altcredit", "receipt", "verify", name, "--public-key", "jwks.json"]
        ended = await asyncio.to_thread(
            subprocess.run, command, env=environ, cwd=folder, capture_output=True, text=True, timeout=300
        )
        assert ended.returncode == status, ended.stdout + ended.stderr
        assert words in ended.stdout + ended.stderr
    assert not (folder / "elsewhere").exists()


async def _everything_was_delivered(story: Story) -> None:
    """Wait until WhatsApp has reported every message, and see that none was dropped or refused."""
    states = "SELECT state, count(*) FROM outbound_message GROUP BY state"

    async def delivered() -> bool:
        rows = await story.installation.platform.database.reads.fetch(states)
        assert {row["state"] for row in rows} <= {"queued", "sent", "delivered"}, rows
        return {row["state"] for row in rows} == {"delivered"}

    await until(delivered, seconds=_PATIENCE)
