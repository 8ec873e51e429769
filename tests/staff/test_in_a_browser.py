"""The whole way in, in a real Chromium with a virtual authenticator: ticket, single sign-on, key, session, its end."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from playwright.async_api import Browser, ConsoleMessage, Page, expect
from tests.api.conftest import Installation
from tests.served import free_ports
from tests.staff.conftest import office
from tests.staff.outside import NAME_ID, Signer, SimpleSamlPhp, metadata

from altcredit.engine import identity
from altcredit.engine.identity.people.saml import ServiceProvider

KEY = {
    "protocol": "ctap2",
    "transport": "usb",
    "hasResidentKey": False,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Desk:
    """A browser window of its own, with a key in it."""

    def __init__(self, page: Page, devtools: Any, url: str) -> None:
        self.page, self.devtools, self.url = page, devtools, url
        self.complaints: list[str] = []

    def hear(self, message: ConsoleMessage) -> None:
        """Note what the browser complains of on our own pages."""
        if message.type == "error" and message.location["url"].startswith(self.url):
            self.complaints.append(message.text)

    async def plug_in(self, **changes: Any) -> str:
        """Plug a virtual key in and return its id."""
        added = await self.devtools.send("WebAuthn.addVirtualAuthenticator", {"options": {**KEY, **changes}})
        key: str = added["authenticatorId"]
        return key

    async def sign_on(self, name_id: str) -> None:
        """Go through single sign-on at the built-in identity provider."""
        await self.page.goto(f"{self.url}/staff/login")
        await expect(self.page.get_by_role("note")).to_contain_text("does not exist in production")
        await self.page.get_by_label("Who are you?").fill(name_id)
        await self.page.get_by_role("button", name="Say so").click()

    async def enrol(self, ticket: str) -> None:
        await self.page.get_by_label("Ticket").fill(ticket)
        await self.page.get_by_role("button", name="Enrol key").click()

    async def use_key(self) -> None:
        await self.page.get_by_role("button", name="Use key").click()

    async def sign(self, action: str, body: str) -> str:
        """Let the key sign for a request on the page of the session; return the assertion."""
        await self.page.get_by_label("Action").select_option(action)
        await self.page.get_by_label("Body").fill(body)
        await self.page.get_by_role("button", name="Sign with key").click()
        shown = self.page.get_by_label("X-Key-Assertion")
        await expect(shown).not_to_have_value("")
        return await shown.input_value()


@asynccontextmanager
async def desk(chromium: Browser, staffed: Installation) -> AsyncIterator[Desk]:
    context = await chromium.new_context(ignore_https_errors=True)
    await context.grant_permissions(["clipboard-read", "clipboard-write"], origin=staffed.admin_url)
    page = await context.new_page()
    devtools = await context.new_cdp_session(page)
    await devtools.send("WebAuthn.enable")
    lent = Desk(page, devtools, staffed.admin_url)
    page.on("console", lent.hear)
    page.on("pageerror", lambda error: lent.complaints.append(str(error)))
    yield lent
    await context.close()


async def invited(staffed: Installation, name_id: str, *roles: str) -> identity.IssuedTicket:
    async with staffed.platform.database.transaction() as db:
        return await identity.invite_staff(
            db, keyring=staffed.platform.keyring, name_id=name_id, name=name_id, roles=roles, actor="test",
            now=datetime.now(UTC),
        )  # fmt: skip


async def asked(staffed: Installation, token: str) -> httpx2.Response:
    async with staffed.client(authorization=f"Bearer {token}") as client:
        return await client.get(f"{staffed.admin_url}/v1/staff/session")


async def test_from_the_bootstrap_ticket_to_a_first_invitation_and_the_end_of_the_session(
    chromium: Browser, server: str, tmp_path: Path
) -> None:
    async with office(server, tmp_path) as staffed:  # of its own: nobody is an administrator yet
        await _from_bootstrap_to_an_invitation(chromium, staffed)


async def _from_bootstrap_to_an_invitation(chromium: Browser, staffed: Installation) -> None:
    async with staffed.platform.database.transaction() as db:
        issued = await identity.bootstrap_admin(
            db, keyring=staffed.platform.keyring, name_id="asha@example.in", actor="test", now=datetime.now(UTC)
        )
    async with desk(chromium, staffed) as at:
        await at.plug_in()
        await at.sign_on("asha@example.in")
        await expect(at.page.get_by_text("You have no key yet.")).to_be_visible()
        await at.enrol(issued.ticket)
        await at.use_key()
        await expect(at.page.get_by_role("heading", name="Signed in")).to_be_visible()
        await expect(at.page.get_by_text("asha@example.in")).to_be_visible()
        await expect(at.page.locator("dd", has_text="admin").first).to_be_visible()
        await expect(at.page.locator("#left")).to_have_text(re.compile(r"1[45]:\d\d left"))
        await at.page.get_by_role("button", name="Copy").click()
        await expect(at.page.get_by_role("button", name="Copied")).to_be_visible()
        token = await at.page.evaluate("navigator.clipboard.readText()")

        answer = await asked(staffed, token)
        assert answer.status_code == 200
        assert answer.json()["roles"] == ["admin"]
        assert "staff.manage" in answer.json()["permissions"]
        assert await at.page.evaluate("document.cookie") == ""

        body = json.dumps({"name_id": "bela@example.in", "name": "Bela", "roles": ["admin"], "reason": "a second one"})
        url, sent = f"{staffed.admin_url}/v1/admin/staff", {"content-type": "application/json"}
        async with staffed.client(authorization=f"Bearer {token}") as client:
            unsigned = await client.post(url, content=body, headers=sent)
            assert unsigned.json()["error"]["code"] == "ASSERTION_MISSING"
            sent["x-key-assertion"] = await at.sign("staff.manage", body)
            invitation = await client.post(url, content=body, headers=sent)
        assert (invitation.status_code, invitation.json()["name_id"]) == (201, "bela@example.in"), invitation.text

        await at.page.get_by_role("button", name="Sign out").click()
        await expect(at.page.get_by_role("heading", name="Signed out")).to_be_visible()
        assert (await asked(staffed, token)).json()["error"]["code"] == "SESSION_EXPIRED"
        assert at.complaints == []


async def test_a_session_is_over_after_fifteen_minutes(chromium: Browser, staffed: Installation) -> None:
    issued = await invited(staffed, "late@example.in", "ops")
    async with desk(chromium, staffed) as at:
        await at.plug_in()
        await at.sign_on("late@example.in")
        await at.enrol(issued.ticket)
        await at.use_key()
        token = await at.page.get_by_label(re.compile("API token")).input_value()
        cookies = {one["name"]: one for one in await at.page.context.cookies()}
        kept = cookies["__Host-altcredit-staff"]
        assert (kept["sameSite"], kept["secure"], kept["httpOnly"], kept["path"]) == ("Strict", True, True, "/")
        assert kept["expires"] <= (datetime.now(UTC) + timedelta(minutes=15)).timestamp() + 1
        assert "__Host-altcredit-sign-in" not in cookies
        async with staffed.platform.database.transaction() as db:  # as if it had begun fifteen minutes ago
            await db.execute(
                "UPDATE staff_session SET signed_in_at = signed_in_at - interval '15 min',"
                " expires_at = expires_at - interval '15 min', seen_at = seen_at - interval '15 min'"
                " WHERE staff_id = $1",
                issued.staff_id,
            )
        assert (await asked(staffed, token)).json()["error"]["code"] == "SESSION_EXPIRED"
        await at.page.reload()
        await expect(at.page.get_by_text("the session has ended")).to_be_visible()


async def test_the_same_ticket_enrols_no_second_key(chromium: Browser, staffed: Installation) -> None:
    issued = await invited(staffed, "twice@example.in", "ops")
    async with desk(chromium, staffed) as at:
        await at.plug_in()
        await at.sign_on("twice@example.in")
        await at.enrol(issued.ticket)
        await expect(at.page.get_by_role("button", name="Use key")).to_be_visible()
        await at.enrol(issued.ticket)
        await expect(at.page.get_by_role("alert")).to_contain_text("The ticket is not for you")


async def test_a_ticket_is_for_one_person(chromium: Browser, staffed: Installation) -> None:
    issued = await invited(staffed, "meant@example.in", "ops")
    await invited(staffed, "other@example.in", "ops")
    async with desk(chromium, staffed) as at:
        await at.plug_in()
        await at.sign_on("other@example.in")
        await at.enrol(issued.ticket)
        await expect(at.page.get_by_role("alert")).to_contain_text("The ticket is not for you")


async def test_a_key_that_cannot_verify_its_user_is_not_enrolled(chromium: Browser, staffed: Installation) -> None:
    issued = await invited(staffed, "unverified@example.in", "ops")
    async with desk(chromium, staffed) as at:
        await at.plug_in(isUserVerified=False)
        await at.sign_on("unverified@example.in")
        await at.enrol(issued.ticket)
        await expect(at.page.get_by_role("alert")).not_to_be_empty()
        assert await keys(staffed, issued.staff_id) == 0


async def test_a_key_that_can_be_copied_is_not_enrolled(chromium: Browser, staffed: Installation) -> None:
    issued = await invited(staffed, "copied@example.in", "ops")
    async with desk(chromium, staffed) as at:
        await at.plug_in(defaultBackupEligibility=True)
        await at.sign_on("copied@example.in")
        await at.enrol(issued.ticket)
        await expect(at.page.get_by_role("alert")).to_contain_text("no accepted make")
        assert await keys(staffed, issued.staff_id) == 0


async def keys(staffed: Installation, staff_id: str) -> int:
    async with staffed.platform.database.transaction() as db:
        count: int = await db.fetchval("SELECT count(*) FROM staff_key WHERE staff_id = $1", staff_id)
        return count


async def test_somebody_who_is_not_of_the_staff_gets_no_further(chromium: Browser, staffed: Installation) -> None:
    async with desk(chromium, staffed) as at:
        await at.sign_on("stranger@example.in")
        await expect(at.page.get_by_text("NOT_STAFF")).to_be_visible()
        await at.page.goto(f"{at.url}/staff/key")
        await expect(at.page.get_by_text("SIGN_IN_UNKNOWN")).to_be_visible()


async def test_a_provider_of_another_site_posts_its_answer_here(chromium: Browser, server: str, tmp_path: Path) -> None:
    """Debian's SimpleSAMLphp, on another site: the browser sends the cookie of the sign-in with its POST, and no other."""
    (port,) = free_ports(1)
    here = f"https://localhost:{port}"
    sp = ServiceProvider(entity_id=f"{here}/staff/metadata", acs_url=f"{here}/staff/acs")
    provider = SimpleSamlPhp(Signer(tmp_path / "idp"))
    file = tmp_path / "idp.xml"
    file.write_text(metadata(provider.idp, provider.signer))
    with provider.running(sp):
        async with office(server, tmp_path / "home", port=port, saml_idp=str(file)) as house:
            issued = await invited(house, NAME_ID, "ops")
            async with desk(chromium, house) as at:
                await at.plug_in()
                await at.page.goto(f"{here}/staff/login")
                await at.enrol(issued.ticket)
                await at.use_key()
                await expect(at.page.get_by_role("heading", name="Signed in")).to_be_visible()
                assert at.complaints == []


