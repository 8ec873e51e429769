import asyncio
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop

import altcredit
from altcredit.runtime import clock, tls
from altcredit.runtime.certificates import Authority, Certificate, server_certificate
from altcredit.runtime.keys import KeyProvider, Keyring
from altcredit.runtime.settings import Settings
from altcredit.runtime.tls import Listener, Tls, TlsUnusable, serve

KEYRING = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x01" * 32,)))
DAYS_90 = timedelta(days=90)


class Application:
    """Answers with what it was told about the connection; /slow waits until it is let go."""

    def __init__(self) -> None:
        self.requests = 0
        self.entered, self.release = threading.Event(), threading.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.requests += 1
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        if scope["path"] == "/slow":
            self.entered.set()
            await asyncio.to_thread(self.release.wait, 20)
        told = scope["extensions"]["tls"]
        peer = told["peer"] and {
            "sha256": told["peer"].sha256.hex(),
            "serial": told["peer"].serial,
            "uri": told["peer"].uri,
            "not_after": told["peer"].not_after.isoformat(),
        }
        body = json.dumps({"peer": peer, "tls_version": told["tls_version"], "scheme": scope["scheme"], "size": size})
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode()})


class Running:
    """A server on its own thread and uvloop, with a public and an admin listener."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.application = Application()
        self.tls = Tls.open(settings, keyring=KEYRING, now=clock.now())
        self.authority = Authority.open(settings, keyring=KEYRING, now=clock.now())
        self.ready, self.finished = threading.Event(), threading.Event()
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as error:  # told to the test by `stopped`
            self.failure = error
        finally:
            self.finished.set()
            self.ready.set()

    async def _serve(self) -> None:
        self.loop, self.stop_event = asyncio.get_running_loop(), asyncio.Event()

        def ready(addresses: list[tuple[str, int]]) -> None:
            (_, self.port), (_, self.admin_port) = addresses
            self.ready.set()

        await serve(
            Listener(app=self.application, host="127.0.0.1", port=0, context=self.tls.public),
            Listener(app=self.application, host="127.0.0.1", port=0, context=self.tls.admin),
            stop=self.stop_event,
            ready=ready,
        )

    def on_loop(self, function: Callable[[], Any]) -> None:
        done = threading.Event()

        def call() -> None:
            function()
            done.set()

        self.loop.call_soon_threadsafe(call)
        assert done.wait(10)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.stop_event.set)

    def stopped(self) -> None:
        if not self.finished.is_set():
            self.stop()
        self.application.release.set()
        assert self.finished.wait(20)
        self.thread.join()
        if self.failure is not None:
            raise self.failure

    def client(self, certificate: Certificate | None = None, tmp: Path | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.authority.pem)
        if certificate is not None:
            assert certificate.key_pem is not None
            assert tmp is not None
            path = tmp / f"{certificate.serial}.pem"
            path.write_text(certificate.key_pem + certificate.pem)
            context.load_cert_chain(path)
        return context

    def connection(self, context: ssl.SSLContext | None = None, port: int | None = None) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port or self.port), timeout=10)
        return (context or self.client()).wrap_socket(plain, server_hostname="localhost")

    def get(self, context: ssl.SSLContext | None = None, port: int | None = None) -> dict[str, Any]:
        connection = http.client.HTTPSConnection(
            "localhost", port or self.port, context=context or self.client(), timeout=10
        )
        with closing(connection):
            connection.request("GET", "/")
            told: dict[str, Any] = json.loads(connection.getresponse().read())
        return told


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    server = Running(settings)
    server.thread.start()
    assert server.ready.wait(10)
    try:
        yield server
    finally:
        server.stopped()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(Settings(home=str(tmp_path / "home"))) as server:
        yield server


def read_all(connection: ssl.SSLSocket) -> bytes:
    """Everything the server sends until it closes, however it closes."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except (ssl.SSLEOFError, ConnectionResetError):
        pass
    return received


def read_until(connection: ssl.SSLSocket, end: bytes) -> bytes:
    """What the server sends, up to ``end``."""
    received = b""
    while not received.endswith(end):
        chunk = connection.recv(65536)
        assert chunk, received
        received += chunk
    return received


# The handshake


def test_a_caller_without_a_certificate_is_served_over_tls_1_3_and_told_as_such(server: Running) -> None:
    assert server.get() == {"peer": None, "tls_version": 0x0304, "scheme": "https", "size": 0}


