"""Scorecard, training, prediction and monitoring of the products' models."""

import os

# XGBoost's threads wait by spinning unless told otherwise when the library is loaded. Beside a database and an API on
# the same cores that made training up to ten times as slow (13 s against 1.4 s on two busy cores).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from altcredit.pipeline.models.artefact import ArtefactBroken, ArtefactExists, Saved, Sign, Verify, load, save
from altcredit.pipeline.models.expert import EXPERT, Scorecard, ScorecardInvalid, scorecard_from
from altcredit.pipeline.models.frame import FrameInvalid
from altcredit.pipeline.models.inputs import Input, InputsMissing
from altcredit.pipeline.models.model import Card, Model, predict
from altcredit.pipeline.models.monitor import Shift, shifts
from altcredit.pipeline.models.purpose import ALTSCORE, GUARD, GUARD_SCREEN, INPUTS, PURPOSES, Purpose
from altcredit.pipeline.models.training import Progress, cold_start, train

__all__ = [
    "ALTSCORE",
    "EXPERT",
    "GUARD",
    "GUARD_SCREEN",
    "INPUTS",
    "PURPOSES",
    "ArtefactBroken",
    "ArtefactExists",
    "Card",
    "FrameInvalid",
    "Input",
    "InputsMissing",
    "Model",
    "Progress",
    "Purpose",
    "Saved",
    "Scorecard",
    "ScorecardInvalid",
    "Shift",
    "Sign",
    "Verify",
    "cold_start",
    "load",
    "predict",
    "save",
    "scorecard_from",
    "shifts",
    "train",
]
