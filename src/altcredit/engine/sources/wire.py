"""
Questions to one source over connections that are kept, and what counts as an answer.

The exchange itself is ``runtime/wire.py``. A general client costs 3 to 20 times the CPU a call of what is needed here,
seven times an application (docs/decisions/0009-source-client.md).
"""

import asyncio
import ssl
from collections.abc import Callable
from datetime import datetime
from functools import partial

import msgspec

from altcredit.runtime import clock
from altcredit.runtime.wire import Idle, Patient

ANSWER_BYTES = 256 * 1024  # of an answer, head included
HEADER_BYTES = 32 * 1024
IDLE_SECONDS = 30.0  # how long an unused connection is kept
_CLOSE_SECONDS = 2.0
_BODILESS = (204, 304)


class Broken(Exception):
    """
    No usable HTTP answer came; the message says why in words of ours.

    ``again``: another try may help. ``reached``: the source may have the question, and may have done what it asks for.
    """

    def __init__(self, problem: str, *, again: bool = True, reached: bool = True) -> None:
        super().__init__(problem)
        self.again = again
        self.reached = reached


class _Stale(Broken):
    """A kept connection had ended before the answer began."""


class Reply(msgspec.Struct, frozen=True):
    """What came back. ``retry_after``: seconds that the source asks us to wait, where it does."""

    status: int
    body: bytes
    retry_after: float | None = None


class _Source(Patient):
    """A connection to a source: what the head of its answer says besides the status."""

    measured = False  # the answer says where it ends
    compressed = False

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.end is None:
            self.measured = self.compressed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.end is not None:
            return
        super().on_header(name, value)
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            self.measured = True
        elif name == b"content-encoding" and value.lower() != b"identity":
            self.compressed = True

    @property
    def ended_by_closing(self) -> bool:
        """Whether the answer is one that ends with its connection."""
        is_open_ended = bool(self.status) and not self.measured and self.status not in _BODILESS
        return is_open_ended and self.end == "closed" and self.lost_by is None


class Pool:
    """Connections to one address. How many are open at once is the caller's to bound."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext | None, *, clock: Callable[[], datetime] = clock.now
    ) -> None:
        """``clock`` serves answers that name a date to come back and not the date they were sent."""
        self._host = host
        self._port = port
        self._context = context
        self._clock = clock
        self._idle: Idle[_Source] = Idle(seconds=IDLE_SECONDS)
        self._open: set[_Source] = set()

    async def exchange(self, request: bytes) -> Reply:
        """
        Send a request and return the answer. The time it may take is the caller's to bound.

        The request must be one that may be sent twice: it is sent anew where a kept connection turns out to have
        ended. Raises Broken.
        """
        while (kept := self._idle.take(None)) is not None:
            try:
                return await self._on(kept, request)
            except _Stale:
                continue
        return await self._on(await self._connected(), request)

    async def _connected(self) -> _Source:
        name = self._host if self._context else None
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                partial(_Source, head=HEADER_BYTES, most=ANSWER_BYTES + 1),
                self._host,
                self._port,
                ssl=self._context,
                server_hostname=name,
            )
        except ssl.SSLError as error:
            raise Broken(f"no TLS connection ({error.reason})", reached=False) from error
        except OSError as error:
            raise Broken(f"no connection ({type(error).__name__})", reached=False) from error
        self._open.add(connection)
        connection.closed.add_done_callback(lambda _: self._open.discard(connection))
        return connection

    async def _on(self, connection: _Source, request: bytes) -> Reply:
        try:
            await connection.exchange(request)
            return _reply(connection, now=self._clock())
        finally:
            self._idle.give(None, connection)

    async def close(self) -> None:
        """End every connection; what is under way fails."""
        self._idle.close()
        connections = list(self._open)
        for connection in connections:
            connection.transport.close()
        if connections:
            _, late = await asyncio.wait([one.closed for one in connections], timeout=_CLOSE_SECONDS)
            for connection in connections:
                if connection.closed in late:
                    connection.transport.abort()


def _reply(came: _Source, *, now: datetime) -> Reply:
    """Return the answer that came on a connection. Raises Broken: it is none, or none that can be used."""
    if came.heard > ANSWER_BYTES:
        raise Broken(f"its answer is larger than {ANSWER_BYTES // 1024} KB", again=False)
    if came.end == "too_large":
        raise Broken("its headers are too large", again=False)
    if came.end == "malformed":
        raise Broken("its answer is not HTTP", again=False)
    if came.end != "complete" and not came.ended_by_closing:
        raise Broken("it hung up amid its answer") if came.heard else _Stale("it hung up without an answer")
    if came.compressed:
        raise Broken("its answer is compressed, which was not asked for", again=False)
    return Reply(came.status, came.body, came.retry_after(now=now))


def head(target: str, authority: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Return the start of every request to one endpoint; the caller adds its own headers and the body."""
    lines = [
        f"POST {target} HTTP/1.1",
        f"host: {authority}",
        "content-type: application/json",
        "accept: application/json",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "".join(line + "\r\n" for line in lines).encode("ascii")
