"""From a training frame to a model: windows, expert margin, trees, calibration, measures, card."""

import hashlib
import platform
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import xgboost as xgb

from altcredit.pipeline.models import calibration, monitor
from altcredit.pipeline.models.expert import Scorecard, Table, require_directions
from altcredit.pipeline.models.frame import (
    MIN_BAD_TEST,
    MIN_BAD_TRAIN,
    SUBJECT,
    Windows,
    bad_shops,
    cure_rate,
    digest,
    held_out,
    labelled,
    part,
    weights,
    windows_of,
)
from altcredit.pipeline.models.inputs import Input, bounds_of, matrix, within
from altcredit.pipeline.models.metrics import Sample, auc_difference, measure
from altcredit.pipeline.models.model import Card, Model, Origin
from altcredit.pipeline.models.purpose import ALTSCORE, Purpose

ROUNDS, EARLY_STOP = 300, 30
SEED = 7

Progress = Callable[[str, float], None]
"""``progress(stage, share_done)``"""


def silent(stage: str, done: float) -> None:
    """Report no progress."""


def cold_start(
    *,
    version: str,
    now: datetime,
    purpose: Purpose = ALTSCORE,
    frame: pd.DataFrame | None = None,
) -> Model:
    """
    Return the expert scorecard as a model, without outcomes.

    With a frame of features its reading is centred and bounded by that portfolio, else by the table's typical values.
    Raises ScorecardInvalid, InputsMissing.
    """
    inputs, expert = purpose.inputs, purpose.expert
    require_directions(expert, {item.name: item for item in inputs})
    values = None if frame is None or frame.empty else matrix(frame, inputs)
    bounds = expert.bounds(inputs) if values is None else bounds_of(values, inputs)
    centre = {} if values is None else _centre(values, expert, inputs)
    typical = expert.benchmark | {name: curve.typical for name, curve in expert.curve.items()}
    card = Card(
        version=version,
        product=purpose.product,
        kind="expert",
        created_at=now.isoformat(),
        inputs=tuple(inputs),
        bounds=bounds,
        expert=expert,
        centre=centre,
        calibration=calibration.Calibration(),
        benchmark=typical if values is None or frame is None else monitor.medians(frame, purpose.described),
        cure_rate=expert.cure_rate,
        data_origin="expert",
        data_sha256="",
        code_sha256=code_sha256(purpose),
        booster_sha256=None,
        definition_of_default=purpose.definition_of_default,
        windows={},
        sample={},
        metrics={},
        reference={},
        limits_of_use=(*purpose.limits_of_use, purpose.learnt_from["expert"]),
        software=_software(),
        requires=purpose.requires,
        withheld={source: expert.cost_of_withholding(source) for source in purpose.withheld},
    )
    if frame is not None and not frame.empty:
        card = msgspec.structs.replace(card, reference=monitor.reference(frame, Model(card)))
    return Model(card)


def train(
    frame: pd.DataFrame,
    *,
    version: str,
    expert_version: str,
    data_origin: Origin,
    now: datetime,
    purpose: Purpose = ALTSCORE,
    windows: Windows | None = None,
    cured: float | None = None,
    replicates: int = 300,
    progress: Progress = silent,
) -> Model:
    """
    Train on a frame (see frame.py) and return the model with its card, measured on the test window.

    With fewer than 200 distinct bad shops to train on, fewer than 100 to test with, or dates that do not span the
    windows, the expert scorecard alone is returned under ``expert_version``, calibrated as far as outcomes allow.
    ``windows`` replaces the usual split; ``cured`` is the cure rate where it is measured elsewhere; ``replicates``: of
    the intervals on the card; with 0 the card has no measures.

    :raises FrameInvalid: InputsMissing, ScorecardInvalid: what is wrong with the input.
    """
    rows = labelled(frame)
    progress("windows", 0.05)
    windows = windows or windows_of(
        [stamp.date() for stamp in rows["as_of"].unique()],
        gap_days=purpose.horizon_days,
        longest_days=purpose.longest_window_days,
    )
    training = part(rows, windows.train) if windows else rows
    model = cold_start(version=expert_version, now=now, purpose=purpose, frame=training)
    enough = windows is not None and (
        bad_shops(training) >= MIN_BAD_TRAIN and bad_shops(part(rows, windows.test)) >= MIN_BAD_TEST
    )
    if enough:
        booster = _boosted(training, model, progress)
        card = msgspec.structs.replace(model.card, version=version, kind="xgboost")
        model = Model(card, booster)
    progress("calibration", 0.75)
    calibrated_on = part(rows, windows.calibrate) if windows else rows
    fitted = calibration.fit(
        model.learning_margin(calibrated_on),
        calibrated_on["defaulted"].to_numpy(),
        weights(calibrated_on),
        prior=None if enough else calibration.CAUTIOUS,
    )
    cured = cured or cure_rate(frame) or purpose.expert.cure_rate
    model = Model(msgspec.structs.replace(model.card, calibration=fitted, cure_rate=cured), model.booster)
    return _described(
        model, rows, windows, purpose=purpose, data_origin=data_origin, replicates=replicates, progress=progress
    )


def _centre(values: Any, expert: Scorecard, inputs: Sequence[Input]) -> dict[str, float]:
    bounds = bounds_of(values, inputs)
    known = within(values, inputs, bounds)
    contributions = Table(expert, inputs).contributions(known)
    return {
        item.name: float(np.nanmean(contributions[:, column])) if np.isfinite(known[:, column]).any() else 0.0
        for column, item in enumerate(inputs)
    }


