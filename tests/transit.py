"""
A transit engine on loopback, as https://developer.hashicorp.com/vault/api-docs/secret/transit documents it.

It has what a client can meet: tokens with policies, namespaces, key versions, a seal, a standby.
"""

import base64
import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from altcredit.runtime import clock
from altcredit.runtime.certificates import Authority


class Refused(Exception):
    """An answer other than 200; ``errors`` as the engine words them."""

    def __init__(self, status: int, *errors: str) -> None:
        super().__init__(status)
        self.status, self.errors = status, list(errors)


class Transit:
    """Keys by ``namespace/mount/name``, each a list of versions; tokens with the operations that they allow."""

    def __init__(self) -> None:
        self.keys: dict[str, list[bytes]] = {"/transit/altcredit": [AESGCM.generate_key(256)]}
        self.tokens: dict[str, set[str]] = {"s.good": {"encrypt", "decrypt"}, "s.reader": {"decrypt"}}
        self.sealed = False
        self.standby: str | None = None
        self.instead: tuple[int, bytes] | None = None
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.wait = threading.Event()
        self.wait.set()

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        if self.sealed:
            raise Refused(503, "Vault is sealed")
        found = re.fullmatch(r"/v1/(.+)/(encrypt|decrypt)/([^/]+)", path)
        namespace = headers.get("x-vault-namespace", "")
        mounts = {key.rpartition("/")[0] for key in self.keys}
        if found is None or f"{namespace}/{found[1]}" not in mounts:
            raise Refused(404, f'no handler for route "{path.removeprefix("/v1/")}". route entry not found.')
        if found[2] not in self.tokens.get(headers.get("x-vault-token", ""), set()):
            raise Refused(403, "1 error occurred:\n\t* permission denied\n\n")
        versions = self.keys.get(f"{namespace}/{found[1]}/{found[3]}")
        if versions is None:
            raise Refused(400 if found[2] == "decrypt" else 404, "encryption key not found")
        given = json.loads(body)
        bound = base64.b64decode(given.get("associated_data", ""))
        if found[2] == "encrypt":
            return {"ciphertext": self._encrypted(versions, base64.b64decode(given["plaintext"]), bound)}
        return {"plaintext": self._decrypted(versions, given["ciphertext"], bound)}

    def _encrypted(self, versions: list[bytes], plain: bytes, bound: bytes) -> str:
        nonce = AESGCM.generate_key(128)[:12]
        sealed = nonce + AESGCM(versions[-1]).encrypt(nonce, plain, bound)
        return f"vault:v{len(versions)}:{base64.b64encode(sealed).decode()}"

    def _decrypted(self, versions: list[bytes], text: str, bound: bytes) -> str:
        if not text.startswith("vault:v"):
            raise Refused(400, "invalid ciphertext: no prefix")
        version, _, sealed = text.removeprefix("vault:v").partition(":")
        if not 1 <= int(version) <= len(versions):
            raise Refused(400, "invalid ciphertext: version is too new")
        try:
            raw = base64.b64decode(sealed, validate=True)
            return base64.b64encode(AESGCM(versions[int(version) - 1]).decrypt(raw[:12], raw[12:], bound)).decode()
        except InvalidTag as error:
            raise Refused(400, "cipher: message authentication failed") from error
        except ValueError as error:
            raise Refused(400, "invalid ciphertext: could not decode base64") from error


def _handler(transit: Transit) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer is one write

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers["content-length"]))
            transit.requests.append((self.path, headers))
            transit.wait.wait(60)
            if transit.standby:
                self.send_response(307)
                self.send_header("Location", transit.standby + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if transit.instead:
                self._say(*transit.instead)
                return
            try:
                self._say(200, json.dumps({"data": transit.answer(self.path, headers, body)}).encode())
            except Refused as refused:
                self._say(refused.status, json.dumps({"errors": refused.errors}).encode())

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(transit: Transit, folder: Path, *, tls: bool = True) -> Iterator[str]:
    """Serve on loopback and lend the address; with TLS, ``folder/ca.pem`` is whom to trust."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(transit))
    if tls:
        authority = Authority.create(now=clock.now())
        issued = authority.issue_server(["127.0.0.1"], now=clock.now())
        (folder / "ca.pem").write_text(authority.pem)
        (folder / "server.pem").write_text(f"{issued.key_pem}{issued.pem}")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder / "server.pem")
        # The handshake is the first read's, on the connection's own thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        transit.wait.set()
        server.shutdown()
        thread.join()
        server.server_close()
