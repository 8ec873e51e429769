"""
The keys that sign: access tokens (RS256), consents, models, receipts and audit heads (ECDSA P-256 with SHA-256).

A key is *next* (published, not used), then *active* for six months, then *retiring* for 14 days (its signatures still
count, its private part is destroyed), then *gone*. Publishing the next key before its use, and refreshing more often
than keys are rotated, means that no process meets a signature by a key it has not seen. Access tokens by a gone key
are refused; what the others signed stays verifiable for ever, which is why public parts are kept.

The functions write on the caller's transaction; :class:`SigningKeys` is what a process holds in memory.
"""

import asyncio
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from altcredit.runtime import tokens
from altcredit.runtime.db import Connection
from altcredit.runtime.keys import Keyring, SealBroken
from altcredit.runtime.locks import Lock
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.tokens import Claims

Purpose = Literal["access_token", "consent", "model", "receipt", "audit"]
State = Literal["next", "active", "retiring", "gone"]

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
LIFETIME = timedelta(days=182)  # "rotated every 6 months" (section 02)
OVERLAP = timedelta(days=14)  # "2-week overlap period"
_CACHED_TOKENS = 8192

LOCK = f"SELECT pg_advisory_xact_lock({Lock.SIGNING_KEYS})"
INSERT = """
INSERT INTO signing_key (kid, purpose, state, public_pem, proof, sealed_private, created_at, activated_at)
VALUES ($1, $2, $3::text, $4, $5, $6, $7::timestamptz, CASE WHEN $3 = 'active' THEN $7 END)
"""
SELECT = """
SELECT kid, purpose, state, public_pem, proof, sealed_private, created_at, activated_at, retires_at
FROM signing_key ORDER BY purpose, created_at, kid
"""
SELECT_CURRENT = "SELECT state, activated_at FROM signing_key WHERE purpose = $1 AND state IN ('active', 'next')"
RETIRE = """
UPDATE signing_key SET state = 'retiring', retires_at = $2, sealed_private = NULL
WHERE purpose = $1 AND state = 'active' RETURNING kid
"""
ACTIVATE = """
UPDATE signing_key SET state = 'active', activated_at = $2
WHERE purpose = $1 AND state = 'next' RETURNING kid
"""
FORGET = "UPDATE signing_key SET state = 'gone' WHERE state = 'retiring' AND retires_at <= $1 RETURNING kid, purpose"
WITHDRAW = """
UPDATE signing_key SET state = 'gone', retires_at = $2 WHERE kid = $1 AND state = 'retiring' RETURNING kid
"""


class KeyNotRetiring(Refusal):
    """Only a retiring key can be withdrawn early: rotate first, so that another takes its place."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A key that entered a state, for the audit log."""

    kid: str
    purpose: Purpose
    state: State


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """One signing key without its private part."""

    kid: str
    purpose: Purpose
    state: State
    public_pem: str
    created_at: datetime
    activated_at: datetime | None
    retires_at: datetime | None


def _generate(purpose: Purpose) -> RSAKey | ECKey:
    return RSAKey.generate_key(2048) if purpose == "access_token" else ECKey.generate_key("P-256")


def _import(purpose: Purpose, pem: str | bytes) -> RSAKey | ECKey:
    return RSAKey.import_key(pem) if purpose == "access_token" else ECKey.import_key(pem)


def _proof(keyring: Keyring, kid: str, purpose: Purpose, public_pem: str) -> bytes:
    return keyring.hmac("signing_key", kid, purpose, public_pem)


def _sealed_for(purpose: Purpose) -> str:
    return f"signing_key.{purpose}"


async def _create(db: Connection, *, keyring: Keyring, purpose: Purpose, state: State, now: datetime) -> Change:
    key = await asyncio.to_thread(_generate, purpose)
    kid, public_pem = key.thumbprint(), key.as_pem(private=False).decode()
    sealed = keyring.seal(key.as_pem(private=True), owner=kid, purpose=_sealed_for(purpose))
    proof = _proof(keyring, kid, purpose, public_pem)
    await db.execute(INSERT, kid, purpose, state, public_pem, proof, sealed, now)
    return Change(kid=kid, purpose=purpose, state=state)


async def rotate(db: Connection, *, keyring: Keyring, purpose: Purpose, now: datetime) -> list[Change]:
    """
    Retire the active key, put the next one to use and publish another next one. Returns what changed.

    Tokens by the retired key are honoured for 14 more days; see ``withdraw`` for a key that leaked.
    """
    await db.execute(LOCK)
    retired = await db.fetchval(RETIRE, purpose, now + OVERLAP)
    activated = await db.fetchval(ACTIVATE, purpose, now)
    changes = [Change(kid=retired, purpose=purpose, state="retiring")] if retired else []
    if activated:
        changes.append(Change(kid=activated, purpose=purpose, state="active"))
    else:
        changes.append(await _create(db, keyring=keyring, purpose=purpose, state="active", now=now))
    changes.append(await _create(db, keyring=keyring, purpose=purpose, state="next", now=now))
    return changes


