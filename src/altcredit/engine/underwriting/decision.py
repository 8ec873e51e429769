"""A decision on an application: outcome, score, band, limit, reasons, and all that is needed to make it again."""

import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec

from altcredit.engine.registry import Estimate, ModelInfo
from altcredit.engine.underwriting.bands import band_of, decided_pd
from altcredit.engine.underwriting.funnel import Screening
from altcredit.engine.underwriting.limit import Limit, limit_of
from altcredit.engine.underwriting.policy import Policy
from altcredit.engine.underwriting.reasons import CODES, Reason, choose

Outcome = Literal["filtered", "not_calculable", "approved", "rejected"]
Rejected = Literal["knock_out", "band", "income_unknown", "limit_under_floor"]

# Score, band and limit of an answer that has none: together, or not at all (contract U5).
NONE = -1


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was decided, as it is stored (JSON) and reported.

    ``score``, ``risk_band`` and ``limit`` are the published answer: real values, or -1 all three (contract U5).
    With the sealed request and the stored answers it can be made again: same features (``inputs_sha256``), model
    (``model_sha256``), policy (``policy_version``).
    """

    outcome: Outcome
    score: float
    """Probability of 90+ days past due within 12 months, six decimals; or -1."""
    risk_band: int
    limit: int
    rejected_by: Rejected | None
    knocked_out_by: str | None
    """The answer that forbids lending, such as ``cpf_status.deceased``."""
    bounds: Limit | None
    """What bounds the limit; None where no limit was worked out."""
    reasons: tuple[Reason, ...]
    screening: Screening | None
    """None: the funnel was not used."""
    sources: dict[str, str]
    """State of each source: ``answered``, ``failed`` or ``not_asked``."""
    sources_missing: tuple[str, ...]
    """Sources that were asked and failed: the decision went on without them, or could not be made."""
    model_version: str | None
    model_sha256: str | None
    expert_only: bool
    policy_version: str
    policy_sha256: str
    """Of the policy file, as it was read."""
    inputs_sha256: str
    """Over the features, as JSON with sorted keys."""

    @property
    def pd(self) -> float | None:
        """The probability of default, None where there is none."""
        return None if self.score == NONE else self.score


def decide(
    features: Mapping[str, float | None],
    estimate: Estimate | None,
    *,
    model: ModelInfo | None,
    policy: Policy,
    screening: Screening | None = None,
    screen_estimate: Estimate | None = None,
    screen_model: ModelInfo | None = None,
    knocked_out_by: str | None = None,
    sources: Mapping[str, str],
) -> Decision:
    """
    Return the decision (contract U5, U10). Pure: the same arguments give the same decision, byte for byte.

    ``features`` as ``underwriting.features`` returns them, ``estimate`` of the full model (None: it cannot calculate)
    with its ``model``. ``screening`` where the funnel was used; ``screen_estimate`` and ``screen_model`` give the
    reasons of whom it filtered out. ``knocked_out_by`` as :func:`funnel.knocked_out_by` says. ``sources``: the state of
    each source by name.
    """
    facts = dict(features)
    blank = Decision(
        outcome="not_calculable",
        score=NONE,
        risk_band=NONE,
        limit=NONE,
        rejected_by=None,
        knocked_out_by=knocked_out_by,
        bounds=None,
        reasons=(),
        screening=screening,
        sources=dict(sources),
        sources_missing=tuple(sorted(name for name, state in sources.items() if state == "failed")),
        model_version=None,
        model_sha256=None,
        expert_only=False,
        policy_version=policy.version,
        policy_sha256=policy.sha256,
        inputs_sha256=inputs_sha256(features),
    )
    if screening is not None and not screening.passed:
        families = screen_model.families if screen_model else {}
        reasons = choose(
            facts,
            screen_estimate if screen_model else None,
            families,
            declined=True,
            first="CPF_NOT_REGULAR" if knocked_out_by else None,
        )
        return msgspec.structs.replace(blank, outcome="filtered", reasons=reasons)
    if estimate is None or model is None:
        return blank
    return _decided(blank, facts, estimate, model=model, policy=policy)


def inputs_sha256(features: Mapping[str, float | None]) -> str:
    """Return the digest of all that a decision was made from."""
    plain = {name: None if value is None else float(value) for name, value in features.items()}
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


def _decided(
    blank: Decision, facts: dict[str, float | None], estimate: Estimate, *, model: ModelInfo, policy: Policy
) -> Decision:
    pd = decided_pd(estimate.pd, model=model, policy=policy)
    band = band_of(pd, policy=policy)
    bounds = _bounds(facts, band, policy=policy)
    rejected = _rejected(blank, facts, band, bounds, policy=policy)
    if bounds is not None and bounds.desired_brl is not None:
        # For REQUEST_ABOVE_CAPACITY: the desired limit less what income leaves for it.
        facts["desired_above_capacity_brl"] = bounds.desired_brl - bounds.capacity_brl
    return msgspec.structs.replace(
        blank,
        outcome="rejected" if rejected else "approved",
        score=pd,
        risk_band=band,
        limit=0 if rejected or bounds is None else bounds.limit_brl,
        rejected_by=rejected,
        bounds=bounds,
        reasons=choose(
            facts, estimate, model.families, declined=rejected is not None, first=_first(facts, rejected, bounds)
        ),
        model_version=model.version,
        model_sha256=model.sha256,
        expert_only=model.expert_only,
    )


def _first(facts: Mapping[str, float | None], rejected: Rejected | None, bounds: Limit | None) -> str | None:
    """Return the code that the rule behind a rejection demands; a rule without one leaves it to the model."""
    if rejected == "limit_under_floor" and bounds is not None and bounds.bound_by == "capacity":
        return "HIGH_DEBT_TO_INCOME" if CODES["HIGH_DEBT_TO_INCOME"].true_of(facts) else None
    return {"knock_out": "CPF_NOT_REGULAR", "income_unknown": "INCOME_NOT_SUPPORTED"}.get(rejected or "")


def _bounds(facts: Mapping[str, float | None], band: int, *, policy: Policy) -> Limit | None:
    income = facts["supported_income_brl"]
    if not income or band > policy.bands.approved_to:
        return None
    return limit_of(
        band=band,
        income_brl=income,
        service_brl=facts["debt_service_brl"],
        service_seen=bool(facts["service_in_scr"]),
        desired_brl=facts["desired_limit_brl"],
        policy=policy,
    )


def _rejected(
    blank: Decision, facts: Mapping[str, float | None], band: int, bounds: Limit | None, *, policy: Policy
) -> Rejected | None:
    if blank.knocked_out_by is not None:
        return "knock_out"
    if not facts["supported_income_brl"]:
        # No income is known from any side: no limit can follow from it, and none is made up.
        return "income_unknown"
    if band > policy.bands.approved_to:
        return "band"
    return "limit_under_floor" if bounds is None or bounds.limit_brl == 0 else None
