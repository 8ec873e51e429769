"""
Every route of every listener, against every kind of credential: each that is not the route's own is denied, as declared.

The routes are those that the process serves. A route that the matrix does not know how to try fails here: whoever adds
one says what proves its caller, or why nobody needs to (contract X1).
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from tests.api.conftest import PURPOSE, Installation, installed
from tests.api.guard.conftest import an_application
from tests.contracts.proofs import Proofs

from altcredit.api.app import Surface
from altcredit.api.contract import Route, Scheme
from altcredit.api.process import ADMIN, PUBLIC
from altcredit.engine import identity

LISTENERS: dict[str, tuple[Surface, ...]] = {"public": PUBLIC, "admin": ADMIN}
SERVED = [
    pytest.param(listener, route, id=f"{listener}-{route.method}-{route.path}")
    for listener, surfaces in LISTENERS.items()
    for surface in surfaces
    for route in surface.routes
]
GUARDED = [one for one in SERVED if one.values[1].credentials]  # type: ignore[union-attr]

# Nobody proves anything here: keys, documents, health; or the request itself is the proof (contract X1).
OPEN = {
    "POST /v1/auth/token": "the secret in the body",
    "GET /.well-known/jwks.json": "public keys",
    "GET /v1/.well-known/jwks.json": "public keys",
    "GET /v1/openapi.json": "a document",
    "GET /api/partner/openapi.json": "a document",
    "GET /v1/admin/openapi.json": "a document",
    "GET /healthz": "health",
    "GET /readyz": "health",
    "GET /metrics": "counters without names, on the admin listener alone",
    "GET /staff/login": "the way to the identity provider",
    "POST /staff/acs": "the identity provider's signature",
    "GET /staff/metadata": "a document",
    "GET /staff/key": "the cookie of a sign-in under way",
    "GET /staff": "a session, or a page that says there is none",
    "POST /staff/sign-out": "a session, and our own origin",
    "GET /staff/signed-out": "a page",
    "GET /staff/development-idp": "not in production",
    "POST /staff/development-idp": "not in production",
    "GET /staff/assets/staff.js": "a file",
    "GET /staff/assets/staff.css": "a file",
    "POST /staff/key/options": "the cookie of a sign-in under way",
    "POST /staff/key/answer": "the cookie, and the key's assertion",
    "POST /staff/enrolment/options": "the cookie, and a ticket",
    "POST /staff/enrolment/answer": "the cookie, a ticket, and the key's attestation",
    "POST /v1/me/code": "a phone that is sent a code",
    "POST /v1/me/token": "the code",
    "GET /v1/webhooks/whatsapp": "the verify token",
    "POST /v1/webhooks/whatsapp": "the app secret's signature",
}

STATUS = {
    "TOKEN_MISSING": 401,
    "TOKEN_INVALID": 401,
    "TOKEN_EXPIRED": 401,
    "SCOPE_MISSING": 403,
    "CERTIFICATE_INVALID": 401,
    "API_KEY_INVALID": 401,
    "DISTRIBUTOR_MISMATCH": 403,
    "DISTRIBUTOR_SUSPENDED": 403,
    "SIGNATURE_INVALID": 401,
    "NOT_AUTHORIZED": 401,
    "SESSION_MISSING": 401,
    "SESSION_INVALID": 401,
    "SESSION_EXPIRED": 401,
    "PERMISSION_DENIED": 403,
    "ORIGIN_FOREIGN": 403,
    "ASSERTION_MISSING": 403,
}
# How each kind of caller is answered by routes of each kind; what is not named gets the first line's answer, except
# that a bearer token of any sort is an invalid one, where a token or a session is asked for. None: it is their own.
USUAL = {
    "lender": "TOKEN_MISSING",
    "service": "TOKEN_MISSING",
    "retailer": "TOKEN_MISSING",
    "lender or retailer": "TOKEN_MISSING",
    "distributor": "CERTIFICATE_INVALID",
    "partner": "NOT_AUTHORIZED",
    "staff": "SESSION_MISSING",
}
WRONG_BEARER = {
    "lender": "TOKEN_INVALID",
    "service": "TOKEN_INVALID",
    "retailer": "TOKEN_INVALID",
    "lender or retailer": "TOKEN_INVALID",
    "staff": "SESSION_INVALID",
}
_OF_TOKENS: dict[str, str | None] = {
    "a password": "TOKEN_INVALID",
    "an expired token": "TOKEN_EXPIRED",
    "a service's expired token": "TOKEN_EXPIRED",
    "a retailer's expired token": "TOKEN_EXPIRED",
}
_OF_DISTRIBUTORS: dict[str, str | None] = {
    "a certificate without an API key": "API_KEY_INVALID",
    "a certificate and a wrong key": "API_KEY_INVALID",
    "a certificate and another's key": "DISTRIBUTOR_MISMATCH",
    "a suspended distributor": "DISTRIBUTOR_SUSPENDED",
}
SPECIAL: dict[str, dict[str, str | None]] = {
    "lender": {**_OF_TOKENS, "a lender": None},
    "retailer": {**_OF_TOKENS, "a retailer": None},
    "lender or retailer": {**_OF_TOKENS, "a lender": None, "a retailer": None},
    "service": {
        **_OF_TOKENS,
        "a service without the scope": "SCOPE_MISSING",
        "a service": None,
    },
    "distributor": {
        **_OF_DISTRIBUTORS,
        "a certificate without HMAC": None,
        "a certificate and a wrong HMAC": None,
    },
    "signed distributor": {
        **_OF_DISTRIBUTORS,
        "a certificate without HMAC": "SIGNATURE_INVALID",
        "a certificate and a wrong HMAC": "SIGNATURE_INVALID",
    },
    "partner": {"a partner": None},
    "staff": {
        "an expired session": "SESSION_EXPIRED",
        "an ended session": "SESSION_EXPIRED",
        "a session from the future": "SESSION_EXPIRED",
        "a suspended person's session": "SESSION_EXPIRED",
        "a session from before a change of roles": "SESSION_EXPIRED",
        "staff": None,
    },
}


def caller_of(route: Route) -> str:
    """Return whom a route is for, by what it asks them to show; fails for what it does not know."""
    kinds = set()
    for credential in route.credentials:
        shown = {scheme.name for scheme in credential.schemes}
        scoped = any(refusal.__name__ == "ScopeMissing" for refusal in credential.refusals)
        known = {
            frozenset({"bearer", "clientId"}): "service" if scoped else "lender",
            frozenset({"clientCertificate", "apiKey"}): "distributor",
            frozenset({"clientCertificate", "apiKey", "payloadSignature"}): "signed distributor",
            frozenset({"retailer"}): "retailer",
            frozenset({"partnerAuth"}): "partner",
            frozenset({"staffSession"}): "staff",
        }
        kinds.add(known.get(frozenset(shown), f"unknown: {sorted(shown)}"))
    caller = " or ".join(sorted(kinds))
    assert caller in SPECIAL, f"{route.method} {route.path} asks for what the matrix does not try: {caller}"
    return caller


def expected(caller: str, kind: str, proofs: Proofs, route: Route) -> str | None:
    special = SPECIAL[caller]
    if kind == "a session sent by another site" and caller == "staff":
        return None if route.method == "GET" else "ORIGIN_FOREIGN"
    if kind in special:
        return special[kind]
    plain = "distributor" if caller == "signed distributor" else caller
    authorization = proofs.kinds[kind].headers.get("authorization", "")
    if authorization.startswith("Bearer") and plain in WRONG_BEARER:
        return WRONG_BEARER[plain]
    return USUAL[plain]


@pytest.fixture(scope="module")
async def altscore(server: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    async with installed(server, tmp_path_factory.mktemp("matrix")) as installation:
        yield installation


@pytest.fixture(scope="module")
async def proofs(altscore: Installation) -> AsyncIterator[Proofs]:
    made = Proofs(altscore)
    async with AsyncExitStack() as open_:
        await made.make(open_)
        yield made


def url_of(altscore: Installation, listener: str, route: Route, **places: str) -> str:
    base = altscore.base_url if listener == "public" else altscore.admin_url
    path = route.path
    while "{" in path:
        name = path[path.index("{") + 1 : path.index("}")]
        path = path.replace("{" + name + "}", places.get(name, "ret_00000000deadbeef"))
    return base + path


async def answer_to(proofs: Proofs, kind: Any, listener: str, route: Route) -> tuple[int, str]:
    body = {} if route.method == "GET" else {"json": {}}
    answer = await proofs.send(kind, route.method, url_of(proofs.altscore, listener, route), **body)
    return answer.status_code, "" if answer.status_code < 400 else answer.json()["error"]["code"]


@pytest.mark.parametrize(("listener", "route"), GUARDED)
async def test_every_kind_of_credential_that_is_not_a_routes_own_is_denied(
    proofs: Proofs, listener: str, route: Route
) -> None:
    caller, wrong, tried = caller_of(route), {}, 0
    for kind, shown in proofs.kinds.items():
        code = expected(caller, kind, proofs, route)
        if code is None:
            continue
        tried += 1
        answered = await answer_to(proofs, shown, listener, route)
        # Whether a lender is suspended or its token withdrawn is read together with the answer, after the body's form.
        if caller.startswith("lender") and kind in ("a suspended lender", "a withdrawn token") and answered[0] == 400:
            continue
        if answered != (STATUS[code], code):
            wrong[kind] = answered
    assert wrong == {}
    assert tried >= 14


PERMITTED = [one for one in GUARDED if caller_of(one.values[1]) == "staff"]  # type: ignore[arg-type]


@pytest.mark.parametrize(("listener", "route"), PERMITTED)
async def test_a_role_does_what_the_table_of_permissions_says_and_nothing_else(
    proofs: Proofs, listener: str, route: Route
) -> None:
    permissions = route.permissions
    allowed = frozenset[str]().union(*(identity.PERMISSIONS[one] for one in permissions))
    for roles, shown in proofs.wrong_roles.items():
        if route.path == "/v1/staff/sign-out":
            continue  # anybody may, once
        status, code = await answer_to(proofs, shown, listener, route)
        if permissions and roles.isdisjoint(allowed):
            assert (status, code) == (403, "PERMISSION_DENIED"), roles
        else:
            assert status != 401, (roles, code)
            assert code != "PERMISSION_DENIED", roles


@pytest.mark.parametrize(("listener", "route"), SERVED)
def test_a_route_that_nobody_must_prove_anything_to_is_on_the_list(listener: str, route: Route) -> None:
    assert route.credentials or f"{route.method} {route.path}" in OPEN, f"{listener}: {route.method} {route.path}"


@pytest.mark.parametrize(("listener", "route"), SERVED)
async def test_a_route_of_one_listener_does_not_exist_on_the_other(
    proofs: Proofs, altscore: Installation, listener: str, route: Route
) -> None:
    other = "admin" if listener == "public" else "public"
    if any(route.path == one.path for surface in LISTENERS[other] for one in surface.routes):
        assert route.path in ("/healthz", "/readyz")
        return
    for kind in ("nothing", "staff", "a lender", "a partner"):
        assert await answer_to(proofs, proofs.kinds[kind], other, route) == (404, "NOT_FOUND")


def test_a_route_that_asks_for_something_new_is_not_passed_over() -> None:
    scheme = Scheme(name="retinaScan", openapi={})
    credential = msgspec.structs.replace(GUARDED[0].values[1].credentials[0], schemes=(scheme,))  # type: ignore[union-attr]
    route = msgspec.structs.replace(GUARDED[0].values[1], credentials=(credential,))  # type: ignore[type-var]
    with pytest.raises(AssertionError, match="retinaScan"):
        caller_of(route)


# Proven callers, on what is another's


async def test_lenders_without_consent_and_suspended_ones_read_nothing(altscore: Installation) -> None:
    shop, consented, other = await altscore.shop(), await altscore.lender(), await altscore.lender()
    await altscore.consent(shop, consented.client_id)
    await altscore.score(shop)
    asks = {
        "readScore": ("POST", "/v1/score", {"json": {"retailer_id": shop.retailer_id, "purpose": PURPOSE}}),
        "readHistory": ("GET", f"/v1/score/{shop.retailer_id}/history", {}),
        "lookUpRetailer": ("GET", "/v1/retailers/lookup", {"params": {"gst": shop.gstin}}),
        "readReceipt": ("GET", "", {}),
    }
    lenders = {one.values[1].operation for one in GUARDED if caller_of(one.values[1]) == "lender"}  # type: ignore[union-attr,arg-type]
    assert lenders == set(asks), "say here how another's data is asked for"
    async with await altscore.signed_in(consented) as client, await altscore.signed_in(other) as stranger:
        score_id = (await client.post("/v1/score", json=asks["readScore"][2]["json"])).json()["score_id"]
        asks["readReceipt"] = ("GET", f"/v1/score/{score_id}/receipt", {})
        for operation, (method, path, how) in asks.items():
            assert (await client.request(method, path, **how)).status_code == 200, operation
            refused = await stranger.request(method, path, **how)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "CONSENT_NOT_GRANTED"), operation
        # The very tokens that have just been good.
        async with altscore.platform.database.transaction() as db:
            await identity.set_client_status(
                db, client_id=consented.client_id, status="suspended", actor="test", now=datetime.now(UTC)
            )
        for operation, (method, path, how) in asks.items():
            refused = await client.request(method, path, **how)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "TOKEN_INVALID"), operation


async def test_a_distributor_sees_and_sends_its_own_batches_alone(altscore: Installation) -> None:
    async with altscore.distributor() as one, altscore.distributor() as other:
        sent = await one.send()
        assert sent.status_code == 200, sent.text
        assert (await one.status(sent.json()["batch_id"])).status_code == 200
        assert (await other.status(sent.json()["batch_id"])).json()["error"]["code"] == "BATCH_UNKNOWN"
        named = await other.send(one.body())
        assert (named.status_code, named.json()["error"]["code"]) == (403, "DISTRIBUTOR_MISMATCH")


async def test_a_partner_sees_its_own_requests_alone(altscore: Installation) -> None:
    one, other = await altscore.partner(), await altscore.partner()
    base = "/api/partner/credit/cards"
    async with (
        altscore.client(**{"x-partner-auth": one.token}) as client,
        altscore.client(**{"x-partner-auth": other.token}) as stranger,
    ):
        accepted = await client.post(f"{base}/underwritings", json=an_application())
        assert accepted.status_code == 202, accepted.text
        request_id = accepted.json()["requestId"]
        assert (await client.get(f"{base}/underwritings/{request_id}")).status_code == 200
        refused = await stranger.get(f"{base}/underwritings/{request_id}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "REQUEST_UNKNOWN")
        review = await stranger.post(f"{base}/underwritings/{request_id}/review", json={"reason": "mine"})
        assert (review.status_code, review.json()["error"]["code"]) == (404, "REQUEST_UNKNOWN")


async def test_a_retailer_and_another_lender_reach_no_grievance_but_their_own(
    altscore: Installation, proofs: Proofs
) -> None:
    shop, lender, other = await altscore.shop(), await altscore.lender(), await altscore.lender()
    for one in (lender, other):
        await altscore.consent(shop, one.client_id)
    await altscore.score(shop)
    score = {"retailer_id": shop.retailer_id, "purpose": PURPOSE}
    async with await altscore.signed_in(lender) as client, await altscore.signed_in(other) as stranger:
        score_id = (await client.post("/v1/score", json=score)).json()["score_id"]
        case = {
            "retailer_id": shop.retailer_id,
            "score_id": score_id,
            "grievance_type": "other",
            "description": "Not mine",
        }
        filed = await client.post("/v1/grievances", json=case)
        assert filed.status_code < 300, filed.text
        path = f"/v1/grievances/{filed.json()['grievance_id']}"
        refused = [
            await stranger.get(path),
            await proofs.send(proofs.kinds["a retailer"], "GET", altscore.base_url + path),
            await proofs.send(proofs.kinds["a retailer"], "POST", f"{altscore.base_url}/v1/grievances", json=case),
        ]
    assert [one.status_code for one in refused] == [404] * 3
    assert len({one.json()["error"]["code"] for one in refused}) == 1