async def maintain(db: Connection, *, keyring: Keyring, now: datetime) -> list[Change]:
    """
    Make the keys that are missing, rotate those whose six months are over, let go of those whose overlap is.

    For start-up and a daily schedule; several processes may call it at once. Returns what changed, mostly nothing.
    """
    await db.execute(LOCK)
    changes: list[Change] = []
    for purpose in PURPOSES:
        current = {row["state"]: row["activated_at"] for row in await db.fetch(SELECT_CURRENT, purpose)}
        if "active" not in current or current["active"] + LIFETIME <= now:
            changes += await rotate(db, keyring=keyring, purpose=purpose, now=now)
    gone = await db.fetch(FORGET, now)
    return changes + [Change(kid=row["kid"], purpose=row["purpose"], state="gone") for row in gone]


async def withdraw(db: Connection, *, kid: str, now: datetime) -> None:
    """End a retiring key's overlap at once, as when it leaked: its tokens are refused. Raises KeyNotRetiring."""
    if await db.fetchval(WITHDRAW, kid, now) is None:
        raise KeyNotRetiring(f"{kid} is not a retiring key")


async def list_keys(db: Connection) -> list[SigningKey]:
    """Return every key there ever was, by purpose and age."""
    fields = SigningKey.__struct_fields__
    return [SigningKey(**{name: row[name] for name in fields}) for row in await db.fetch(SELECT)]


class SigningKeys:
    """The keys in the memory of one process: signs, verifies, publishes. Made by ``load``."""

    def __init__(self, *, issuer: str) -> None:
        self.issuer = issuer
        self._public: dict[str, tuple[SigningKey, RSAKey | ECKey]] = {}
        self._active: dict[Purpose, tuple[str, RSAKey | ECKey]] = {}
        self._accepted: dict[str, RSAKey] = {}
        self._jwks: dict[str, Any] = {"keys": []}
        self._verified: OrderedDict[bytes, tuple[str, Claims]] = OrderedDict()

    async def refresh(self, db: Connection, *, keyring: Keyring, now: datetime) -> None:
        """
        Read the keys again; nothing changes when this raises.

        :raises SealBroken: a row is not one that this installation wrote.
        """
        self._replace(await db.fetch(SELECT), keyring, now)

    def _replace(self, rows: Sequence[Any], keyring: Keyring, now: datetime) -> None:
        public, active, accepted = {}, {}, {}
        for row in rows:
            key = SigningKey(**{name: row[name] for name in SigningKey.__struct_fields__})
            if not hmac.compare_digest(row["proof"], _proof(keyring, key.kid, key.purpose, key.public_pem)):
                raise SealBroken(f"signing key {key.kid} was not made by this installation")
            known = self._public.get(key.kid)
            public[key.kid] = (key, known[1] if known else _import(key.purpose, key.public_pem))
            if key.state == "active":
                active[key.purpose] = self._private(key, row["sealed_private"], keyring)
            if _is_accepted(key, now):
                accepted[key.kid] = public[key.kid][1]
        self._public, self._active = public, active
        self._accepted = {kid: key for kid, key in accepted.items() if isinstance(key, RSAKey)}
        self._jwks = {
            "keys": [key.as_dict(kid=kid, use="sig", alg=tokens.ALGORITHM) for kid, key in self._accepted.items()]
        }
        for digest in [digest for digest, (kid, _) in self._verified.items() if kid not in self._accepted]:
            del self._verified[digest]

    def _private(self, key: SigningKey, sealed: bytes, keyring: Keyring) -> tuple[str, RSAKey | ECKey]:
        kid, private = self._active.get(key.purpose, ("", None))
        if kid == key.kid and private is not None:
            return kid, private  # reading an RSA key takes a tenth of a second, and every request would wait for it
        pem = keyring.unseal(sealed, owner=key.kid, purpose=_sealed_for(key.purpose))
        return key.kid, _import(key.purpose, pem)

    def jwks(self) -> dict[str, Any]:
        """Return the JSON Web Key Set (RFC 7517) of the keys that sign tokens, will next, or did until lately."""
        return self._jwks

    def issue_token(self, claims: Claims) -> str:
        """Sign an access token with the active key. ``claims.iss`` must be this installation's issuer."""
        assert claims.iss == self.issuer
        kid, key = self._active["access_token"]
        assert isinstance(key, RSAKey)
        return tokens.encode(claims, key=key, kid=kid)

    def verify_token(self, token: str, now: datetime) -> Claims:
        """
        Return the claims of a token that is ours and has not expired.

        Whether its jti is denied or its owner suspended is for the statement that reads the answer to judge.

        :raises TokenInvalid: UnknownKey where its key is not here, as after a rotation elsewhere: refresh, at most
            once a second, and try again.
        :raises TokenExpired:
        """
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        cached = self._verified.get(digest)
        if cached is not None:
            tokens.require_unexpired(cached[1], now)
            self._verified.move_to_end(digest)
            return cached[1]
        kid, claims = tokens.verify(token, keys=self._accepted, issuer=self.issuer, now=now)
        self._verified[digest] = (kid, claims)
        if len(self._verified) > _CACHED_TOKENS:
            self._verified.popitem(last=False)
        return claims

    def published(self, purpose: Purpose) -> list[dict[str, Any]]:
        """Return every public key (RFC 7517, ES256) that there ever was for a purpose other than tokens."""
        return [
            {**public.as_dict(private=False), "kid": kid, "use": "sig", "alg": "ES256"}
            for kid, (key, public) in self._public.items()
            if key.purpose == purpose and isinstance(public, ECKey)
        ]

    def active(self, purpose: Purpose) -> str:
        """Return the kid that ``sign`` uses for a purpose until the next ``refresh``."""
        return self._active[purpose][0]

    def sign(self, purpose: Purpose, data: bytes) -> tuple[str, bytes]:
        """Return the kid and the DER signature (ECDSA P-256, SHA-256) of ``data`` by the active key of a purpose."""
        kid, key = self._active[purpose]
        assert isinstance(key, ECKey)
        assert isinstance(key.private_key, ec.EllipticCurvePrivateKey)
        return kid, key.private_key.sign(data, ec.ECDSA(SHA256()))

    def verify(self, purpose: Purpose, kid: str, data: bytes, signature: bytes) -> bool:
        """Tell whether ``signature`` (DER) is that of ``data`` by a key of this purpose, whatever its state now."""
        key, public = self._public.get(kid, (None, None))
        if key is None or key.purpose != purpose or not isinstance(public, ECKey):
            return False
        assert isinstance(public.public_key, ec.EllipticCurvePublicKey)
        return _verifies(public.public_key, data, signature)

    def knows(self, kid: str) -> bool:
        """Tell whether a key is here, whatever its state."""
        return kid in self._public

    def public_pem(self, kid: str) -> str:
        """Return a key's public part (PEM), for whoever verifies without us. Raises KeyError: no such key."""
        return self._public[kid][0].public_pem


