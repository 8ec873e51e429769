"""GUARD's public surface: all its routes, and the document that describes them."""

import msgspec

from altcredit.api import openapi
from altcredit.api.contract import Call, Nothing, Raw, Route
from altcredit.api.guard import deliveries, underwritings
from altcredit.api.guard.errors import ERRORS
from altcredit.api.refusals import Errors

ROOT = "/api/partner"
ERROR_TABLE = Errors(ERRORS, languages=("en", "pt"), challenge="X-Partner-Auth")

_OPERATIONS = (*underwritings.ROUTES, *deliveries.ROUTES)


async def _openapi(_call: Call, _asked: Nothing) -> Raw:
    return Raw(document(), "application/json")


_DOCUMENT = Route(
    method="GET",
    path=f"{ROOT}/openapi.json",
    operation="readOpenapi",
    tag="Service",
    summary="This document",
    handler=_openapi,
    answers={"type": "object"},
)
ROUTES = (*_OPERATIONS, _DOCUMENT)


def document() -> bytes:
    """Return the OpenAPI 3.1 document as JSON bytes, stable from run to run (``spec/guard.openapi.json``)."""
    described = openapi.document(
        title="GUARD API",
        version="1.0.0",
        description=(
            "Asynchronous underwriting of card applicants in Brazil: a request is accepted at once, its result is"
            " posted to the partner's callback URL, signed, until it arrives. Transport is HTTPS with TLS 1.3 only."
            " Errors have one body; additions to answers are not breaking."
        ),
        server="https://ml-service-hub.ab-api-service.com",
        errors=ERROR_TABLE,
        routes=ROUTES,
    )
    return msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n"
