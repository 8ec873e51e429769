"""Batches of distributors' ledgers: validated record by record, kept in bronze, acknowledged when durable."""

from altcredit.engine.ingestion.bronze import SCHEMA as BRONZE_SCHEMA
from altcredit.engine.ingestion.codes import QUARANTINE, WARNING, message
from altcredit.engine.ingestion.erasure import erase
from altcredit.engine.ingestion.files import LakeUnavailable
from altcredit.engine.ingestion.operations import (
    BatchAlreadyProcessed,
    BatchIdConflict,
    BatchStatus,
    BatchUnknown,
    DistributorMismatch,
    Feed,
    Pending,
    Receipt,
    SetAside,
    complete,
    feeds,
    pending,
    purge_quarantine,
    quarantined,
    status,
    submit,
    sweep_lake,
)
from altcredit.engine.ingestion.records import (
    Allocation,
    CreditNote,
    Envelope,
    ErpType,
    Invoice,
    Payment,
    RetailerLink,
)
from altcredit.engine.ingestion.validation import MAX_RECORDS, BatchTooLarge, Problem, Quarantined, Warned

__all__ = [
    "BRONZE_SCHEMA",
    "MAX_RECORDS",
    "QUARANTINE",
    "WARNING",
    "Allocation",
    "BatchAlreadyProcessed",
    "BatchIdConflict",
    "BatchStatus",
    "BatchTooLarge",
    "BatchUnknown",
    "CreditNote",
    "DistributorMismatch",
    "Envelope",
    "ErpType",
    "Feed",
    "Invoice",
    "LakeUnavailable",
    "Payment",
    "Pending",
    "Problem",
    "Quarantined",
    "Receipt",
    "RetailerLink",
    "SetAside",
    "Warned",
    "complete",
    "erase",
    "feeds",
    "message",
    "pending",
    "purge_quarantine",
    "quarantined",
    "status",
    "submit",
    "sweep_lake",
]
