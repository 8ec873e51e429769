"""
A route, declared once.

The declaration gives routing, credentials, validation, transaction, replay, answer, refusals and the OpenAPI document:
what is published cannot differ from what runs. ``endpoint.py`` runs a declaration, ``openapi.py`` prints it.
"""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec

from altcredit.runtime.db import Connection
from altcredit.runtime.ids import new_id
from altcredit.runtime.platform import Platform
from altcredit.runtime.quotas import Allowance
from altcredit.runtime.refusal import Detail, Refusal

Language = Literal["en", "hi", "pt"]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_LANGUAGE = re.compile(r"\s*([A-Za-z-]+|\*)\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*")


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, proven. ``subject`` is what the credential speaks for, beyond the id (claims, a distributor)."""

    kind: str
    id: str
    subject: Any = None


class Call:
    """
    One request under way, as a handler sees it.

    ``db`` is set on routes that write only: their transaction, which the endpoint opens before the handler runs and
    commits after it.
    """

    db: Connection

    __slots__ = (
        "allowance",
        "body",
        "caller",
        "client_request_id",
        "db",
        "headers",
        "language",
        "now",
        "path",
        "platform",
        "query",
        "request_id",
        "scope",
    )

    def __init__(
        self,
        platform: Platform,
        scope: MutableMapping[str, Any],
        now: datetime,
        languages: tuple[Language, ...] = ("en",),
    ) -> None:
        self.platform = platform
        self.scope = scope
        self.now = now
        self.headers = _headers(scope["headers"])
        sent = self.headers.get("x-request-id", "")
        self.client_request_id: str | None = sent if _REQUEST_ID.fullmatch(sent) else None
        self.request_id: str = self.client_request_id or new_id("req")
        self.language: Language = preferred_language(self.headers.get("accept-language", ""), languages)
        self.path: dict[str, str] = scope.get("path_params", {})
        self.query: bytes = scope.get("query_string", b"")
        self.body: bytes = b""
        self.caller: Caller | None = None
        self.allowance: Allowance | None = None

    def idempotency_key(self, header: str) -> str | None:
        """
        Return the key that ``header`` carries, None without one.

        X-Request-ID is a trace identifier first: one that is malformed was replaced, and is no key (contract A4). Any
        other header is there for its key alone: 1 to 255 visible ASCII characters.

        :raises BodyMalformed: the header is there, but carries no key.
        """
        if header == "X-Request-ID":
            return self.client_request_id
        sent = self.headers.get(header.lower())
        if sent is not None and not _KEY.fullmatch(sent):
            raise BodyMalformed(details=(Detail(header, "must be 1 to 255 visible ASCII characters"),))
        return sent


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        # A repeated header is one list (RFC 9110, 5.3): a second Authorization never replaces the first unseen.
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


@lru_cache(maxsize=64)  # clients send few different ones
def preferred_language(accept: str, languages: tuple[Language, ...]) -> Language:
    """Return the one of ``languages`` that Accept-Language (RFC 9110, 12.5.4) asks for most; the first otherwise."""
    best = languages[0]
    weight = 0.0
    for part in accept.split(","):
        match = _LANGUAGE.fullmatch(part)
        if match is None:
            continue
        tag, q = match[1].lower().split("-")[0], float(match[2] or 1)
        if q > weight:
            for language in languages:
                if language == tag:
                    best, weight = language, q
    return best


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """One proof that a caller shows, as the OpenAPI document describes it."""

    name: str
    openapi: dict[str, Any]


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """Proofs that are needed together, and the function that judges them from the headers alone."""

    schemes: tuple[Scheme, ...]
    identify: Callable[[Call], Awaitable[Caller]]
    refusals: tuple[type[Refusal], ...]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """A request header that a route reads."""

    name: str
    description: str
    required: bool = False
    schema: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "string"})


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer's field is used next: ``parameters`` of ``operation`` by JSON pointer into the answer."""

    operation: str
    parameters: dict[str, str]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter in the path of a POST or PUT, which the handler reads from ``call.path``."""

    name: str
    description: str
    schema: dict[str, Any]


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is sent to the caller's own address afterwards: an OpenAPI callback.

    ``url`` says in words where to; ``headers`` are sent with ``body``, and ``expected`` says what each answer means.
    """

    name: str
    url: str
    summary: str
    description: str
    body: type
    example: Any
    headers: tuple[Header, ...]
    expected: dict[str, str]


