"""The installation's account at WhatsApp (Cloud API): where to send, by whose leave, and how to know its webhooks."""

import hashlib
import hmac
import secrets
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from altcredit.runtime.keys import write_private
from altcredit.runtime.settings import Settings, SettingsInvalid

API_VERSION = "v23.0"
_DEVELOPMENT_NUMBER = "106400000000000"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """
    Addresses and secrets of one phone number at WhatsApp.

    Empty secrets match nothing: an installation that is not set up takes no webhook. Nothing is sent without
    ``base_url``.
    """

    base_url: str
    phone_number_id: str
    listens_to: str | None = None
    """The phone number whose webhooks are taken; None: every one that is signed by the app."""
    verify_token: str
    app_secret: str
    access_token: str

    @classmethod
    def of(cls, settings: Settings) -> "Account":
        """
        Return the account that the settings name. Outside production, secrets that are not named are made up once.

        :raises SettingsInvalid: a file cannot be read, or the address is not https (loopback outside production).
        """
        return _account(settings)

    @property
    def messages_url(self) -> str:
        """Where messages are posted to."""
        return f"{self.base_url}/{API_VERSION}/{self.phone_number_id}/messages"

    def verifies(self, token: str) -> bool:
        """Tell whether a handshake knows the verify token (constant time)."""
        return bool(self.verify_token) and hmac.compare_digest(self.verify_token.encode(), token.encode())

    def signs(self, body: bytes, header: str | None) -> bool:
        """Tell whether ``X-Hub-Signature-256`` is WhatsApp's over these raw bytes (constant time)."""
        expected = f"sha256={signature(self.app_secret, body)}"
        return bool(self.app_secret) and hmac.compare_digest(expected.encode(), (header or "").encode())


def signature(app_secret: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of a body under the app secret, lower-case hex."""
    return hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


class _Secrets(msgspec.Struct, frozen=True, kw_only=True):
    verify_token: str
    app_secret: str
    access_token: str


@lru_cache(maxsize=16)
def _account(settings: Settings) -> Account:
    invented = None if settings.environment == "production" else _development(settings.home_path)
    return Account(
        base_url=_address(settings),
        phone_number_id=settings.whatsapp_phone_number_id or _DEVELOPMENT_NUMBER,
        listens_to=settings.whatsapp_phone_number_id or None,
        verify_token=settings.whatsapp_verify_token or (invented.verify_token if invented else ""),
        app_secret=_secret(settings.whatsapp_app_secret_file) or (invented.app_secret if invented else ""),
        access_token=_secret(settings.whatsapp_access_token_file) or (invented.access_token if invented else ""),
    )


def _development(home: Path) -> _Secrets:
    path = home / "keys" / "whatsapp.json"
    made = _Secrets(**{name: secrets.token_hex(16) for name in _Secrets.__struct_fields__})
    try:
        write_private(path, msgspec.json.encode(made), replace=False)
    except FileExistsError:  # another process, or another day, was first
        return msgspec.json.decode(path.read_bytes(), type=_Secrets)
    return made


def _address(settings: Settings) -> str:
    base_url = settings.whatsapp_base_url.rstrip("/")
    parts = urlsplit(base_url)
    local = settings.environment != "production" and parts.scheme == "http" and parts.hostname in _LOOPBACK
    if base_url and not local and (parts.scheme != "https" or not parts.hostname or parts.username):
        raise SettingsInvalid("ALTCREDIT_WHATSAPP_BASE_URL: must be https (http to loopback outside production).")
    return base_url


def _secret(file: str) -> str:
    if not file:
        return ""
    try:
        text = Path(file).expanduser().read_text("ascii").strip()
    except (OSError, UnicodeError) as error:
        raise SettingsInvalid(f"{file}: cannot be read as a secret ({type(error).__name__}).") from error
    if not text:
        raise SettingsInvalid(f"{file}: holds no secret.")
    return text
