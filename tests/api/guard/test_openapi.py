"""GUARD's document: public, the one that is published, and complete (contract X1 alike)."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import Installation
from tests.api.guard.conftest import PATH

from altcredit.api.guard.surface import ERROR_TABLE, ROUTES, document
from altcredit.engine import underwriting

PUBLISHED = Path(__file__).parents[3] / "spec" / "guard.openapi.json"
DOCUMENT: dict[str, Any] = json.loads(document())
POST: dict[str, Any] = DOCUMENT["paths"][PATH]["post"]


async def test_anybody_may_read_the_document(guard: Installation) -> None:
    async with guard.client() as client:
        answer = await client.get("/api/partner/openapi.json")
    assert answer.status_code == 200
    assert answer.content == PUBLISHED.read_bytes()


def test_the_token_is_the_proof_of_every_other_route() -> None:
    assert DOCUMENT["components"]["securitySchemes"]["partnerAuth"]["name"] == "X-Partner-Auth"
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            expected = [] if path.endswith("openapi.json") else [{"partnerAuth": []}]
            assert operation["security"] == expected


def test_the_callback_is_published_with_body_headers_and_answers() -> None:
    (callback,) = POST["callbacks"].values()
    ((_, sent),) = callback.items()
    names = [one["name"] for one in sent["post"]["parameters"]]
    assert names == ["webhook-id", "webhook-timestamp", "webhook-signature", "X-Guard-Request-Id"]
    assert sent["post"]["responses"].keys() == {"2XX", "410", "default"}
    content = sent["post"]["requestBody"]["content"]["application/json"]
    assert content["example"] == {
        "customerUuid": content["example"]["customerUuid"],
        "started": "2014-06-25T00:00:00.000Z",
        "finished": "2014-06-25T00:00:00.000Z",
        "serviceType": "GUARD_SCORE",
        "response": {"costSavingEnabled": False, "score": 0.015, "riskBand": 3, "limit": 500},
    }
    schema = DOCUMENT["components"]["schemas"][content["schema"]["$ref"].rsplit("/", 1)[1]]
    assert schema["properties"].keys() >= content["example"].keys()


def test_the_published_request_and_its_example_are_the_applications() -> None:
    content = POST["requestBody"]["content"]["application/json"]
    assert content["schema"]["$ref"].endswith("/Application")
    assert underwriting.is_cpf(content["example"]["cpf"])
    application = DOCUMENT["components"]["schemas"]["Application"]
    assert sorted(application["required"]) == ["cpf", "customerUuid"]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation)
def test_every_refusal_of_a_route_has_an_example(route: Any) -> None:
    responses = DOCUMENT["paths"][route.path][route.method.lower()]["responses"]
    declared = [*route.refusals, *(refusal for one in route.credentials for refusal in one.refusals)]
    for refusal in declared:
        error = ERROR_TABLE.of(refusal)
        example = responses[str(error.status)]["content"]["application/json"]["examples"][error.code]["value"]
        assert example["error"] == {"code": error.code, "message": error.en, "details": []}


def test_the_quota_is_published() -> None:
    assert POST["x-rate-limits"] == {"minute": 600}
    assert "429" in POST["responses"]
