"""
HTTP/1.1 on one connection: a request out, one bounded answer back; and connections that wait for their next request.

What callbacks (``runtime/http.py``) and questions to sources (``engine/sources/wire.py``) have in common. Where a
connection may go, how long an answer may take and what counts as one is theirs to say. llhttp (httptools, which uvicorn
brings) does the parsing. Redirects are not followed, nothing is decompressed, no cookie is kept, and a connection is
used again only after a complete answer with nothing behind it.
"""

import asyncio
import re
from collections.abc import Hashable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Generic, Literal, TypeVar, cast

import httptools

End = Literal["complete", "closed", "malformed", "too_large"]

_SECONDS = re.compile(rb"[0-9]{1,9}")
LONGEST_PATIENCE = 86_400.0  # seconds; who asks for more is taken to have asked for a day


class Connection(asyncio.Protocol):
    """
    One connection; at most one request at a time is on it. What came is here to be read until the next one.

    ``status`` is 0 until an answer's head is complete; interim answers (1xx) are passed over. ``end`` says how the
    answer ended, None: not yet. ``heard`` counts the bytes since the request. Who reads headers adds ``on_header``, and
    forgets in ``on_message_begin`` what it knows of a message before.
    """

    transport: asyncio.Transport

    def __init__(self, *, head: int, most: int) -> None:
        """``head`` bytes may come before an answer's head is complete; after ``most`` bytes no more are read."""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost_by: Exception | None = None
        self.idle_since = 0.0
        self.reusable = False
        self.status = self.heard = 0
        self.end: End | None = None
        self._head = head
        self._most = most
        self._body: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None

    async def exchange(self, request: bytes, *, deadline: float | None = None) -> None:
        """
        Send a request and return when its answer has ended, however it did, or at ``deadline`` (of the loop's clock).

        A connection whose exchange is cancelled, or late, is spent; what came until then can be read.
        """
        loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self.status = self.heard = 0
        self._body = []
        self.end = None
        self.reusable = False
        self._waiter = loop.create_future()
        if self.transport.is_closing():
            self._ended("closed")
        else:
            self.transport.write(request)
        if deadline is None:
            await self._waiter
            return
        timer = loop.call_at(deadline, self._done)
        try:
            await self._waiter
        finally:
            timer.cancel()

    @property
    def body(self) -> bytes:
        """What has come of the answer's body."""
        return b"".join(self._body)

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own have no such base

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self.reusable = False
            self.transport.abort()  # nobody asked: what it is cannot be told from an answer
            return
        self.heard += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._ended("malformed")
        else:
            if self.heard >= self._most or (not self.status and self.heard > self._head):
                self._ended("too_large")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost_by = exc
        self._ended("closed")
        if not self.closed.done():
            self.closed.set_result(None)

    def _ended(self, end: End) -> None:
        """Note how the answer ended, or that something came behind it; either way the connection is spent."""
        self.reusable = False
        if self.end is None:
            self.end = end
        self._done()

    def _done(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the parser tells

    def on_message_begin(self) -> None:
        if self.end is not None:  # more than one answer to one request
            self.reusable = False

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.end is None and (status >= 200 or status == 101):
            self.status = status

    def on_body(self, body: bytes) -> None:
        if self.end is None:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self.end is not None or self.status == 101:  # a switch of protocols is no answer's end
            return
        if self.status:  # else it is an interim answer, and the one that counts follows
            self.end = "complete"
            self._done()
            self.reusable = self._parser.should_keep_alive() and not self.transport.is_closing()


class Patient(Connection):
    """A connection that notes for how long an answer asks us to stay away (RFC 9110, section 10.2.3)."""

    _retry_after = b""
    _date = b""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.end is None:
            self._retry_after = self._date = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.end is None:
            name = name.lower()
            if name == b"retry-after":
                self._retry_after = value
            elif name == b"date":
                self._date = value

    def retry_after(self, *, now: datetime) -> float | None:
        """Return the seconds that the answer asks for, None: it does not. A date is read by its sender's own clock."""
        if not self._retry_after:
            return None
        if _SECONDS.fullmatch(self._retry_after):
            return min(float(self._retry_after), LONGEST_PATIENCE)
        until = _http_date(self._retry_after)
        if until is None:
            return None
        seconds = (until - (_http_date(self._date) or now)).total_seconds()
        return min(max(seconds, 0.0), LONGEST_PATIENCE)


def _http_date(text: bytes) -> datetime | None:
    try:
        when = parsedate_to_datetime(text.decode("ascii"))
    except (ValueError, OverflowError):
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


Kept = TypeVar("Kept", bound=Connection)


class Idle(Generic[Kept]):
    """Connections that wait for their next request, each for whoever names its key again; the last used comes first."""

    def __init__(self, *, seconds: float, most: int | None = None) -> None:
        """Keep each for ``seconds``, and of one key no more than ``most``."""
        self._seconds = seconds
        self._most = most
        self._kept: dict[Hashable, list[Kept]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def take(self, key: Hashable) -> Kept | None:
        """Return a connection that was kept under a key and can be used again."""
        kept = self._kept.get(key)
        now = asyncio.get_running_loop().time()
        while kept:
            connection = kept.pop()
            if connection.reusable and now < connection.idle_since + self._seconds:
                return connection
            connection.transport.abort()
        return None

    def give(self, key: Hashable, connection: Kept) -> None:
        """Keep a connection whose exchange is over; end one that cannot be used again."""
        if not connection.reusable:
            connection.transport.abort()
            return
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = []
        if self._most is not None and len(kept) >= self._most:
            kept.pop(0).transport.abort()
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        kept.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._seconds, self._swept)

    def close(self) -> None:
        """End all of them."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for kept in self._kept.values():
            for connection in kept:
                connection.transport.abort()
        self._kept.clear()

    def _swept(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for key, kept in list(self._kept.items()):
            good = [one for one in kept if one.reusable and now < one.idle_since + self._seconds]
            for connection in kept:
                if connection not in good:
                    connection.transport.abort()
            if good:
                self._kept[key] = good
            else:
                del self._kept[key]
        self._sweep = loop.call_later(self._seconds / 2, self._swept) if self._kept else None
