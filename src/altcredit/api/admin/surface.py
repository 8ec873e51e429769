"""The Admin API's surface: all its routes, and the document that describes them."""

import msgspec

from altcredit.api import openapi
from altcredit.api.admin import (
    audit,
    breaches,
    clients,
    compliance,
    consents,
    distributors,
    grievances,
    keys,
    models,
    partners,
    retailers,
    reviews,
    staff,
)
from altcredit.api.admin.errors import ERRORS
from altcredit.api.contract import Call, Nothing, Raw, Route
from altcredit.api.refusals import Errors
from altcredit.api.staff import surface as sign_in

ROOT = "/v1/admin"
ERROR_TABLE = Errors(ERRORS, languages=("en",), challenge="Bearer")

OPERATIONS = (
    *distributors.ROUTES,
    *clients.ROUTES,
    *partners.ROUTES,
    *models.ROUTES,
    *consents.ROUTES,
    *reviews.ROUTES,
    *grievances.ROUTES,
    *retailers.ROUTES,
    *breaches.ROUTES,
    *compliance.ROUTES,
    *staff.ROUTES,
    *keys.ROUTES,
    *audit.ROUTES,
)


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
ROUTES = (*OPERATIONS, *sign_in.API, _DOCUMENT)


def document() -> bytes:
    """Return the OpenAPI 3.1 document as JSON bytes, stable from run to run (``spec/admin.openapi.json``)."""
    described = openapi.document(
        title="AltCredit Admin API",
        version="1.0.0",
        description=(
            "What staff do, on the admin listener alone. Every call takes a session (single sign-on, then a hardware"
            " key; 15 minutes) whose roles allow it, every change a reason, and every call is in the audit log."
            " Transport is HTTPS with TLS 1.3 only. Errors have one body; additions to answers are not breaking."
        ),
        server="https://localhost:8444",
        errors=ERROR_TABLE,
        routes=ROUTES,
    )
    return msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n"
