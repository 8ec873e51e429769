"""
The one form of access token that is accepted: JWS compact, RS256, signed by us (API-ALTSCORE-001, section 02).

joserfc computes the signature; the profile around it is ours, and refuses everything that libraries have been fooled
by: other algorithms, `none`, keys named in the header, duplicate names, encodings that decode to the same bytes.
"""

import base64
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, NoReturn

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from altcredit.runtime.refusal import Refusal

ALGORITHM = "RS256"
_MAX_LENGTH = 4096
_SHAPE = re.compile(r"([A-Za-z0-9_-]{1,512})\.([A-Za-z0-9_-]{1,3000})\.([A-Za-z0-9_-]{1,1024})")
_REGISTRY = jws.JWSRegistry(algorithms=[ALGORITHM])
_HEADER_NAMES = frozenset({"alg", "kid", "typ"})

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Seconds = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class TokenInvalid(Refusal):
    """The token is not one of ours, whatever else may be wrong with it."""


class UnknownKey(TokenInvalid):
    """The token names a signing key that is not here: a stranger's, or one newer than the last refresh."""


class TokenExpired(Refusal):
    """A genuine token whose time is over."""


class Claims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What an access token says. Times are Unix seconds; ``scope`` is a list separated by spaces.

    ``began``: a mark of the host that issued it, and of how many seconds it had run, where that is judged too.
    """

    sub: _Text
    iss: _Text
    exp: _Seconds
    iat: _Seconds
    jti: _Text
    scope: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    kind: Annotated[str, msgspec.Meta(max_length=40)] = ""
    began: Annotated[str, msgspec.Meta(pattern=r"^\S{1,80} \d{1,15}$")] | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(Claims)


def encode(claims: Claims, *, key: RSAKey, kid: str) -> str:
    """Return the signed token."""
    header = {"alg": ALGORITHM, "kid": kid, "typ": "JWT"}
    return jws.serialize_compact(header, msgspec.json.encode(claims), key, registry=_REGISTRY)


def verify(token: str, *, keys: Mapping[str, RSAKey], issuer: str, now: datetime) -> tuple[str, Claims]:
    """
    Return the kid and the claims of a genuine, unexpired token; ``keys`` are the public keys by kid.

    The signature is judged before the claims, and the expiry last, so that only a genuine token is told apart as
    expired. There is no leeway: a token is dead at the second ``exp`` names.

    :raises TokenInvalid: UnknownKey where the kid is not among ``keys``.
    :raises TokenExpired:
    """
    shape = _SHAPE.fullmatch(token) if len(token) <= _MAX_LENGTH else None
    if shape is None:
        raise TokenInvalid("not a signed token in compact form")
    header, payload, _ = (_canonical(segment) for segment in shape.groups())
    kid = _kid(header)
    if kid not in keys:
        raise UnknownKey("signed by an unknown key")
    try:
        jws.deserialize_compact(token, keys[kid], registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise TokenInvalid("the signature does not verify") from error
    try:
        claims = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TokenInvalid("the claims are not those of an access token") from error
    if claims.iss != issuer or claims.exp <= claims.iat:
        raise TokenInvalid("the claims are not those of an access token")
    require_unexpired(claims, now)
    return kid, claims


def require_unexpired(claims: Claims, now: datetime) -> None:
    """Raise TokenExpired at and after ``exp``."""
    if now.timestamp() >= claims.exp:
        raise TokenExpired("the token has expired")


def _canonical(segment: str) -> bytes:
    """Decode base64url, but only the one encoding that RFC 7515 gives these bytes (unused bits zero, no padding)."""
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError as error:
        raise TokenInvalid("not base64url") from error
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment.encode():
        raise TokenInvalid("not canonical base64url")
    return decoded


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("duplicate names")
    return names


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _kid(header: bytes) -> str:
    try:
        names = json.loads(header.decode(), object_pairs_hook=_distinct, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise TokenInvalid("the header is not a JSON object with distinct names") from error
    if not isinstance(names, dict) or not names.keys() <= _HEADER_NAMES or names.get("alg") != ALGORITHM:
        raise TokenInvalid("the header is not one of ours")
    if names.get("typ", "JWT") != "JWT" or not isinstance(names.get("kid"), str):
        raise TokenInvalid("the header is not one of ours")
    kid: str = names["kid"]
    return kid
