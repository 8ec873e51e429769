"""
HTTP/1.1 to one source over connections that are kept: a request out, one bounded answer back.

llhttp (httptools, which uvicorn brings) does the parsing. A general client costs 3 to 20 times the CPU a call of what
is needed here, seven times an application (docs/decisions/0009-source-client.md). Redirects are not followed, nothing
is decompressed, and a connection is used again only after a complete answer with nothing behind it.
"""

import asyncio
import ssl
from typing import cast

import httptools
import msgspec

ANSWER_BYTES = 256 * 1024
HEADER_BYTES = 32 * 1024
IDLE_SECONDS = 30.0  # how long an unused connection is kept
_CLOSE_SECONDS = 2.0


class Broken(Exception):
    """No usable HTTP answer came; the message says why in words of ours. ``again``: another try may help."""

    def __init__(self, problem: str, *, again: bool = True) -> None:
        super().__init__(problem)
        self.again = again


class _Stale(Broken):
    """A kept connection had ended before the answer began."""


class Reply(msgspec.Struct, frozen=True):
    """What came back. ``retry_after``: seconds that the source asks us to wait, where it does."""

    status: int
    body: bytes
    retry_after: float | None = None


class _Connection(asyncio.Protocol):
    """One connection; at most one request at a time is on it."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.since = 0.0  # when it became idle
        self.reusable = False
        self._waiter: asyncio.Future[Reply] | None = None

    async def exchange(self, request: bytes) -> Reply:
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: list[bytes] = []
        self._size = self._head_size = 0
        self._status: int | None = None
        self._retry_after: float | None = None
        self._measured = False  # the answer says where it ends
        self._waiter = asyncio.get_running_loop().create_future()
        self.reusable = False
        self.transport.write(request)
        return await self._waiter

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own have no such base

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self.reusable = False
            self.transport.abort()
            return
        self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(Broken("its answer is not HTTP", again=False))
        else:
            if self._status is None and self._head_size > HEADER_BYTES:
                self._fail(Broken("its headers are too large", again=False))

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        if self._waiter is not None and not self._waiter.done():
            if exc is None and self._status is not None and not self._measured:
                self._complete()  # an answer that ends with its connection
            elif self._head_size == 0:
                self._waiter.set_exception(_Stale("it hung up without an answer"))
            else:
                self._waiter.set_exception(Broken("it hung up amid its answer"))
        if not self.ended.done():
            self.ended.set_result(None)

    # What the parser tells

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            self._measured = True
        elif name == b"retry-after" and value.isdigit() and len(value) < 6:
            self._retry_after = float(value)
        elif name == b"content-encoding" and value.lower() != b"identity":
            self._fail(Broken("its answer is compressed, which was not asked for", again=False))

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if self._status in (204, 304):
            self._measured = True

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > ANSWER_BYTES:
            self._fail(Broken(f"its answer is larger than {ANSWER_BYTES // 1024} KB", again=False))
        else:
            self._chunks.append(body)

    def on_message_begin(self) -> None:
        if self._status is not None:  # more than one answer to one request
            self.reusable = False
            self.transport.abort()

    def on_message_complete(self) -> None:
        if self._status is not None and 100 <= self._status < 200:
            self._status = None  # an interim answer: the one that counts follows
            return
        self.reusable = self._parser.should_keep_alive() and not self.transport.is_closing()
        self._complete()

    def _complete(self) -> None:
        if self._waiter is not None and not self._waiter.done() and self._status is not None:
            self._waiter.set_result(Reply(self._status, b"".join(self._chunks), self._retry_after))

    def _fail(self, problem: Broken) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(problem)
        self.reusable = False
        self.transport.abort()


class Pool:
    """Connections to one address. How many are open at once is the caller's to bound."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()

    async def exchange(self, request: bytes) -> Reply:
        """
        Send a request and return the answer. The time it may take is the caller's to bound.

        The request must be one that may be sent twice: it is sent anew where a kept connection turns out to have
        ended. Raises Broken.
        """
        while (kept := self._kept()) is not None:
            try:
                return await self._on(kept, request)
            except _Stale:
                continue
        return await self._on(await self._connected(), request)

    def _kept(self) -> _Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and not connection.transport.is_closing() and now - connection.since < IDLE_SECONDS:
                return connection
            connection.transport.abort()
        return None

    async def _connected(self) -> _Connection:
        name = self._host if self._context else None
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                _Connection, self._host, self._port, ssl=self._context, server_hostname=name
            )
        except ssl.SSLError as error:
            raise Broken(f"no TLS connection ({error.reason})") from error
        except OSError as error:
            raise Broken(f"no connection ({type(error).__name__})") from error
        self._open.add(connection)
        connection.ended.add_done_callback(lambda _: self._open.discard(connection))
        return connection

    async def _on(self, connection: _Connection, request: bytes) -> Reply:
        try:
            return await connection.exchange(request)
        except ssl.SSLError as error:
            raise Broken(f"no TLS connection ({error.reason})") from error
        finally:
            if connection.reusable:
                connection.since = asyncio.get_running_loop().time()
                self._idle.append(connection)
            else:
                connection.transport.abort()

    async def close(self) -> None:
        """End every connection; what is under way fails."""
        connections = list(self._open)
        for connection in connections:
            connection.transport.close()
        if connections:
            _, late = await asyncio.wait([one.ended for one in connections], timeout=_CLOSE_SECONDS)
            for connection in connections:
                if connection.ended in late:
                    connection.transport.abort()


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
