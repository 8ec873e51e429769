"""The OpenAPI 3.1 document of a surface, printed from its declared routes."""

from collections.abc import Iterable
from typing import Any

import msgspec

from altcredit.api.contract import (
    BodyMalformed,
    BodyTooLarge,
    Callback,
    Credential,
    Header,
    MediaTypeUnsupported,
    Route,
    Unavailable,
)
from altcredit.api.refusals import INTERNAL, Error, ErrorAnswer, Errors, documented
from altcredit.runtime.idempotency import IdempotencyConflict
from altcredit.runtime.quotas import RateLimitExceeded
from altcredit.runtime.refusal import Refusal

_REF = "#/components/schemas/{name}"
_ECHOED = {"X-Request-ID": {"description": "The request's identifier.", "schema": {"type": "string"}}}
_LIMITS = {
    name: {"description": text, "schema": {"type": kind}}
    for name, text, kind in (
        ("X-RateLimit-Limit", "Requests that the tighter window allows.", "integer"),
        ("X-RateLimit-Remaining", "Requests left in it.", "integer"),
        ("X-RateLimit-Reset", "Unix time at which it resets.", "integer"),
        ("X-RateLimit-Policy", "Which window that is.", "string"),
    )
}
_REPLAYED = {
    "Idempotency-Replayed": {
        "description": "`true`: the answer that an earlier request with this key got; nothing was done again.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
_RETRY = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}


def document(
    *, title: str, version: str, description: str, server: str, errors: Errors, routes: Iterable[Route]
) -> Any:
    """Return the document as plain dicts and lists, ready for JSON."""
    shown = [route for route in routes if not route.hidden]
    types = {route.asks for route in shown if route.has_body}
    types |= {route.answers for route in shown if isinstance(route.answers, type)} | {ErrorAnswer}
    types |= {route.pending for route in shown if route.pending is not None}
    types |= {callback.body for route in shown for callback in route.callbacks}
    _, schemas = msgspec.json.schema_components(sorted(types, key=lambda t: t.__name__), ref_template=_REF)
    paths: dict[str, Any] = {}
    for route in shown:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, errors)
    schemes = {scheme.name: scheme.openapi for route in shown for one in route.credentials for scheme in one.schemes}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": schemes},
    }


def _operation(route: Route, errors: Errors) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "tags": [route.tag],
        "summary": route.summary,
        "security": [{scheme.name: [] for scheme in one.schemes} for one in route.credentials],
        "parameters": [*_path_and_query(route), *(_header(one) for one in _headers(route, errors))],
        "responses": _responses(route, errors),
    }
    if route.permissions:
        operation["x-permissions"] = list(route.permissions)
    if route.limits:
        operation["x-rate-limits"] = route.limits
    if route.description:
        operation["description"] = route.description
    if route.has_body:
        content: dict[str, Any] = {"schema": _ref(route.asks)}
        if route.example is not None:
            content["example"] = route.example
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    if route.callbacks:
        operation["callbacks"] = {one.name: {one.url: {"post": _callback(one)}} for one in route.callbacks}
    return operation


def _callback(callback: Callback) -> dict[str, Any]:
    return {
        "summary": callback.summary,
        "description": callback.description,
        "security": [],
        "parameters": [_header(one) for one in callback.headers],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref(callback.body), "example": callback.example}},
        },
        "responses": {status: {"description": meaning} for status, meaning in callback.expected.items()},
    }


def _headers(route: Route, errors: Errors) -> list[Header]:
    """Return the headers that a route reads beyond its credentials: its own, and those that every route reads."""
    one, *others = errors.languages
    said = "Trace identifier, echoed; made up where it is absent or malformed."
    if route.replays == "X-Request-ID":
        said = "Trace identifier, echoed; also an idempotency key for 24 hours."
    headers = [
        *route.headers,
        Header(
            name="X-Request-ID",
            description=said,
            schema={"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        ),
    ]
    if others:
        spoken = f"`{one}` (default) or {', '.join(f'`{other}`' for other in others)}: language of messages and labels."
        headers.append(Header(name="Accept-Language", description=spoken))
    return headers


def _path_and_query(route: Route) -> list[dict[str, Any]]:
    if route.method != "GET":
        return [
            {"name": one.name, "in": "path", "required": True, "description": one.description, "schema": one.schema}
            for one in route.places
        ]
    parameters = []
    _, schemas = msgspec.json.schema_components([route.asks], ref_template=_REF)
    for name, schema in schemas.get(route.asks.__name__, {}).get("properties", {}).items():
        in_path = "{" + name + "}" in route.path
        required = in_path or name in schemas[route.asks.__name__].get("required", [])
        text = schema.pop("description", "")
        parameters.append(
            {"name": name, "in": "path" if in_path else "query", "required": required, "description": text}
            | {"schema": schema}
        )
    return parameters


def _header(header: Header) -> dict[str, Any]:
    return {
        "name": header.name,
        "in": "header",
        "required": header.required,
        "description": header.description,
        "schema": header.schema,
    }


def _responses(route: Route, errors: Errors) -> dict[str, Any]:
    headers = _ECHOED | (_LIMITS if route.limits else {}) | (_REPLAYED if route.replays else {})
    success: dict[str, Any] = {"description": "Done.", "headers": headers}
    if isinstance(route.answers, type):
        success["content"] = {route.media: {"schema": _ref(route.answers)}}
    elif route.answers is not None:
        success["content"] = {route.media: {"schema": route.answers}}
    if route.links:
        success["links"] = {
            name: {
                "operationId": link.operation,
                "parameters": {parameter: f"$response.body#{where}" for parameter, where in link.parameters.items()},
            }
            for name, link in route.links.items()
        }
    responses: dict[str, Any] = {str(route.status): success}
    if route.pending is not None:
        responses["202"] = {
            "description": "Recorded; waits for a second person.",
            "headers": headers,
            "content": {"application/json": {"schema": _ref(route.pending)}},
        }
    by_status: dict[int, list[Error]] = {}
    for error in _errors(route, errors):
        by_status.setdefault(error.status, []).append(error)
    for status, listed in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "; ".join(f"`{error.code}`: {error.en}" for error in listed),
            "headers": _ECHOED | (_RETRY if status in (429, 503) else {}),
            "content": {
                "application/json": {
                    "schema": _ref(ErrorAnswer),
                    "examples": {error.code: {"value": documented(error)} for error in listed},
                }
            },
        }
    return responses


def _errors(route: Route, errors: Errors) -> list[Error]:
    refusals: list[type[Refusal]] = [*_credential_refusals(route.credentials), *route.refusals]
    if route.has_body:
        refusals += [BodyMalformed, BodyTooLarge, MediaTypeUnsupported]
    elif route.method != "GET":
        refusals += [BodyTooLarge, *([BodyMalformed] if route.replays == "Idempotency-Key" else [])]
    elif msgspec.structs.fields(route.asks):
        refusals.append(BodyMalformed)
    if route.replays:
        refusals.append(IdempotencyConflict)
    if route.limits:
        refusals.append(RateLimitExceeded)
    if route.credentials or route.writes:
        refusals.append(Unavailable)
    return list(dict.fromkeys([*(errors.of(refusal) for refusal in refusals), INTERNAL]))


def _credential_refusals(credentials: tuple[Credential, ...]) -> list[type[Refusal]]:
    return [refusal for one in credentials for refusal in one.refusals]


def _ref(type_: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=type_.__name__)}
