"""GUARD: a card applicant's way from the request to a decision."""

from altcredit.engine.underwriting.application import (
    Address,
    Application,
    Authorizations,
    Contact,
    ReportedData,
    is_cpf,
)

__all__ = ["Address", "Application", "Authorizations", "Contact", "ReportedData", "is_cpf"]
