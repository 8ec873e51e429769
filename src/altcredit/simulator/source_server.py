"""
The bundled simulator of GUARD's sources: the documented interface (docs/sources.md) over HTTP, with trouble on demand.

``POST /<source>`` answers a question about whoever the given callable knows, deterministically: the same question gets
the same answer, and one idempotency key is charged once. ``PUT /control`` changes how a source behaves, ``GET /ledger``
tells what was asked and charged.

Trouble is drawn by hash from seed, key and number of the call, so that a run can be repeated. An error comes *after*
the charge: that is the case in which asking anew under another key would pay twice.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any, Final

import msgspec

from altcredit.engine.sources import SOURCES, Source, Subject

Answers = Callable[[str, Subject], Any]
"""The answer of a source about a subject, as its Struct; None: the person is not known there."""

_MAX_BODY: Final = 64 * 1024
_LEDGER_KEYS: Final = 200_000
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]
Amount = Annotated[float, msgspec.Meta(ge=0)]

GARBAGE: Final = (
    b"",
    b"null",
    b"[]",
    b"<html><body>Bad gateway</body></html>",
    b'{"situation": "reg',
    b'{"score": 99999999999999999999999}',
    b'{"error": "maintenance"}',
    b"\xff\xfe\x00",
    b"[" * 5000,
    b'{"filler": "' + b"x" * 300_000 + b'"}',
)


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a source behaves: milliseconds, shares of calls, calls a second (None: any number)."""

    latency_ms: Amount = 0.0
    jitter: Rate = 0.0
    error_rate: Rate = 0.0
    rate_limit_per_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    garbage_rate: Rate = 0.0
    down: bool = False


class _Account:
    """What one idempotency key was used for."""

    __slots__ = ("calls", "charged", "question", "source")

    def __init__(self, source: str, question: int) -> None:
        self.source = source
        self.question = question
        self.calls = 0
        self.charged = False


class _Room:
    """One source here: its behaviour, its counts, and the calls that its rate limit still allows."""

    def __init__(self, source: Source, behaviour: Behaviour) -> None:
        self.source = source
        self.behaviour = behaviour
        wrong = {name: {"not": ["what", "was", "promised"]} for name in source.answer.__struct_fields__}
        self.garbage_kinds = (*GARBAGE, _encode(wrong))
        self.calls = self.charges = self.limited = self.errors = self.garbage = self.refused = 0
        self._allowed = 1.0
        self._refilled = 0.0

    def admits(self, now: float) -> float:
        """Take one call out of the rate limit's bucket, which holds one second's; else return the seconds to wait."""
        rate = self.behaviour.rate_limit_per_s
        if rate is None:
            return 0.0
        self._allowed = min(max(rate, 1.0), self._allowed + (now - self._refilled) * rate)
        self._refilled = now
        if self._allowed >= 1.0:
            self._allowed -= 1.0
            return 0.0
        return (1.0 - self._allowed) / rate

    def counts(self) -> dict[str, int]:
        names = ("calls", "charges", "limited", "errors", "garbage", "refused")
        return {name: getattr(self, name) for name in names}


