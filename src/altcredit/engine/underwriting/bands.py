"""From a probability of default to a risk band (contract U10)."""

from bisect import bisect_left

from altcredit.engine.registry import ModelInfo, published
from altcredit.engine.underwriting.policy import Policy


def band_of(pd: float, *, policy: Policy) -> int:
    """Return the band, 1 to 7, of a published probability; an edge belongs to the better band (0.015 is band 3)."""
    return bisect_left(policy.bands.edges, pd) + 1


def decided_pd(model_pd: float, *, model: ModelInfo, policy: Policy) -> float:
    """
    Return the probability that a decision rests on, as published: six decimals.

    A scorecard that has not been held against outcomes may not say better than the policy's band: the bound is on the
    probability, so that probability and band of an answer always agree.
    """
    best = policy.bands.best_unproven
    if model.expert_only and best > 1:
        model_pd = max(model_pd, policy.bands.edges[best - 2] + 1e-6)
    return published(model_pd)
