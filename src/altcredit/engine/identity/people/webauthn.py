"""
What a hardware key proves (W3C WebAuthn Level 2, by Yubico's fido2), judged without I/O.

User presence and verification are required; a key whose secret could be copied to another device (backup-eligible) is
no hardware key.
"""

import base64
import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialRpEntity,
    UserVerificationRequirement,
)

from altcredit.engine.identity.people.party import RelyingParty
from altcredit.engine.identity.people.staff import KeyRefused

MAX_BYTES = 8192
# What parsing hostile CBOR, COSE and JSON by the library raises, besides its own ValueError.
UNPARSABLE = (
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    RecursionError,
    struct.error,
    InvalidSignature,
    UnsupportedAlgorithm,
)


def _server(party: RelyingParty) -> Fido2Server:
    """Return the library's verifier for this party."""
    entity = PublicKeyCredentialRpEntity(id=party.rp_id, name="AltCredit")
    return Fido2Server(entity, verify_origin=party.origin.__eq__)


Encoded = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_BYTES, pattern=r"^[A-Za-z0-9_-]+$")]


class _AssertionResponse(msgspec.Struct, frozen=True, rename="camel"):
    client_data_json: Encoded = msgspec.field(name="clientDataJSON")
    authenticator_data: Encoded
    signature: Encoded


class _Assertion(msgspec.Struct, frozen=True, rename="camel"):
    id: Encoded
    response: _AssertionResponse


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """A key has signed the challenge: which one, its counter, and the bytes that it signed with the signature."""

    credential_id: bytes
    sign_count: int
    signed: bytes


def unpacked(text: str) -> bytes:
    """Decode base64url without padding. Raises KeyRefused."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise KeyRefused("not base64url") from error


def packed(content: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Answer:
    """A key's answer to a challenge, parsed and not yet believed."""

    def __init__(self, content: bytes) -> None:
        """``content``: the JSON of the browser's PublicKeyCredential. Raises KeyRefused."""
        try:
            given = msgspec.json.decode(content, type=_Assertion) if len(content) <= MAX_BYTES else None
            if given is None:
                raise KeyRefused("too long")
            said = {
                "clientDataJSON": given.response.client_data_json,
                "authenticatorData": given.response.authenticator_data,
                "signature": given.response.signature,
            }
            self._parsed = AuthenticationResponse.from_dict({"id": given.id, "rawId": given.id, "response": said})
            self.credential_id: bytes = self._parsed.raw_id
            self.challenge: bytes = self._parsed.response.client_data.challenge
        except UNPARSABLE as error:
            raise KeyRefused("not the answer of a key") from error

    def proven(self, *, party: RelyingParty, challenge: bytes, credential: bytes, sign_count: int) -> Proven:
        """
        Return what the answer proves of the key with this attested ``credential`` data and last counter.

        :raises KeyRefused: another challenge, origin, party or key; user not verified; a key that can be copied; or a
            counter that did not rise, as that of a copied key.
        """
        state = {"challenge": packed(challenge), "user_verification": UserVerificationRequirement.REQUIRED}
        response = self._parsed.response
        try:
            _server(party).authenticate_complete(state, [AttestedCredentialData(credential)], self._parsed)
            crossed = response.client_data.cross_origin
        except UNPARSABLE as error:
            raise KeyRefused("the key's signature does not prove it") from error
        data = response.authenticator_data
        if crossed:
            raise KeyRefused("asked from within another site")
        if data.is_backup_eligible() or data.is_backed_up():
            raise KeyRefused("a key that can be copied")
        if (data.counter or sign_count) and data.counter <= sign_count:
            raise KeyRefused("the key's counter did not rise: it may have been copied")
        signed = bytes(data) + bytes(response.client_data) + response.signature
        return Proven(credential_id=self.credential_id, sign_count=data.counter, signed=signed)


def request_options(*, party: RelyingParty, challenge: bytes, credential_ids: Sequence[bytes]) -> Mapping[str, Any]:
    """Return PublicKeyCredentialRequestOptions as JSON values: bytes are base64url."""
    return {
        "challenge": packed(challenge),
        "rpId": party.rp_id,
        "allowCredentials": [{"type": "public-key", "id": packed(one)} for one in credential_ids],
        "userVerification": "required",
        "timeout": 60_000,
    }


def bound_challenge(nonce: bytes, *, session_id: str, action: str, request_sha256: bytes) -> bytes:
    """
    Return a challenge (64 bytes) that says what a signature over it is for.

    32 random bytes, then SHA-256 over them, the session, the action and the request's SHA-256, each with its length
    before it: whoever has the signed bytes can check what was signed.
    """
    parts = (nonce, session_id.encode(), action.encode(), request_sha256)
    content = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return nonce + hashlib.sha256(content).digest()
