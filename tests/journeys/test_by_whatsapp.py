"""A retailer's story, all of it over HTTP: asked by WhatsApp, scored, objecting, corrected, told, and gone."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.api.conftest import PURPOSE, Installation
from tests.conftest import new_database
from tests.journeys.books import bills, period, receipts
from tests.journeys.test_from_ledger_to_score import completed, scored
from tests.served import install_expert, serving, until

from altcredit.engine import grievances
from altcredit.simulator.source_serving import serving as standing_in
from altcredit.simulator.whatsapp import Message, WhatsApp

PHONE = "919812300001"
TODAY = datetime.now(UTC).date()
FIRST = TODAY - timedelta(days=300)


async def hears(whatsapp: WhatsApp, words: str) -> Message:
    """Wait until the phone has a message with these words."""

    async def found() -> Message | None:
        return next((one for one in reversed(whatsapp.inboxes.get(PHONE, [])) if words in one.text), None)

    message: Message = await until(found, pause=0.05)
    return message


async def worked(installation: Installation, grievance_id: str, what: str, **asked: Any) -> grievances.Case:
    """Do what staff does with a case."""
    async with installation.platform.database.transaction() as db:
        case: grievances.Case = await getattr(grievances, what)(
            db, keyring=installation.platform.keyring, grievance_id=grievance_id, actor="staff:stf_0123456789abcdef",
            now=datetime.now(UTC), **asked,
        )  # fmt: skip
        return case


async def test_consent_score_grievance_correction_and_stop_by_whatsapp(server: str, tmp_path: Path) -> None:
    for name, secret in (("secret", "app-secret"), ("token", "access-token")):
        (tmp_path / name).write_text(secret)
    whatsapp = WhatsApp(app_secret="app-secret", access_token="access-token", phone_number_id="1064")
    settings = {
        "whatsapp_phone_number_id": "1064",
        "whatsapp_app_secret_file": tmp_path / "secret",
        "whatsapp_access_token_file": tmp_path / "token",
    }
    async with (
        new_database(server) as dsn,
        standing_in(whatsapp) as base_url,
        serving(database_url=dsn, whatsapp_base_url=base_url, **settings) as (_, installation),
    ):
        whatsapp.webhook_url = f"{installation.base_url}/v1/webhooks/whatsapp"
        whatsapp.trust(installation.context)
        await install_expert(installation.platform)
        await _story(installation, whatsapp)


async def _story(installation: Installation, whatsapp: WhatsApp) -> None:
    import hashlib

    issued = await installation.lender(minute=100_000, day=1_000_000)
    shop = {"retailer_ref": "W-1"}
    link = {**shop, "retailer_phone_hash": hashlib.sha256(PHONE.encode()).hexdigest(), "name": "Ramesh Kirana"}
    invoices = bills(shop, first=FIRST, weeks=42)
    payments = receipts(invoices, late=1, until=TODAY)
    async with (
        installation.distributor() as feed,
        await installation.signed_in(issued) as lender,
        await installation.signed_in(await installation.service("consent:grant")) as service,
    ):
        # The distributor's books lack most of what the shop has paid of late.
        known = payments[: len(payments) - 12]
        batch = await feed.send(retailers=[link], invoices=invoices, payments=known, **period(FIRST, TODAY))
        await completed(feed, batch)

        # Asked beyond 24 hours, by template; asked again in Hindi once the retailer writes.
        invited = await service.post(
            "/v1/consent/invitations",
            json={"phone": PHONE, "distributor_id": feed.distributor_id, "lender_scope": [issued.client_id], "purpose": PURPOSE},
        )  # fmt: skip
        assert invited.status_code == 202, invited.text
        retailer_id = invited.json()["retailer_id"]
        assert (await hears(whatsapp, "credit_consent_v1")).kind == "template"
        await whatsapp.say(PHONE, "हिंदी")
        await hears(whatsapp, "अनुमति चाहता है")
        assert await whatsapp.press(PHONE, "सहमत हूँ") == 200
        await hears(whatsapp, "आपकी सहमति दर्ज हो गई")
        first = await scored(lender, retailer_id)

        await whatsapp.say(PHONE, "MY SCORE")
        assert "Ramesh Kirana" in (await hears(whatsapp, f"900 में से {first['altscore']}")).text

        await whatsapp.say(PHONE, "GRIEVANCE my payments of the last months are missing")
        filed = await hears(whatsapp, "दर्ज हो गई। पुष्टि")
        found = re.search(r"grv_[0-9a-f]{16}", filed.text)
        assert found
        case = found[0]
        await worked(installation, case, "review")
        await hears(whatsapp, "मिल गई है")

        # The distributor sends what was missing; the shop is scored again.
        await completed(feed, await feed.send(payments=payments[len(known) :], **period(FIRST, TODAY)))
        await worked(installation, case, "correct", correction="The missing payments have come.")
        await hears(whatsapp, case)

        async def resolved() -> grievances.Case | None:
            try:
                return await worked(
                    installation, case, "resolve", outcome="corrected", resolution="भुगतान जोड़ दिए गए हैं।"
                )
            except grievances.RescorePending:
                return None

        done: grievances.Case = await until(resolved)
        second = (await lender.post("/v1/score", json={"retailer_id": retailer_id, "purpose": PURPOSE})).json()
        assert second["altscore"] > first["altscore"]
        told = await hears(whatsapp, "भुगतान जोड़ दिए गए हैं।")
        assert f"{first['altscore']}" in told.text
        assert f"{second['altscore']}" in told.text
        assert (done.score_id, done.new_score_id) == (first["score_id"], second["score_id"])

        await whatsapp.say(PHONE, "STOP")
        refused = await lender.post("/v1/score", json={"retailer_id": retailer_id, "purpose": PURPOSE})
        assert refused.status_code == 403
        await hears(whatsapp, "वापस ले लिया")
        await whatsapp.settled()
        states = await installation.platform.database.reads.fetch("SELECT DISTINCT state FROM outbound_message")
        assert {row["state"] for row in states} == {"delivered"}
