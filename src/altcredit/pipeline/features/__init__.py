"""Features of retailers as of a day, and the labels that models learn from."""

from altcredit.pipeline.features.catalogue import CATALOGUE, MODEL_INPUTS
from altcredit.pipeline.features.feature import Feature
from altcredit.pipeline.features.gold import GOLD, Scope, gold, measure_norms, standings
from altcredit.pipeline.features.labels import labels, training_frame

__all__ = [
    "CATALOGUE",
    "GOLD",
    "MODEL_INPUTS",
    "Feature",
    "Scope",
    "gold",
    "labels",
    "measure_norms",
    "standings",
    "training_frame",
]
