"""Consent: the signed ledger, and what it lets whom do."""

from altcredit.engine.consent.erasure import Recorded, end_all, records
from altcredit.engine.consent.ledger import timestamp
from altcredit.engine.consent.notice import MODEL_DEVELOPMENT
from altcredit.engine.consent.operations import (
    ConsentUnknown,
    Exported,
    Granted,
    LenderUnknown,
    NotGranted,
    RetailerAmbiguous,
    RetailerUnknown,
    Revoked,
    ScopeMismatch,
    check,
    grant,
    gst_head_key,
    head_key,
    relink,
    revoke,
    scorable,
    show,
    trainable,
)

__all__ = [
    "MODEL_DEVELOPMENT",
    "ConsentUnknown",
    "Exported",
    "Granted",
    "LenderUnknown",
    "NotGranted",
    "Recorded",
    "RetailerAmbiguous",
    "RetailerUnknown",
    "Revoked",
    "ScopeMismatch",
    "check",
    "end_all",
    "grant",
    "gst_head_key",
    "head_key",
    "records",
    "relink",
    "revoke",
    "scorable",
    "show",
    "timestamp",
    "trainable",
]
