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
    watch_breaches,
)
from altcredit.engine.compliance.erasure import STEPS, Certificate, Erasure, Name, Step
from altcredit.engine.compliance.exports import (
    Export,
    ExportUnknown,
    drop_expired,
    export,
    find_export,
    produce,
    shop_of,
)
from altcredit.engine.compliance.figures import Chart, Figure, Report, Section, Table
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
from altcredit.engine.compliance.page import export_page, report_page
from altcredit.engine.compliance.policy import POLICY, Retention
from altcredit.engine.compliance.regulations import REGULATIONS, Control, Law, Pack
from altcredit.engine.compliance.reports import PeriodInvalid, report
from altcredit.engine.compliance.unmasking import RetailerErased, unmask, unmaskable

__all__ = [
    "NOTIFY_WITHIN",
    "POLICY",
    "REGULATIONS",
    "STEPS",
    "Breach",
    "BreachClosed",
    "BreachInvalid",
    "BreachNotNotified",
    "BreachUnknown",
    "Certificate",
    "Chart",
    "Control",
    "Due",
    "Erasure",
    "ErasureUnknown",
    "Export",
    "ExportUnknown",
    "Figure",
    "Law",
    "Name",
    "Pack",
    "PeriodInvalid",
    "Report",
    "RetailerErased",
    "Retention",
    "Section",
    "Severity",
    "Step",
    "StepNotDue",
    "Table",
    "Told",
    "add_breach",
    "breaches",
    "carry_out",
    "close_breach",
    "drop_expired",
    "due_steps",
    "erasures",
    "export",
    "export_page",
    "find_erasure",
    "find_export",
    "note_progress",
    "note_told",
    "produce",
    "report",
    "report_page",
    "request_erasure",
    "shop_of",
    "unmask",
    "unmaskable",
    "watch_breaches",
]
