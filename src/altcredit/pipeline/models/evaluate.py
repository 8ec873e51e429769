"""
A model on outcomes that it has not seen: every figure with its interval.

``evaluate`` makes the report, report.py prints and draws it. Training on the way happens only where a distributor is
left out in turn.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from altcredit.engine.scoring import CODES, POINTS_PER_LOG_ODDS, Band, Evidence, Reason, band_of, choose, score_of
from altcredit.pipeline.models import monitor
from altcredit.pipeline.models.frame import SEVERAL, SUBJECT, bad_shops, labelled, weights
from altcredit.pipeline.models.inputs import Floats
from altcredit.pipeline.models.metrics import (
    Interval,
    Sample,
    auc,
    ends,
    interval,
    measure,
    observed_to_expected,
    resample,
    share_of_defaults,
)
from altcredit.pipeline.models.model import Model
from altcredit.pipeline.models.training import SEED, Progress, silent, train

BANDS: tuple[Band, ...] = ("A", "B", "C", "D")
MOST_LEFT_OUT = 8
LEAST_BAD = 20
REASONED_ROWS = 2_000


class BandRow(msgspec.Struct, frozen=True, kw_only=True):
    """One band: rows, expected and observed share of defaults."""

    band: Band
    rows: int
    expected: float
    observed: Interval


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """
    One group of shops against all others.

    ``caught_gap``: the share of defaulting shops that were in band D (true-positive rate), less that of the others.
    ``not_d``: share of the group above band D over that of the others; below 0.8 asks for a review, nothing more.
    """

    name: str
    rows: int
    bad_shops: int
    observed_to_expected: Interval
    caught_gap: Interval
    not_d: float


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """How a model that never saw a distributor does on its shops."""

    distributor_id: str
    bad_shops: int
    auc: Interval
    observed_to_expected: Interval


class ReasonFigures(msgspec.Struct, frozen=True, kw_only=True):
    """
    Reasons over a sample of shops.

    ``untrue``: statements that do not hold. ``filled_up``: share of answers with a neutral fact in place of a reason.
    ``stable``: mean share of codes kept when every feature moves by one percent of its spread.
    """

    rows: int
    untrue: int
    filled_up: float
    filled_up_positive: float
    filled_up_negative: float
    stable: float
    share: dict[str, float]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of a model's quality on a set of outcomes."""

    version: str
    kind: str
    trained_on: str
    tested_on: str
    first: str
    last: str
    rows: int
    shops: int
    bad_shops: int
    figures: dict[str, Interval]
    truth: dict[str, float]
    """With simulated data: the AUC of the true probability (nobody can do better), and the distance to it."""
    bands: list[BandRow]
    score_psi: float
    score_psi_alert: float
    shifts: list[monitor.Shift]
    top_features: list[tuple[str, float]]
    """Mean absolute contribution in points of the score."""
    groups: list[Group]
    left_out: list[LeftOut]
    reasons: ReasonFigures
    curves: dict[str, list[float]]
    """Points of the plots: predictions and outcomes sorted, see report.py."""


def unseen(frame: pd.DataFrame, model: Model) -> pd.DataFrame:
    """Return the labelled rows of the model's test window and later; all of them for a model without windows."""
    rows = labelled(frame)
    test = model.card.windows.get("test")
    return rows if not test else rows[rows["as_of"] >= pd.Timestamp(test[0])].reset_index(drop=True)


def evaluate(
    frame: pd.DataFrame,
    model: Model,
    *,
    tested_on: str,
    rows: pd.DataFrame | None = None,
    leave_out: bool = True,
    replicates: int = 300,
    progress: Progress = silent,
) -> Report:
    """
    Measure a model on a training frame's unseen part (or on ``rows``, when they come from elsewhere).

    ``leave_out`` trains once more per distributor (``distributor_id`` of the frame). Raises FrameInvalid.
    """
    tested = unseen(frame, model) if rows is None else labelled(rows)
    explained = model.explain(tested)
    pd_ = explained.pd
    weight = weights(tested)
    outcome, shops = tested["defaulted"].to_numpy(), tested[SUBJECT].to_numpy()
    sample = Sample(outcome, pd_, shops, weight)
    progress("figures", 0.1)
    figures = measure(sample, seed=SEED, replicates=replicates)
    progress("groups", 0.4)
    groups = _groups(tested, pd_, replicates=replicates)
    left_out = _left_out(frame, replicates=replicates, progress=progress) if leave_out else []
    progress("reasons", 0.9)
    then = model.card.reference.get(model.card.product)
    score_shift = monitor.shift_of(model.card.product, then, monitor.scores(pd_)) if then else None
    size = np.abs(explained.contributions).mean(axis=0) * POINTS_PER_LOG_ODDS
    names = [item.name for item in model.card.inputs]
    report = Report(
        version=model.card.version,
        kind=model.card.kind,
        trained_on=model.card.data_origin,
        tested_on=tested_on,
        first=str(tested["as_of"].min().date()),
        last=str(tested["as_of"].max().date()),
        rows=len(tested),
        shops=int(tested[SUBJECT].nunique()),
        bad_shops=bad_shops(tested),
        figures=figures,
        truth=_truth(tested, pd_),
        bands=_bands(sample, replicates=replicates),
        score_psi=score_shift.psi if score_shift else 0.0,
        score_psi_alert=score_shift.alert_above if score_shift else 0.0,
        shifts=monitor.shifts(tested, model)[:10],
        top_features=sorted(zip(names, size.tolist(), strict=True), key=lambda pair: -pair[1])[:10],
        groups=groups,
        left_out=left_out,
        reasons=reason_figures(tested, model),
        curves={"pd": sample.pd.tolist(), "bad": sample.bad.tolist(), "weight": sample.weight.tolist()},
    )
    progress("done", 1.0)
    return report


