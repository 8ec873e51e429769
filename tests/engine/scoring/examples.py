"""Standings to test with: one ordinary shop, and what is asked to differ."""

from datetime import date
from typing import Any

import msgspec

from altcredit.engine.scoring import Estimate, ModelInfo, Standing

FAMILIES = {
    "avg_days_late_180d": "payment_timing",
    "on_time_share_180d": "payment_timing",
    "early_pay_share_180d": "payment_timing",
    "days_late_last_30d": "payment_timing",
    "max_days_late_180d": "payment_timing",
    "days_late_delta_3m": "payment_trend",
    "partial_pay_share_180d": "payment_quality",
    "returned_payments_180d": "payment_quality",
    "festive_days_late": "festive",
    "order_gap_cv_180d": "order_rhythm",
    "max_order_gap_180d": "order_rhythm",
    "order_value_cv_180d": "order_value",
    "gmv_slope_6m": "growth",
    "return_rate_180d": "returns",
    "outstanding_to_gmv": "outstanding",
    "oldest_overdue_days": "outstanding",
    "distributor_hhi_180d": "concentration",
    "vintage_months": "vintage",
    "active_months_12m": "vintage",
}

FEATURES: dict[str, float | None] = {
    "avg_days_late_180d": 2.0,
    "on_time_share_180d": 0.8,
    "early_pay_share_180d": 0.1,
    "days_late_last_30d": 0.0,
    "max_days_late_180d": 9.0,
    "days_late_delta_3m": 0.0,
    "partial_pay_share_180d": 0.05,
    "returned_payments_180d": 0.0,
    "festive_days_late": 4.0,
    "order_gap_cv_180d": 0.4,
    "max_order_gap_180d": 41.0,
    "order_value_cv_180d": 0.55,
    "gmv_slope_6m": 0.03,
    "return_rate_180d": 0.09,
    "outstanding_to_gmv": 0.1,
    "oldest_overdue_days": 0.0,
    "distributor_hhi_180d": 1.0,
    "vintage_months": 30.0,
    "active_months_12m": 12.0,
    "distributor_count": 1.0,
    "completeness_score": 84.0,
    "gst_registered": 1.0,
}

CONTRIBUTIONS = {
    "avg_days_late_180d": -0.5,
    "on_time_share_180d": -0.1,
    "order_gap_cv_180d": -0.4,
    "gmv_slope_6m": -0.2,
    "return_rate_180d": 0.3,
    "max_order_gap_180d": 0.1,
    "vintage_months": -0.05,
}

MODEL = ModelInfo(
    version="altscore-xgb-v1-prod",
    sha256="0" * 64,
    expert_only=False,
    cure_rate=0.6,
    families=FAMILIES,
    benchmark={name: value for name, value in FEATURES.items() if value is not None},
)


def standing(**differs: Any) -> Standing:
    ordinary = Standing(
        retailer_id="ret_7f3a92c1d4e8b051",
        as_of=date(2026, 5, 19),
        features=FEATURES,
        completeness=84.2,
        history_days=400,
        matured_credit_bills=40,
        has_payment_data=True,
        in_default=False,
        gmv_6m_inr=1_050_000,
        gmv_month_median_inr=176_500,
        overdue_inr=0,
        feed=("dist_c4f9",),
    )
    return msgspec.structs.replace(ordinary, **differs)


def estimate(pd: float = 0.082, **contributions: float) -> Estimate:
    return Estimate(pd=pd, contributions=contributions or CONTRIBUTIONS, base=-2.0)
