"""AltScore's rules: scale, bands, limit, reasons and the assessment that they make up."""

from altcredit.engine.scoring.assessment import (
    PD_HORIZON_DAYS,
    STALE_AFTER_DAYS,
    TOO_OLD_AFTER_DAYS,
    Assessment,
    assess,
    is_low_confidence,
    is_thin,
    why_insufficient,
)
from altcredit.engine.scoring.limit import (
    POLICY,
    BaseLimit,
    LimitCheck,
    Policy,
    PolicyInvalid,
    limit_check,
    policy_from,
    recommended,
)
from altcredit.engine.scoring.reasons import CODES, Evidence, Reason, ReasonCode, choose
from altcredit.engine.scoring.scale import (
    POINTS_PER_LOG_ODDS,
    Band,
    band_of,
    logit,
    pd_of,
    published,
    score_of,
)
from altcredit.engine.scoring.standing import Estimate, ModelInfo, Standing

__all__ = [
    "CODES",
    "PD_HORIZON_DAYS",
    "POINTS_PER_LOG_ODDS",
    "POLICY",
    "STALE_AFTER_DAYS",
    "TOO_OLD_AFTER_DAYS",
    "Assessment",
    "Band",
    "BaseLimit",
    "Estimate",
    "Evidence",
    "LimitCheck",
    "ModelInfo",
    "Policy",
    "PolicyInvalid",
    "Reason",
    "ReasonCode",
    "Standing",
    "assess",
    "band_of",
    "choose",
    "is_low_confidence",
    "is_thin",
    "limit_check",
    "logit",
    "pd_of",
    "policy_from",
    "published",
    "recommended",
    "score_of",
    "why_insufficient",
]
