from collections.abc import Sequence
from datetime import datetime
from typing import Any

from altcredit.engine.identity.client import Client, Kind, Status
from altcredit.engine.identity.credentials import Account
from altcredit.engine.identity.distributor import ApiKey, CertificatePin, DistributorAccount, IssuedDistributor
from altcredit.engine.identity.partner import (
    Address,
    Network,
    Partner,
    PartnerAccount,
    PartnerOptions,
    PartnerToken,
)
from altcredit.runtime.db import Connection, Reads, Record

# ruff: noqa: S105 - statements with "secret" or "token" in their names, put together from constants here

_CLIENT = "client_id, kind, name, scopes, status, minute_limit, day_limit, max_limit_inr, created_at"

INSERT_CLIENT = f"""
INSERT INTO client ({_CLIENT}) VALUES ($1, $2, $3, $4, 'active', $5, $6, $7, $8)
ON CONFLICT (client_id) DO NOTHING RETURNING client_id
"""
SELECT_CLIENTS = f"""
SELECT {_CLIENT} FROM client
WHERE ($1::text IS NULL OR kind = $1) AND ($2::text IS NULL OR client_id = $2)
ORDER BY created_at, client_id
"""
LOCK_CLIENT = f"SELECT {_CLIENT} FROM client WHERE client_id = $1 FOR UPDATE"
SET_CLIENT_LIMITS = "UPDATE client SET minute_limit = $2, day_limit = $3, max_limit_inr = $4 WHERE client_id = $1"
SET_CLIENT_STATUS = "UPDATE client SET status = $2 WHERE client_id = $1"
INSERT_SECRET = "INSERT INTO client_secret (secret_hmac, client_id, created_at) VALUES ($1, $2, $3)"
AUTHENTICATE = """
SELECT client_id, kind, name, scopes, status, minute_limit, day_limit, max_limit_inr, client.created_at
FROM client_secret JOIN client USING (client_id)
WHERE secret_hmac = $1 AND (revoked_at IS NULL OR revoked_at > $2) AND status = 'active'
"""
DENY_TOKEN = "INSERT INTO denied_token (jti, expires_at) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING"
FORGET_DENIED = "DELETE FROM denied_token WHERE expires_at <= $1"

_DISTRIBUTOR = "distributor_id, name, status, require_v2, batches_per_hour, backfill_limit, backfill_until, created_at"

INSERT_DISTRIBUTOR = """
INSERT INTO distributor (distributor_id, name, batches_per_hour, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (distributor_id) DO NOTHING RETURNING distributor_id
"""
SELECT_DISTRIBUTORS = f"""
SELECT {_DISTRIBUTOR} FROM distributor
WHERE $1::text IS NULL OR distributor_id = $1 ORDER BY created_at, distributor_id
"""
SET_DISTRIBUTOR = """
UPDATE distributor SET status = COALESCE($2, status), require_v2 = COALESCE($3, require_v2),
                       batches_per_hour = COALESCE($4, batches_per_hour),
                       backfill_limit = COALESCE($5, backfill_limit), backfill_until = COALESCE($6, backfill_until)
WHERE distributor_id = $1 RETURNING distributor_id
"""

