"""
Signatures of callbacks, as Standard Webhooks has them (https://www.standardwebhooks.com; contract U6).

What is signed is ``<webhook-id>.<webhook-timestamp>.<body>``. Every live secret adds one signature to the header
``webhook-signature``, separated by spaces, so that a receiver accepts callbacks throughout a rotation: ``v1,<base64>``
is HMAC-SHA256 under the bytes of a shared ``whsec_<base64>``, ``v1a,<base64>`` is ed25519 under the private half of a
``whpk_<base64>``.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from altcredit.runtime.refusal import Refusal

KEY_BYTES = 32
TOLERANCE = timedelta(minutes=5)

Kind = Literal["hmac", "ed25519"]


class SignatureInvalid(Refusal):
    """A callback's signature headers are missing, malformed, of another key, or too old."""


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """What callbacks are signed with: the 32 bytes of a shared secret, or of an ed25519 private key."""

    kind: Kind
    key: bytes

    def __repr__(self) -> str:
        return f"SigningKey({self.kind})"


def secret_text(key: bytes) -> str:
    """Return a shared secret as partners are given it, ``whsec_<base64>``."""
    return "whsec_" + base64.b64encode(key).decode()


def public_text(key: bytes) -> str:
    """Return the public half of an ed25519 private key (32 bytes), ``whpk_<base64>``."""
    return (
        "whpk_" + base64.b64encode(Ed25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw()).decode()
    )


def signed_headers(*, webhook_id: str, body: bytes, keys: Iterable[SigningKey], now: datetime) -> dict[str, str]:
    """Return the three headers of a callback that is sent now."""
    timestamp = str(int(now.timestamp()))
    content = _content(webhook_id, timestamp, body)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(key, content) for key in keys),
    }


def _content(webhook_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{webhook_id}.{timestamp}.".encode() + body


def _signature(key: SigningKey, content: bytes) -> str:
    if key.kind == "hmac":
        return "v1," + base64.b64encode(hmac.digest(key.key, content, "sha256")).decode()
    return "v1a," + base64.b64encode(Ed25519PrivateKey.from_private_bytes(key.key).sign(content)).decode()


def verify(
    *,
    headers: Mapping[str, str],
    body: bytes,
    key: str,
    now: datetime,
    tolerance: timedelta = TOLERANCE,
) -> None:
    """
    Verify a received callback by a secret ``whsec_…`` or a public key ``whpk_…``; one right signature suffices.

    :param headers: the request's, their names in lower case.
    :param body: the raw bytes, before any parsing.

    :raises SignatureInvalid:
    :raises ValueError: the key is neither of the two.
    """
    try:
        webhook_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        signatures = headers["webhook-signature"].split(" ")
        sent = int(timestamp) if timestamp.isascii() and timestamp.isdecimal() else None
    except KeyError as missing:
        raise SignatureInvalid(f"the header {missing} is missing") from missing
    if sent is None or len(timestamp) > 12:
        raise SignatureInvalid("webhook-timestamp is not a time in Unix seconds")
    version, matches = _matcher(key, _content(webhook_id, timestamp, body))
    given = [_decoded(one.removeprefix(version)) for one in signatures if one.startswith(version)]
    if not any(matches(signature) for signature in given):
        raise SignatureInvalid("no signature of this key matches the id, the time and the body")
    if abs(now.timestamp() - sent) > tolerance.total_seconds():
        raise SignatureInvalid(f"the signature is more than {tolerance} from the present")


def _decoded(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if base64.b64encode(raw).decode() == text else b""  # one signature has one spelling


def _matcher(key: str, content: bytes) -> tuple[str, Callable[[bytes], bool]]:
    raw = base64.b64decode(key.partition("_")[2], validate=True)
    if key.startswith("whsec_"):
        expected = hmac.digest(raw, content, "sha256")
        return "v1,", lambda signature: hmac.compare_digest(expected, signature)
    if not key.startswith("whpk_"):
        raise ValueError("a key begins with whsec_ or whpk_")
    public = Ed25519PublicKey.from_public_bytes(raw)

    def matches(signature: bytes) -> bool:
        try:
            public.verify(signature, content)
        except InvalidSignature:
            return False
        return True

    return "v1a,", matches
