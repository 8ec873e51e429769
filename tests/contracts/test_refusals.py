"""Every refusal that a route can meet has exactly one line in its product's table of errors."""

import re

import pytest

from altcredit.api import refusals
from altcredit.api.altscore.surface import ERROR_TABLE, ROUTES
from altcredit.api.contract import Route


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation)
def test_every_declared_refusal_has_an_answer(route: Route) -> None:
    declared = [*route.refusals, *(refusal for one in route.credentials for refusal in one.refusals)]
    for refusal in declared:
        assert 400 <= ERROR_TABLE.of(refusal).status < 600


@pytest.mark.parametrize("refusal", ERROR_TABLE.table, ids=lambda kind: kind.__name__)
def test_an_error_speaks_english_and_hindi(refusal: type) -> None:
    error = ERROR_TABLE.table[refusal]
    assert re.fullmatch(r"[A-Z][A-Z_]+", error.code)
    assert error.en.endswith(".")
    assert re.search(r"[\u0900-\u097f]", error.hi)


def test_one_code_has_one_status() -> None:
    statuses: dict[str, set[int]] = {}
    for error in (*ERROR_TABLE.table.values(), refusals.INTERNAL):
        statuses.setdefault(error.code, set()).add(error.status)
    assert {code: found for code, found in statuses.items() if len(found) > 1} == {}


def test_only_these_routes_are_public() -> None:
    public = {f"{route.method} {route.path}" for route in ROUTES if not route.credentials}
    assert public == {
        "POST /v1/auth/token",
        "GET /.well-known/jwks.json",
        "GET /v1/.well-known/jwks.json",
        "GET /v1/openapi.json",
    }