async def test_a_key_signs_for_one_request_as_the_page_of_an_action_would(
    chromium: Browser, staffed: Installation
) -> None:
    """What the console does: options from the API, the browser's key, the header; judged by the operation itself."""
    issued = await invited(staffed, "signs@example.in", "model_owner")
    body = b'{"version":"altscore-xgb-v2"}'
    async with desk(chromium, staffed) as at:
        await at.plug_in()
        await at.sign_on("signs@example.in")
        await at.enrol(issued.ticket)
        await at.use_key()
        token = await at.page.get_by_label(re.compile("API token")).input_value()
        assertion = await at.page.evaluate(
            """async ([action, body]) => {
                const hex = (buffer) => [...new Uint8Array(buffer)].map((b) => b.toString(16).padStart(2, "0")).join("");
                const sha256 = hex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(body)));
                const said = await get(await post("/v1/staff/assertions", { action, request_sha256: sha256 }));
                return encode(new TextEncoder().encode(JSON.stringify(said)));
            }""",
            ["models.promote", body.decode()],
        )
    now = datetime.now(UTC)
    session = await identity.staff_by_session(
        staffed.platform.database, keyring=staffed.platform.keyring, token=token, now=now
    )
    async with staffed.platform.database.transaction() as db:
        signed = await identity.require_assertion(
            db, session=session, action="models.promote", request=body, assertion=assertion, now=now
        )
    assert signed.key_id.startswith("sky_")
