from datetime import datetime

import msgspec

from altcredit.engine.identity.client import Client
from altcredit.runtime.signing import SigningKeys
from altcredit.runtime.tokens import Claims

TOKEN_SECONDS = 3_600  # section 02: "Token TTL 1 hour"


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """A signed token and the seconds it lives."""

    token: str
    expires_in: int


def issue_access_token(client: Client, *, signing_keys: SigningKeys, token_id: str, now: datetime) -> AccessToken:
    """Sign a token for an authenticated client; ``token_id`` becomes its jti, unique per token (section 02)."""
    issued_at = int(now.timestamp())
    claims = Claims(
        sub=client.client_id,
        iss=signing_keys.issuer,
        iat=issued_at,
        exp=issued_at + TOKEN_SECONDS,
        jti=token_id,
        scope=" ".join(client.scopes),
        kind=client.kind,
    )
    return AccessToken(token=signing_keys.issue_token(claims), expires_in=TOKEN_SECONDS)
