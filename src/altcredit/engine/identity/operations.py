"""
What an operator, the token endpoint and the ingest routes can do with identities.

Every change appends an audit row in the caller's transaction. Secrets leave here once, in an ``Issued…`` value.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any

from altcredit.engine import audit
from altcredit.engine.identity import store
from altcredit.engine.identity.client import (
    DAY_LIMIT,
    MINUTE_LIMIT,
    Client,
    IdTaken,
    IssuedClient,
    Status,
    check_limits,
    checked_id,
    checked_scopes,
)
from altcredit.engine.identity.credentials import proven_distributor
from altcredit.engine.identity.distributor import (
    BATCHES_PER_HOUR,
    CERTIFICATE_LIFETIME,
    KEY_LIFETIME,
    OVERLAP,
    CredentialUnknown,
    Distributor,
    DistributorUnknown,
    IssuedDistributor,
)
from altcredit.runtime import ids, sealed, signing
from altcredit.runtime.certificates import Authority, accepted_key
from altcredit.runtime.db import Connection
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Refusal

SECRET_OVERLAP = timedelta(days=1)  # how long a client's old secret lives beside a new one, unless said otherwise


class ClientUnknown(Refusal):
    """There is no such lender or service."""


class ClientInvalid(Refusal):
    """The client id and secret do not name an active client; which of them is wrong is not said."""


async def add_lender(
    db: Connection,
    *,
    keyring: Keyring,
    name: str,
    client_id: str | None = None,
    minute: int = MINUTE_LIMIT,
    day: int = DAY_LIMIT,
    max_limit_inr: int | None = None,
    actor: str,
    now: datetime,
) -> IssuedClient:
    """
    Add a lender, ``lender_<16 hex>`` or a chosen ``lender_<letters and digits>`` (section 02).

    :raises IdInvalid, IdTaken, LimitInvalid:
    """
    check_limits(minute, day, max_limit_inr)
    client = Client(
        client_id=checked_id(client_id or ids.new_id("lender"), prefix="lender"),
        kind="lender",
        name=name,
        minute_limit=minute,
        day_limit=day,
        max_limit_inr=max_limit_inr,
        created_at=now,
    )
    return await _add_client(db, client, keyring=keyring, actor=actor)


async def add_service(
    db: Connection,
    *,
    keyring: Keyring,
    name: str,
    scopes: Iterable[str],
    client_id: str | None = None,
    actor: str,
    now: datetime,
) -> IssuedClient:
    """
    Add an internal service, ``svc_…``, with scopes among consent:grant, consent:check, consent:revoke (contract C6).

    :raises IdInvalid, IdTaken, ScopeUnknown:
    """
    client = Client(
        client_id=checked_id(client_id or ids.new_id("svc"), prefix="svc"),
        kind="service",
        name=name,
        scopes=checked_scopes(scopes),
        created_at=now,
    )
    return await _add_client(db, client, keyring=keyring, actor=actor)


async def _add_client(db: Connection, client: Client, *, keyring: Keyring, actor: str) -> IssuedClient:
    if not await store.insert_client(db, client):
        raise IdTaken(f"{client.client_id} exists already")
    details = {"kind": client.kind, "name": client.name, "scopes": client.scopes} | _limits(client)
    await _record(db, actor, "client.added", client.client_id, details, client.created_at)
    return await _issue_secret(db, client.client_id, keyring=keyring, now=client.created_at)


def _limits(client: Client) -> dict[str, Any]:
    return {"minute": client.minute_limit, "day": client.day_limit, "max_limit_inr": client.max_limit_inr}


async def _issue_secret(db: Connection, client_id: str, *, keyring: Keyring, now: datetime) -> IssuedClient:
    secret = ids.new_secret()
    secret_hmac = keyring.hmac("client_secret", client_id, secret)
    await store.insert_client_secret(db, client_id, secret_hmac=secret_hmac, now=now)
    return IssuedClient(client_id=client_id, client_secret=secret)


async def _record(
    db: Connection, actor: str, action: str, subject: str, details: dict[str, Any], now: datetime
) -> None:
    await audit.append(db, actor=actor, action=action, subject=subject, details=details, now=now)


async def _locked_client(db: Connection, client_id: str) -> Client:
    client = await store.lock_client(db, client_id)
    if client is None:
        raise ClientUnknown(f"there is no client {client_id}")
    return client


async def set_limits(
    db: Connection, *, client_id: str, minute: int, day: int, max_limit_inr: int | None, actor: str, now: datetime
) -> None:
    """
    Set a client's requests per minute and day, and a lender's cap on recommended limits (None: no cap).

    :raises ClientUnknown, LimitInvalid:
    """
    check_limits(minute, day, max_limit_inr)
    before = await _locked_client(db, client_id)
    await store.set_client_limits(db, client_id, minute=minute, day=day, max_limit_inr=max_limit_inr)
    after = {"minute": minute, "day": day, "max_limit_inr": max_limit_inr}
    await _record(db, actor, "client.limits_set", client_id, {"before": _limits(before), "after": after}, now)


async def set_client_status(db: Connection, *, client_id: str, status: Status, actor: str, now: datetime) -> None:
    """
    Suspend or activate a client. Suspension refuses its secret and, where answers are read, its live tokens.

    :raises ClientUnknown:
    """
    before = await _locked_client(db, client_id)
    await store.set_client_status(db, client_id, status)
    await _record(db, actor, "client.status_set", client_id, {"before": before.status, "after": status}, now)


async def rotate_client_secret(
    db: Connection, *, keyring: Keyring, client_id: str, overlap: timedelta = SECRET_OVERLAP, actor: str, now: datetime
) -> IssuedClient:
    """
    Issue a new secret; the newest of the old ones works for ``overlap`` more, the others end now.

    :raises ClientUnknown:
    """
    await _locked_client(db, client_id)
    await store.end_client_secrets(db, client_id, until=now + overlap, now=now)
    await _record(db, actor, "client.secret_rotated", client_id, {"old_until": now + overlap}, now)
    return await _issue_secret(db, client_id, keyring=keyring, now=now)


async def authenticate_client(
    db: Connection, *, keyring: Keyring, client_id: str, client_secret: str, now: datetime
) -> Client:
    """
    Return the active client of these credentials (section 02, token endpoint).

    The hash covers id and secret together, so an unknown id, a wrong secret and a revoked one all are the same
    index lookup that finds nothing: there is no path to tell apart.

    :raises ClientInvalid:
    """
    secret_hmac = keyring.hmac("client_secret", client_id, client_secret)
    client = await store.authenticate(db, secret_hmac=secret_hmac, now=now)
    if client is None:
        raise ClientInvalid("unknown client or wrong secret")
    return client


async def deny_token(db: Connection, *, jti: str, expires_at: datetime, actor: str, now: datetime) -> None:
    """Refuse one access token before it expires; the row is dropped once it has expired anyway."""
    await store.deny_token(db, jti=jti, expires_at=expires_at, now=now)
    await _record(db, actor, "token.denied", jti, {"expires_at": expires_at}, now)


async def add_distributor(
    db: Connection,
    *,
    keyring: Keyring,
    authority: Authority,
    name: str,
    distributor_id: str | None = None,
    csr_pem: str | None = None,
    batches_per_hour: int = BATCHES_PER_HOUR,
    actor: str,
    now: datetime,
) -> IssuedDistributor:
    """
    Add a distributor, ``dist_<16 hex>`` or a chosen id, with certificate, API key and signing secret (section 05).

    The certificate is for the key of ``csr_pem``, else for a new key that is returned with it.

    :raises IdInvalid, IdTaken, LimitInvalid, CsrInvalid:
    """
    check_limits(batches_per_hour)
    chosen = checked_id(distributor_id or ids.new_id("dist"), prefix="dist")
    if not await store.insert_distributor(db, chosen, name=name, batches_per_hour=batches_per_hour, now=now):
        raise IdTaken(f"{chosen} exists already")
    await _record(db, actor, "distributor.added", chosen, {"name": name}, now)
    return await _issue_credentials(
        db, chosen, keyring=keyring, authority=authority, csr_pem=csr_pem, actor=actor, now=now
    )


async def _issue_credentials(
    db: Connection,
    distributor_id: str,
    *,
    keyring: Keyring,
    authority: Authority,
    csr_pem: str | None,
    actor: str,
    now: datetime,
) -> IssuedDistributor:
    public_key = accepted_key(csr_pem) if csr_pem is not None else None
    issued = IssuedDistributor(
        distributor_id=distributor_id,
        certificate=authority.issue_client(
            distributor_id, public_key=public_key, lifetime=CERTIFICATE_LIFETIME, now=now
        ),
        authority_pem=authority.pem,
        api_key=ids.new_secret(),
        api_key_id=ids.new_id("key"),
        api_key_expires_at=now + KEY_LIFETIME,
        signing_secret=ids.new_secret(),
    )
    key_hmac = keyring.hmac("api_key", issued.api_key)
    sealed = keyring.seal(issued.signing_secret.encode(), owner=distributor_id, purpose="signing_secret")
    await store.insert_credentials(db, issued, key_hmac=key_hmac, secret_id=ids.new_id("sec"), sealed=sealed, now=now)
    details = {"certificate": issued.certificate.sha256, "key_id": issued.api_key_id}
    await _record(db, actor, "distributor.credentials_issued", distributor_id, details, now)
    return issued


async def rotate_distributor(
    db: Connection,
    *,
    keyring: Keyring,
    authority: Authority,
    distributor_id: str,
    csr_pem: str | None = None,
    overlap: timedelta = OVERLAP,
    actor: str,
    now: datetime,
) -> IssuedDistributor:
    """
    Issue new credentials of every kind; the newest old ones work for ``overlap`` more, older ones end now.

    :raises DistributorUnknown, CsrInvalid:
    """
    await _change(db, distributor_id, "distributor.rotated", {}, actor, now)
    await store.end_credentials(db, distributor_id, until=now + overlap, now=now)
    return await _issue_credentials(
        db, distributor_id, keyring=keyring, authority=authority, csr_pem=csr_pem, actor=actor, now=now
    )


async def set_distributor(
    db: Connection,
    *,
    distributor_id: str,
    status: Status | None = None,
    require_v2: bool | None = None,
    batches_per_hour: int | None = None,
    actor: str,
    now: datetime,
) -> None:
    """
    Suspend or activate a distributor, demand the second signature (contract I7), or set its hourly limit.

    What is None stays as it is. Raises DistributorUnknown, LimitInvalid.
    """
    check_limits(batches_per_hour)
    changes = {"status": status, "require_v2": require_v2, "batches_per_hour": batches_per_hour}
    await _change(db, distributor_id, "distributor.changed", changes, actor, now)


async def _change(
    db: Connection, distributor_id: str, action: str, changes: dict[str, Any], actor: str, now: datetime
) -> None:
    made = {name: value for name, value in changes.items() if value is not None}
    if not await store.set_distributor(db, distributor_id, **made):
        raise DistributorUnknown(f"there is no distributor {distributor_id}")
    await _record(db, actor, action, distributor_id, made, now)


async def grant_backfill(
    db: Connection, *, distributor_id: str, limit: int, until: datetime, actor: str, now: datetime
) -> None:
    """
    Let a distributor send ``limit`` batches an hour until a time, as for its first load (contract I5).

    :raises DistributorUnknown, LimitInvalid:
    """
    check_limits(limit)
    changes = {"backfill_limit": limit, "backfill_until": until}
    await _change(db, distributor_id, "distributor.backfill_granted", changes, actor, now)


async def revoke_certificate(db: Connection, *, distributor_id: str, sha256: bytes, actor: str, now: datetime) -> None:
    """Refuse a certificate (by fingerprint) from the next request on, whatever connection. Raises CredentialUnknown."""
    if not await store.revoke_certificate(db, distributor_id, sha256=sha256, now=now):
        raise CredentialUnknown(f"{distributor_id} has no such live certificate")
    await _record(db, actor, "distributor.certificate_revoked", distributor_id, {"certificate": sha256.hex()}, now)


async def revoke_key(db: Connection, *, distributor_id: str, key_id: str, actor: str, now: datetime) -> None:
    """Refuse an API key from the next request on. Raises CredentialUnknown."""
    if not await store.revoke_key(db, distributor_id, key_id=key_id, now=now):
        raise CredentialUnknown(f"{distributor_id} has no such live key")
    await _record(db, actor, "distributor.key_revoked", distributor_id, {"key_id": key_id}, now)


async def revocation_list(db: Connection, *, authority: Authority, now: datetime) -> str:
    """Return the CRL (PEM) of revoked certificates that have not expired yet, for proxies in front."""
    return authority.revocation_list(await store.select_revoked(db, now=now), now=now)


@lru_cache(maxsize=4096)
def _unsealed(keyring: Keyring, sealed: bytes, distributor_id: str) -> bytes:
    return keyring.unseal(sealed, owner=distributor_id, purpose="signing_secret")


async def distributor_by_credentials(
    db: Connection, *, keyring: Keyring, cert_sha256: bytes | None, api_key: str | None, now: datetime
) -> Distributor:
    """
    Return the active distributor that a client certificate (its SHA-256) and an API key both name; one statement.

    Read with every request: a revocation counts from the next one. None: nothing was presented.

    :raises CertificateUnknown, ApiKeyInvalid, DistributorMismatch, DistributorSuspended:
    """
    key_hmac = keyring.hmac("api_key", api_key or "")
    of_certificate, of_key = await store.by_credentials(db, cert_sha256=cert_sha256, key_hmac=key_hmac, now=now)
    return proven_distributor(of_certificate, of_key, unseal=partial(_unsealed, keyring))


async def rotate_signing_keys(
    db: Connection, *, keyring: Keyring, purpose: signing.Purpose | None = None, actor: str, now: datetime
) -> list[signing.Change]:
    """
    Put the next signing key of a purpose to use now; without a purpose, do what is due. Returns what changed.

    Due are: keys that are missing, those whose six months are over, and letting go of those whose overlap is. For a
    daily schedule.
    """
    if purpose is None:
        changes = await signing.maintain(db, keyring=keyring, now=now)
    else:
        changes = await signing.rotate(db, keyring=keyring, purpose=purpose, now=now)
    for change in changes:
        await _record(db, actor, f"signing_key.{change.state}", change.kid, {"purpose": change.purpose}, now)
    return changes


async def withdraw_signing_key(db: Connection, *, kid: str, actor: str, now: datetime) -> None:
    """End a retiring key's overlap at once. Raises altcredit.runtime.signing.KeyNotRetiring."""
    await signing.withdraw(db, kid=kid, now=now)
    await _record(db, actor, "signing_key.gone", kid, {"withdrawn": True}, now)


async def rewrap_secrets(db: Connection, *, keyring: Keyring, actor: str, now: datetime) -> int:
    """
    Bring up to a thousand sealed values of each table under the current key-encryption key; return how many.

    To be called until it returns 0: then the key file may lose its older keys.
    """
    moved = await sealed.rewrap(db, keyring=keyring)
    if moved:
        await _record(db, actor, "keys.rewrapped", "installation", {"moved": moved}, now)
    return sum(moved.values())
