"""
HTTPS by uvicorn: TLS 1.3 only, client certificates on offer, several listeners in one event loop.

A listener with a client authority *asks* for a certificate (``CERT_OPTIONAL``): most callers have none. One that is
presented must verify. OpenSSL ends the handshake for a certificate that is expired, not yet valid, of another authority
or not made for clients, and offers no way to answer such a caller in HTTP: it gets the TLS alert that says why. So the
certificate that the application sees is a genuine one in its time; it answers 401 for one absent, revoked or unknown.
There is no session resumption: a resumed session would bring back a certificate that was verified some time ago.

The application finds the certificate by ``runtime.peer.peer_certificate``. The constants below limit a connection.
"""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, cast

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from altcredit.runtime import ids
from altcredit.runtime.certificates import Authority, server_certificate
from altcredit.runtime.gathered import Gathered
from altcredit.runtime.keys import Keyring
from altcredit.runtime.peer import described
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

HEADER_BYTES = 32_768  # request line and headers together
HANDSHAKE_SECONDS = 10.0
GOODBYE_SECONDS = 2.0  # what a client gets to close its side
HEADER_SECONDS = 10.0  # from the connection or the first byte of a request to the end of its headers
BODY_SECONDS = 120.0  # from there to the end of its body: a thousand records over a slow line
KEEP_ALIVE_SECONDS = 75
STOP_SECONDS = 30  # what requests in flight get to finish
HSTS = "max-age=63072000; includeSubDomains"

Application = Callable[..., Any]

_TLS_1_3 = 0x0304

log = logging.getLogger("altcredit.tls")


class TlsUnusable(Refusal):
    """A certificate, key or authority file cannot be used; the message names it."""


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """One address to serve an ASGI application on; port 0 takes a free one."""

    app: Application
    host: str
    port: int
    context: ssl.SSLContext


# Certificates of ours


class Tls:
    """The TLS contexts of a process: ``public`` asks clients for a certificate, ``admin`` does not."""

    def __init__(self, settings: Settings, *, keyring: Keyring) -> None:
        self._settings = settings
        self._keyring = keyring
        self.public = _context()
        self.admin = _context()

    @classmethod
    def open(cls, settings: Settings, *, keyring: Keyring, now: datetime) -> Self:
        """
        Read the certificates that the settings name; what they don't name is made, except in production.

        :raises TlsUnusable:
        """
        tls = cls(settings, keyring=keyring)
        tls.reload(now=now)
        tls.public.verify_mode = ssl.CERT_OPTIONAL
        return tls

    def reload(self, *, now: datetime) -> None:
        """
        Read the files again, for connections from now on; nothing changes when this raises.

        A certificate of our own that nears its end is renewed. Authorities are added, and not forgotten before a
        restart: which certificates count is for the pins to say.

        :raises TlsUnusable:
        """
        certificate, key, client_ca = self._files(now)
        _load(_context(), certificate, key, client_ca)
        _load(self.public, certificate, key, client_ca)
        _load(self.admin, certificate, key, None)

    def _files(self, now: datetime) -> tuple[Path, Path | None, str]:
        settings = self._settings
        if not settings.tls_cert and settings.environment == "production":
            raise TlsUnusable("Production needs a server certificate: set ALTCREDIT_TLS_CERT and ALTCREDIT_TLS_KEY.")
        authority = None
        if not (settings.tls_cert and settings.client_ca):
            authority = Authority.open(settings, keyring=self._keyring, now=now)
        client_ca = authority.pem if authority and not settings.client_ca else _text(settings.client_ca)
        if settings.tls_cert:
            return Path(settings.tls_cert), Path(settings.tls_key) if settings.tls_key else None, client_ca
        assert authority is not None
        return server_certificate(settings, authority=authority, now=now), None, client_ca


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise TlsUnusable(f"{path}: cannot be read ({error.strerror})") from error


class _Handshake(ssl.SSLObject):
    """
    A TLS connection whose client is told why its handshake failed.

    uvloop and asyncio hang up on an error without sending the alert that OpenSSL has written. So a failure is first
    said to be a wait for more, which makes them send what is written, and is raised when they come again: when the
    client has answered or hung up, or at the end of the time for a handshake.
    """

    outgoing: ssl.MemoryBIO
    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if isinstance(error, ssl.SSLCertVerificationError):
                log.warning("client certificate refused: %s", error.verify_message)
            if not self.outgoing.pending:
                raise
            self._failure = error
            raise ssl.SSLWantReadError from error


class _Context(ssl.SSLContext):
    sslobject_class = _Handshake

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        connection = super().wrap_bio(incoming, outgoing, *args, **kwargs)
        assert isinstance(connection, _Handshake)
        connection.outgoing = outgoing
        return connection


def _context() -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path | None, client_ca: str | None) -> None:
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise TlsUnusable(f"{certificate}: not a usable certificate and key ({error.strerror})") from error
    if client_ca is None:
        return
    try:
        context.load_verify_locations(cadata=client_ca)
    except (ValueError, ssl.SSLError) as error:
        raise TlsUnusable("the authority of client certificates is not usable PEM") from error


