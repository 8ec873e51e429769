"""Every feature of gold by name, from one file a family. The single list that models, reasons and tests go by."""

from typing import Final

from altcredit.pipeline.features import concentration, growth, orders, outstanding, payment, returns
from altcredit.pipeline.features.feature import Feature

_FAMILIES = (payment, orders, growth, returns, outstanding, concentration)

CATALOGUE: Final[dict[str, Feature]] = {feature.name: feature for family in _FAMILIES for feature in family.FEATURES}
MODEL_INPUTS: Final[tuple[str, ...]] = tuple(name for name, feature in CATALOGUE.items() if feature.model_input)
