"""A registered model."""

from datetime import datetime
from typing import Any, Literal

import msgspec

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
    """A change of champion, and who wanted it."""

    version: str
    predecessor: str | None
    promoted_by: tuple[str, ...]
    at: datetime