def bands_of(pd_: Floats) -> list[Band]:
    """Return the band of each probability."""
    return [band_of(score_of(value)) for value in np.clip(pd_, 1e-6, 1 - 1e-6).tolist()]


def _bands(sample: Sample, *, replicates: int) -> list[BandRow]:
    bands = np.array(bands_of(sample.pd))
    result = []
    for band in BANDS:
        inside = bands == band
        if not inside.any():
            continue
        observed = share_of_defaults(sample, inside, seed=SEED, replicates=replicates)
        expected = float(np.average(sample.pd[inside], weights=sample.weight[inside]))
        result.append(BandRow(band=band, rows=int(inside.sum()), expected=expected, observed=observed))
    return result


def _truth(tested: pd.DataFrame, pd_: Floats) -> dict[str, float]:
    if "true_pd" not in tested.columns or tested["true_pd"].isna().any():
        return {}
    truth = np.clip(tested["true_pd"].to_numpy(dtype=np.float64), 1e-6, 1 - 1e-6)
    sample = Sample(tested["defaulted"].to_numpy(), truth, tested[SUBJECT].to_numpy(), weights(tested))
    return {
        "auc_of_truth": auc(sample, sample.weight),
        "mean_true_pd": float(truth.mean()),
        "mean_pd": float(pd_.mean()),
        "mean_absolute_distance": float(np.abs(truth - pd_).mean()),
    }


def _memberships(tested: pd.DataFrame) -> dict[str, Any]:
    """Groups that could be treated unfairly, as far as a ledger tells: size, age, GST registration, reach."""
    found: dict[str, Any] = {}
    if "gst_registered" in tested.columns:
        found["with GSTIN"] = (tested["gst_registered"] == 1).to_numpy()
        found["without GSTIN"] = (tested["gst_registered"] == 0).to_numpy()
    if "gmv_log_180d" in tested.columns:
        low, high = tested["gmv_log_180d"].quantile([1 / 3, 2 / 3])
        found["smallest third"] = (tested["gmv_log_180d"] <= low).to_numpy()
        found["largest third"] = (tested["gmv_log_180d"] > high).to_numpy()
    if "vintage_months" in tested.columns:
        found["under a year of trade"] = (tested["vintage_months"] < 12).to_numpy()
    if "distributor_count" in tested.columns:
        found["one distributor"] = (tested["distributor_count"] <= 1).to_numpy()
    return found


def _groups(tested: pd.DataFrame, pd_: Floats, *, replicates: int) -> list[Group]:
    return [
        group
        for name, member in _memberships(tested).items()
        if (group := _group(name, member, tested, pd_, replicates=replicates)) is not None
    ]


def _group(name: str, member: Any, tested: pd.DataFrame, pd_: Floats, *, replicates: int) -> Group | None:
    bad = bad_shops(tested[member])
    if bad < LEAST_BAD or bad_shops(tested[~member]) < LEAST_BAD:
        return None
    weight, outcome = weights(tested), tested["defaulted"].to_numpy()
    shops = tested[SUBJECT].to_numpy()
    inside = Sample(outcome[member], pd_[member], shops[member], weight[member])
    whole = Sample(outcome, pd_, shops, weight)
    mine, in_d = member[whole.order], np.array(bands_of(whole.pd)) == "D"

    def gap(w: Floats) -> float:
        caught = [float((w * whole.bad * m * in_d).sum() / (w * whole.bad * m).sum()) for m in (mine, ~mine)]
        return caught[0] - caught[1]

    drawn = resample(whole, gap, seed=SEED, replicates=replicates)
    low, high = ends(drawn)
    return Group(
        name=name,
        rows=int(member.sum()),
        bad_shops=bad,
        observed_to_expected=interval(inside, observed_to_expected, seed=SEED, replicates=replicates),
        caught_gap=Interval(value=gap(whole.weight), low=low, high=high),
        not_d=float((~in_d[mine]).mean() / max((~in_d[~mine]).mean(), 1e-9)),
    )


