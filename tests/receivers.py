"""Receivers of callbacks on loopback: real HTTPS servers that behave as they are told to, and count."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from altcredit.runtime.certificates import Authority
from altcredit.runtime.destinations import Rules
from altcredit.runtime.http import Sender
from altcredit.runtime.settings import load


class Request:
    """What came in: ``headers`` with their names in lower case."""

    def __init__(self, line: str, headers: dict[str, str], body: bytes) -> None:
        self.line, self.headers, self.body = line, headers, body
        self.at = asyncio.get_running_loop().time()


Behaviour = Callable[[Request, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def says(status: int, body: bytes = b"", *headers: str) -> Behaviour:
    """Answer with a status and a body."""

    async def behave(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return behave


def raw(content: bytes, *, close: bool = True) -> Behaviour:
    """Answer with these very bytes."""

    async def behave(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        if close:
            writer.close()

    return behave


async def hangs(_request: Request, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Say nothing until the sender goes away."""
    await reader.read()


class Receiver:
    """One server. ``behave`` may be replaced at any time; ``requests`` are all that came in."""

    def __init__(self) -> None:
        self.behave: Behaviour = says(204)
        self.requests: list[Request] = []
        self.came = asyncio.Event()
        self.connections = 0
        self.under_way = 0
        self.most_under_way = 0
        self.port = 0

    def url(self, path: str = "/callback", host: str = "localhost") -> str:
        return f"https://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in head[1:] if line}
                body = await reader.readexactly(int(headers["content-length"]))
                request = Request(head[0], headers, body)
                self.requests.append(request)
                self.came.set()
                self.under_way += 1
                self.most_under_way = max(self.most_under_way, self.under_way)
                try:
                    await self.behave(request, reader, writer)
                finally:
                    self.under_way -= 1
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()


def context_for(authority: Authority, folder: Path, *hosts: str) -> ssl.SSLContext:
    """Return a server's TLS context with a certificate for these hosts."""
    issued = authority.issue_server(hosts, now=datetime.now(UTC))
    path = folder / f"{issued.sha256[:8]}.pem"
    path.write_text((issued.key_pem or "") + issued.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@asynccontextmanager
async def receiving(context: ssl.SSLContext | None, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """Run a receiver for the block; without a context it speaks no TLS, and counts every accepted socket."""
    receiver = Receiver()
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await receiver.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()  # the end of the block; `asyncio.streams` of 3.11 would log it
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, host, 0, ssl=context)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def sending(authority: Authority, *, seconds: float = 15.0, **rules: Any) -> AsyncIterator[Sender]:
    """Lend a sender of the development environment, or one with other rules, that trusts the authority."""
    made = Sender.open(load({}), authority_pem=authority.pem)
    made.seconds = seconds
    if rules:
        made.rules = Rules(**rules)
    try:
        yield made
    finally:
        await made.close()
