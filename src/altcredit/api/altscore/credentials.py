"""Who may call AltScore, and how they prove it (API-ALTSCORE-001, section 02)."""

from collections.abc import Awaitable, Callable

from altcredit.api.contract import Call, Caller, Credential, Header, Scheme
from altcredit.engine import identity, messaging, retailers
from altcredit.runtime import clock, tokens
from altcredit.runtime.peer import peer_certificate
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.tokens import Claims


class TokenMissing(Refusal):
    """There is no Authorization header."""


class ScopeMissing(Refusal):
    """The token is good, but was not issued for this."""


_BEARER = Scheme(
    name="bearer",
    openapi={
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT (RS256)",
        "description": "From `POST /v1/auth/token`; one hour.",
    },
)
_CLIENT_ID = Scheme(
    name="clientId",
    openapi={
        "type": "apiKey",
        "in": "header",
        "name": "X-Client-ID",
        "description": "The client's id; must match the token's `sub`.",
    },
)
_MTLS = Scheme(
    name="clientCertificate",
    openapi={"type": "mutualTLS", "description": "The distributor's certificate (90 days)."},
)
_API_KEY = Scheme(
    name="apiKey",
    openapi={"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The distributor's API key."},
)
_SIGNATURE = Scheme(
    name="payloadSignature",
    openapi={
        "type": "apiKey",
        "in": "header",
        "name": "X-Payload-Signature",
        "description": "HMAC-SHA256 of the raw body, keyed with the signing secret's text; lower-case hex.",
    },
)

SIGNATURE_V2 = Header(
    name="X-Payload-Signature-V2",
    description=(
        "`t=<unix seconds>,v2=<hex>`: HMAC-SHA256 over `timestamp.batch_id.body`, within five minutes; may be required."
    ),
)


async def _verified(call: Call, token: str) -> Claims:
    signing = call.platform.signing
    try:
        return signing.verify_token(token, call.now)
    except tokens.UnknownKey:
        # Signed elsewhere by a key that came into use since this process last looked.
        if not await call.platform.keys_looked_up():
            raise
        return signing.verify_token(token, call.now)


async def _bearer(call: Call) -> Claims:
    authorization = call.headers.get("authorization")
    if authorization is None:
        raise TokenMissing
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise tokens.TokenInvalid
    return await _verified(call, token.strip())


async def _claims(call: Call, kind: str) -> Claims:
    claims = await _bearer(call)
    if claims.kind != kind or call.headers.get("x-client-id") != claims.sub:
        raise tokens.TokenInvalid
    return claims


async def _lender(call: Call) -> Caller:
    # Whether the lender is suspended or the token withdrawn is read in the statement that reads the answer.
    claims = await _claims(call, "lender")
    return Caller(kind="lender", id=claims.sub, subject=claims)


LENDER = Credential(
    schemes=(_BEARER, _CLIENT_ID),
    identify=_lender,
    refusals=(TokenMissing, tokens.TokenInvalid, tokens.TokenExpired),
)


async def _retailer(call: Call) -> Caller:
    claims = await _bearer(call)
    if claims.kind != messaging.TOKEN_KIND or call.headers.get("x-client-id", claims.sub) != claims.sub:
        raise tokens.TokenInvalid
    messaging.require_living(claims, keyring=call.platform.keyring, now=call.now, uptime=clock.uptime())
    async with call.platform.database.transaction() as db:
        known = await retailers.canonical(db, retailer_ids=(claims.sub,))
        if claims.sub not in known or await identity.is_denied(db, jti=claims.jti):
            raise tokens.TokenInvalid
    return Caller(kind="retailer", id=known[claims.sub], subject=claims)


RETAILER = Credential(
    schemes=(
        Scheme(
            name="retailer",
            openapi={
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT (RS256)",
                "description": "From `POST /v1/me/token`; 15 minutes, for one retailer.",
            },
        ),
    ),
    identify=_retailer,
    refusals=(TokenMissing, tokens.TokenInvalid, tokens.TokenExpired),
)


def service(scope: str) -> Credential:
    """Return the credential of an internal service whose token has ``scope``."""

    async def identify(call: Call) -> Caller:
        claims = await _claims(call, "service")
        async with call.platform.database.transaction() as db:
            if not await identity.is_active(db, client_id=claims.sub, jti=claims.jti):
                raise identity.ClientInactive
        if scope not in claims.scope.split():
            raise ScopeMissing
        return Caller(kind="service", id=claims.sub, subject=claims)

    return Credential(
        schemes=(_BEARER, _CLIENT_ID),
        identify=identify,
        refusals=(TokenMissing, tokens.TokenInvalid, tokens.TokenExpired, ScopeMissing),
    )


async def _distributor(call: Call) -> Caller:
    certificate = peer_certificate(call.scope, call.platform.trusted_proxies)
    async with call.platform.database.transaction() as db:
        distributor = await identity.distributor_by_credentials(
            db,
            keyring=call.platform.keyring,
            cert_sha256=certificate.sha256 if certificate else None,
            api_key=call.headers.get("x-api-key"),
            now=call.now,
        )
    return Caller(kind="distributor", id=distributor.distributor_id, subject=distributor)


_PROVE_DISTRIBUTOR: Callable[[Call], Awaitable[Caller]] = _distributor
_DISTRIBUTOR_REFUSALS = (
    identity.CertificateUnknown,
    identity.ApiKeyInvalid,
    identity.DistributorMismatch,
    identity.DistributorSuspended,
)

DISTRIBUTOR = Credential(schemes=(_MTLS, _API_KEY), identify=_PROVE_DISTRIBUTOR, refusals=_DISTRIBUTOR_REFUSALS)
# The signature is judged over the raw body, after the headers and before any JSON (contract A2).
DISTRIBUTOR_SIGNED = Credential(
    schemes=(_MTLS, _API_KEY, _SIGNATURE),
    identify=_PROVE_DISTRIBUTOR,
    refusals=(*_DISTRIBUTOR_REFUSALS, identity.SignatureInvalid),
)
