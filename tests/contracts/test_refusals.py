"""Every refusal that a route can meet has exactly one line in its product's table of errors."""

import re

import pytest

from altcredit.api import refusals
from altcredit.api.admin import surface as admin
from altcredit.api.altscore import surface as altscore
from altcredit.api.contract import Route
from altcredit.api.guard import surface as guard
from altcredit.api.refusals import Error, Errors
from altcredit.api.staff import surface as staff

SURFACES = {"altscore": altscore, "guard": guard, "admin": admin, "staff": staff}
# The way in: nobody has a session before it, and each step takes the cookie of the one before.
SIGN_IN = {f"{route.method} {route.path}" for route in staff.PAGES}
ALL_ROUTES = [
    pytest.param(surface.ERROR_TABLE, route, id=f"{name}-{route.operation}")
    for name, surface in SURFACES.items()
    for route in surface.ROUTES
]
TABLES = [pytest.param(surface.ERROR_TABLE, id=name) for name, surface in SURFACES.items()]
# Each language's text is written in it.
_WRITTEN = {"en": r"^[\x00-\x7f]+\.$", "hi": "[\u0900-\u097f]", "pt": r"\.$"}


@pytest.mark.parametrize(("errors", "route"), ALL_ROUTES)
def test_every_declared_refusal_has_an_answer(errors: Errors, route: Route) -> None:
    declared = [*route.refusals, *(refusal for one in route.credentials for refusal in one.refusals)]
    for refusal in declared:
        assert 400 <= errors.of(refusal).status < 600


@pytest.mark.parametrize(
    ("errors", "error"),
    [
        pytest.param(surface.ERROR_TABLE, error, id=f"{name}-{kind.__name__}")
        for name, surface in SURFACES.items()
        for kind, error in [*surface.ERROR_TABLE.table.items(), (Exception, refusals.INTERNAL)]
    ],
)
def test_an_error_speaks_every_language_of_its_product(errors: Errors, error: Error) -> None:
    assert re.fullmatch(r"[A-Z][A-Z_]+", error.code)
    for language in errors.languages:
        assert re.search(_WRITTEN[language], error.message(language)), language
    assert len({error.message(language) for language in errors.languages}) == len(errors.languages)


@pytest.mark.parametrize("errors", TABLES)
def test_one_code_has_one_status(errors: Errors) -> None:
    statuses: dict[str, set[int]] = {}
    for error in (*errors.table.values(), refusals.INTERNAL):
        statuses.setdefault(error.code, set()).add(error.status)
    assert {code: found for code, found in statuses.items() if len(found) > 1} == {}


def test_only_these_routes_are_public() -> None:
    public = {
        f"{route.method} {route.path}"
        for surface in SURFACES.values()
        for route in surface.ROUTES
        if not route.credentials
    }
    assert all(" /staff" in one for one in SIGN_IN)
    assert public - SIGN_IN == {
        "POST /v1/auth/token",
        "POST /v1/me/code",
        "POST /v1/me/token",
        "GET /v1/webhooks/whatsapp",
        "POST /v1/webhooks/whatsapp",
        "GET /.well-known/jwks.json",
        "GET /v1/.well-known/jwks.json",
        "GET /v1/openapi.json",
        "GET /api/partner/openapi.json",
        "GET /v1/admin/openapi.json",
    }


def test_a_partners_requests_are_counted_on_every_route() -> None:
    for route in guard.ROUTES:
        assert (route.takes is not None) == bool(route.credentials), route.operation