INSERT_CERTIFICATE = """
INSERT INTO distributor_certificate (sha256, distributor_id, serial, not_before, not_after, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""
INSERT_KEY = """
INSERT INTO distributor_key (key_id, key_hmac, distributor_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
"""
INSERT_SIGNING_SECRET = """
INSERT INTO distributor_secret (secret_id, distributor_id, sealed, created_at) VALUES ($1, $2, $3, $4)
"""
# When a successor is issued: the newest live credential lives on until $2, whatever is older ends now ($3).
_END_OLDER = """
UPDATE {table} SET revoked_at = LEAST(revoked_at, CASE WHEN age = 1 THEN $2::timestamptz ELSE $3 END)
FROM (SELECT {key} AS live, row_number() OVER (ORDER BY created_at DESC) AS age FROM {table}
      WHERE {owner} = $1 AND (revoked_at IS NULL OR revoked_at > $3::timestamptz)) AS aged
WHERE {key} = live
"""
END_CLIENT_SECRETS = _END_OLDER.format(table="client_secret", key="secret_hmac", owner="client_id")
END_CERTIFICATES = _END_OLDER.format(table="distributor_certificate", key="sha256", owner="distributor_id")
END_KEYS = _END_OLDER.format(table="distributor_key", key="key_id", owner="distributor_id")
END_SIGNING_SECRETS = _END_OLDER.format(table="distributor_secret", key="secret_id", owner="distributor_id")
REVOKE_CERTIFICATE = """
UPDATE distributor_certificate SET revoked_at = $3
WHERE distributor_id = $1 AND sha256 = $2 AND (revoked_at IS NULL OR revoked_at > $3) RETURNING serial
"""
REVOKE_KEY = """
UPDATE distributor_key SET revoked_at = $3
WHERE distributor_id = $1 AND key_id = $2 AND (revoked_at IS NULL OR revoked_at > $3) RETURNING key_id
"""
SELECT_CERTIFICATES = """
SELECT distributor_id, encode(sha256, 'hex') AS sha256, serial, not_before, not_after, revoked_at
FROM distributor_certificate WHERE $1::text IS NULL OR distributor_id = $1
ORDER BY created_at DESC, not_after DESC
"""
SELECT_KEYS = """
SELECT distributor_id, key_id, expires_at, revoked_at FROM distributor_key
WHERE $1::text IS NULL OR distributor_id = $1 ORDER BY created_at DESC
"""
SELECT_REVOKED = """
SELECT serial, revoked_at FROM distributor_certificate
WHERE revoked_at <= $1 AND not_after > $1 ORDER BY revoked_at, serial
"""

# One row whatever is asked: each credential is looked up by itself, then the distributor that the certificate names.
BY_CREDENTIALS = """
SELECT c.distributor_id, k.distributor_id AS key_distributor_id, d.name, d.status, d.require_v2,
       CASE WHEN d.backfill_until > $3 THEN d.backfill_limit ELSE d.batches_per_hour END AS batches_per_hour,
       ARRAY(SELECT s.sealed FROM distributor_secret s
             WHERE s.distributor_id = c.distributor_id AND (s.revoked_at IS NULL OR s.revoked_at > $3)
             ORDER BY s.created_at DESC) AS sealed
FROM (SELECT) AS request
LEFT JOIN distributor_certificate c ON c.sha256 = $1 AND c.not_before <= $3 AND c.not_after > $3
                                   AND (c.revoked_at IS NULL OR c.revoked_at > $3)
LEFT JOIN distributor_key k ON k.key_hmac = $2 AND k.expires_at > $3
                           AND (k.revoked_at IS NULL OR k.revoked_at > $3)
LEFT JOIN distributor d ON d.distributor_id = c.distributor_id
"""


def _client(row: Record) -> Client:
    return Client(**{**row, "scopes": tuple(row["scopes"])})


IS_DENIED = "SELECT EXISTS (SELECT FROM denied_token WHERE jti = $1)"
IS_ACTIVE = """
SELECT EXISTS (SELECT FROM client WHERE client_id = $1 AND status = 'active')
   AND NOT EXISTS (SELECT FROM denied_token WHERE jti = $2)
"""

INSERT_PARTNER = """
INSERT INTO partner (partner_id, name, addresses, minute_limit, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (partner_id) DO NOTHING RETURNING partner_id
"""
SET_PARTNER = """
UPDATE partner SET status = COALESCE($2, status), addresses = COALESCE($3, addresses),
                   minute_limit = COALESCE($4, minute_limit),
                   failure_callbacks = COALESCE($5, failure_callbacks), reason_codes = COALESCE($6, reason_codes)
WHERE partner_id = $1 AND partner_id <> '' RETURNING partner_id
"""
INSERT_PARTNER_TOKEN = "INSERT INTO partner_token (token_hmac, partner_id, created_at) VALUES ($1, $2, $3)"
END_PARTNER_TOKENS = _END_OLDER.format(table="partner_token", key="token_hmac", owner="partner_id")
SELECT_PARTNERS = """
SELECT partner_id, name, status, addresses::text[] AS addresses, minute_limit, failure_callbacks, reason_codes,
       created_at
FROM partner WHERE partner_id <> '' AND ($1::text IS NULL OR partner_id = $1) ORDER BY created_at, partner_id
"""
SELECT_PARTNER_TOKENS = """
SELECT partner_id, created_at, revoked_at FROM partner_token
WHERE (revoked_at IS NULL OR revoked_at > $1) AND ($2::text IS NULL OR partner_id = $2) ORDER BY created_at DESC
"""
PARTNER_OPTIONS = "SELECT failure_callbacks, reason_codes FROM partner WHERE partner_id = $1 AND partner_id <> ''"
# The hot one, with every request of a partner. Every refusal does the same work, so that its time says nothing either:
# a token that names nobody finds the row of nobody, and the address is looked at before the status.
PARTNER_BY_TOKEN = """
SELECT partner_id, name, minute_limit, failure_callbacks, reason_codes FROM partner
WHERE partner_id = COALESCE((SELECT partner_id FROM partner_token
                             WHERE token_hmac = $1 AND (revoked_at IS NULL OR revoked_at > $3)), '')
  AND CASE WHEN $2::inet <<= ANY (addresses::inet[]) THEN status = 'active' END
"""
LENDER_NAMES = """
SELECT client_id, name FROM client WHERE client_id = ANY ($1) AND kind = 'lender' AND status = 'active'
"""
DISTRIBUTOR_NAMES = "SELECT distributor_id, name FROM distributor WHERE distributor_id = ANY ($1)"


async def insert_client(db: Connection, client: Client) -> bool:
    """Return whether the id was free."""
    inserted = await db.fetchval(
        INSERT_CLIENT,
        client.client_id,
        client.kind,
        client.name,
        list(client.scopes),
        client.minute_limit,
        client.day_limit,
        client.max_limit_inr,
        client.created_at,
    )
    return inserted is not None


async def list_clients(db: Connection, *, kind: Kind | None = None, client_id: str | None = None) -> list[Client]:
    """Return lenders, services, or both, the oldest first; of one id at most one."""
    return [_client(row) for row in await db.fetch(SELECT_CLIENTS, kind, client_id)]


async def lock_client(db: Connection, client_id: str) -> Client | None:
    row = await db.fetchrow(LOCK_CLIENT, client_id)
    return _client(row) if row else None


async def set_client_limits(
    db: Connection, client_id: str, *, minute: int, day: int, max_limit_inr: int | None
) -> None:
    await db.execute(SET_CLIENT_LIMITS, client_id, minute, day, max_limit_inr)


async def set_client_status(db: Connection, client_id: str, status: Status) -> None:
    await db.execute(SET_CLIENT_STATUS, client_id, status)


async def insert_client_secret(db: Connection, client_id: str, *, secret_hmac: bytes, now: datetime) -> None:
    await db.execute(INSERT_SECRET, secret_hmac, client_id, now)


async def end_client_secrets(db: Connection, client_id: str, *, until: datetime, now: datetime) -> None:
    await db.execute(END_CLIENT_SECRETS, client_id, until, now)


async def authenticate(db: Connection, *, secret_hmac: bytes, now: datetime) -> Client | None:
    row = await db.fetchrow(AUTHENTICATE, secret_hmac, now)
    return _client(row) if row else None


async def deny_token(db: Connection, *, jti: str, expires_at: datetime, now: datetime) -> None:
    await db.execute(FORGET_DENIED, now)
    await db.execute(DENY_TOKEN, jti, expires_at)


async def insert_distributor(
    db: Connection, distributor_id: str, *, name: str, batches_per_hour: int, now: datetime
) -> bool:
    """Return whether the id was free."""
    return await db.fetchval(INSERT_DISTRIBUTOR, distributor_id, name, batches_per_hour, now) is not None


async def set_distributor(
    db: Connection,
    distributor_id: str,
    *,
    status: Status | None = None,
    require_v2: bool | None = None,
    batches_per_hour: int | None = None,
    backfill_limit: int | None = None,
    backfill_until: datetime | None = None,
) -> bool:
    """Change what is not None. Return whether there is such a distributor, whose row is then locked."""
    values = (status, require_v2, batches_per_hour, backfill_limit, backfill_until)
    return await db.fetchval(SET_DISTRIBUTOR, distributor_id, *values) is not None


async def end_credentials(db: Connection, distributor_id: str, *, until: datetime, now: datetime) -> None:
    for statement in (END_CERTIFICATES, END_KEYS, END_SIGNING_SECRETS):
        await db.execute(statement, distributor_id, until, now)


async def insert_credentials(
    db: Connection, issued: IssuedDistributor, *, key_hmac: bytes, secret_id: str, sealed: bytes, now: datetime
) -> None:
    owner, certificate = issued.distributor_id, issued.certificate
    pin, validity = bytes.fromhex(certificate.sha256), (certificate.not_before, certificate.not_after)
    await db.execute(INSERT_CERTIFICATE, pin, owner, certificate.serial, *validity, now)
    await db.execute(INSERT_KEY, issued.api_key_id, key_hmac, owner, now, issued.api_key_expires_at)
    await db.execute(INSERT_SIGNING_SECRET, secret_id, owner, sealed, now)


async def revoke_certificate(db: Connection, distributor_id: str, *, sha256: bytes, now: datetime) -> bool:
    return await db.fetchval(REVOKE_CERTIFICATE, distributor_id, sha256, now) is not None


async def revoke_key(db: Connection, distributor_id: str, *, key_id: str, now: datetime) -> bool:
    return await db.fetchval(REVOKE_KEY, distributor_id, key_id, now) is not None


def _by_distributor(rows: Sequence[Record]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        values = dict(row)
        grouped.setdefault(values.pop("distributor_id"), []).append(values)
    return grouped


async def list_distributors(db: Connection, *, distributor_id: str | None = None) -> list[DistributorAccount]:
    """Return all distributors with their certificates and keys, the oldest first; of one id at most one."""
    certificates = _by_distributor(await db.fetch(SELECT_CERTIFICATES, distributor_id))
    keys = _by_distributor(await db.fetch(SELECT_KEYS, distributor_id))
    return [
        DistributorAccount(
            **row,
            certificates=tuple(CertificatePin(**pin) for pin in certificates.get(row["distributor_id"], ())),
            keys=tuple(ApiKey(**key) for key in keys.get(row["distributor_id"], ())),
        )
        for row in await db.fetch(SELECT_DISTRIBUTORS, distributor_id)
    ]


async def select_revoked(db: Connection, *, now: datetime) -> list[tuple[str, datetime]]:
    return [(row["serial"], row["revoked_at"]) for row in await db.fetch(SELECT_REVOKED, now)]


async def by_credentials(
    db: Connection, *, cert_sha256: bytes | None, key_hmac: bytes, now: datetime
) -> tuple[Account | None, str | None]:
    """Return the distributor of a live certificate, and the id of that of a live key."""
    values = dict(await db.fetchrow(BY_CREDENTIALS, cert_sha256, key_hmac, now))
    of_key = values.pop("key_distributor_id")
    if values["distributor_id"] is None:
        return None, of_key
    return Account(**{**values, "sealed": tuple(values["sealed"])}), of_key


async def is_active(db: Connection, *, client_id: str, jti: str) -> bool:
    """Tell whether a genuine token still counts: its client is active and it was not withdrawn."""
    return bool(await db.fetchval(IS_ACTIVE, client_id, jti))


async def is_denied(db: Connection, *, jti: str) -> bool:
    """Tell whether an access token was withdrawn before its time."""
    return bool(await db.fetchval(IS_DENIED, jti))


async def lender_names(db: Connection, *, lender_ids: Sequence[str]) -> dict[str, str]:
    """Return the names of those of the lenders that are active, by id."""
    return {row["client_id"]: row["name"] for row in await db.fetch(LENDER_NAMES, list(lender_ids))}


async def distributor_names(db: Connection, *, distributor_ids: Sequence[str]) -> dict[str, str]:
    """Return the names of those of the distributors that are known, by id."""
    return {row["distributor_id"]: row["name"] for row in await db.fetch(DISTRIBUTOR_NAMES, list(distributor_ids))}


async def insert_partner(
    db: Connection,
    partner_id: str,
    *,
    name: str,
    addresses: Sequence[Network],
    minute_limit: int,
    created_at: datetime,
) -> bool:
    """Return whether the id was free."""
    values = (name, list(addresses), minute_limit, created_at)
    return await db.fetchval(INSERT_PARTNER, partner_id, *values) is not None


async def set_partner(
    db: Connection,
    partner_id: str,
    *,
    status: Status | None = None,
    addresses: Sequence[Network] | None = None,
    minute_limit: int | None = None,
    failure_callbacks: bool | None = None,
    reason_codes: bool | None = None,
) -> bool:
    """Change what is not None. Return whether there is such a partner, whose row is then locked."""
    values = (status, addresses and list(addresses), minute_limit, failure_callbacks, reason_codes)
    return await db.fetchval(SET_PARTNER, partner_id, *values) is not None


async def insert_partner_token(db: Connection, partner_id: str, *, token_hmac: bytes, now: datetime) -> None:
    await db.execute(INSERT_PARTNER_TOKEN, token_hmac, partner_id, now)


async def end_partner_tokens(db: Connection, partner_id: str, *, until: datetime, now: datetime) -> None:
    await db.execute(END_PARTNER_TOKENS, partner_id, until, now)


async def list_partners(db: Connection, *, partner_id: str | None = None, now: datetime) -> list[PartnerAccount]:
    """Return all partners with their live tokens' times, the oldest first; of one id at most one."""
    tokens: dict[str, list[PartnerToken]] = {}
    for row in await db.fetch(SELECT_PARTNER_TOKENS, now, partner_id):
        token = PartnerToken(created_at=row["created_at"], revoked_at=row["revoked_at"])
        tokens.setdefault(row["partner_id"], []).append(token)
    return [
        PartnerAccount(**{**row, "addresses": tuple(row["addresses"])}, tokens=tuple(tokens.get(row["partner_id"], ())))
        for row in await db.fetch(SELECT_PARTNERS, partner_id)
    ]


async def partner_options(db: Connection, partner_id: str) -> PartnerOptions | None:
    row = await db.fetchrow(PARTNER_OPTIONS, partner_id)
    return PartnerOptions(**row) if row else None


async def partner_by_token(
    reads: Reads, *, token_hmac: bytes, address: Address | None, now: datetime
) -> Partner | None:
    row = await reads.fetchrow(PARTNER_BY_TOKEN, token_hmac, address, now)
    return Partner(**row) if row else None
