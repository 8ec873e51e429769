"""
Decision receipts: what a lender was told of a score and what it was made from, signed, to be verified by anybody.

A receipt is a flat JSON object. Its signature (ECDSA P-256, SHA-256, DER, hex) is over the JCS form (RFC 8785) of the
object without its ``signature``.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import rfc8785

from altcredit.engine.registry import Estimate, ModelInfo
from altcredit.engine.scoring.assessment import Assessment, assess
from altcredit.engine.scoring.limit import Policy, recommended
from altcredit.engine.scoring.standing import Standing
from altcredit.runtime.refusal import Refusal

# Where the public keys of receipts are listed, of those that sign no more too; a receipt's ``key_id`` names one.
PUBLIC_KEYS = "/v1/.well-known/jwks.json"


class ReceiptMalformed(Refusal):
    """It is not a receipt: a field is missing, or of another type."""


class ModelReference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model: ``sha256`` is the digest of its card file, which holds that of everything else."""

    version: str
    sha256: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A receipt without its signature: the fields of contract, "Names that others rely on", and what explains the limit.

    ``recommended_limit_inr`` is what the lender's cap, the age of the data and the overdue balance left of
    ``base_limit_inr`` when the receipt was issued (contract A14).
    """

    score_id: str
    retailer_id: str
    lender_id: str
    altscore: int
    risk_band: str
    probability_of_default: float
    pd_horizon_days: int
    recommended_limit_inr: int
    base_limit_inr: int
    lender_cap_inr: int | None
    overdue_inr: int
    low_confidence: bool
    reason_codes: tuple[str, ...]
    """In their order, the positive ones first."""
    model: ModelReference
    policy_version: str
    inputs_sha256: str
    """Of the inputs as ``altcredit receipt inputs`` writes them."""
    consent_id: str
    scored_at: str
    issued_at: str
    key_id: str
    """RFC 7638 thumbprint of the public key."""
    public_keys: str
    """Where the key is found, by ``key_id``."""


def signed_bytes(receipt: Receipt) -> bytes:
    """Return the bytes that are signed."""
    return rfc8785.dumps(msgspec.to_builtins(receipt))


def receipt_from(document: Mapping[str, Any]) -> tuple[Receipt, bytes]:
    """Return a receipt and its signature from the JSON object that a lender holds. Raises ReceiptMalformed."""
    fields = dict(document)
    try:
        signature = bytes.fromhex(fields.pop("signature"))
        return msgspec.convert(fields, Receipt), signature
    except (KeyError, TypeError, ValueError) as problem:
        raise ReceiptMalformed(f"Not a receipt: {problem}.") from problem


def differences(
    receipt: Receipt, standing: Standing, estimate: Estimate | None, *, model: ModelInfo, policy: Policy
) -> list[str]:
    """
    Return the names of the receipt's fields that these inputs, this model and this policy do not give again.

    The limit is compared only where the policy is the receipt's.
    """
    made = assess(standing, estimate, model=model, policy=policy)
    if made is None:
        return ["altscore"]
    again: dict[str, Any] = {
        "retailer_id": made.retailer_id,
        "altscore": made.altscore,
        "risk_band": made.risk_band,
        "probability_of_default": made.probability_of_default,
        "overdue_inr": made.overdue_inr,
        "reason_codes": tuple(one.code for one in made.reasons),
        "inputs_sha256": made.inputs_sha256,
        "model": ModelReference(version=made.score_version, sha256=made.model_sha256),
    }
    if receipt.policy_version == policy.version:
        again |= _limits(receipt, made)
    return [name for name, value in again.items() if getattr(receipt, name) != value]


def _limits(receipt: Receipt, made: Assessment) -> dict[str, Any]:
    base = made.limit.base_inr if made.limit else 0
    return {
        "base_limit_inr": base,
        "recommended_limit_inr": recommended(base, receipt.lender_cap_inr, receipt.low_confidence, made.overdue_inr),
    }


def moment(at: datetime) -> str:
    """Return a moment as receipts write it: UTC, whole seconds, ``Z``."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
