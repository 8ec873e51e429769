"""The way in over HTTP, with an identity provider that is not ours: every step counts once, here, in order."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import quoteattr

import httpx2
import pytest
from tests.api.conftest import Installation
from tests.staff.conftest import office
from tests.staff.outside import NAME_ID, Samlp, Signer

from altcredit.api.staff.surface import ROUTES
from altcredit.engine import identity
from altcredit.engine.identity.people.saml import ServiceProvider
from altcredit.runtime.settings import Settings, SettingsInvalid, load

METADATA = """<?xml version="1.0"?>
<!-- as an operator might have got it -->
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID={id}>
 <md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
  <md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
  <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location={sso}/>
 </md:IDPSSODescriptor>
</md:EntityDescriptor>
"""


class House:
    """An installation whose staff sign on at samlp."""

    def __init__(self, installation: Installation, idp: Samlp) -> None:
        self.installation, self.idp = installation, idp
        self.url = installation.admin_url
        self.sp = ServiceProvider(entity_id=f"{self.url}/staff/metadata", acs_url=f"{self.url}/staff/acs")

    def browser(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.url, verify=self.installation.context, timeout=20)

    async def asked(self, browser: httpx2.AsyncClient) -> dict[str, str]:
        """Begin to sign in; return the form that the identity provider lets the browser post."""
        answer = await browser.get("/staff/login")
        assert answer.status_code == 303, answer.text
        where = answer.headers["location"]
        assert where.startswith(self.idp.idp.sso_url)
        query = parse_qs(urlsplit(where).query)
        return {"SAMLResponse": self.idp.respond(self.sp, where), "RelayState": query["RelayState"][0]}

    async def noted(self) -> list[tuple[str, str]]:
        async with self.installation.platform.database.transaction() as db:
            rows = await db.fetch(
                "SELECT subject, details->>'refusal' AS refusal FROM audit_event"
                " WHERE action = 'staff.sign_in_refused' ORDER BY event_id"
            )
        return [tuple(row) for row in rows]


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samlp]:
    provider = Samlp(Signer(tmp_path_factory.mktemp("samlp")))
    with provider.running(ServiceProvider(entity_id="", acs_url="")):
        yield provider


@pytest.fixture(scope="module")
async def house(server: str, idp: Samlp, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    home = tmp_path_factory.mktemp("house")
    metadata = home / "idp.xml"
    certificate = "".join(idp.signer.pem.splitlines()[1:-1])
    metadata.write_text(
        METADATA.format(id=quoteattr(idp.idp.entity_id), sso=quoteattr(idp.idp.sso_url), certificate=certificate)
    )
    async with office(server, home, saml_idp=str(metadata)) as installation:
        async with installation.platform.database.transaction() as db:
            await identity.invite_staff(
                db, keyring=installation.platform.keyring, name_id=NAME_ID, name="Asha", roles=["ops"], actor="test",
                now=datetime.now(UTC),
            )  # fmt: skip
        yield House(installation, idp)


def code(answer: httpx2.Response) -> str:
    """Return the code that a page or an answer of the API shows; empty on a page without."""
    found = re.search(r"\b([A-Z]+(?:_[A-Z]+)+), request", answer.text)
    return found[1] if found else ""


async def test_the_key_page_follows_single_sign_on(house: House) -> None:
    async with house.browser() as browser:
        form = await house.asked(browser)
        begun = browser.cookies["__Host-altcredit-sign-in"]
        answer = await browser.post("/staff/acs", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/staff/key")
        assert browser.cookies["__Host-altcredit-sign-in"] != begun
        page = await browser.get("/staff/key")
    assert page.status_code == 200
    assert NAME_ID in page.text


async def test_single_sign_on_alone_is_no_session(house: House) -> None:
    async with house.browser() as browser:
        await browser.post("/staff/acs", data=await house.asked(browser))
        assert "__Host-altcredit-staff" not in browser.cookies
        assert code(await browser.get("/staff")) == "SESSION_MISSING"
        shown = browser.cookies["__Host-altcredit-sign-in"]
        for token in (shown, f"ses_{shown}"):
            answer = await browser.get("/v1/staff/session", headers={"authorization": f"Bearer {token}"})
            assert answer.json()["error"]["code"] == "SESSION_INVALID"


async def test_a_response_counts_once(house: House) -> None:
    async with house.browser() as browser:
        form = await house.asked(browser)
        assert (await browser.post("/staff/acs", data=form)).status_code == 303
        assert code(await browser.post("/staff/acs", data=form)) == "SIGN_IN_UNKNOWN"


async def test_an_assertion_that_was_used_is_refused_even_where_its_request_is_still_open(house: House) -> None:
    """As when the row of the sign-in came back from a backup: the assertion's own id is remembered, too."""
    async with house.browser() as browser:
        form = await house.asked(browser)
        cookie = browser.cookies["__Host-altcredit-sign-in"]
        async with house.installation.platform.database.transaction() as db:
            row = await db.fetchrow("SELECT * FROM staff_sign_in WHERE request_id = $1", form["RelayState"])
        assert (await browser.post("/staff/acs", data=form)).status_code == 303
        async with house.installation.platform.database.transaction() as db:
            await db.execute("DELETE FROM staff_sign_in WHERE request_id = $1", form["RelayState"])
            await db.execute(
                "INSERT INTO staff_sign_in (cookie_hmac, request_id, state, started_at, expires_at)"
                " VALUES ($1, $2, 'asked', $3, $4)",
                row["cookie_hmac"], row["request_id"], row["started_at"], row["expires_at"],
            )  # fmt: skip
        browser.cookies.clear()
        again = await browser.post("/staff/acs", data=form, headers={"cookie": f"__Host-altcredit-sign-in={cookie}"})
    assert code(again) == "SSO_REFUSED"


