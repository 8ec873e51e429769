"""A registered model."""

from datetime import datetime
from typing import Any, Literal

import msgspec

# What models are for: AltScore's score, GUARD's decision, GUARD's funnel. Each has its own champion and challenger.
Product = Literal["altscore", "guard", "guard_screen"]
Alias = Literal["champion", "challenger"]
Environment = Literal["development", "sandbox", "production"]

# What a model may have learnt from where it decides about real people.
PROVEN_ORIGINS = frozenset({"ledgers", "expert"})


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """
    One version with what is needed to find, verify and judge it.

    ``path`` is relative to the folder of models; ``sha256`` is that of the card, which binds the rest.
    """

    version: str
    product: Product
    kind: Literal["expert", "xgboost"]
    data_origin: str
    card: dict[str, Any]
    path: str
    sha256: str
    key_id: str
    signature: bytes
    registered_by: str
    registered_at: datetime
    aliases: tuple[Alias, ...] = ()


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a product's champion, and who wanted it."""

    version: str
    product: Product
    predecessor: str | None
    promoted_by: tuple[str, ...]
    at: datetime