def is_signed_by(public: bytes, kid: str, data: bytes, signature: bytes) -> bool:
    """
    Tell whether ``signature`` (DER, ECDSA P-256) is that of ``data`` by the key named ``kid``, without a database.

    ``public`` is a PEM file, or a JSON Web Key Set that may hold it; a key of another thumbprint or curve does not
    count.
    """
    named = _public_keys(public).get(kid)
    return isinstance(named, ec.EllipticCurvePublicKey) and _verifies(named, data, signature)


def key_ids(public: bytes) -> frozenset[str]:
    """Return the names (RFC 7638 thumbprints) of the EC keys in a PEM file or key set; none where it is neither."""
    return frozenset(_public_keys(public))


def _public_keys(public: bytes) -> dict[str, object]:
    try:
        if public.lstrip().startswith(b"{"):
            keys = [ECKey.import_key(one) for one in msgspec.json.decode(public)["keys"] if one.get("kty") == "EC"]
        else:
            keys = [ECKey.import_key(public)]
        return {key.thumbprint(): key.public_key for key in keys}
    except (ValueError, TypeError, KeyError, AttributeError, JoseError, UnsupportedAlgorithm):
        return {}


def _verifies(public: ec.EllipticCurvePublicKey, data: bytes, signature: bytes) -> bool:
    if not isinstance(public.curve, ec.SECP256R1):
        return False
    try:
        public.verify(signature, data, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _is_accepted(key: SigningKey, now: datetime) -> bool:
    if key.purpose != "access_token" or key.state == "gone":
        return False
    return key.retires_at is None or now < key.retires_at


async def load(db: Connection, *, keyring: Keyring, issuer: str, now: datetime) -> SigningKeys:
    """Return the keys as they stand now; call ``refresh`` on them every minute or so. Raises SealBroken."""
    keys = SigningKeys(issuer=issuer)
    await keys.refresh(db, keyring=keyring, now=now)
    return keys