async def test_a_response_is_for_the_browser_that_asked(house: House) -> None:
    async with house.browser() as victim, house.browser() as other:
        form = await house.asked(victim)
        await house.asked(other)
        assert code(await other.post("/staff/acs", data=form)) == "SSO_REFUSED"
        relabelled = {**form, "RelayState": (await house.asked(other))["RelayState"]}
        assert code(await other.post("/staff/acs", data=relabelled)) == "SSO_REFUSED"
    async with house.browser() as nobody:
        assert code(await nobody.post("/staff/acs", data=form)) == "SIGN_IN_UNKNOWN"


async def test_of_many_posts_at_once_one_counts(house: House) -> None:
    async with house.browser() as browser:
        form = await house.asked(browser)
        cookie = {"cookie": f"__Host-altcredit-sign-in={browser.cookies['__Host-altcredit-sign-in']}"}
        browser.cookies.clear()
        answers = await asyncio.gather(*(browser.post("/staff/acs", data=form, headers=cookie) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [303] + [401] * 7


async def test_refused_sign_ins_are_in_the_audit_log_and_say_nothing_that_was_sent(house: House) -> None:
    before = len(await house.noted())
    async with house.browser() as browser:
        form = await house.asked(browser)
        forged = base64.b64decode(form["SAMLResponse"]).replace(NAME_ID.encode(), b"evil@example.in")
        answer = await browser.post("/staff/acs", data={**form, "SAMLResponse": base64.b64encode(forged).decode()})
        assert (answer.status_code, code(answer)) == (401, "SSO_REFUSED")
        assert "evil" not in answer.text
    assert (await house.noted())[before:] == [("unknown", "SamlRefused")]
    async with house.installation.platform.database.transaction() as db:
        text = await db.fetchval("SELECT string_agg(details::text, '') FROM audit_event")
    assert "evil" not in text


@pytest.mark.parametrize(
    "body",
    [
        b"", b"SAMLResponse=x", b"SAMLResponse=x&SAMLResponse=y&RelayState=z", b"\xff\xfe", b"%", b"a=" * 50,
        b"SAMLResponse=%00&RelayState=%00", b"SAMLResponse=&RelayState=", b"&".join([b"SAMLResponse=x"] * 1000),
    ],
)  # fmt: skip
async def test_what_is_no_form_is_refused(house: House, body: bytes) -> None:
    async with house.browser() as browser:
        await browser.get("/staff/login")
        answer = await browser.post("/staff/acs", content=body)
    assert answer.status_code in (400, 401)


async def test_a_response_of_ten_megabytes_is_not_read(house: House) -> None:
    async with house.browser() as browser:
        await browser.get("/staff/login")
        answer = await browser.post("/staff/acs", content=b"SAMLResponse=" + b"A" * 10_000_000)
    assert answer.status_code == 413


async def test_pages_let_nothing_foreign_run_and_no_one_frame_them(house: House) -> None:
    async with house.browser() as browser:
        for route in ROUTES:
            if route.method == "GET" and route.path.startswith("/staff"):
                answer = await browser.get(route.path)
                policy = answer.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert not re.search(r"<script(?![^>]* src=)|\son\w+=|style=", answer.text), route.path
                assert answer.headers["cache-control"] == "no-store"
                assert "location" not in answer.headers or "evil" not in answer.headers["location"]


async def test_cookies_are_for_this_host_alone(house: House) -> None:
    async with house.browser() as browser:
        header = (await browser.get("/staff/login")).headers["set-cookie"]
    assert header.startswith("__Host-altcredit-sign-in=")
    for attribute in ("Secure", "HttpOnly", "Path=/", "SameSite=None"):
        assert f"; {attribute}" in header
    assert "domain" not in header.lower()


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "https://localhost:8444.evil.example"])
@pytest.mark.parametrize("path", ["/staff/key/options", "/staff/enrolment/options"])
async def test_a_page_of_another_site_cannot_ask_in_somebodys_name(house: House, path: str, origin: str | None) -> None:
    async with house.browser() as browser:
        await browser.post("/staff/acs", data=await house.asked(browser))
        headers = {} if origin is None else {"origin": origin}
        answer = await browser.post(path, json={"ticket": "x"}, headers=headers)
    assert answer.json()["error"]["code"] == "ORIGIN_FOREIGN"


