"""GUARD: a card applicant's way from the request to a decision."""

from altcredit.engine.underwriting.application import (
    Address,
    Application,
    Authorizations,
    Contact,
    ReportedData,
    is_cpf,
)
from altcredit.engine.underwriting.bands import band_of, decided_pd
from altcredit.engine.underwriting.catalogue import CATALOGUE, REQUIRED, WITHHELD, features
from altcredit.engine.underwriting.decision import Decision, Outcome, decide, inputs_sha256
from altcredit.engine.underwriting.feature import Feature
from altcredit.engine.underwriting.funnel import Screening, draw_of, knocked_out_by, screen
from altcredit.engine.underwriting.limit import Limit, limit_of
from altcredit.engine.underwriting.policy import POLICY, Policy, PolicyInvalid, policy_from
from altcredit.engine.underwriting.reasons import CODES, Reason, ReasonCode

__all__ = [
    "CATALOGUE",
    "CODES",
    "POLICY",
    "REQUIRED",
    "WITHHELD",
    "Address",
    "Application",
    "Authorizations",
    "Contact",
    "Decision",
    "Feature",
    "Limit",
    "Outcome",
    "Policy",
    "PolicyInvalid",
    "Reason",
    "ReasonCode",
    "ReportedData",
    "Screening",
    "band_of",
    "decide",
    "decided_pd",
    "draw_of",
    "features",
    "inputs_sha256",
    "is_cpf",
    "knocked_out_by",
    "limit_of",
    "policy_from",
    "screen",
]
