"""AltScore's public surface: all its routes, and the document that describes them."""

import msgspec

from altcredit.api import openapi
from altcredit.api.altscore import auth, consent, grievances, ingest, me, receipts, score, sign_in, webhooks
from altcredit.api.altscore.errors import ERRORS
from altcredit.api.altscore.languages import LANGUAGES
from altcredit.api.contract import Call, Nothing, Raw, Route
from altcredit.api.refusals import Errors

ERROR_TABLE = Errors(ERRORS, languages=LANGUAGES, challenge="Bearer")

_OPERATIONS = (
    *auth.ROUTES,
    *ingest.ROUTES,
    *consent.ROUTES,
    *score.ROUTES,
    *receipts.ROUTES,
    *grievances.ROUTES,
    *sign_in.ROUTES,
    *me.ROUTES,
    *webhooks.ROUTES,
)


async def _openapi(_call: Call, _asked: Nothing) -> Raw:
    return Raw(document(), "application/json")


_DOCUMENT = Route(
    method="GET",
    path="/v1/openapi.json",
    operation="readOpenapi",
    tag="Service",
    summary="This document",
    handler=_openapi,
    answers={"type": "object"},
)
ROUTES = (*_OPERATIONS, _DOCUMENT)


def document() -> bytes:
    """Return the OpenAPI 3.1 document as JSON bytes, stable from run to run (``spec/altscore.openapi.json``)."""
    described = openapi.document(
        title="AltScore API",
        version="1.0.0",
        description=(
            "Credit scores of Indian retailers from their distributors' ledgers, under the retailer's signed consent."
            " Transport is HTTPS with TLS 1.3 only. Errors have one body; additions to answers are not breaking."
        ),
        server="https://api.altscore.in",
        errors=ERROR_TABLE,
        routes=ROUTES,
    )
    return msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n"
