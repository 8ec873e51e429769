"""A model against the champion on the same unseen shops: what the registry's gate reads, and the shadow difference."""

import numpy as np
import pandas as pd

from altcredit.engine import registry
from altcredit.pipeline.models.evaluate import unseen
from altcredit.pipeline.models.frame import SUBJECT, FrameInvalid, bad_shops, weights
from altcredit.pipeline.models.metrics import (
    Interval,
    Sample,
    auc_difference,
    calibration_slope,
    interval,
    psi,
    psi_alert,
    share_of_defaults,
)
from altcredit.pipeline.models.model import Model
from altcredit.pipeline.models.monitor import BINS, scores
from altcredit.pipeline.models.rules import RULES
from altcredit.pipeline.models.training import SEED


def compare(frame: pd.DataFrame, model: Model, champion: Model, *, replicates: int = 300) -> registry.Comparison:
    """
    Compare on the model's test window. Discrimination and calibration are those of the models' own probabilities;
    moves of score, band and limit those of the product's decisions, with the rule for unproven scorecards applied.

    :raises FrameInvalid: the window has no default, or nothing but defaults.
    """
    rules = RULES[model.card.product]
    tested = unseen(frame, model)
    outcome = tested["defaulted"].to_numpy()
    if not outcome.any() or outcome.all():
        raise FrameInvalid("The test window has nobody who defaulted, or only such: models cannot be compared")
    shops, weight = tested[SUBJECT].to_numpy(), weights(tested)
    mine, theirs = model.explain(tested).pd, champion.explain(tested).pd
    sample = Sample(outcome, mine, shops, weight)
    decided = [rules.decided(pd_, which.info) for pd_, which in ((mine, model), (theirs, champion))]
    new_score, old_score = (scores(pd_) for pd_ in decided)
    new_band, old_band = (rules.bands_of(pd_) for pd_ in decided)
    moved = np.abs(
        [rules.bands.index(new) - rules.bands.index(old) for new, old in zip(new_band, old_band, strict=True)]
    )
    edges = np.unique(np.quantile(old_score, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = [
        np.histogram(s, np.concatenate([[-np.inf], edges, [np.inf]]))[0].astype(float) for s in (old_score, new_score)
    ]
    bands = np.array(rules.bands_of(sample.pd))
    return registry.Comparison(
        shops=int(tested[SUBJECT].nunique()),
        bad_shops=bad_shops(tested),
        auc_difference=_as(auc_difference(sample, theirs, seed=SEED, replicates=replicates)),
        calibration_slope=_as(interval(sample, calibration_slope, seed=SEED, replicates=replicates)),
        band_bad_rates={
            band: _as(share_of_defaults(sample, bands == band, seed=SEED, replicates=replicates))
            for band in rules.bands
            if (bands == band).any()
        },
        two_band_moves=float((moved >= 2).mean()),
        band_flips=float((moved >= 1).mean()),
        mean_score_move=float((new_score - old_score).mean()),
        limit_change=rules.limits(tested, decided[0], new_band) - rules.limits(tested, decided[1], old_band),
        score_psi=psi(counts[0], counts[1]),
        psi_alert=psi_alert(len(edges) + 1, len(tested), len(tested)),
        champion_is_expert=champion.info.expert_only,
    )


def _as(found: Interval) -> registry.Interval:
    return registry.Interval(value=found.value, low=found.low, high=found.high)
