"""What a distributor proves itself with: certificate and key together, and the signature of each body."""

import hmac
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from altcredit.engine.identity.client import Status
from altcredit.engine.identity.distributor import Distributor
from altcredit.runtime.refusal import Refusal

WINDOW = timedelta(minutes=5)  # contract I7

_HEX = re.compile(r"[0-9a-f]{64}")
_V2 = re.compile(r"t=([0-9]{1,12}),v2=([0-9a-f]{64})")


class CertificateUnknown(Refusal):
    """No client certificate was presented, or one that is no active pin of any distributor."""


class ApiKeyInvalid(Refusal):
    """The API key is missing, unknown, revoked or expired."""


class DistributorMismatch(Refusal):
    """Certificate and API key are those of two distributors (contract I4)."""


class DistributorSuspended(Refusal):
    """The credentials are right, but the distributor is suspended."""


class SignatureInvalid(Refusal):
    """The body's signature is missing, malformed, made with another secret, or too old."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows of a distributor at the moment of a request; ``sealed`` are its live signing secrets."""

    distributor_id: str
    name: str
    status: Status
    require_v2: bool
    batches_per_hour: int
    sealed: tuple[bytes, ...]


def proven_distributor(
    of_certificate: Account | None, of_key: str | None, *, unseal: Callable[[bytes, str], bytes]
) -> Distributor:
    """
    Return the active distributor that a certificate and a key both name.

    ``of_certificate``: the certificate's distributor; ``of_key``: the key's, by id; None where the credential is not
    live. ``unseal`` opens a signing secret of a distributor.

    :raises CertificateUnknown, ApiKeyInvalid, DistributorMismatch, DistributorSuspended: in this order.
    """
    if of_certificate is None:
        raise CertificateUnknown("the client certificate is missing, unknown, revoked or expired")
    if of_key is None:
        raise ApiKeyInvalid("the API key is missing, unknown, revoked or expired")
    if of_key != of_certificate.distributor_id:
        raise DistributorMismatch("the certificate and the API key belong to different distributors")
    if of_certificate.status != "active":
        raise DistributorSuspended("the distributor is suspended")
    return Distributor(
        distributor_id=of_certificate.distributor_id,
        name=of_certificate.name,
        require_v2=of_certificate.require_v2,
        batches_per_hour=of_certificate.batches_per_hour,
        signing_secrets=tuple(unseal(sealed, of_certificate.distributor_id) for sealed in of_certificate.sealed),
    )


def _matches(secrets: Sequence[bytes], message: bytes, signature: str) -> bool:
    """Compare with every secret, always all of them, each in constant time."""
    given = bytes.fromhex(signature)
    return sum(hmac.compare_digest(hmac.digest(secret, message, "sha256"), given) for secret in secrets) > 0


def verify_payload_signature(
    distributor: Distributor,
    *,
    body: bytes,
    v1: str | None,
    v2: str | None,
    batch_id: str,
    now: datetime,
) -> None:
    """
    Verify the signature headers of a batch over the raw bytes of its body (section 05; contract I7, I8).

    ``v1``: X-Payload-Signature, lower-case hex of HMAC-SHA256 over the body, always required. ``v2``:
    X-Payload-Signature-V2, ``t=<unix seconds>,v2=<hex>`` over ``t.batch_id.body``, judged wherever it is sent and
    required where the distributor is set to. Each counts with any of the distributor's live secrets. Within the
    window a repetition is the same batch under the same id, which does nothing twice (contract I1).

    :raises SignatureInvalid:
    """
    if v1 is None or not _HEX.fullmatch(v1):
        raise SignatureInvalid("X-Payload-Signature must be 64 lower-case hex digits")
    if not _matches(distributor.signing_secrets, body, v1):
        raise SignatureInvalid("X-Payload-Signature does not match the body")
    if v2 is not None:
        _verify_v2(distributor, body=body, v2=v2, batch_id=batch_id, now=now)
    elif distributor.require_v2:
        raise SignatureInvalid("X-Payload-Signature-V2 is required of this distributor")


def _verify_v2(distributor: Distributor, *, body: bytes, v2: str, batch_id: str, now: datetime) -> None:
    parts = _V2.fullmatch(v2)
    if parts is None:
        raise SignatureInvalid("X-Payload-Signature-V2 must be t=<unix seconds>,v2=<64 lower-case hex digits>")
    sent, signature = parts.groups()
    if not _matches(distributor.signing_secrets, f"{sent}.{batch_id}.".encode() + body, signature):
        raise SignatureInvalid("X-Payload-Signature-V2 does not match the time, X-Batch-ID and body")
    # Judged last, so that only the holder of the secret learns about our clock.
    if abs(now.timestamp() - int(sent)) > WINDOW.total_seconds():
        raise SignatureInvalid("X-Payload-Signature-V2 is more than 5 minutes from the present")
