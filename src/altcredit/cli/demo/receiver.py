"""A partner's callback receiver for the demo: HTTPS on loopback, which keeps what it gets."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

_LARGEST = 64 * 1024


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A callback as it came."""

    headers: dict[str, str]
    body: bytes


class Receiver:
    """Callbacks by the application's id, in the order of arrival."""

    def __init__(self) -> None:
        self._arrived: dict[str, Received] = {}
        self._bell = threading.Condition()

    def take(self, received: Received) -> None:
        """Keep a callback; a repeated one replaces the first."""
        with self._bell:
            self._arrived[received.headers.get("x-guard-request-id", "")] = received
            self._bell.notify_all()

    def wait(self, request_id: str, *, seconds: float) -> Received | None:
        """Return the callback of an application, or None when it does not come in time."""
        with self._bell:
            self._bell.wait_for(lambda: request_id in self._arrived, timeout=seconds)
            return self._arrived.get(request_id)


@contextmanager
def receiving(*, cert_file: Path, key_file: Path, port: int) -> Iterator[Receiver]:
    """Receive callbacks on ``https://localhost:<port>`` while the block runs."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = min(int(self.headers.get("content-length", 0)), _LARGEST)
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.take(Received(headers=headers, body=self.rfile.read(length)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server has it
            """Say nothing: the demo shows what came."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    # A connection shakes hands in its own thread: one that never does holds up no other.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
