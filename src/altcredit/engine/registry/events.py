"""What the registry of models announces."""

from typing import ClassVar

from altcredit.engine.registry.version import Product
from altcredit.runtime.outbox import Fact


class ModelPromoted(Fact, frozen=True, kw_only=True):
    """A model is its product's champion, by a promotion or because its successor was rolled back."""

    TYPE: ClassVar = "model.promoted"
    KEY: ClassVar = "version"

    product: Product
    version: str