# The protocol


class HttpsProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, with the peer's certificate in the scope, deadlines, a header limit and errors in JSON."""

    transport: asyncio.Transport
    _extensions: dict[str, dict[object, object]]
    _expected: Literal["headers", "body"] | None = "headers"
    _watched: Literal["headers", "body"] | None = None
    _deadline: asyncio.TimerHandle | None = None
    _requests = 0
    _header_bytes = 0
    _oversized = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Gathered(transport, self.loop)))
        der = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        try:
            self._extensions = {"tls": {"tls_version": _TLS_1_3, "peer": described(der) if der else None}}
        except ValueError:
            log.warning("client certificate cannot be read")
            transport.abort()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expected = None
        self._watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._requests
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._expected == "headers" and self._requests == before:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES:
                self._oversized = True
                self.send_400_response("")
        elif self._expected is None and (self.cycle is None or self.cycle.response_complete):
            # Stray line breaks between requests end uvicorn's keep-alive timer without beginning a request.
            self._expected = "headers" if self.timeout_keep_alive_task is None else None
        self._watch()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions
        self._expected, self._header_bytes = "headers", 0
        self._requests += 1

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > HEADER_BYTES:
            self._oversized = True
            raise ValueError("headers too large")  # the parser turns it into an error, and uvicorn that into an answer
        self._expected = "body"
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._expected = None
        super().on_message_complete()

    def _watch(self) -> None:
        """Set a deadline for what the client owes us now, where that has changed."""
        if self._expected == self._watched:
            return
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._watched = self._expected
        if self._expected is not None:
            seconds = HEADER_SECONDS if self._expected == "headers" else BODY_SECONDS
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or has too long headers, in the error body of all answers, and close."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            code, status, message = "INVALID_REQUEST", 400, "The request is not valid HTTP."
            if self._oversized:
                code, status, message = "HEADERS_TOO_LARGE", 431, f"Headers may have {HEADER_BYTES} bytes."
            request_id = ids.new_id("req")
            error = {"code": code, "message": message, "details": []}
            body = msgspec.json.encode({"error": error, "request_id": request_id})
            headers = [
                *self.server_state.default_headers,
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"x-request-id", request_id.encode()),
                (b"connection", b"close"),
            ]
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        self.transport.close()


# The servers


class _Server(uvicorn.Server):
    """uvicorn's server on a socket of ours; signals are the caller's."""

    def __init__(self, config: uvicorn.Config, bound: socket.socket) -> None:
        super().__init__(config)
        self.bound = bound
        self.servers: list[asyncio.Server] = []
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        protocol = partial(HttpsProtocol, self.config, self.server_state, {}, loop)
        self.servers = [
            await loop.create_server(
                protocol,
                sock=self.bound,
                ssl=self.config.ssl,
                backlog=self.config.backlog,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=GOODBYE_SECONDS,
            )
        ]
        await self.on_tick(0)  # fills in the headers of every answer before the first request
        self.started = True
        self.listening.set()

    def close(self) -> None:
        """Close what is still open, as after a cancellation."""
        for server in self.servers:
            server.close()
        self.bound.close()


def _server(listener: Listener) -> _Server:
    config = uvicorn.Config(
        listener.app,
        http=HttpsProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=[("strict-transport-security", HSTS)],
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        ssl_context_factory=lambda _config, _default: listener.context,
    )
    return _Server(config, _bound(listener.host, listener.port))


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, dualstack_ipv6=host == "::")


async def serve(
    *listeners: Listener, stop: asyncio.Event, ready: Callable[[list[tuple[str, int]]], None] = lambda _: None
) -> None:
    """
    Serve until ``stop`` is set: then accept nothing more, finish the requests in flight (30 s at most), and return.

    ``ready`` is called once, when every listener accepts connections, with their addresses in order. Strict-Transport-
    Security is on every answer. Raises OSError, before anything is served: an address cannot be bound.
    """
    servers: list[_Server] = []
    try:
        for listener in listeners:
            servers.append(_server(listener))
    except OSError:
        for server in servers:
            server.close()
        raise
    addresses = [server.bound.getsockname()[:2] for server in servers]
    try:
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(server.serve())
            for server in servers:
                await server.listening.wait()
            ready(addresses)
            await stop.wait()
            for server in servers:
                server.should_exit = True
    finally:
        for server in servers:
            server.close()


@contextmanager
def signals(*, stop: asyncio.Event, reload: Callable[[], None]) -> Iterator[None]:
    """While in this block, SIGTERM and SIGINT set ``stop``, and SIGHUP calls ``reload``. For the main thread."""
    loop = asyncio.get_running_loop()
    handlers = {signal.SIGTERM: stop.set, signal.SIGINT: stop.set, signal.SIGHUP: reload}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
