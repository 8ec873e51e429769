"""How a session is shown: by a cookie of these pages, or as a bearer token; and what is judged before a body is read."""

import httpx2
import pytest
from tests.api.conftest import Installation
from tests.staffing import Member, staff_member

from altcredit.engine import identity

ASK = {"action": "models.promote", "request_sha256": "0" * 64}
COOKIE = "__Host-altcredit-staff"


async def member(staffed: Installation, *roles: identity.Role) -> Member:
    platform = staffed.platform
    return await staff_member(platform.database, platform.keyring, *roles, settings=platform.settings)


async def ask(staffed: Installation, method: str, path: str, **how: object) -> httpx2.Response:
    async with staffed.client() as client:
        return await client.request(method, f"{staffed.admin_url}{path}", **how)  # type: ignore[arg-type]


def outcome(answer: httpx2.Response) -> str:
    return "" if answer.status_code == 200 else answer.json()["error"]["code"]


async def test_a_session_is_shown_as_a_token_or_by_cookie(staffed: Installation) -> None:
    who = await member(staffed, "dpo")
    for headers in (who.headers, {"cookie": f"{COOKIE}={who.token}"}, {"cookie": f"a=b; {COOKIE}={who.token}; c=d"}):
        answer = await ask(staffed, "GET", "/v1/staff/session", headers=headers)
        assert answer.json()["staff_id"] == who.staff_id
        assert "audit.read" in answer.json()["permissions"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "SESSION_MISSING"),
        ({"authorization": "Bearer"}, "SESSION_MISSING"),
        ({"authorization": "Basic {token}"}, "SESSION_MISSING"),
        ({"authorization": "{token}"}, "SESSION_MISSING"),
        ({"authorization": "Bearer {token}x"}, "SESSION_INVALID"),
        ({"authorization": "Bearer {token}, Bearer {token}"}, "SESSION_INVALID"),
        ({"authorization": "Bearer x", "cookie": COOKIE + "={token}"}, "SESSION_INVALID"),
        ({"cookie": COOKIE + "={token}; " + COOKIE + "={token}"}, "SESSION_MISSING"),
        ({"cookie": "altcredit-staff={token}"}, "SESSION_MISSING"),
    ],
)
async def test_anything_else_is_no_session(staffed: Installation, headers: dict[str, str], code: str) -> None:
    who = await member(staffed, "ops")
    shown = {name: value.format(token=who.token) for name, value in headers.items()}
    answer = await ask(staffed, "GET", "/v1/staff/session", headers=shown)
    assert (answer.status_code, outcome(answer)) == (401, code)


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://localhost:{port}", "own"])
async def test_by_cookie_only_our_own_pages_change_anything(staffed: Installation, origin: str | None) -> None:
    who = await member(staffed, "ops")
    headers = {"cookie": f"{COOKIE}={who.token}"}
    if origin is not None:
        own = staffed.admin_url
        headers["origin"] = own if origin == "own" else origin.format(port=own.rsplit(":", 1)[1])
    answer = await ask(staffed, "POST", "/v1/staff/assertions", json=ASK, headers=headers)
    assert outcome(answer) == ("" if origin == "own" else "ORIGIN_FOREIGN")


async def test_roles_are_judged_before_the_body_is_read(staffed: Installation) -> None:
    who = await member(staffed, "auditor")
    async with staffed.client(**who.headers) as client:
        answer = await client.post(f"{staffed.admin_url}/v1/admin/distributors", content=b"\xff not JSON")
    assert (answer.status_code, outcome(answer)) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(
    "changes", [{"action": "Promote"}, {"action": ""}, {"request_sha256": "0" * 63}, {"request_sha256": "G" * 64}]
)
async def test_a_challenge_for_nothing_in_particular_is_not_given(
    staffed: Installation, changes: dict[str, str]
) -> None:
    who = await member(staffed, "ops")
    answer = await ask(staffed, "POST", "/v1/staff/assertions", json={**ASK, **changes}, headers=who.headers)
    assert outcome(answer) == "INVALID_REQUEST"


async def test_signing_out_ends_the_token(staffed: Installation) -> None:
    who = await member(staffed, "ops")
    assert outcome(await ask(staffed, "POST", "/v1/staff/sign-out", headers=who.headers)) == ""
    answer = await ask(staffed, "GET", "/v1/staff/session", headers=who.headers)
    assert outcome(answer) == "SESSION_EXPIRED"


async def test_the_way_in_is_not_on_the_public_listener(staffed: Installation) -> None:
    async with staffed.client() as client:
        for path in ("/staff", "/staff/login", "/staff/acs", "/v1/staff/session", "/staff/development-idp"):
            for method in ("GET", "POST"):
                assert (await client.request(method, path)).status_code == 404
