"""One applicant of whom everything is known and ordinary, to be changed by each test."""

from datetime import date
from typing import Any

import msgspec

from altcredit.engine.registry import Estimate, ModelInfo
from altcredit.engine.sources import (
    CpfStatus,
    DevicePhone,
    History,
    NegativeBureau,
    OpenFinance,
    PositiveRegistry,
    Registration,
    Scr,
)
from altcredit.engine.underwriting import CATALOGUE, Application, Decision, ReportedData, decide, features
from altcredit.engine.underwriting.policy import POLICY

TODAY = date(2026, 11, 22)

REPORTED = ReportedData(
    gross_income=4_000,
    housing_spends=1_000,
    card_spends=200,
    loan_spends=100,
    occupation="Company Employee",
    desired_credit_limit=2_000,
)
ANSWERS: dict[str, Any] = {
    "cpf_status": CpfStatus(situation="regular", birth_year=1990),
    "registration": Registration(
        address_matches=True, presumed_income_brl=4_000, years_at_address=3, months_in_employment=40
    ),
    "device_phone": DevicePhone(
        line_months=40, prepaid=False, linked_to_cpf=True, sim_swapped_days=900, device_risk=0.1
    ),
    "negative_bureau": NegativeBureau(
        score=620, negative_records=0, negative_amount_brl=0, protests=0, inquiries_90d=3, own_inquiries_90d=2
    ),
    "scr": Scr(
        institutions=2,
        relationship_months=80,
        total_debt_brl=5_000,
        monthly_service_brl=500,
        overdue_15_90_brl=0,
        overdue_over_90_brl=0,
        written_off_brl=0,
        limits_brl=6_000,
        limits_used_brl=1_200,
    ),
    "positive_registry": PositiveRegistry(
        registered=True,
        score=650,
        history=History(months=12, open_contracts=2, on_time_share=0.98, max_days_past_due_12m=4),
    ),
    "open_finance": OpenFinance(
        months_observed=12,
        relationship_months=90,
        monthly_income_brl=4_000,
        income_variation=0.1,
        mean_balance_brl=2_000,
        overdraft_days_90d=0,
        bounced_payments_90d=0,
    ),
}
MODEL = ModelInfo(
    version="guard-xgb-v1",
    sha256="a" * 64,
    expert_only=False,
    cure_rate=0.5,
    families={name: one.family for name, one in CATALOGUE.items() if one.model_input},
    benchmark={},
)


def read(
    answers: dict[str, Any] | None = None, *, without: tuple[str, ...] = (), **reported: Any
) -> dict[str, float | None]:
    """Return the features of the ordinary applicant with some answers changed or missing, and facts changed."""
    known = {name: one for name, one in (ANSWERS | (answers or {})).items() if name not in without}
    srd = msgspec.structs.replace(REPORTED, **reported)
    return features(Application(customer_uuid="c", cpf="39549600017", srd=srd), known, today=TODAY)


def changed(source: str, **fields: Any) -> dict[str, Any]:
    """Return one source's ordinary answer with fields changed."""
    return {source: msgspec.structs.replace(ANSWERS[source], **fields)}


def estimated(pd: float, **contributions: float) -> Estimate:
    return Estimate(pd=pd, contributions=contributions, base=0.0)


def decided(found: dict[str, float | None], pd: float | None = 0.015, **given: Any) -> Decision:
    """Decide on features with a model that says ``pd``."""
    estimate = given.pop("estimate", None if pd is None else estimated(pd))
    given = {"model": MODEL, "policy": POLICY, "sources": dict.fromkeys(ANSWERS, "answered")} | given
    return decide(found, estimate, **given)
