"""The funnel: who is worth the price of the full sources (``costSavingEnabled``; contract U5, U11)."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from altcredit.engine.registry import Estimate, ModelInfo, published
from altcredit.engine.sources import CpfStatus
from altcredit.engine.underwriting.policy import Policy


class Screening(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the funnel made of an applicant.

    ``pd`` is the screen model's probability, None where it could not calculate or a knock-out came first.
    ``passed_at_random``: above the cut, let through to learn what the filtered are like.
    """

    pd: float | None
    cut: float
    passed: bool
    passed_at_random: bool
    knocked_out_by: str | None
    model_version: str | None
    model_sha256: str | None


def knocked_out_by(answers: Mapping[str, Any], *, policy: Policy) -> str | None:
    """Return which answer forbids lending whatever else is known, as ``cpf_status.deceased``, or None."""
    cpf: CpfStatus | None = answers.get("cpf_status")
    if cpf is not None and cpf.situation in policy.funnel.knock_outs:
        return f"cpf_status.{cpf.situation}"
    return None


def draw_of(request_id: str) -> float:
    """
    Return a number in [0, 1) for an application: as good as random, and the same when a killed job is run again.

    A fresh draw at every retry would let through more than the policy's share.
    """
    return int.from_bytes(hashlib.sha256(b"funnel|" + request_id.encode()).digest()[:7], "big") / (1 << 56)


def screen(
    estimate: Estimate | None, *, model: ModelInfo | None, policy: Policy, knocked_out_by: str | None, draw: float
) -> Screening:
    """
    Decide whether the full sources are asked. ``draw`` in [0, 1) as :func:`draw_of` gives it.

    A knock-out never passes. Where the screen model cannot calculate, the applicant passes: nothing was found against
    them, and the full model decides.
    """
    pd = published(estimate.pd) if estimate is not None and knocked_out_by is None else None
    below = pd is None or pd <= policy.funnel.cut_pd
    lucky = not below and draw < policy.funnel.pass_at_random
    return Screening(
        pd=pd,
        cut=policy.funnel.cut_pd,
        passed=knocked_out_by is None and (below or lucky),
        passed_at_random=lucky,
        knocked_out_by=knocked_out_by,
        model_version=model.version if model is not None and pd is not None else None,
        model_sha256=model.sha256 if model is not None and pd is not None else None,
    )
