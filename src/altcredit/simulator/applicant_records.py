"""What each source has on record of a simulated person: readings of the hidden traits, with noise and gaps."""

import math
from typing import Any, Literal

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
from altcredit.simulator.applicant_draws import Draws
from altcredit.simulator.applicant_traits import Traits

# Share of people whose CPF is anything but regular.
_Irregular = Literal["deceased", "cancelled", "null", "suspended", "pending"]
_IRREGULAR: tuple[tuple[_Irregular, float], ...] = (
    ("deceased", 0.001),
    ("cancelled", 0.001),
    ("null", 0.0005),
    ("suspended", 0.006),
    ("pending", 0.012),
)


def records_of(t: Traits, draws: Draws) -> dict[str, Any]:
    """Return what is on record, by source name; each as a source would answer who may know everything."""
    return {
        "cpf_status": _cpf(draws),
        "registration": _registration(t, draws),
        "device_phone": _device(t, draws),
        "negative_bureau": _bureau(t, draws),
        "scr": _scr(t, draws),
        "positive_registry": _positive(t, draws),
        "open_finance": _accounts(t, draws),
    }


def _cpf(draws: Draws) -> CpfStatus:
    drawn, birth_year = draws.uniform(), draws.whole(1945, 2007)
    for situation, share in _IRREGULAR:
        if drawn < share:
            return CpfStatus(situation=situation, birth_year=birth_year)
        drawn -= share
    return CpfStatus(situation="regular", birth_year=birth_year)


def _registration(t: Traits, draws: Draws) -> Registration:
    presumed = round(t.income * draws.factor(0.3), 2)
    years = round(min(2.5 * math.exp(0.7 * t.stability + 0.6 * draws.normal()), 60.0), 1)
    months = int(min(26 * math.exp(0.7 * t.stability + 0.5 * draws.normal()), 480))
    matches = draws.chance(0.35 if t.fraud else 0.93)
    known = draws.uniform()
    if known < (0.35 if t.thin else 0.02):  # nobody of this CPF is on record
        return Registration()
    return Registration(
        address_matches=matches,
        presumed_income_brl=presumed,
        years_at_address=years,
        months_in_employment=months if t.occupation != "Retired" and known < 0.9 else None,
    )


def _device(t: Traits, draws: Draws) -> DevicePhone:
    age = 1 if t.fraud else int(min(30 * math.exp(0.5 * t.stability + 0.6 * draws.normal()), 240))
    swapped = draws.chance(0.35 if t.fraud else 0.015)
    risk = (0.75 if t.fraud else 0.15) + 0.12 * draws.normal()
    return DevicePhone(
        line_months=age,
        prepaid=draws.chance(1 / (1 + math.exp(0.4 + 0.8 * t.affluence))),
        linked_to_cpf=draws.chance(0.25 if t.fraud else 0.94),
        # A chip that never changed is as old as its line.
        sim_swapped_days=draws.whole(0, 29) if swapped else 30 + age * 30,
        device_risk=round(min(max(risk, 0.0), 1.0), 3),
    )


def _bureau(t: Traits, draws: Draws) -> NegativeBureau:
    unpaid = draws.count(math.exp(-2.3 - 1.1 * t.discipline + 0.35 * t.burden))
    own = draws.count(0.6)
    score = 560 + 120 * t.discipline - 55 * t.burden + 35 * t.stability + 20 * t.affluence + 75 * draws.normal()
    return NegativeBureau(
        score=None if t.thin and draws.chance(0.5) else int(min(max(score, 0), 1000)),
        negative_records=unpaid,
        negative_amount_brl=round(sum(350 * draws.factor(0.9) for _ in range(unpaid)), 2),
        protests=draws.count(0.15) if unpaid else 0,
        inquiries_90d=own + draws.count(math.exp(0.25 + 0.35 * t.burden - 0.2 * t.discipline + 0.9 * t.fraud)),
        own_inquiries_90d=own,
    )


def _scr(t: Traits, draws: Draws) -> Scr:
    late, later, lost = draws.uniform(), draws.uniform(), draws.uniform()
    size = t.income * draws.factor(0.5)
    bad = -1.1 * t.discipline + 0.5 * t.burden
    if t.thin and draws.chance(0.7):
        return Scr(
            institutions=0,
            relationship_months=0,
            total_debt_brl=0,
            monthly_service_brl=0,
            overdue_15_90_brl=0,
            overdue_over_90_brl=0,
            written_off_brl=0,
            limits_brl=0,
            limits_used_brl=0,
        )
    limits = round(1.4 * size * math.exp(0.3 * t.affluence), 2)
    used = 1 / (1 + math.exp(0.5 - 0.9 * t.burden + 0.45 * t.discipline + 0.5 * draws.normal()))
    return Scr(
        institutions=1 + draws.count(1.2 * math.exp(0.25 * t.burden)),
        relationship_months=t.history_months,
        total_debt_brl=round(2.0 * size * math.exp(0.7 * t.burden), 2),
        monthly_service_brl=round(t.service_share * t.income * draws.factor(0.12), 2),
        overdue_15_90_brl=round(0.15 * size, 2) if late < _logistic(-2.7 + bad) else 0,
        overdue_over_90_brl=round(0.3 * size, 2) if later < _logistic(-4.0 + 1.2 * bad) else 0,
        written_off_brl=round(0.5 * size, 2) if lost < _logistic(-3.9 + 1.1 * bad) else 0,
        limits_brl=limits,
        limits_used_brl=round(limits * used, 2),
    )


def _positive(t: Traits, draws: Draws) -> PositiveRegistry:
    score = 600 + 115 * t.discipline - 70 * t.burden + 35 * t.stability + 65 * draws.normal()
    missed = min(0.05 * math.exp(-0.8 * t.discipline + 0.3 * t.burden + 0.5 * draws.normal()), 1.0)
    delay = draws.uniform()
    if draws.chance(0.06):  # left the registry, as is everyone's right
        return PositiveRegistry(registered=False)
    months = min(t.history_months, 12)
    history = History(
        months=months,
        open_contracts=draws.count(2.0 * math.exp(0.2 * t.burden)),
        on_time_share=round(1 - missed, 3) if months else None,
        max_days_past_due_12m=int(min(missed * 180 * delay, 360)) if months else None,
    )
    return PositiveRegistry(
        registered=True, score=None if months < 3 else int(min(max(score, 0), 1000)), history=history
    )


def _accounts(t: Traits, draws: Draws) -> OpenFinance:
    return OpenFinance(
        months_observed=min(t.history_months + 1, 12),
        relationship_months=max(t.history_months, 1) + draws.whole(0, 36),
        monthly_income_brl=round(t.income * min(draws.factor(0.12), 1.3), 2),
        income_variation=round(0.16 * math.exp(-0.6 * t.stability + 0.3 * draws.normal()), 3),
        mean_balance_brl=round(t.income * (0.7 - 0.45 * t.burden + 0.3 * t.discipline + 0.25 * draws.normal()), 2),
        overdraft_days_90d=min(draws.count(math.exp(0.5 + 0.7 * t.burden - 0.4 * t.discipline)), 90),
        bounced_payments_90d=draws.count(math.exp(-1.7 - 0.8 * t.discipline + 0.3 * t.burden)),
    )


def _logistic(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
