"""
The append-only record of every change of state, and its seal.

Whoever changes something appends here, in the same transaction. Those rows and the log of score reads become leaves of
one Merkle tree whose signed heads are kept in two places.
"""

from altcredit.engine.audit.bundle import Bundle, BundleExists, NothingSealed, export_bundle
from altcredit.engine.audit.event import AuditEvent
from altcredit.engine.audit.head import Head, Log, Purge, Signed
from altcredit.engine.audit.operations import append, prepare_partitions, read
from altcredit.engine.audit.purge import NotAsSealed, purge
from altcredit.engine.audit.retention import RETENTION, Retention, retention_from
from altcredit.engine.audit.seal import HeadBroken, HeadsDisagree, agreed_size, keep_heads, seal
from altcredit.engine.audit.verify import Finding, Verification, verify

__all__ = [
    "RETENTION",
    "AuditEvent",
    "Bundle",
    "BundleExists",
    "Finding",
    "Head",
    "HeadBroken",
    "HeadsDisagree",
    "Log",
    "NotAsSealed",
    "NothingSealed",
    "Purge",
    "Retention",
    "Signed",
    "Verification",
    "agreed_size",
    "append",
    "export_bundle",
    "keep_heads",
    "prepare_partitions",
    "purge",
    "read",
    "retention_from",
    "seal",
    "verify",
]
