"""The published document: valid, current, and never broken for those who use it (section 10)."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from tools.breaking import breaks

from altcredit.api.admin import surface as admin
from altcredit.api.altscore.surface import document
from altcredit.api.guard import surface as guard

SPEC = Path(__file__).parents[2] / "spec"
UNDERWRITINGS = "/api/partner/credit/cards/underwritings"

products = pytest.mark.parametrize(
    ("product", "made"), [("altscore", document), ("guard", guard.document), ("admin", admin.document)]
)


@products
def test_the_document_is_valid_openapi(product: str, made: Callable[[], bytes]) -> None:
    assert list(OpenAPIV31SpecValidator(json.loads(made())).iter_errors()) == []


@products
def test_the_committed_document_is_the_one_that_is_served(product: str, made: Callable[[], bytes]) -> None:
    assert (SPEC / f"{product}.openapi.json").read_bytes() == made(), "run `make spec`"


@products
def test_the_served_document_breaks_nobody(product: str, made: Callable[[], bytes]) -> None:
    committed = (SPEC / f"{product}.openapi.json").read_bytes()
    assert breaks(json.loads(committed), json.loads(made())) == []


def _drop_endpoint(document: Any) -> None:
    del document["paths"]["/v1/retailers/lookup"]


def _change_method(document: Any) -> None:
    document["paths"]["/v1/score"]["put"] = document["paths"]["/v1/score"].pop("post")


def _drop_field(document: Any) -> None:
    del document["components"]["schemas"]["ScoreAnswer"]["properties"]["altscore"]


def _drop_nested_field(document: Any) -> None:
    del document["components"]["schemas"]["ReasonCode"]["properties"]["label_hi"]


def _change_type(document: Any) -> None:
    document["components"]["schemas"]["ScoreAnswer"]["properties"]["altscore"]["type"] = "string"


def _require_field(document: Any) -> None:
    document["components"]["schemas"]["ScoreRequest"]["required"].append("requested_limit_inr")


def _change_authentication(document: Any) -> None:
    document["paths"]["/v1/score"]["post"]["security"] = [{"apiKey": []}]


def _reduce_limit(document: Any) -> None:
    document["paths"]["/v1/score"]["post"]["x-rate-limits"]["minute"] = 99


def _require_parameter(document: Any) -> None:
    document["paths"]["/v1/score/{retailer_id}/history"]["get"]["parameters"].append(
        {"name": "since", "in": "query", "required": True, "schema": {"type": "string"}}
    )


@pytest.mark.parametrize(
    "change",
    [
        _drop_endpoint,
        _change_method,
        _drop_field,
        _drop_nested_field,
        _change_type,
        _require_field,
        _change_authentication,
        _reduce_limit,
        _require_parameter,
    ],
)
def test_a_breaking_change_is_seen(change: Callable[[Any], None]) -> None:
    old = json.loads(document())
    new = copy.deepcopy(old)
    change(new)
    assert breaks(old, new)


def _add_field(document: Any) -> None:
    document["components"]["schemas"]["ScoreAnswer"]["properties"]["note"] = {"type": "string"}


def _add_optional_parameter(document: Any) -> None:
    document["paths"]["/v1/score"]["post"]["parameters"].append(
        {"name": "since", "in": "query", "required": False, "schema": {"type": "string"}}
    )


def _add_endpoint(document: Any) -> None:
    document["paths"]["/v1/new"] = {"get": {"responses": {}}}


def _raise_limit(document: Any) -> None:
    document["paths"]["/v1/score"]["post"]["x-rate-limits"]["minute"] = 200


@pytest.mark.parametrize("change", [_add_field, _add_optional_parameter, _add_endpoint, _raise_limit])
def test_an_addition_breaks_nothing(change: Callable[[Any], None]) -> None:
    old = json.loads(document())
    new = copy.deepcopy(old)
    change(new)
    assert breaks(old, new) == []


def _callback(document: Any) -> Any:
    ((_, sent),) = document["paths"][UNDERWRITINGS]["post"]["callbacks"]["result"].items()
    return sent["post"]


def _drop_callback(document: Any) -> None:
    del document["paths"][UNDERWRITINGS]["post"]["callbacks"]


def _drop_callback_field(document: Any) -> None:
    del document["components"]["schemas"]["CallbackResponse"]["properties"]["riskBand"]


def _change_callback_type(document: Any) -> None:
    document["components"]["schemas"]["CallbackResponse"]["properties"]["limit"]["type"] = "string"


def _drop_callback_header(document: Any) -> None:
    parameters = _callback(document)["parameters"]
    parameters[:] = [one for one in parameters if one["name"] != "webhook-id"]


@pytest.mark.parametrize("change", [_drop_callback, _drop_callback_field, _change_callback_type, _drop_callback_header])
def test_a_callback_that_breaks_its_receivers_is_seen(change: Callable[[Any], None]) -> None:
    old = json.loads(guard.document())
    new = copy.deepcopy(old)
    change(new)
    assert breaks(old, new)


def test_a_callback_may_say_more() -> None:
    old = json.loads(guard.document())
    new = copy.deepcopy(old)
    new["components"]["schemas"]["CallbackResponse"]["properties"]["note"] = {"type": "string"}
    _callback(new)["parameters"].append(
        {"name": "X-New", "in": "header", "required": True, "schema": {"type": "string"}}
    )
    assert breaks(old, new) == []