class _Report(xgb.callback.TrainingCallback):
    """Hands XGBoost's rounds to our progress callback."""

    def __init__(self, progress: Progress, start: float, end: float) -> None:
        self.progress, self.start, self.end = progress, start, end

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self.progress("trees", self.start + (self.end - self.start) * (epoch + 1) / ROUNDS)
        return False


def _boosted(training: pd.DataFrame, model: Model, progress: Progress) -> xgb.Booster:
    """
    Fit the trees on top of the expert's margin.

    How many is decided on a fifth of the *shops*, never on the windows that calibrate and test; then all shops are
    used. Gaps stay gaps here (trees route them): reading them at their worst, as scoring does, would teach the trees
    that the worst is not so bad.
    """
    inputs = model.card.inputs
    values = within(matrix(training, inputs), inputs, model.card.bounds).astype(np.float32)
    margin, target, weight = model.learning_margin(training), training["defaulted"].to_numpy(), weights(training)
    aside = held_out(training[SUBJECT]).to_numpy()
    parameters = {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "max_depth": 3,
        "eta": 0.05,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "min_child_weight": 3.0,
        "lambda": 5.0,
        "base_score": 0.5,
        "monotone_constraints": tuple(item.monotone for item in inputs),
        **_apart(model.card),
        "seed": SEED,
        "nthread": 2,
    }

    def fold(chosen: Any) -> xgb.DMatrix:
        return xgb.DMatrix(
            values[chosen], label=target[chosen], weight=weight[chosen], base_margin=margin[chosen].astype(np.float32)
        )

    trial = xgb.train(
        parameters,
        fold(~aside),
        ROUNDS,
        evals=[(fold(aside), "aside")],
        early_stopping_rounds=EARLY_STOP,
        verbose_eval=False,
        callbacks=[_Report(progress, 0.1, 0.4)],
    )
    rounds = trial.best_iteration + 1
    return xgb.train(
        parameters,
        fold(np.ones(len(training), dtype=bool)),
        rounds,
        verbose_eval=False,
        callbacks=[_Report(progress, 0.4, 0.75)],
    )


def _apart(card: Card) -> dict[str, Any]:
    """
    Return the constraint that no tree joins inputs of a source that may be missing with those of another.

    So the log-odds are a sum over sources, and what a missing or withheld source counts for is exact (model.py).
    Sources that are always asked are taken together. A model whose inputs have one source is not constrained.
    """
    alone = {item.source for item in card.inputs if item.neutral} | set(card.withheld)
    if not alone:
        return {}
    groups: dict[str, list[int]] = {}
    for column, item in enumerate(card.inputs):
        groups.setdefault(item.source if item.source in alone else "", []).append(column)
    return {"interaction_constraints": str(list(groups.values()))}


def _described(
    model: Model,
    rows: pd.DataFrame,
    windows: Windows | None,
    *,
    purpose: Purpose,
    data_origin: Origin,
    replicates: int,
    progress: Progress,
) -> Model:
    """Return the model with everything on its card that is found by using it."""
    progress("measures", 0.8)
    card = model.card
    names = ("train", "calibrate", "test")
    parts = {name: part(rows, getattr(windows, name)) for name in names} if windows else {"calibrate": rows}
    latest = rows[rows["as_of"] == rows["as_of"].max()]
    tested = parts.get("test")
    card = msgspec.structs.replace(
        card,
        benchmark=monitor.medians(latest, purpose.described),
        data_origin=data_origin,
        data_sha256=digest(rows, [*(SUBJECT, "as_of", "defaulted"), *(item.name for item in card.inputs)]),
        windows={name: [str(day) for day in getattr(windows, name)] for name in names} if windows else {},
        sample={name: _counts(rows_) for name, rows_ in parts.items()},
        metrics=_measured(model, tested, replicates) if replicates and tested is not None and bad_shops(tested) else {},
        reference=monitor.reference(latest, model),
        limits_of_use=tuple(dict.fromkeys([*card.limits_of_use, purpose.learnt_from[data_origin]])),
    )
    if card.kind == "xgboost":
        expert_only = purpose.learnt_from["expert"]
        card = msgspec.structs.replace(card, limits_of_use=tuple(x for x in card.limits_of_use if x != expert_only))
    progress("measures", 1.0)
    return Model(card, model.booster)


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {"rows": len(rows), "shops": int(rows[SUBJECT].nunique()), "bad_shops": bad_shops(rows)}


def _measured(model: Model, tested: pd.DataFrame, replicates: int) -> dict[str, Any]:
    pd_ = model.explain(tested).pd
    sample = Sample(tested["defaulted"].to_numpy(), pd_, tested[SUBJECT].to_numpy(), weights(tested))
    metrics: dict[str, Any] = {
        name: msgspec.to_builtins(figure) for name, figure in measure(sample, seed=SEED, replicates=replicates).items()
    }
    if model.booster is not None:
        alone = Model(model.card).serving_margin(tested)
        metrics["auc_over_expert"] = msgspec.to_builtins(
            auc_difference(sample, calibration.probability(alone), seed=SEED, replicates=replicates)
        )
    return metrics


def code_sha256(purpose: Purpose) -> str:
    """Return the digest of the source of features and models: which code made a model."""
    digest_ = hashlib.sha256()
    for folder in purpose.sources_of_code:
        for path in sorted(p for p in folder.iterdir() if p.suffix in {".py", ".toml"}):
            digest_.update(f"{folder.name}/{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest_.hexdigest()


def _software() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "xgboost": xgb.__version__,
        "numpy": np.__version__,
        "pandas": pd.__version__,
    }
