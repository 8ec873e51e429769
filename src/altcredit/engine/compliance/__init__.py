"""Compliance: erasure, portability, the breach register, regulation as data, and the report that proves it all."""

from altcredit.engine.compliance.breach import NOTIFY_WITHIN, Breach, Severity
from altcredit.engine.compliance.breaches import (
    BreachClosed,
    BreachInvalid,
    BreachNotNotified,
    BreachUnknown,
    Told,
    add_breach,
    breaches,
    close_breach,
    note_told,
)
from altcredit.engine.compliance.erasure import STEPS, Certificate, Erasure, Name, Step
from altcredit.engine.compliance.exports import (
    Export,
    ExportUnknown,
    drop_expired,
    export,
    find_export,
    ids_of,
    produce,
)
from altcredit.engine.compliance.operations import (
    Due,
    ErasureUnknown,
    StepNotDue,
    carry_out,
    due_steps,
    erasures,
    find_erasure,
    note_progress,
    request_erasure,
)
from altcredit.engine.compliance.policy import POLICY, Retention

__all__ = [
    "NOTIFY_WITHIN",
    "POLICY",
    "STEPS",
    "Breach",
    "BreachClosed",
    "BreachInvalid",
    "BreachNotNotified",
    "BreachUnknown",
    "Certificate",
    "Due",
    "Erasure",
    "ErasureUnknown",
    "Export",
    "ExportUnknown",
    "Name",
    "Retention",
    "Severity",
    "Step",
    "StepNotDue",
    "Told",
    "add_breach",
    "breaches",
    "carry_out",
    "close_breach",
    "drop_expired",
    "due_steps",
    "erasures",
    "export",
    "find_erasure",
    "find_export",
    "ids_of",
    "note_progress",
    "note_told",
    "produce",
    "request_erasure",
]