def test_the_application_sees_the_verified_certificate(server: Running, tmp_path: Path) -> None:
    issued = server.authority.issue_client("dist_c4f9", public_key=None, lifetime=DAYS_90, now=clock.now())
    assert server.get(server.client(issued, tmp_path))["peer"] == {
        "sha256": issued.sha256,
        "serial": issued.serial,
        "uri": "spiffe://altscore.in/distributor/dist_c4f9",
        "not_after": issued.not_after.isoformat(),
    }


def test_the_certificate_is_told_with_every_request_of_a_connection(server: Running, tmp_path: Path) -> None:
    issued = server.authority.issue_client("dist_c4f9", public_key=None, lifetime=DAYS_90, now=clock.now())
    connection = http.client.HTTPSConnection("localhost", server.port, context=server.client(issued, tmp_path))
    for _ in range(3):
        connection.request("POST", "/", body=b"x" * 100_000)
        told = json.loads(connection.getresponse().read())
        assert (told["peer"]["sha256"], told["size"]) == (issued.sha256, 100_000)
    connection.close()


def hostile_certificates(authority: Authority) -> dict[str, Certificate]:
    now, foreign = clock.now(), Authority.create(now=clock.now())
    client: dict[str, Any] = {"public_key": None, "lifetime": DAYS_90}
    return {
        "expired": authority.issue_client("dist_a", **client, now=now - timedelta(days=90, seconds=1)),
        "not yet valid": authority.issue_client("dist_a", **client, now=now + timedelta(hours=1)),
        "foreign authority of the same name": foreign.issue_client("dist_a", **client, now=now),
        "made for servers": authority.issue_server(["dist_a"], now=now),
    }


@pytest.mark.parametrize("case", ["expired", "not yet valid", "foreign authority of the same name", "made for servers"])
def test_a_certificate_that_does_not_verify_ends_the_handshake(server: Running, tmp_path: Path, case: str) -> None:
    context = server.client(hostile_certificates(server.authority)[case], tmp_path)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        server.get(context)
    assert server.application.requests == 0
    assert server.get()["peer"] is None, "the next caller is served"


def test_openssl_is_told_why(server: Running, tmp_path: Path) -> None:
    expected = {
        "expired": "certificate expired",
        "foreign authority of the same name": "unknown ca",
        "made for servers": "unsupported certificate",
    }
    for case, alert in expected.items():
        certificate = hostile_certificates(server.authority)[case]
        (tmp_path / "client.pem").write_text((certificate.key_pem or "") + certificate.pem)
        finished = s_client(server.port, "-ign_eof", "-cert", "client.pem", cwd=tmp_path)
        assert alert in finished.stderr, (case, finished.stderr)


def s_client(port: int, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", *arguments],
        input="GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        capture_output=True, text=True, cwd=cwd, timeout=20,
    )  # fmt: skip


def test_nothing_older_than_tls_1_3_is_spoken(server: Running, tmp_path: Path) -> None:
    context = server.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    for port in (server.port, server.admin_port):
        with pytest.raises(ssl.SSLError, match="alert protocol version"):
            server.connection(context, port)
    finished = s_client(server.port, "-tls1_2", cwd=tmp_path)
    assert "alert protocol version" in finished.stderr
    assert server.application.requests == 0
    assert "TLSv1.3" in s_client(server.port, "-ign_eof", cwd=tmp_path).stdout


