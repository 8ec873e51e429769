"""What a model says of one person or shop, and what a decision must know of the model that said it."""

import math

import msgspec

# A published probability has six decimals, and is never 0 or 1: nobody's default is impossible or certain.
PD_DECIMALS = 6
_LEAST, _MOST = 1e-6, 1 - 1e-6


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """
    A model's answer for one retailer or applicant.

    ``base + sum(contributions.values()) == logit(pd)`` to 1e-6: the contributions are calibrated log-odds of default
    by feature, positive where the feature raises the risk.
    """

    pd: float
    contributions: dict[str, float]
    base: float


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision must know, and record, of the model that it rests on."""

    version: str
    """As answered in ``score_version``, for example ``altscore-xgb-v1-prod``."""
    sha256: str
    """Of the artefact."""
    expert_only: bool
    """The expert scorecard alone decides: low confidence, and band B (AltScore) or 3 (GUARD) at best."""
    cure_rate: float
    """AltScore: share of shops in default that are out of it 90 days later (contract A9)."""
    families: dict[str, str]
    """The family of each model input, by which contributions are summed before a reason is chosen."""
    benchmark: dict[str, float]
    """The portfolio's median of each feature, which step (2) of contract A11 measures against."""


def published(pd: float) -> float:
    """Return a probability as it is stored, answered and scored: six decimals, within (0, 1)."""
    return round(min(max(pd, _LEAST), _MOST), PD_DECIMALS)


def logit(pd: float) -> float:
    """Return the log-odds of a probability strictly between 0 and 1."""
    return math.log(pd / (1 - pd))