async def test_the_metadata_names_where_responses_go(house: House) -> None:
    async with house.browser() as browser:
        answer = await browser.get("/staff/metadata")
    assert f'Location="{house.sp.acs_url}"' in answer.text
    assert f'entityID="{house.sp.entity_id}"' in answer.text


async def test_with_another_provider_the_built_in_one_does_not_exist(house: House) -> None:
    async with house.browser() as browser:
        where = (await browser.get("/staff/login")).headers["location"]
        answer = await browser.get(f"/staff/development-idp?{urlsplit(where).query}")
        assert code(answer) == "SIGN_IN_NOT_SET_UP"
        form = {"SAMLRequest": "x", "RelayState": "x", "name_id": NAME_ID}
        posted = await browser.post("/staff/development-idp", data=form, headers={"origin": house.url})
        assert code(posted) == "SIGN_IN_NOT_SET_UP"


@pytest.mark.parametrize("environment", ["sandbox", "production"])
def test_the_built_in_provider_and_virtual_keys_cannot_be_chosen_where_they_must_not(environment: str) -> None:
    environ = {"ALTCREDIT_ENVIRONMENT": environment, "ALTCREDIT_DATABASE_URL": "postgresql://x"}
    with pytest.raises(SettingsInvalid, match="built-in identity provider"):
        load({**environ, "ALTCREDIT_SAML_IDP": "built-in"})
    settings = load(environ)
    assert not settings.has_builtin_idp
    with pytest.raises(identity.SignInNotSetUp):
        identity.development_response(settings, request_id="_", name_id="x", now=datetime.now(UTC))
    if environment == "production":
        with pytest.raises(SettingsInvalid, match="VIRTUAL"):
            load({**environ, "ALTCREDIT_STAFF_VIRTUAL_KEYS": "true"})


@pytest.mark.parametrize("content", ["", "<x/>", "no XML", "<!DOCTYPE x [<!ENTITY e 'e'>]><x>&e;</x>"])
async def test_metadata_that_cannot_be_used_signs_nobody_in(tmp_path: Path, content: str) -> None:
    from altcredit.engine.identity.people.providers import identity_provider

    file = tmp_path / "idp.xml"
    file.write_text(content)
    for named in (file, tmp_path / "missing.xml"):
        with pytest.raises(identity.MetadataInvalid):
            identity_provider(Settings(saml_idp=str(named)), now=datetime.now(UTC))


async def test_sign_ins_from_one_address_are_counted(house: House) -> None:
    async with house.browser() as browser:
        statuses = [(await browser.get("/staff/login")).status_code for _ in range(61)]
    assert 429 in statuses
