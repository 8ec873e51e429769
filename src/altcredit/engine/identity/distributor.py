from datetime import datetime, timedelta

import msgspec

from altcredit.engine.identity.client import Status
from altcredit.runtime.certificates import Certificate
from altcredit.runtime.refusal import Refusal

BATCHES_PER_HOUR = 10  # section 09
KEY_LIFETIME = timedelta(days=365)  # section 05: "rotated annually"
CERTIFICATE_LIFETIME = timedelta(days=90)  # section 02: "90-day rotation"
OVERLAP = timedelta(days=14)  # how long old credentials live beside new ones, unless said otherwise


class DistributorUnknown(Refusal):
    """There is no such distributor."""


class CredentialUnknown(Refusal):
    """The distributor has no such live certificate or key."""


class Distributor(msgspec.Struct, frozen=True, kw_only=True):
    """
    A distributor as its credentials prove it, with the secrets that verify its payloads.

    ``batches_per_hour`` is what counts now: the backfill grant while it lasts (contract I5), else the usual limit.
    """

    distributor_id: str
    name: str
    require_v2: bool
    batches_per_hour: int
    signing_secrets: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"Distributor({self.distributor_id})"


class CertificatePin(msgspec.Struct, frozen=True, kw_only=True):
    """One client certificate. ``sha256`` and ``serial`` are lower-case hex; ``revoked_at`` may lie ahead."""

    sha256: str
    serial: str
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """One API key; the key itself is not kept. ``revoked_at`` may lie ahead."""

    key_id: str
    expires_at: datetime
    revoked_at: datetime | None


class DistributorAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A distributor as an operator sees it. The newest credentials come first."""

    distributor_id: str
    name: str
    status: Status
    require_v2: bool
    batches_per_hour: int
    backfill_limit: int | None
    backfill_until: datetime | None
    created_at: datetime
    certificates: tuple[CertificatePin, ...]
    keys: tuple[ApiKey, ...]


class IssuedDistributor(msgspec.Struct, frozen=True, kw_only=True):
    """
    A distributor's new credentials, shown this once; ``api_key`` and ``signing_secret`` are 64 hex digits.

    The certificate comes without ``key_pem`` where the distributor made its own key and sent a CSR.
    """

    distributor_id: str
    certificate: Certificate
    authority_pem: str
    api_key: str
    api_key_id: str
    api_key_expires_at: datetime
    signing_secret: str
