"""
The append-only record of every change of state, and its seal.

Whoever changes something appends here, in the same transaction. Those rows and the log of score reads become leaves of
one Merkle tree whose signed heads are kept in two places.
"""

from altcredit.engine.audit.bundle import Bundle, BundleExists, NothingSealed, export_bundle
from altcredit.engine.audit.event import AuditEvent
from altcredit.engine.audit.head import Head, Log, Mark, Purge, Signed
from altcredit.engine.audit.mark import recall, remember
from altcredit.engine.audit.operations import append, append_all, prepare_partitions, read
from altcredit.engine.audit.purge import NotAsSealed, purge
from altcredit.engine.audit.resume import Break, NothingToResume, NotResumable, resume, set_aside
from altcredit.engine.audit.retention import RETENTION, Retention, retention_from
from altcredit.engine.audit.seal import HeadBroken, HeadsDisagree, keep_heads, seal, waiting
from altcredit.engine.audit.verify import Finding, Verification, verify

__all__ = [
    "RETENTION",
    "AuditEvent",
    "Break",
    "Bundle",
    "BundleExists",
    "Finding",
    "Head",
    "HeadBroken",
    "HeadsDisagree",
    "Log",
    "Mark",
    "NotAsSealed",
    "NotResumable",
    "NothingSealed",
    "NothingToResume",
    "Purge",
    "Retention",
    "Signed",
    "Verification",
    "append",
    "append_all",
    "export_bundle",
    "keep_heads",
    "prepare_partitions",
    "purge",
    "read",
    "recall",
    "remember",
    "resume",
    "retention_from",
    "seal",
    "set_aside",
    "verify",
    "waiting",
]
