"""
A population of features with a known probability of default, for tests that need the truth.

One hidden strain per shop moves slowly from date to date; features are noisy readings of it, and the probability of
default follows from some of them and from the strain in a way that is not the scorecard's.
"""

from datetime import date, timedelta

import numpy as np
import pandas as pd

from altcredit.pipeline.models import INPUTS

FIRST = date(2025, 6, 1)


def population(*, shops: int = 1500, dates: int = 12, seed: int = 1, gaps: float = 0.0) -> pd.DataFrame:
    """Return a training frame of ``shops`` x ``dates`` rows, 30 days apart; ``gaps`` is the share of values missing."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=shops)
    strain = base + 0.5 * rng.normal(size=shops)
    frames = []
    for number in range(dates):
        strain = base + 0.8 * (strain - base) + 0.35 * rng.normal(size=shops)
        frames.append(_readings(base, strain, FIRST + timedelta(days=30 * number), rng))
    frame = pd.concat(frames, ignore_index=True)
    if gaps:
        names = [item.name for item in INPUTS]
        frame[names] = frame[names].mask(rng.random((len(frame), len(names))) < gaps)
    return frame


def _readings(base: np.ndarray, strain: np.ndarray, day: date, rng: np.random.Generator) -> pd.DataFrame:
    n = len(strain)

    def noise(scale: float) -> np.ndarray:
        return rng.normal(scale=scale, size=n)

    late = np.exp(1.1 + 0.8 * strain + noise(0.3))
    vintage = np.clip(14 + 6 * rng.normal(size=n) - base, 3, 40)
    overdue = np.clip(0.02 * np.exp(strain + noise(0.4)) - 0.012, 0, 1)
    values = {
        "avg_days_late_180d": late,
        "on_time_share_180d": np.clip(1 / (1 + late / 5) + noise(0.08), 0, 1),
        "early_pay_share_180d": np.clip(0.25 - 0.12 * strain + noise(0.1), 0, 1),
        "days_late_last_30d": np.clip(late * np.exp(noise(0.5)), 0, 90),
        "max_days_late_180d": late * 3 * np.exp(noise(0.3)),
        "late_15d_share_180d": np.clip(late / 60 + noise(0.03), 0, 1),
        "days_late_delta_3m": 3 * (strain - base) + noise(2),
        "partial_pay_share_180d": np.clip(0.15 + 0.05 * strain + noise(0.08), 0, 1),
        "returned_payments_180d": rng.poisson(np.exp(-2.5 + 0.9 * strain)).astype(float),
        "festive_days_late": np.clip(late * np.exp(noise(0.6)), 0, 60),
        "order_gap_cv_180d": np.clip(0.5 + 0.08 * strain + noise(0.15), 0.05, 3),
        "max_order_gap_180d": np.clip(18 + 5 * strain + noise(7), 3, 120),
        "days_since_last_order": rng.exponential(6 * np.exp(0.3 * strain)),
        "orders_per_month_180d": np.clip(5 + noise(1.5), 0.5, 20),
        "order_value_cv_180d": np.clip(0.6 + noise(0.2), 0.05, 3),
        "vintage_months": vintage,
        "active_months_12m": np.clip(np.minimum(12, np.ceil(vintage)) - rng.poisson(0.3, n), 1, 12),
        "gmv_slope_6m": noise(0.05) - 0.01 * (strain - base),
        "gmv_ratio_90d": np.clip(1 + noise(0.2), 0.1, 3),
        "gmv_log_180d": 12.5 + noise(0.8),
        "return_rate_180d": np.clip(0.025 * np.exp(0.3 * strain + noise(0.5)), 0, 0.6),
        "return_rate_delta_90d": noise(0.01),
        "outstanding_to_gmv": np.clip(0.1 + 0.03 * strain + noise(0.04) + overdue, 0, 2),
        "overdue_to_gmv": overdue,
        "oldest_overdue_days": np.where(overdue > 0, np.clip(late * 1.5, 0, 29), 0.0),
        "overdue_15d_to_outstanding": np.clip(overdue * 3 - 0.05, 0, 1),
        "distributor_hhi_180d": np.clip(rng.choice([1.0, 0.6, 0.4], size=n) + noise(0.02), 0.2, 1),
    }
    log_odds = (
        -3.3 + 1.25 * strain + 0.5 * (values["return_rate_180d"] > 0.05) + 0.4 * np.clip(strain, 0, None) ** 2 / 2
    )
    true_pd = 1 / (1 + np.exp(-log_odds))
    return pd.DataFrame(
        {
            "retailer_id": [f"ret_{number:016x}" for number in range(n)],
            "as_of": day,
            "default": rng.random(n) < true_pd,
            "true_pd": true_pd,
            "distributor_id": [f"dist_{number % 4}" for number in range(n)],
            "distributor_count": rng.choice([1.0, 2.0, 3.0], p=[0.6, 0.3, 0.1], size=n),
            "completeness_score": np.clip(85 + noise(8), 30, 100),
            "gst_registered": (rng.random(n) < 0.5).astype(float),
            **values,
        }
    )
