"""GUARD's model on applicants whose true probability is known: figures, bands, and what withholding costs."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from altcredit.pipeline.models.frame import SUBJECT, labelled, weights
from altcredit.pipeline.models.inputs import Floats
from altcredit.pipeline.models.metrics import Interval, Sample, auc, measure, observed_to_expected, share_of_defaults
from altcredit.pipeline.models.model import Model
from altcredit.pipeline.models.rules import RULES, guard_limits
from altcredit.pipeline.models.training import SEED


class GradedBand(msgspec.Struct, frozen=True, kw_only=True):
    """One band: expected, true and observed probability of default."""

    band: str
    rows: int
    share: float
    expected: float
    true: float
    observed: Interval


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """Applicants who showed a source, or did not: observed over expected is below 1 where caution is charged."""

    source: str
    shown: bool
    rows: int
    mean_pd: float
    mean_true_pd: float
    observed_to_expected: float
    approved: float


class Grade(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a model's quality on fresh applicants. ``auc_of_truth``: nobody can do better."""

    version: str
    kind: str
    product: str
    rows: int
    bad_rate: float
    figures: dict[str, Interval]
    auc_of_truth: float
    mean_absolute_distance: float
    """Of the probability from the true one."""
    bands: tuple[GradedBand, ...]
    approved: float
    """Share with an approved band and, for the full model, a limit above the policy's floor."""
    bad_rate_of_approved: float
    median_limit_brl: float
    shown: tuple[Shown, ...]
    top_features: tuple[tuple[str, float], ...]
    """Mean absolute contribution in log-odds."""


def grade(frame: pd.DataFrame, model: Model, *, approved_to: int, replicates: int = 200) -> Grade:
    """
    Grade a GUARD model on simulated applicants (``simulator.applicant_portfolio``), which it has not seen.

    ``approved_to``: the worst approved band. Raises FrameInvalid, InputsMissing.
    """
    rows = labelled(frame)
    explained = model.explain(rows)
    outcome, truth = rows["defaulted"].to_numpy(), rows["true_pd"].to_numpy(dtype=np.float64)
    sample = Sample(outcome, explained.pd, rows[SUBJECT].to_numpy(), weights(rows))
    best = Sample(outcome, truth, rows[SUBJECT].to_numpy(), weights(rows))
    rules = RULES[model.card.product]
    bands = rules.bands_of(rules.decided(explained.pd, model.info))
    limits = np.array(guard_limits(rows, [int(band) for band in bands]))
    granted = np.array([int(band) <= approved_to for band in bands])
    if model.card.product == "guard":
        granted &= limits > 0
    size = np.abs(explained.contributions).mean(axis=0)
    names = [item.name for item in model.card.inputs]
    return Grade(
        version=model.card.version,
        kind=model.card.kind,
        product=model.card.product,
        rows=len(rows),
        bad_rate=float(outcome.mean()),
        figures=measure(sample, seed=SEED, replicates=replicates),
        auc_of_truth=auc(best, best.weight),
        mean_absolute_distance=float(np.abs(truth - explained.pd).mean()),
        bands=_bands(sample, bands, truth, rules.bands, replicates=replicates),
        approved=float(granted.mean()),
        bad_rate_of_approved=float(outcome[granted].mean()) if granted.any() else 0.0,
        median_limit_brl=float(np.median(limits[granted])) if granted.any() else 0.0,
        shown=_shown(rows, model, explained.pd, granted),
        top_features=tuple(sorted(zip(names, size.tolist(), strict=True), key=lambda pair: -pair[1])[:10]),
    )


def _bands(
    sample: Sample, bands: list[str], truth: Floats, order: Sequence[str], *, replicates: int
) -> tuple[GradedBand, ...]:
    sorted_bands, sorted_truth = np.array(bands)[sample.order], truth[sample.order]
    found = []
    for band in order:
        inside = sorted_bands == band
        if inside.any():
            found.append(
                GradedBand(
                    band=band,
                    rows=int(inside.sum()),
                    share=float(inside.mean()),
                    expected=float(sample.pd[inside].mean()),
                    true=float(sorted_truth[inside].mean()),
                    observed=share_of_defaults(sample, inside, seed=SEED, replicates=replicates),
                )
            )
    return tuple(found)


def _shown(rows: pd.DataFrame, model: Model, pd_: Floats, granted: Floats) -> tuple[Shown, ...]:
    found = []
    neutral = {item.source for item in model.card.inputs if item.neutral}
    for source in (*model.card.withheld, *sorted(neutral)):
        columns = [item.name for item in model.card.inputs if item.source == source]
        known = rows[columns].notna().any(axis=1).to_numpy()
        for shown in (True, False):
            inside = known == shown
            if not inside.any():
                continue
            part = rows[inside]
            sample = Sample(part["defaulted"].to_numpy(), pd_[inside], part[SUBJECT].to_numpy())
            found.append(
                Shown(
                    source=source,
                    shown=shown,
                    rows=int(inside.sum()),
                    mean_pd=float(pd_[inside].mean()),
                    mean_true_pd=float(part["true_pd"].mean()),
                    observed_to_expected=observed_to_expected(sample, sample.weight),
                    approved=float(granted[inside].mean()),
                )
            )
    return tuple(found)


def show(found: Grade, console: Console) -> None:
    """Print a grade."""
    console.print(
        f"[bold]{found.version}[/] ({found.kind}) on {found.rows:,} applicants, bad rate {found.bad_rate:.1%}"
    )
    for name, figure in found.figures.items():
        console.print(f"  {name}: {figure}")
    console.print(
        f"  auc of the truth: {found.auc_of_truth:.4f}; PD off by {found.mean_absolute_distance:.4f} on average"
    )
    console.print(
        f"  approved {found.approved:.1%}, of whom {found.bad_rate_of_approved:.1%} default; "
        f"median limit R$ {found.median_limit_brl:,.0f}"
    )
    table = Table(show_edge=False, pad_edge=False)
    for column in ("Band", "share", "expected", "true", "observed"):
        table.add_column(column, justify="right")
    for row in found.bands:
        table.add_row(row.band, f"{row.share:.1%}", f"{row.expected:.4f}", f"{row.true:.4f}", str(row.observed))
    console.print(table)
    table = Table(show_edge=False, pad_edge=False)
    for column in ("Source", "shown", "rows", "mean PD", "true", "observed/expected", "approved"):
        table.add_column(column, justify="right")
    for one in found.shown:
        table.add_row(
            one.source,
            "yes" if one.shown else "no",
            f"{one.rows:,}",
            f"{one.mean_pd:.4f}",
            f"{one.mean_true_pd:.4f}",
            f"{one.observed_to_expected:.2f}",
            f"{one.approved:.1%}",
        )
    console.print(table)
