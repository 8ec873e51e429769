"""What a feature of an applicant is, how one is declared, and what one is read from."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from altcredit.engine.sources import (
    SOURCES,
    CpfStatus,
    DevicePhone,
    NegativeBureau,
    OpenFinance,
    PositiveRegistry,
    Registration,
    Scr,
)
from altcredit.engine.underwriting.application import Application, ReportedData

Monotone = Literal[-1, 0, 1]

# The source of what is reported.
APPLICATION = "application"

# A declared income is taken up to this multiple of what a registry presumes, or of what shared accounts show: presumed
# incomes are rough (half or double is common), observed ones miss cash and other banks.
PRESUMED_TOLERANCE = 2.0
OBSERVED_TOLERANCE = 1.25
# A ratio beyond this says no more than this, whatever the typing error in a declared income.
_MOST = 1_000.0


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """All that may be known of an applicant; None: not asked, no answer, or not reported."""

    reported: ReportedData | None
    cpf: CpfStatus | None
    registration: Registration | None
    device: DevicePhone | None
    bureau: NegativeBureau | None
    scr: Scr | None
    positive: PositiveRegistry | None
    accounts: OpenFinance | None
    income: float | None
    """Monthly income in R$ that ratios go by: declared, up to twice what is presumed; else presumed."""
    supported: float | None
    """Monthly income in R$ that a limit may go by: as ``income``, and not beyond what shared accounts support."""


Value = float | None
Reads = Callable[[Known], Value]


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """
    One number of an applicant.

    ``monotone`` states what a *higher* value means: +1 higher risk, -1 lower risk, 0 neither. ``source`` is where it
    comes from (``application``: reported). ``screen``: known before the paid ``full`` sources are asked, so the
    funnel's model may use it. ``neutral``: its absence counts neither way; the absence of any other is read cautiously.
    ``model_input`` is False for facts, which reasons and limits may use and no model does.
    """

    name: str
    family: str
    unit: str
    meaning: str
    monotone: Monotone
    source: str
    screen: bool
    neutral: bool
    model_input: bool
    reads: Reads


def declare(
    table: dict[str, Feature],
    source: str,
    family: str,
    unit: str,
    monotone: Monotone,
    *,
    neutral: bool = False,
    model_input: bool = True,
) -> Callable[[Reads], Reads]:
    """Enter a function into ``table`` as the feature of its name; the docstring is the meaning."""

    def enter(reads: Reads) -> Reads:
        name = reads.__name__
        assert reads.__doc__, f"{name} does not say what it means"
        table[name] = Feature(
            name=name,
            family=family,
            unit=unit,
            meaning=" ".join(reads.__doc__.split()),
            monotone=monotone,
            source=source,
            screen=source == APPLICATION or SOURCES[source].tier == "screen",
            neutral=neutral,
            model_input=model_input,
            reads=reads,
        )
        return reads

    return enter


def known_of(application: Application, answers: Mapping[str, Any]) -> Known:
    """Put the reported facts and the answers side by side, and find the incomes to go by."""
    reported = application.srd
    registration: Registration | None = answers.get("registration")
    accounts: OpenFinance | None = answers.get("open_finance")
    income = _income(reported, registration)
    return Known(
        reported=reported,
        cpf=answers.get("cpf_status"),
        registration=registration,
        device=answers.get("device_phone"),
        bureau=answers.get("negative_bureau"),
        scr=answers.get("scr"),
        positive=answers.get("positive_registry"),
        accounts=accounts,
        income=income,
        supported=_supported(income, reported, accounts),
    )


def _income(reported: ReportedData | None, registration: Registration | None) -> float | None:
    declared = reported.gross_income if reported is not None else None
    presumed = registration.presumed_income_brl if registration is not None else None
    if declared is None or presumed is None:
        return declared if presumed is None else presumed
    return min(declared, presumed * PRESUMED_TOLERANCE)


def _supported(income: float | None, reported: ReportedData | None, accounts: OpenFinance | None) -> float | None:
    """
    Return the income that is supported, never more than what was declared.

    Shared accounts are the best evidence there is: they lift a declared income that the registry presumes too low, and
    bound one that they do not show.
    """
    if accounts is None or accounts.months_observed == 0:
        return income
    observed = accounts.monthly_income_brl
    if reported is None:
        return observed
    return min(reported.gross_income, observed * OBSERVED_TOLERANCE)


def over(part: float | None, whole: float | None) -> float | None:
    """Return ``part / whole``, at most 1,000; None where either is not known or the whole is nothing."""
    if part is None or not whole:
        return None
    return min(part / whole, _MOST)
