"""Tokens and keys (API-ALTSCORE-001, section 02; contract X1)."""

from typing import Annotated, Any

import msgspec

from altcredit.api.contract import Call, Nothing, Route, Unavailable
from altcredit.engine import identity
from altcredit.runtime import quotas
from altcredit.runtime.ids import new_id
from altcredit.runtime.quotas import Quota

# Section 09: brute-force protection, counted for unknown client ids too.
TOKEN_QUOTA = Quota(name="minute", limit=10, seconds=60)


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A client's credentials."""

    client_id: Annotated[str, msgspec.Meta(pattern=r"^[a-z]+_[A-Za-z0-9_-]{1,64}$", examples=["lender_shriram"])]
    client_secret: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An access token."""

    access_token: str
    token_type: str
    expires_in: Annotated[int, msgspec.Meta(description="Seconds.")]


class Jwks(msgspec.Struct, frozen=True, kw_only=True):
    """
    A JSON Web Key Set (RFC 7517): RS256 keys that sign tokens, will next, or did until lately; every ES256 key that
    ever signed receipts.
    """

    keys: list[dict[str, Any]]


async def issue_token(call: Call, asked: TokenRequest) -> TokenAnswer:
    async with call.platform.database.transaction() as db:
        # Committed before the secret is judged: a wrong guess counts.
        call.allowance = await quotas.take(db, quota=TOKEN_QUOTA, subject=f"token|{asked.client_id}", now=call.now)
    async with call.platform.database.transaction() as db:
        client = await identity.authenticate_client(
            db,
            keyring=call.platform.keyring,
            client_id=asked.client_id,
            client_secret=asked.client_secret,
            now=call.now,
        )
    token = identity.issue_access_token(
        client, signing_keys=call.platform.signing, token_id=new_id("tok"), now=call.now
    )
    return TokenAnswer(access_token=token.token, token_type="Bearer", expires_in=token.expires_in)  # noqa: S106


async def jwks(call: Call, _asked: Nothing) -> Jwks:
    signing = call.platform.signing
    return Jwks(keys=[*signing.jwks()["keys"], *signing.published("receipt")])


_JWKS = Route(
    method="GET",
    path="/.well-known/jwks.json",
    operation="readKeys",
    tag="Authentication",
    summary="Public keys of access tokens and decision receipts",
    handler=jwks,
    answers=Jwks,
)
ROUTES = (
    Route(
        method="POST",
        path="/v1/auth/token",
        operation="issueToken",
        tag="Authentication",
        summary="Exchange a client's credentials for an access token",
        handler=issue_token,
        asks=TokenRequest,
        answers=TokenAnswer,
        refusals=(identity.ClientInvalid, Unavailable),
        limits={"minute": TOKEN_QUOTA.limit},
    ),
    _JWKS,
    msgspec.structs.replace(_JWKS, path="/v1/.well-known/jwks.json", operation="readKeysOfVersion"),
)
