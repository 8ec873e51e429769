"""The append-only record of every change of state. Whoever changes something appends here, in the same transaction."""

from altcredit.engine.audit.event import AuditEvent
from altcredit.engine.audit.operations import append, prepare_partitions, read

__all__ = ["AuditEvent", "append", "prepare_partitions", "read"]
