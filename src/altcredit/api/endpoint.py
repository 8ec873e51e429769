"""
Runs a declared route: one path for every request.

The order of refusals is contract A2 and U1: credentials in the headers, size and form of the body, quota, then what the
handler says.
"""

import time
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from altcredit.api.contract import (
    BodyMalformed,
    BodyTooLarge,
    Call,
    MediaTypeUnsupported,
    MethodNotAllowed,
    NotFound,
    Pending,
    Raw,
    Route,
    Unavailable,
)
from altcredit.api.refusals import Errors
from altcredit.runtime import clock, idempotency, log, telemetry
from altcredit.runtime.db import UNAVAILABLE
from altcredit.runtime.platform import Platform
from altcredit.runtime.quotas import Allowance, RateLimitExceeded
from altcredit.runtime.refusal import Detail, Refusal
from altcredit.runtime.strict_json import NO_FULL_MATCH, Malformed, decode, matches

Message = dict[str, Any]
_encode = msgspec.json.Encoder().encode
# Strict-Transport-Security is the listener's, so that its own refusals carry it too.
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]
# A body that is too large is read to its end, up to here, so that the client hears the refusal and not a reset.
_DRAIN = 32 * 1024 * 1024


class Disconnected(Exception):
    """The client went away before its request was complete."""


class Reply(msgspec.Struct):
    """What is sent back."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]
    code: str = ""
    media: str = "application/json"


class Endpoint:
    """The ASGI application of all the methods of one path."""

    def __init__(self, platform: Platform, errors: Errors, path: str, routes: dict[str, Route]) -> None:
        self.platform = platform
        self.errors = errors
        self.path = path
        self.routes = routes

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Answer one request: refusals by the table of errors, everything else as the bug it is."""
        started = time.perf_counter()
        call = Call(self.platform, scope, clock.now(), self.errors.languages)
        method = scope["method"]
        route = self.routes.get(method)
        with telemetry.span(self.path, method, call.headers) as span:
            try:
                reply = await self._run(route, call, receive)
            except Disconnected:
                return
            except Exception as problem:  # the edge: every fault becomes an answer here, bugs are logged
                reply = await self._refuse(route, call, problem)
            span.end(reply.status)
        await _send(send, call, reply, head=method == "HEAD")
        elapsed = time.perf_counter() - started
        telemetry.request_done(method, self.path, reply.status, elapsed)
        log.request(
            method=method,
            route=self.path,
            status=reply.status,
            code=reply.code,
            ms=round(elapsed * 1000, 2),
            request_id=call.request_id,
            caller=call.caller.id if call.caller else "",
        )

    async def _run(self, route: Route | None, call: Call, receive: Any) -> Reply:
        if route is None:
            raise NotFound if not self.routes else MethodNotAllowed(tuple(sorted(self.routes)))
        if route.credentials:
            await _identify(route, call)
        asked = await _asked(route, call, receive)
        key = _key(route, call)
        if route.takes is not None:
            call.allowance = await route.takes(call)
        if not route.writes:
            return _reply(route, await route.handler(call, asked), call.allowance)
        async with self.platform.database.transaction() as db:
            call.db = db
            return await _replayed(route, call, asked, key)

    async def _refuse(self, route: Route | None, call: Call, problem: Exception) -> Reply:
        if isinstance(problem, Refusal) and route is not None and route.refused is not None and call.caller is not None:
            try:
                await route.refused(call, problem)
            except UNAVAILABLE:  # what cannot be recorded is not answered either
                problem = Unavailable()
        if isinstance(problem, UNAVAILABLE):
            log.warning("dependency_unavailable", request_id=call.request_id, error=type(problem).__name__)
            problem = Unavailable()
        if not isinstance(problem, Refusal):
            log.exception("bug", problem, request_id=call.request_id, route=self.path)
        if isinstance(problem, RateLimitExceeded):
            call.allowance = problem.allowance
        elif call.allowance is None and route is not None and route.peeks is not None and call.caller is not None:
            call.allowance = await _peeked(route, call)
        status, code, body, extra = self.errors.answer(problem, call)
        return Reply(status, body, [*extra, *allowance_headers(call.allowance)], code)


async def _peeked(route: Route, call: Call) -> Allowance | None:
    assert route.peeks is not None
    try:
        return await route.peeks(call)
    except UNAVAILABLE:
        return None  # the refusal itself is still answered; its counters are not known


async def _identify(route: Route, call: Call) -> None:
    refusal: Refusal | None = None
    for credential in route.credentials:
        try:
            call.caller = await credential.identify(call)
            return
        except Refusal as problem:
            refusal = refusal or problem
    assert refusal is not None
    raise refusal


