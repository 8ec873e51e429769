"""The initial credit limit, with every bound that it is the least of (contract U10)."""

import math
from typing import Literal

import msgspec

from altcredit.engine.underwriting.policy import Policy

Bound = Literal["band", "capacity", "desired", "cap"]


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """
    A limit in R$ and what bounds it, each bound as it is before rounding.

    ``limit_brl`` is 0 where the least bound is under the policy's floor.
    """

    limit_brl: int
    bound_by: Bound
    band_brl: float
    """The band's share of income."""
    capacity_brl: float
    """What the share of income for debts leaves after existing debt service; never negative."""
    desired_brl: float | None
    cap_brl: float
    income_brl: float
    service_brl: float


def limit_of(
    *,
    band: int,
    income_brl: float,
    service_brl: float | None,
    service_seen: bool,
    desired_brl: float | None,
    policy: Policy,
) -> Limit:
    """
    Return min(band share x income, 30 % of income - debt service, desired limit, product cap), down to R$50.

    ``band`` is an approved one. ``service_seen``: the debt service comes from SCR; otherwise it is taken to be at least
    the policy's share of income. ``desired_brl`` None: no limit was asked for.
    """
    rules = policy.limit
    service = service_brl or 0.0
    if not service_seen:
        service = max(service, rules.unseen_service_share * income_brl)
    bounds: dict[Bound, float] = {
        "band": rules.income_share[band - 1] * income_brl,
        "capacity": max(rules.capacity_share * income_brl - service, 0.0),
        "cap": float(rules.cap_brl),
    }
    if desired_brl is not None:
        bounds["desired"] = desired_brl
    bound_by = min(bounds, key=lambda name: bounds[name])
    # Down, but not a step down for the last bit of a binary fraction: 0.3 x 1000 is 300.
    steps = math.floor(round(bounds[bound_by] / rules.step_brl, 6))
    limit = steps * rules.step_brl
    return Limit(
        limit_brl=limit if limit >= rules.floor_brl else 0,
        bound_by=bound_by,
        band_brl=bounds["band"],
        capacity_brl=bounds["capacity"],
        desired_brl=desired_brl,
        cap_brl=bounds["cap"],
        income_brl=income_brl,
        service_brl=service,
    )