def test_http_without_tls_is_not_answered(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        received = b""
        try:
            while chunk := plain.recv(4096):
                received += chunk
        except ConnectionResetError:
            pass
    assert b"HTTP" not in received
    assert server.application.requests == 0


def test_no_session_can_be_resumed(server: Running) -> None:
    with server.connection() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert b"200 OK" in read_all(connection)
        assert connection.session is None or not connection.session.has_ticket


def test_the_admin_listener_asks_for_no_certificate(server: Running, tmp_path: Path) -> None:
    issued = server.authority.issue_client("dist_c4f9", public_key=None, lifetime=DAYS_90, now=clock.now())
    assert server.get(server.client(issued, tmp_path), server.admin_port)["peer"] is None
    assert "Requested Signature Algorithms" in s_client(server.port, "-ign_eof", cwd=tmp_path).stdout
    assert "Requested Signature Algorithms" not in s_client(server.admin_port, "-ign_eof", cwd=tmp_path).stdout


def test_every_answer_demands_https_from_then_on(server: Running) -> None:
    for request in (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"nonsense\r\n\r\n"):
        with server.connection() as connection:
            connection.sendall(request)
            assert b"strict-transport-security: max-age=63072000; includeSubDomains\r\n" in read_all(connection)


# Reloading


def served_certificate(server: Running) -> str:
    return ssl.get_server_certificate(("127.0.0.1", server.port), timeout=10)


def test_a_new_certificate_is_served_without_a_restart_and_open_connections_live_on(server: Running) -> None:
    before = served_certificate(server)
    old = http.client.HTTPSConnection("localhost", server.port, context=server.client())
    old.request("GET", "/")
    old.getresponse().read()
    (server.settings.home_path / "certificates" / "server.pem").unlink()
    server.on_loop(lambda: server.tls.reload(now=clock.now()))
    assert served_certificate(server) != before
    old.request("GET", "/")
    assert old.getresponse().status == 200
    old.close()


def test_our_own_certificate_is_renewed_by_a_reload_when_it_nears_its_end(server: Running) -> None:
    before = served_certificate(server)
    server.on_loop(lambda: server.tls.reload(now=clock.now()))
    assert served_certificate(server) == before
    server.on_loop(lambda: server.tls.reload(now=clock.now() + timedelta(days=61)))
    assert served_certificate(server) != before


def test_a_reload_that_fails_changes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    authority = Authority.open(Settings(home=str(home)), keyring=KEYRING, now=clock.now())
    made = server_certificate(Settings(home=str(home)), authority=authority, now=clock.now())
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    text = made.read_text()
    split = text.index("-----BEGIN CERTIFICATE")
    key.write_text(text[:split])
    certificate.write_text(text[split:])
    with running(Settings(home=str(home), tls_cert=str(certificate), tls_key=str(key))) as server:
        before = served_certificate(server)
        other = authority.issue_server(["localhost"], now=clock.now())
        for broken in (other.pem, "", "nonsense"):  # the first: a good certificate of another key
            certificate.write_text(broken)
            with pytest.raises(TlsUnusable, match=r"cert\.pem"):
                server.tls.reload(now=clock.now())
            assert served_certificate(server) == before
        certificate.unlink()
        with pytest.raises(TlsUnusable, match=r"cert\.pem"):
            server.tls.reload(now=clock.now())
        assert server.get()["scheme"] == "https"


def test_an_authority_added_by_a_reload_counts(tmp_path: Path) -> None:
    first, second = Authority.create(now=clock.now()), Authority.create(now=clock.now(), name="second")
    path = tmp_path / "client_ca.pem"
    path.write_text(first.pem)
    with running(Settings(home=str(tmp_path / "home"), client_ca=str(path))) as server:
        made: dict[str, Any] = {"public_key": None, "lifetime": DAYS_90, "now": clock.now()}
        of_first, of_second = first.issue_client("dist_a", **made), second.issue_client("dist_b", **made)
        own = server.authority.issue_client("dist_c", **made)
        assert server.get(server.client(of_first, tmp_path))["peer"]["sha256"] == of_first.sha256
        for refused in (of_second, own):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
                server.get(server.client(refused, tmp_path))
        path.write_text(first.pem + second.pem)
        server.on_loop(lambda: server.tls.reload(now=clock.now()))
        for accepted in (of_first, of_second):
            assert server.get(server.client(accepted, tmp_path))["peer"]["sha256"] == accepted.sha256


def test_files_that_cannot_be_used_are_refused_by_name(tmp_path: Path) -> None:
    home = str(tmp_path)
    with pytest.raises(TlsUnusable, match="ALTCREDIT_TLS_CERT"):
        Tls.open(Settings(home=home, environment="production"), keyring=KEYRING, now=clock.now())
    with pytest.raises(TlsUnusable, match=r"absent\.pem"):
        Tls.open(Settings(home=home, tls_cert=str(tmp_path / "absent.pem")), keyring=KEYRING, now=clock.now())
    with pytest.raises(TlsUnusable, match=r"absent\.pem"):
        Tls.open(Settings(home=home, client_ca=str(tmp_path / "absent.pem")), keyring=KEYRING, now=clock.now())
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(TlsUnusable, match="PEM"):
        Tls.open(Settings(home=home, client_ca=str(tmp_path / "empty.pem")), keyring=KEYRING, now=clock.now())


# Stopping


def test_a_request_in_flight_is_finished_and_nothing_new_is_taken(server: Running) -> None:
    idle, busy = (
        http.client.HTTPSConnection("localhost", server.port, context=server.client(), timeout=10) for _ in range(2)
    )
    idle.request("GET", "/")
    idle.getresponse().read()
    busy.request("POST", "/slow", body=b"abc")
    assert server.application.entered.wait(10)
    server.stop()
    idle_socket = idle.sock
    assert idle_socket is not None
    assert idle_socket.recv(1) == b"", "an idle connection is closed at once"
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset
        server.get()
    assert not server.finished.is_set()
    server.application.release.set()
    answer = busy.getresponse()
    assert json.loads(answer.read())["size"] == 3
    assert answer.headers["connection"] == "close"
    assert server.finished.wait(10), "though neither client closes its side"
    idle.close()
    busy.close()


def test_an_address_in_use_is_reported_before_anything_is_served(tmp_path: Path) -> None:
    contexts = Tls.open(Settings(home=str(tmp_path)), keyring=KEYRING, now=clock.now())
    told: list[object] = []

    async def attempt(port: int) -> None:
        free, taken = (
            Listener(app=Application(), host="127.0.0.1", port=wanted, context=contexts.public) for wanted in (0, port)
        )
        await serve(free, taken, stop=asyncio.Event(), ready=told.append)

    with socket.create_server(("127.0.0.1", 0)) as holder, pytest.raises(OSError, match="in use"):
        uvloop.run(attempt(holder.getsockname()[1]))
    assert told == []


PROGRAM = """
import asyncio, sys, uvloop
from altcredit.runtime import clock
from altcredit.runtime.keys import Keyring
from altcredit.runtime.settings import Settings
from altcredit.runtime.tls import Listener, Tls, serve, signals

async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})

async def main():
    settings = Settings(home=sys.argv[1])
    tls = Tls.open(settings, keyring=Keyring.open(settings), now=clock.now())
    stop = asyncio.Event()

    def reload():
        tls.reload(now=clock.now())
        print("reloaded", flush=True)

    listener = Listener(app=application, host="127.0.0.1", port=0, context=tls.public)
    with signals(stop=stop, reload=reload):
        await serve(listener, stop=stop, ready=lambda addresses: print(addresses[0][1], flush=True))
    print("stopped", flush=True)

uvloop.run(main())
"""


@contextmanager
def program(home: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that serves, and its port."""
    environment = os.environ | {"PYTHONPATH": str(Path(altcredit.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(home)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reload_and_stop_a_process(tmp_path: Path, number: signal.Signals) -> None:
    with program(tmp_path) as (process, port):
        before = ssl.get_server_certificate(("127.0.0.1", port), timeout=10)
        (tmp_path / "certificates" / "server.pem").unlink()
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert process.stdout.readline() == "reloaded\n"
        assert ssl.get_server_certificate(("127.0.0.1", port), timeout=10) != before
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (0, "stopped\n", "")


def test_connections_that_never_speak_hold_up_a_stop_for_seconds_at_most(tmp_path: Path) -> None:
    with program(tmp_path) as (process, port):
        silent = socket.create_connection(("127.0.0.1", port), timeout=10)
        context = ssl.create_default_context(cafile=tmp_path / "certificates" / "ca.pem")
        halfway = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")
        halfway.sendall(b"GET / HTTP/1.1\r\nhost:")
        process.terminate()
        output, errors = process.communicate(timeout=tls.GOODBYE_SECONDS + 4)
        silent.close()
        halfway.close()
    assert (process.returncode, output, errors) == (0, "stopped\n", "")


# Limits


def error_of(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    assert b"connection: close" in head
    decoded = json.loads(body)
    assert decoded["request_id"].startswith("req_")
    assert f"x-request-id: {decoded['request_id']}".encode() in head
    return int(head.split()[1]), decoded["error"]["code"]


@pytest.mark.parametrize(
    "request_line",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"GET http:// HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
    ],
)
def test_what_is_not_http_is_answered_in_the_error_body_of_all_answers(server: Running, request_line: bytes) -> None:
    with server.connection() as connection:
        connection.sendall(request_line)
        assert error_of(read_all(connection)) == (400, "INVALID_REQUEST")
    assert server.application.requests == 0


@pytest.mark.parametrize(
    "chunks",
    [
        [b"GET / HTTP/1.1\r\nx: " + b"a" * 40_000 + b"\r\n\r\n"],
        [b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n"],
        [b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000 + b"\r\n"],
        [b"GET / HTTP/1.1\r\nx: ", *[b"a" * 1000] * 200],
        [b"GET / HTTP/1.1\r\n", *[b"x: y\r\n" * 100] * 200],
    ],
    ids=["one header", "path", "many headers", "endless header", "endless headers"],
)
def test_headers_beyond_the_limit_are_refused(server: Running, chunks: list[bytes]) -> None:
    with server.connection() as connection:
        received = b""
        try:
            for chunk in chunks:
                connection.sendall(chunk)
        except (ssl.SSLError, ConnectionError):
            pass  # the server has closed already; what it said may be lost with it
        else:
            received = read_all(connection)
    if len(chunks) == 1:
        assert error_of(received) == (431, "HEADERS_TOO_LARGE")
    assert server.application.requests == 0


def test_headers_within_the_limit_and_large_bodies_are_taken(server: Running) -> None:
    with server.connection() as connection:
        head = b"POST / HTTP/1.1\r\nconnection: close\r\nx: " + b"a" * 30_000
        connection.sendall(head + b"\r\ncontent-length: 3000000\r\n\r\n")
        connection.sendall(b"b" * 3_000_000)
        assert b'"size": 3000000' in read_all(connection)


def test_requests_sent_in_one_go_are_answered_in_order(server: Running) -> None:
    with server.connection() as connection:
        first = b"POST / HTTP/1.1\r\ncontent-length: 60000\r\n\r\n" + b"a" * 60_000
        last = b"POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab"
        connection.sendall(first + first + last[:30])
        connection.sendall(last[30:])
        answer = read_all(connection)
    assert [part.split(b"}")[0] for part in answer.split(b'"size": ')[1:]] == [b"60000", b"60000", b"2"]


def test_a_body_is_not_counted_as_headers_of_the_next_request(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "HEADER_BYTES", 150)
    with server.connection() as connection:
        whole = b"POST / HTTP/1.1\r\ncontent-length: 600\r\n\r\n" + b"a" * 600
        last = b"POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab"
        connection.sendall(whole + last[:30])  # one TLS record, so one piece
        read_until(connection, b'"size": 600}')
        connection.sendall(last[30:])
        assert b'"size": 2' in read_all(connection)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Running]:
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 0.4)
    monkeypatch.setattr(tls, "HEADER_SECONDS", 0.4)
    monkeypatch.setattr(tls, "BODY_SECONDS", 0.8)
    monkeypatch.setattr(tls, "KEEP_ALIVE_SECONDS", 2)
    with running(Settings(home=str(tmp_path / "home"))) as server:
        yield server


def answered(connection: ssl.SSLSocket) -> None:
    """Send a request and read its answer to the end."""
    connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert b"200 OK" in read_until(connection, b"}")


def seconds_until_closed(connection: socket.socket, drip: bytes = b"") -> float:
    """Send ``drip`` every 50 ms and say after how long the server hung up; 10 s are for ever."""
    started = time.monotonic()
    connection.settimeout(0.05)
    while time.monotonic() - started < 10:
        try:
            if drip:
                connection.sendall(drip)
            if connection.recv(65536) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - started


def test_a_client_that_never_starts_the_handshake_is_hung_up_on(hurried: Running) -> None:
    with socket.create_connection(("127.0.0.1", hurried.port)) as plain:
        assert 0.3 < seconds_until_closed(plain) < 3


@pytest.mark.parametrize("drip", [b"", b"x", b"\r\n"], ids=["silence", "a byte at a time", "line breaks"])
@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nx: "], ids=["nothing", "half a header"])
def test_a_client_that_never_ends_its_headers_is_hung_up_on(hurried: Running, start: bytes, drip: bytes) -> None:
    if start and drip == b"\r\n":
        drip = b"\r\ny: "
    with hurried.connection() as connection:
        connection.sendall(start)
        assert 0.3 < seconds_until_closed(connection, drip if start or drip == b"\r\n" else b"") < 3
    assert hurried.application.requests == 0


@pytest.mark.parametrize("drip", [b"", b"x"], ids=["silence", "a byte at a time"])
def test_a_client_that_never_ends_its_body_is_hung_up_on(hurried: Running, drip: bytes) -> None:
    with hurried.connection() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\ncontent-length: 100000\r\n\r\n")
        assert 0.7 < seconds_until_closed(connection, drip) < 4


@pytest.mark.parametrize(("drip", "least"), [(b"", 1.8), (b"\r\n", 0.3)], ids=["silence", "line breaks"])
def test_an_idle_connection_is_closed_after_its_keep_alive_time(hurried: Running, drip: bytes, least: float) -> None:
    with hurried.connection() as connection:
        answered(connection)
        assert least < seconds_until_closed(connection, drip) < 5


def test_a_second_request_has_its_own_time_and_no_more(hurried: Running) -> None:
    with hurried.connection() as connection:
        for _ in range(3):
            answered(connection)
        connection.sendall(b"GET / HT")
        assert 0.3 < seconds_until_closed(connection) < 3


def test_a_slow_answer_is_not_a_slow_client(hurried: Running) -> None:
    with hurried.connection() as connection:
        connection.sendall(b"POST /slow HTTP/1.1\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc")
        assert hurried.application.entered.wait(5)
        deadline = threading.Timer(1.5, hurried.application.release.set)
        deadline.start()
        assert b'"size": 3' in read_all(connection)
        deadline.join()
