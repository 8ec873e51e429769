"""
The transit engine of HashiCorp Vault or OpenBao: a key that encrypts and decrypts for whoever has a token.

Only its ``encrypt`` and ``decrypt`` are called: https, or http to an agent on loopback, which may add the token itself.
No redirect is followed and no proxy is asked, since the request carries a token.
"""

import base64
import http.client
import ipaddress
import re
import ssl
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, quote, urlsplit

import msgspec

from altcredit.runtime.custody import BOUND_TO, CustodianUnusable, secret
from altcredit.runtime.settings import Settings

SECONDS = 10.0
_LONGEST_ANSWER = 1 << 20
_KEY = re.compile(r"[\w.-]+(/[\w.-]+)+")
# Of its answers without a text of their own: https://developer.hashicorp.com/vault/api-docs#http-status-codes
_STATUSES = {
    403: "the token is refused, or its policy does not allow this",
    404: "there is no such mount or key",
    429: "this server is a standby: name the active one",
    472: "this server is a disaster-recovery secondary: name the active one",
    473: "this server is a performance standby: name the active one",
    503: "it is sealed, or down for maintenance",
}


class Vault:
    """One key of a transit engine on one server."""

    def __init__(
        self,
        *,
        address: str,
        server: SplitResult,
        token: str = "",
        namespace: str = "",
        context: ssl.SSLContext | None = None,
        seconds: float = SECONDS,
    ) -> None:
        """``address`` is ``vault:MOUNT/KEY``; ``seconds`` bounds each wait for the server."""
        self.address = address
        self._server = server
        self._context = context
        self._seconds = seconds
        mount, _, key = address.removeprefix("vault:").rpartition("/")
        self._paths = {what: f"{server.path.rstrip('/')}/v1/{quote(mount)}/{what}/{quote(key)}" for what in _FIELDS}
        self._headers = {"Content-Type": "application/json", "X-Vault-Request": "true"}
        if token:
            self._headers["X-Vault-Token"] = token
        if namespace:
            self._headers["X-Vault-Namespace"] = namespace

    @classmethod
    def at(cls, address: str, key: str, settings: Settings) -> Self:
        """Return the key on the server that the settings name. Raises CustodianUnusable."""
        if not _KEY.fullmatch(key):
            raise CustodianUnusable(f"{address}: must be vault:MOUNT/KEY, as in vault:transit/altcredit.")
        server = _server(settings.vault_address)
        if server is None:
            raise CustodianUnusable(
                f"{address}: set ALTCREDIT_VAULT_ADDRESS to https://…, or http:// for an agent on a loopback address."
            )
        return cls(
            address=address,
            server=server,
            token=secret(settings.vault_token_file, "ALTCREDIT_VAULT_TOKEN_FILE") if settings.vault_token_file else "",
            namespace=settings.vault_namespace,
            context=_context(settings.vault_ca) if server.scheme == "https" else None,
        )

    def wrap(self, content: bytes) -> str:
        """Return ``vault:v1:…``. Raises CustodianUnusable."""
        return self._asked("encrypt", {"plaintext": base64.b64encode(content).decode()})

    def unwrap(self, wrapped: str) -> bytes:
        """Return the content. Raises CustodianUnusable."""
        try:
            return base64.b64decode(self._asked("decrypt", {"ciphertext": wrapped}), validate=True)
        except ValueError as error:
            raise CustodianUnusable(f"{self._whom}: what it decrypted is not base64.") from error

    @property
    def _whom(self) -> str:
        return f"{self.address} at {self._server.scheme}://{self._server.netloc}"

    def _asked(self, what: str, request: dict[str, str]) -> str:
        request["associated_data"] = base64.b64encode(BOUND_TO).decode()
        status, body = self._posted(self._paths[what], msgspec.json.encode(request))
        try:
            answer: Any = msgspec.json.decode(body)
        except msgspec.DecodeError:
            answer = None
        if status != 200:
            said = "; ".join(map(str, answer.get("errors") or ())) if isinstance(answer, dict) else ""
            reason = " ".join(said.split())[:300] or _STATUSES.get(status, "that is no answer of a transit engine")
            raise CustodianUnusable(f"{self._whom} answered {status} to {what}: {reason}.")
        try:
            found = answer["data"][_FIELDS[what]]
        except (KeyError, TypeError) as error:
            raise CustodianUnusable(f"{self._whom}: its answer to {what} holds no {_FIELDS[what]}.") from error
        if not isinstance(found, str):
            raise CustodianUnusable(f"{self._whom}: its answer to {what} holds no {_FIELDS[what]}.")
        return found

    def _posted(self, path: str, body: bytes) -> tuple[int, bytes]:
        host, port = self._server.hostname or "", self._server.port
        connection: http.client.HTTPConnection
        if self._context is None:
            connection = http.client.HTTPConnection(host, port, timeout=self._seconds)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=self._seconds, context=self._context)
        try:
            connection.request("POST", path, body=body, headers=self._headers)
            answer = connection.getresponse()
            return answer.status, answer.read(_LONGEST_ANSWER)
        except ssl.SSLCertVerificationError as error:
            reason = f"its certificate is not accepted ({error.verify_message}); see ALTCREDIT_VAULT_CA"
            raise CustodianUnusable(f"{self._whom}: {reason}.") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise CustodianUnusable(f"{self._whom} cannot be reached: {reason}.") from error
        finally:
            connection.close()


_FIELDS = {"encrypt": "ciphertext", "decrypt": "plaintext"}


def _server(address: str) -> SplitResult | None:
    """Return the parts of a server's address, None for one that a token must not be sent to."""
    try:
        server = urlsplit(address)
        is_local = server.scheme == "http" and ipaddress.ip_address(server.hostname or "").is_loopback
        is_plain = (
            bool(server.hostname) and server.port != 0 and not (server.username or server.query or server.fragment)
        )
    except ValueError:
        return None
    return server if is_plain and (server.scheme == "https" or is_local) else None


def _context(authorities: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(Path(authorities).expanduser()) if authorities else None)
    except OSError as error:
        raise CustodianUnusable(f"ALTCREDIT_VAULT_CA: {authorities} cannot be used ({error}).") from error
