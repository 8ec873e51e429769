"""Model versions: who is champion, who may say so, and how to go back."""

from altcredit.engine.registry.condition import Condition
from altcredit.engine.registry.estimate import PD_DECIMALS, Estimate, ModelInfo, logit, published
from altcredit.engine.registry.gate import Comparison, Interval, objections
from altcredit.engine.registry.operations import (
    AlreadyChampion,
    GateClosed,
    ModelUnknown,
    NotCompared,
    NothingBefore,
    OriginUnproven,
    SecondPersonNeeded,
    VersionTaken,
    approve,
    challenge,
    champion_artefact,
    get,
    holder,
    list_versions,
    promote,
    record_comparison,
    register,
    rollback,
)
from altcredit.engine.registry.version import Alias, ModelVersion, Promotion

__all__ = [
    "PD_DECIMALS",
    "Alias",
    "AlreadyChampion",
    "Comparison",
    "Condition",
    "Estimate",
    "GateClosed",
    "Interval",
    "ModelInfo",
    "ModelUnknown",
    "ModelVersion",
    "NotCompared",
    "NothingBefore",
    "OriginUnproven",
    "Promotion",
    "SecondPersonNeeded",
    "VersionTaken",
    "approve",
    "challenge",
    "champion_artefact",
    "get",
    "holder",
    "list_versions",
    "logit",
    "objections",
    "promote",
    "published",
    "record_comparison",
    "register",
    "rollback",
]