class _Answer(Exception):
    """An answer other than the asked one."""

    def __init__(self, status: int, body: Any, *, retry_after: int | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body if isinstance(body, bytes) else msgspec.json.encode(body)
        self.retry_after = retry_after


Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class SourceServer:
    """The ASGI application. It keeps its ledger in memory: the last 200,000 keys."""

    def __init__(self, answers: Answers, *, seed: int = 0, behaviour: Behaviour | None = None) -> None:
        self._answers = answers
        self._seed = seed
        self._rooms = {f"/{name}": _Room(source, behaviour or Behaviour()) for name, source in SOURCES.items()}
        self._accounts: dict[str, _Account] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here")
        try:
            status, body = await self._answered(scope, await _read(receive))
            retry_after = None
        except _Answer as other:
            status, body, retry_after = other.status, other.body, other.retry_after
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if retry_after is not None:
            headers.append((b"retry-after", b"%d" % retry_after))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answered(self, scope: Scope, body: bytes) -> tuple[int, bytes]:
        method, path = scope["method"], scope["path"]
        room = self._rooms.get(path)
        if room is not None and method == "POST":
            return await self._asked(room, _key(scope["headers"]), body)
        if path == "/control" and method == "PUT":
            return 200, _encode(self.control(body))
        if path == "/ledger" and method == "GET":
            return 200, _encode(self.ledger())
        raise _Answer(404, {"error": "no such path"})

    # Questions

    async def _asked(self, room: _Room, key: str, body: bytes) -> tuple[int, bytes]:
        room.calls += 1
        account = self._account(room, key, body)
        account.calls += 1
        luck = self._luck(key, account.calls)
        if room.behaviour.latency_ms:
            await asyncio.sleep(room.behaviour.latency_ms * (1 + room.behaviour.jitter * (2 * luck("wait") - 1)) / 1000)
        if room.behaviour.down:
            room.errors += 1
            raise _Answer(503, {"error": "down"})
        wait = room.admits(asyncio.get_running_loop().time())
        if wait:
            room.limited += 1
            raise _Answer(429, {"error": "too many questions"}, retry_after=-int(-wait // 1))
        answer = self._answer(room, body)
        if not account.charged:
            account.charged = True
            room.charges += 1
        if luck("error") < room.behaviour.error_rate:
            room.errors += 1
            raise _Answer(500, {"error": "try again"})
        if luck("garbage") < room.behaviour.garbage_rate:
            room.garbage += 1
            return 200, room.garbage_kinds[int(luck("kind") * len(room.garbage_kinds))]
        return (404, b'{"known":false}') if answer is None else (200, _encode(answer))

    def _account(self, room: _Room, key: str, body: bytes) -> _Account:
        question = hash(body)
        account = self._accounts.get(key)
        if account is None:
            if len(self._accounts) >= _LEDGER_KEYS:
                del self._accounts[next(iter(self._accounts))]
            account = self._accounts[key] = _Account(room.source.name, question)
        elif (account.source, account.question) != (room.source.name, question):
            room.refused += 1
            raise _Answer(409, {"error": "this key was used for another question"})
        return account

    def _luck(self, key: str, call: int) -> Callable[[str], float]:
        return lambda what: zlib.crc32(f"{self._seed}|{key}|{call}|{what}".encode()) / 2**32

    def _answer(self, room: _Room, body: bytes) -> Any:
        source = room.source
        try:
            asked = _decode(body)
            reference = asked.get("authorisation")
            wanted = source.needs or source.extends
            subject = msgspec.convert(
                {
                    "cpf": asked.get("cpf"),
                    **{name: asked.get(name) for name in source.asks},
                    "authorisations": {wanted: reference} if wanted and reference else {},
                },
                Subject,
            )
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            room.refused += 1
            raise _Answer(400, {"error": "not a question"}) from error
        if source.needs and not subject.authorisations:
            room.refused += 1
            raise _Answer(403, {"error": "needs an authorisation"})
        return self._answers(source.name, subject)

    # Control and ledger

    def control(self, body: bytes) -> dict[str, Behaviour]:
        """Change the behaviour of one source, or of all; fields that are left out stay. Returns the new state."""
        try:
            changes = _decode(body)
            name = changes.pop("source", None)
            rooms = [room for path, room in self._rooms.items() if name is None or path == f"/{name}"]
            if not rooms:
                raise msgspec.ValidationError("no such source")
            changed = [
                msgspec.convert({**msgspec.structs.asdict(room.behaviour), **changes}, Behaviour) for room in rooms
            ]
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _Answer(400, {"error": str(error)}) from error
        for room, behaviour in zip(rooms, changed, strict=True):
            room.behaviour = behaviour
        return {path[1:]: room.behaviour for path, room in self._rooms.items()}

    def ledger(self) -> dict[str, Any]:
        """Return the counts of each source, and source, calls and charges of each of the keys last seen."""
        return {
            "sources": {path[1:]: room.counts() for path, room in self._rooms.items()},
            "keys": {
                key: {"source": account.source, "calls": account.calls, "charges": int(account.charged)}
                for key, account in self._accounts.items()
            },
        }


def _key(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"idempotency-key" and 0 < len(value) <= 64:
            return value.decode("latin-1")
    raise _Answer(400, {"error": "needs an Idempotency-Key"})


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > _MAX_BODY:
            raise _Answer(413, {"error": "too large"})
    return body
