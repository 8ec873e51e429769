"""What a product's decisions make of probabilities: bands and limits, for comparing and grading models."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pandas as pd

from altcredit.engine import scoring, underwriting
from altcredit.engine.registry import ModelInfo, Product, published
from altcredit.pipeline.models.inputs import Floats


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """
    One product's rules, over arrays.

    ``bands``: the best first. ``decided(pd, model)``: probabilities that decisions rest on. ``bands_of(pd)``: the band
    of each. ``limits(frame, pd, bands)``: the sum of all limits, in whole rupees or reais.
    """

    bands: tuple[str, ...]
    decided: Callable[[Floats, ModelInfo], Floats]
    bands_of: Callable[[Floats], list[str]]
    limits: Callable[[pd.DataFrame, Floats, Sequence[str]], int]


def _altscore_decided(pd_: Floats, model: ModelInfo) -> Floats:
    policy = scoring.POLICY
    return np.array([scoring.decided_pd(p, in_default=False, model=model, policy=policy) for p in pd_.tolist()])


def _altscore_bands(pd_: Floats) -> list[str]:
    return [scoring.band_of(scoring.score_of(published(p))) for p in pd_.tolist()]


def _altscore_limits(frame: pd.DataFrame, pd_: Floats, bands: Sequence[str]) -> int:
    """On six months' purchases as ``gmv_log_180d`` has them, a month being a sixth."""
    if "gmv_log_180d" not in frame.columns:
        return 0
    purchases = np.expm1(frame["gmv_log_180d"].fillna(0.0).to_numpy(dtype=np.float64))
    limits: list[int] = [
        scoring.base_limit(
            gmv_6m_inr=int(gmv),
            gmv_month_median_inr=int(gmv / 6),
            band=band,  # type: ignore[arg-type]
            pd=p,
            policy=scoring.POLICY,
        ).base_inr
        for gmv, band, p in zip(purchases.tolist(), bands, pd_.tolist(), strict=True)
    ]
    return sum(limits)


def _guard_decided(pd_: Floats, model: ModelInfo) -> Floats:
    return np.array([underwriting.decided_pd(p, model=model, policy=underwriting.POLICY) for p in pd_.tolist()])


def _guard_bands(pd_: Floats) -> list[str]:
    return [str(underwriting.band_of(published(p), policy=underwriting.POLICY)) for p in pd_.tolist()]


def guard_limits(frame: pd.DataFrame, bands: Sequence[int]) -> list[int]:
    """Return the limit in R$ of each applicant of a frame in these bands, 0 where none follows."""
    return [
        _guard_limit(band, *(None if value != value else value for value in facts))
        for band, facts in zip(bands, frame[_LIMIT_FACTS].to_numpy(dtype=np.float64).tolist(), strict=True)
    ]


_LIMIT_FACTS = ["supported_income_brl", "debt_service_brl", "service_in_scr", "desired_limit_brl"]


def _guard_limit(
    band: int, income: float | None, service: float | None, seen: float | None, desired: float | None
) -> int:
    policy = underwriting.POLICY
    if not income or band > policy.bands.approved_to:
        return 0
    return underwriting.limit_of(
        band=band,
        income_brl=income,
        service_brl=service,
        service_seen=bool(seen),
        desired_brl=desired,
        policy=policy,
    ).limit_brl


def _guard_limits(frame: pd.DataFrame, pd_: Floats, bands: Sequence[str]) -> int:
    return sum(guard_limits(frame, [int(band) for band in bands]))


def _no_limits(frame: pd.DataFrame, pd_: Floats, bands: Sequence[str]) -> int:
    """The funnel's model gives no limits."""
    return 0


_SEVEN = tuple(str(number) for number in range(1, 8))

RULES: dict[Product, Rules] = {
    "altscore": Rules(
        bands=("A", "B", "C", "D"), decided=_altscore_decided, bands_of=_altscore_bands, limits=_altscore_limits
    ),
    "guard": Rules(bands=_SEVEN, decided=_guard_decided, bands_of=_guard_bands, limits=_guard_limits),
    "guard_screen": Rules(bands=_SEVEN, decided=_guard_decided, bands_of=_guard_bands, limits=_no_limits),
}