def _left_out(frame: pd.DataFrame, *, replicates: int, progress: Progress) -> list[LeftOut]:
    rows = labelled(frame)
    if "distributor_id" not in rows.columns:
        return []
    counts = rows.loc[rows["distributor_id"] != SEVERAL, "distributor_id"].value_counts()
    largest = counts.index[:MOST_LEFT_OUT].tolist()
    result: list[LeftOut] = []
    for number, distributor in enumerate(largest):
        progress("leaving distributors out", 0.4 + 0.5 * number / len(largest))
        shops = set(rows.loc[rows["distributor_id"] == distributor, SUBJECT])
        rest = rows[~rows[SUBJECT].isin(shops)].reset_index(drop=True)
        if not len(rest) or len(shops) == rows[SUBJECT].nunique():
            continue
        found = _without(rest, rows[rows[SUBJECT].isin(shops)], str(distributor), replicates=replicates)
        if found is not None:
            result.append(found)
    return result


def _without(rest: pd.DataFrame, theirs: pd.DataFrame, distributor: str, *, replicates: int) -> LeftOut | None:
    created = pd.Timestamp(theirs["as_of"].max(), tz="UTC").to_pydatetime()
    other = train(
        rest,
        version="left-out",
        expert_version="left-out-expert",
        data_origin="ledgers",
        now=created,
        replicates=0,
    )
    tested = unseen(theirs, other)
    if bad_shops(tested) < LEAST_BAD:
        return None
    sample = Sample(
        tested["defaulted"].to_numpy(), other.explain(tested).pd, tested[SUBJECT].to_numpy(), weights(tested)
    )
    return LeftOut(
        distributor_id=distributor,
        bad_shops=bad_shops(tested),
        auc=interval(sample, auc, seed=SEED, replicates=replicates),
        observed_to_expected=interval(sample, observed_to_expected, seed=SEED, replicates=replicates),
    )


def reason_figures(tested: pd.DataFrame, model: Model, *, most: int = REASONED_ROWS) -> ReasonFigures:
    """Give reasons for a sample of rows, check that each is true, and that small changes hardly change them."""
    rows = tested.sample(n=min(most, len(tested)), random_state=SEED) if len(tested) else tested
    given = _reasons(rows, model)
    columns = [name for name in (item.name for item in model.card.inputs) if name in rows.columns]
    numbers = rows[columns].astype(float)
    noise = np.random.default_rng(SEED).normal(size=numbers.shape) * 0.01 * numbers.std().fillna(0.0).to_numpy()
    nudged = _reasons(rows.assign(**(numbers + noise).to_dict("series")), model)
    neutral = {code.code: code.direction for code in CODES.values() if not code.when}
    filled = [{neutral[r.code] for r in reasons if r.code in neutral} for _, reasons in given]
    codes = [[r.code for r in reasons] for _, reasons in given]
    kept = [
        len(set(a) & {r.code for r in b}) / max(len(set(a) | {r.code for r in b}), 1)
        for a, (_, b) in zip(codes, nudged, strict=True)
    ]
    count = max(len(given), 1)
    return ReasonFigures(
        rows=len(given),
        untrue=sum(not CODES[r.code].true_of(features) for features, reasons in given for r in reasons),
        filled_up=sum(bool(f) for f in filled) / count,
        filled_up_positive=sum("positive" in f for f in filled) / count,
        filled_up_negative=sum("negative" in f for f in filled) / count,
        stable=float(np.mean(kept)) if kept else 1.0,
        share={code: sum(code in c for c in codes) / count for code in CODES},
    )


def _reasons(rows: pd.DataFrame, model: Model) -> list[tuple[dict[str, float | None], Sequence[Reason]]]:
    names = [item.name for item in model.card.inputs]
    named = {code.feature for code in CODES.values()} | {c.feature for code in CODES.values() for c in code.when}
    known = [name for name in dict.fromkeys([*names, *sorted(named)]) if name in rows.columns]
    contributions = model.explain(rows).contributions
    values = rows[known].astype(float).to_numpy()
    result: list[tuple[dict[str, float | None], Sequence[Reason]]] = []
    for value, contribution in zip(values.tolist(), contributions.tolist(), strict=True):
        features = {name: None if v != v else v for name, v in zip(known, value, strict=True)}
        evidence = Evidence(
            features=features,
            contributions=dict(zip(names, contribution, strict=True)),
            families=model.info.families,
            benchmark=model.info.benchmark,
        )
        result.append((features, choose(evidence)))
    return result
