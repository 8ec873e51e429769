"""GUARD: a card applicant's way from the request to a decision."""

from altcredit.engine.underwriting.application import (
    Address,
    Application,
    Authorizations,
    Contact,
    ReportedData,
    is_cpf,
    subject_of,
)
from altcredit.engine.underwriting.bands import band_of, decided_pd
from altcredit.engine.underwriting.callback import Callback, stamp
from altcredit.engine.underwriting.catalogue import CATALOGUE, REQUIRED, WITHHELD, features
from altcredit.engine.underwriting.decision import Decision, Outcome, decide, inputs_sha256
from altcredit.engine.underwriting.feature import Feature
from altcredit.engine.underwriting.funnel import Screening, draw_of, knocked_out_by, screen
from altcredit.engine.underwriting.limit import Limit, limit_of
from altcredit.engine.underwriting.operations import accept, begin, conclude, fail, fail_overdue, find, report_on
from altcredit.engine.underwriting.outcomes import CardOutcome, OutcomesInvalid, Quarantined, Reading
from altcredit.engine.underwriting.outcomes import read as read_outcomes
from altcredit.engine.underwriting.policy import POLICY, Policy, PolicyInvalid, policy_from, policy_of
from altcredit.engine.underwriting.reasons import CODES, Reason, ReasonCode
from altcredit.engine.underwriting.report import Estimated, Funnel, Row, UnderwritingReport, summarise
from altcredit.engine.underwriting.retention import RETENTION, Retention
from altcredit.engine.underwriting.reviews import (
    NotReviewable,
    ReviewUnknown,
    VerdictImpossible,
    ask_review,
    decide_review,
    open_reviews,
)
from altcredit.engine.underwriting.rights import (
    ErasureImpossible,
    Imported,
    Lesson,
    applications_of,
    erase,
    export,
    import_outcomes,
    lessons,
    purge,
)
from altcredit.engine.underwriting.sandbox import PUBLISHED, Rehearsal, examples, rehearsal, rehearsed
from altcredit.engine.underwriting.standing import (
    Case,
    Conclusion,
    OpenReview,
    RequestUnknown,
    Review,
    Standing,
    Verdict,
)

__all__ = [
    "CATALOGUE",
    "CODES",
    "POLICY",
    "PUBLISHED",
    "REQUIRED",
    "RETENTION",
    "WITHHELD",
    "Address",
    "Application",
    "Authorizations",
    "Callback",
    "CardOutcome",
    "Case",
    "Conclusion",
    "Contact",
    "Decision",
    "ErasureImpossible",
    "Estimated",
    "Feature",
    "Funnel",
    "Imported",
    "Lesson",
    "Limit",
    "NotReviewable",
    "OpenReview",
    "Outcome",
    "OutcomesInvalid",
    "Policy",
    "PolicyInvalid",
    "Quarantined",
    "Reading",
    "Reason",
    "ReasonCode",
    "Rehearsal",
    "ReportedData",
    "RequestUnknown",
    "Retention",
    "Review",
    "ReviewUnknown",
    "Row",
    "Screening",
    "Standing",
    "UnderwritingReport",
    "Verdict",
    "VerdictImpossible",
    "accept",
    "applications_of",
    "ask_review",
    "band_of",
    "begin",
    "conclude",
    "decide",
    "decide_review",
    "decided_pd",
    "draw_of",
    "erase",
    "examples",
    "export",
    "fail",
    "fail_overdue",
    "features",
    "find",
    "import_outcomes",
    "inputs_sha256",
    "is_cpf",
    "knocked_out_by",
    "lessons",
    "limit_of",
    "open_reviews",
    "policy_from",
    "policy_of",
    "purge",
    "read_outcomes",
    "rehearsal",
    "rehearsed",
    "report_on",
    "screen",
    "stamp",
    "subject_of",
    "summarise",
]