async def _asked(route: Route, call: Call, receive: Any) -> Any:
    if route.method == "GET":
        return _parameters(route, call)
    call.body = await _body(receive, call, route.max_body)
    if not route.has_body:
        return None
    if call.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise MediaTypeUnsupported
    if route.judges_body is not None:
        await route.judges_body(call)
    if not route.decodes:
        return None
    return _decoded(route, call.body)


def _decoded(route: Route, body: bytes) -> Any:
    asked: Any = None
    details: tuple[Detail, ...] = ()
    try:
        asked = decode(body, route.asks)
    except Malformed as problem:
        details = problem.details
    if route.examines is not None:
        details += route.examines(_object(body))
    if details:
        raise _malformed(route, details)
    return asked


def _object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is, however wrong it may be otherwise; an empty one where it is none."""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _malformed(route: Route, details: tuple[Detail, ...]) -> Refusal:
    if route.refuses_malformed is not None:
        return route.refuses_malformed(details)
    return BodyMalformed(details=details)


def _parameters(route: Route, call: Call) -> Any:
    values: dict[str, str] = dict(call.path)
    try:
        pairs = parse_qsl(call.query.decode("ascii"), keep_blank_values=True, strict_parsing=False, errors="strict")
    except ValueError as problem:
        raise _malformed(route, (Detail("$", "the query is not percent-encoded UTF-8"),)) from problem
    for name, value in pairs:
        if name in values:
            raise _malformed(route, (Detail(f"$.{name}", "given twice"),))
        values[name] = value
    try:
        asked: Any = msgspec.convert(values, route.asks, strict=False)
    except msgspec.ValidationError as problem:
        text, _, path = str(problem).partition(" - at `")
        missing = text.partition("missing required field `")[2].rstrip("`")
        name = path.rstrip("`") or (f"$.{missing}" if missing else "$")
        raise _malformed(route, (Detail(name, text),)) from problem
    types = {field.encode_name: field.type for field in msgspec.structs.fields(route.asks)}
    unlike = [name for name, value in values.items() if name in types and not matches(value, types[name])]
    if unlike:
        raise _malformed(route, tuple(Detail(f"$.{name}", NO_FULL_MATCH) for name in unlike))
    broken = [name for name, value in pairs if "\0" in value]  # no text in the database can have it
    if broken:
        raise _malformed(route, tuple(Detail(f"$.{name}", "has a NUL character") for name in broken))
    return asked


async def _body(receive: Any, call: Call, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > _DRAIN:
            raise BodyTooLarge
        if not message.get("more_body"):
            break
    if size > limit:
        raise BodyTooLarge
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _key(route: Route, call: Call) -> idempotency.Key | None:
    if not route.replays or call.caller is None:
        return None
    sent = call.idempotency_key(route.replays)
    return None if sent is None else idempotency.Key(call.caller.id, call.scope["path"], sent)


async def _replayed(route: Route, call: Call, asked: Any, key: idempotency.Key | None) -> Reply:
    if key is not None:
        stored = await idempotency.claim(call.db, key=key, body=call.body, now=call.now)
        if stored is not None:
            replayed = (b"idempotency-replayed", b"true")
            return Reply(stored.status, stored.answer, [replayed, *allowance_headers(call.allowance)])
    reply = _reply(route, await route.handler(call, asked), call.allowance)
    if key is not None:
        await idempotency.store(call.db, key=key, status=reply.status, answer=reply.body)
    return reply


def _reply(route: Route, answer: Any, left: Allowance | None) -> Reply:
    if isinstance(answer, Raw):
        return Reply(answer.status or route.status, answer.body, list(answer.headers), media=answer.media)
    if isinstance(answer, Pending):
        return Reply(202, _encode(answer.content), allowance_headers(left))
    return Reply(route.status, _encode(answer), allowance_headers(left))


def allowance_headers(left: Allowance | None) -> list[tuple[bytes, bytes]]:
    """Return the X-RateLimit headers of section 09 and contract A15."""
    if left is None:
        return []
    return [
        (b"x-ratelimit-limit", b"%d" % left.limit),
        (b"x-ratelimit-remaining", b"%d" % left.remaining),
        (b"x-ratelimit-reset", b"%d" % int(left.reset.timestamp())),
        (b"x-ratelimit-policy", left.policy.encode()),
    ]


async def _send(send: Any, call: Call, reply: Reply, *, head: bool) -> None:
    headers = [
        (b"content-type", reply.media.encode()),
        (b"content-length", b"%d" % len(reply.body)),
        (b"x-request-id", call.request_id.encode()),
        *_ALWAYS,
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else reply.body})