class Nothing(msgspec.Struct, frozen=True):
    """A request without body or parameters."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """
    One operation.

    ``asks`` is read from the JSON body of POST and PUT, and from path and query otherwise. ``credentials`` are
    alternatives (OR) of proofs needed together (AND); none means that the route is public. Of ``permissions`` a member
    of staff needs one. ``writes`` runs the handler in one transaction, committed before the answer is sent; ``replays``
    names the header under whose key the answer is stored and given again (contract A4, U7). ``decodes`` is false where
    the handler reads the body itself and ``asks`` only describes it. ``judges_body`` looks at the raw bytes before they
    are read as JSON; ``examines`` finds in the JSON object what types cannot say, whether or not the rest of it fits.
    ``pending`` is answered with 202 where the handler returns ``Pending``. ``refused`` hears of every refusal to a
    known caller, once nothing came of the request. ``limits`` are the published quotas (requests by window); ``takes``
    counts a well-formed request before the handler runs; ``peeks`` tells what is left when a request is refused before
    it is counted.
    """

    method: Literal["GET", "POST", "PUT"]
    path: str
    operation: str
    tag: str
    summary: str
    description: str = ""
    handler: Callable[[Call, Any], Awaitable[Any]]
    asks: type = Nothing
    decodes: bool = True
    answers: Any = None
    status: int = 200
    pending: type | None = None
    credentials: tuple[Credential, ...] = ()
    permissions: tuple[str, ...] = ()
    refusals: tuple[type[Refusal], ...] = ()
    headers: tuple[Header, ...] = ()
    places: tuple[Place, ...] = ()
    writes: bool = False
    replays: str = ""
    max_body: int = 64 * 1024
    judges_body: Callable[[Call], Awaitable[None]] | None = None
    examines: Callable[[dict[str, Any]], tuple[Detail, ...]] | None = None
    refused: Callable[[Call, Refusal], Awaitable[None]] | None = None
    refuses_malformed: Callable[[tuple[Detail, ...]], Refusal] | None = None
    takes: Callable[[Call], Awaitable[Allowance]] | None = None
    peeks: Callable[[Call], Awaitable[Allowance | None]] | None = None
    limits: dict[str, int] = msgspec.field(default_factory=dict)
    links: dict[str, Link] = msgspec.field(default_factory=dict)
    callbacks: tuple[Callback, ...] = ()
    example: Any = None
    media: str = "application/json"
    hidden: bool = False

    @property
    def has_body(self) -> bool:
        """Whether a JSON body is asked for."""
        return self.method != "GET" and self.asks is not Nothing


# What any route may refuse before its own rules are asked.


class BodyMalformed(Refusal):
    """The request is not valid JSON of the published shape; ``details`` name every offending field."""


class BodyTooLarge(Refusal):
    """The body is longer than this route takes."""


class MediaTypeUnsupported(Refusal):
    """Content-Type is not application/json."""


class MethodNotAllowed(Refusal):
    """The path exists, but not for this method."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__()
        self.allowed = allowed


class NotFound(Refusal):
    """No route has this path."""


class Unavailable(Refusal):
    """Something that the answer depends on cannot be reached; nothing was done (fail closed)."""


class Raw(msgspec.Struct, frozen=True):
    """An answer that is bytes already (metrics, a page), with headers of its own; ``status`` 0 is the route's."""

    body: bytes
    media: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 0


class Pending(msgspec.Struct, frozen=True):
    """An answer with 202: what was asked is recorded, and waits for a second person."""

    content: Any
