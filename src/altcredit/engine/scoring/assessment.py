"""
An assessment: everything of an answer that does not depend on who reads it and when.

Rules of contract A8 to A11, A14 and its paragraph on thin files, applied to what the pipeline found.
"""

import hashlib
from datetime import date
from typing import Literal

import msgspec

from altcredit.engine.registry import Estimate, ModelInfo, logit, published
from altcredit.engine.scoring.limit import BaseLimit, Policy, base_limit
from altcredit.engine.scoring.reasons import CODES, Evidence, Reason, choose
from altcredit.engine.scoring.scale import BEST_UNPROVEN_PD, Band, band_of, score_of
from altcredit.engine.scoring.standing import Standing

PD_HORIZON_DAYS = 90

# Contract, "Thin files": below these there is no assessment yet.
MIN_HISTORY_DAYS = 90
MIN_MATURED_CREDIT_BILLS = 6

# Contract A8 and API-ALTSCORE-001, section 03.
MIN_COMPLETENESS = 50
FULL_COMPLETENESS = 70

# Contract A7, evaluated by the reader.
STALE_AFTER_DAYS = 14
TOO_OLD_AFTER_DAYS = 45

IN_DEFAULT_CODE = "SEVERE_OVERDUE"

Insufficient = Literal["completeness", "no_payment_data"]

_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode_standing = msgspec.json.Decoder(Standing).decode


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is stored of one scoring of one retailer.

    ``insufficient`` says why nothing could be said; then score, band, probability and limit are None and there are no
    reasons. Otherwise all of them are given.
    """

    retailer_id: str
    as_of: date
    altscore: int | None
    risk_band: Band | None
    probability_of_default: float | None
    """Within ``PD_HORIZON_DAYS`` days, six decimals."""
    model_pd: float | None
    """What the model said, before the rules for shops in default and for unproven scorecards."""
    limit: BaseLimit | None
    overdue_inr: int
    reasons: tuple[Reason, ...]
    completeness: float
    reduced_confidence: bool
    """Low confidence whatever the age of the data: incomplete records, or a scorecard not proven by outcomes."""
    insufficient: Insufficient | None
    in_default: bool
    feed: tuple[str, ...]
    score_version: str
    model_sha256: str
    policy_version: str
    policy_sha256: str
    inputs_sha256: str
    """Of :func:`inputs_of`."""


class Inconsistent(Exception):
    """The pipeline handed over a standing that needs an estimate, without one: a bug, not a refusal."""


def assess(standing: Standing, estimate: Estimate | None, *, model: ModelInfo, policy: Policy) -> Assessment | None:
    """
    Return the assessment of a retailer, or None while its file is too thin for one.

    ``estimate`` may be None only where no score can follow (:func:`is_thin`, :func:`why_insufficient`).
    Raises Inconsistent otherwise.
    """
    if is_thin(standing):
        return None
    insufficient = why_insufficient(standing)
    unscored = _unscored(standing, model=model, policy=policy, insufficient=insufficient)
    if insufficient is not None:
        return unscored
    if estimate is None:
        raise Inconsistent(f"{standing.retailer_id} can be scored, but came without an estimate")
    pd = decided_pd(estimate.pd, in_default=standing.in_default, model=model, policy=policy)
    score = score_of(pd)
    band = band_of(score)
    limit = base_limit(
        gmv_6m_inr=standing.gmv_6m_inr,
        gmv_month_median_inr=standing.gmv_month_median_inr,
        band=band,
        pd=pd,
        policy=policy,
    )
    return msgspec.structs.replace(
        unscored,
        altscore=score,
        risk_band=band,
        probability_of_default=pd,
        model_pd=published(estimate.pd),
        limit=limit,
        reasons=_reasons(standing, estimate, pd=pd, model=model),
    )


def is_thin(standing: Standing) -> bool:
    """Tell whether there is too little history for any assessment (the answer is RETAILER_NOT_SCORED)."""
    return standing.history_days < MIN_HISTORY_DAYS or standing.matured_credit_bills < MIN_MATURED_CREDIT_BILLS


def why_insufficient(standing: Standing) -> Insufficient | None:
    """Tell why an assessment must do without a score (the answer is DATA_INSUFFICIENT), or None."""
    if not standing.has_payment_data:
        return "no_payment_data"
    if standing.completeness < MIN_COMPLETENESS:
        return "completeness"
    return None


def is_low_confidence(*, reduced_confidence: bool, freshness_days: int) -> bool:
    """Tell, at the time of reading, whether an answer is marked ``low_confidence`` (contract A7, A8)."""
    return reduced_confidence or freshness_days > STALE_AFTER_DAYS


def decided_pd(model_pd: float, *, in_default: bool, model: ModelInfo, policy: Policy) -> float:
    """
    Return the probability that the decision rests on, as published.

    A shop in default is at least as risky as shops in default have proved to be (contract A9); an unproven scorecard
    may not say better than band B.
    """
    pd = max(model_pd, BEST_UNPROVEN_PD) if model.expert_only else model_pd
    if in_default:
        pd = max(pd, 1 - model.cure_rate, policy.pd_in_default)
    return published(pd)


def inputs_of(standing: Standing) -> bytes:
    """
    Return all that an assessment was made from as JSON with sorted keys: what receipts carry the digest of.

    The same standing gives the same bytes, whether its numbers came as integers or floats, and after storage too.
    """
    return _encode_sorted(_decode_standing(_encode_sorted(standing)))


def inputs_sha256(standing: Standing) -> str:
    """Return the digest of :func:`inputs_of`, for receipts."""
    return hashlib.sha256(inputs_of(standing)).hexdigest()


def _reasons(standing: Standing, estimate: Estimate, *, pd: float, model: ModelInfo) -> tuple[Reason, ...]:
    contributions = estimate.contributions
    if standing.in_default:
        # What the rule adds to the model's view is the overdue balance's doing, so that the points still add up.
        named = CODES[IN_DEFAULT_CODE].feature
        added = logit(pd) - logit(published(estimate.pd))
        contributions = {**contributions, named: contributions.get(named, 0.0) + added}
    evidence = Evidence(
        features=standing.features,
        contributions=contributions,
        families=model.families,
        benchmark=model.benchmark,
    )
    return choose(evidence, always=IN_DEFAULT_CODE if standing.in_default else None)


def _unscored(standing: Standing, *, model: ModelInfo, policy: Policy, insufficient: Insufficient | None) -> Assessment:
    return Assessment(
        retailer_id=standing.retailer_id,
        as_of=standing.as_of,
        altscore=None,
        risk_band=None,
        probability_of_default=None,
        model_pd=None,
        limit=None,
        overdue_inr=standing.overdue_inr,
        reasons=(),
        completeness=standing.completeness,
        reduced_confidence=model.expert_only or standing.completeness < FULL_COMPLETENESS,
        insufficient=insufficient,
        in_default=standing.in_default,
        feed=standing.feed,
        score_version=model.version,
        model_sha256=model.sha256,
        policy_version=policy.version,
        policy_sha256=policy.sha256,
        inputs_sha256=inputs_sha256(standing),
    )
