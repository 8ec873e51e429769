"""A report on paper: printed by rich, as JSON, and as six plots (SVG and PNG)."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from altcredit.pipeline.models.evaluate import Report
from altcredit.pipeline.models.inputs import Floats
from altcredit.pipeline.models.metrics import Interval
from altcredit.pipeline.models.monitor import scores

INK, GOOD, BAD, QUIET = "#1f2a37", "#1a7f5a", "#b3382c", "#9aa4b2"
BAND_COLOUR = {"A": "#1a7f5a", "B": "#6a9a3b", "C": "#c98a1b", "D": "#b3382c"}

Draw = Callable[[Axes, Report], None]


def _figure(value: Interval, digits: int = 3) -> str:
    return f"{value.value:.{digits}f}  [{value.low:.{digits}f}, {value.high:.{digits}f}]"


def show(report: Report, console: Console) -> None:
    """Print the report; every figure with its 95 % interval."""
    console.print(
        f"[bold]{report.version}[/bold] ({report.kind}, learnt from {report.trained_on} data) on {report.tested_on}: "
        f"{report.rows:,} rows of {report.shops:,} shops, {report.bad_shops:,} of them bad, "
        f"{report.first} to {report.last}"
    )
    figures = _table("Figure", "value [95 % interval]")
    for name, value in report.figures.items():
        figures.add_row(name.replace("_", " "), _figure(value, 4))
    for name, number in report.truth.items():
        figures.add_row(f"[dim]{name.replace('_', ' ')}[/dim]", f"[dim]{number:.4f}[/dim]")
    figures.add_row("score PSI (alert above)", f"{report.score_psi:.4f}  ({report.score_psi_alert:.2f})")
    console.print(figures)
    bands = _table("Band", "rows", "expected", "observed [95 % interval]")
    for row in report.bands:
        bands.add_row(row.band, f"{row.rows:,}", f"{row.expected:.4f}", _figure(row.observed, 4))
    console.print(bands)
    top = _table("Feature", "mean size, points")
    for name, size in report.top_features:
        top.add_row(name, f"{size:.1f}")
    console.print(top)
    _show_groups(report, console)
    reasons = report.reasons
    console.print(
        f"Reasons on {reasons.rows:,} rows: {reasons.untrue} untrue; filled up with neutral facts "
        f"{reasons.filled_up:.1%} (positive {reasons.filled_up_positive:.1%}, negative "
        f"{reasons.filled_up_negative:.1%}); {reasons.stable:.1%} of codes kept when features move by 1 %"
    )


def _show_groups(report: Report, console: Console) -> None:
    if report.groups:
        groups = _table("Group", "bad shops", "observed / expected", "caught in D, less others", "not D, over others")
        for group in report.groups:
            groups.add_row(
                group.name,
                f"{group.bad_shops:,}",
                _figure(group.observed_to_expected, 2),
                _figure(group.caught_gap, 2),
                f"{group.not_d:.2f}" + (" (review)" if group.not_d < 0.8 else ""),
            )
        console.print(groups)
    if report.left_out:
        left = _table("Distributor left out", "bad shops", "AUC", "observed / expected")
        for item in report.left_out:
            left.add_row(
                item.distributor_id, f"{item.bad_shops:,}", _figure(item.auc), _figure(item.observed_to_expected, 2)
            )
        console.print(left)


def _table(*columns: str) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def write(report: Report, folder: Path) -> list[Path]:
    """Write ``report.json`` and each plot as SVG and PNG into ``folder``; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(report, curves={})), indent=1)
    written = [folder / "report.json"]
    written[0].write_bytes(text)
    for name, draw in PLOTS.items():
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, report)
        figure.suptitle(f"{report.version} on {report.tested_on}", fontsize=9, color=QUIET, x=0.99, ha="right")
        for suffix, options in ((".svg", {"metadata": {"Date": None}}), (".png", {"dpi": 144})):
            path = folder / (name + suffix)
            figure.savefig(path, **options)
            written.append(path)
    return written


def _curves(report: Report) -> tuple[Floats, Floats, Floats]:
    return tuple(np.asarray(report.curves[name]) for name in ("pd", "bad", "weight"))  # type: ignore[return-value]


def _cumulative(report: Report) -> tuple[Floats, Floats, Floats]:
    """Return probabilities from the riskiest down, with the shares of bad and good reached."""
    pd_, bad, weight = (values[::-1] for values in _curves(report))
    reached = [np.cumsum(weight * which) for which in (bad, 1 - bad)]
    return pd_, reached[0] / max(reached[0][-1], 1e-9), reached[1] / max(reached[1][-1], 1e-9)


def _roc(axes: Axes, report: Report) -> None:
    _, bad, good = _cumulative(report)
    axes.plot([0, 1], [0, 1], color=QUIET, lw=1, ls="--")
    axes.plot(np.append(0, good), np.append(0, bad), color=INK, lw=2)
    axes.set(xlabel="share of good shops", ylabel="share of bad shops", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"ROC: AUC {report.figures['auc']}", loc="left", fontsize=11)


def _ks(axes: Axes, report: Report) -> None:
    pd_, bad, good = _cumulative(report)
    score = scores(pd_)
    axes.plot(score, bad, color=BAD, lw=2, label="bad")
    axes.plot(score, good, color=GOOD, lw=2, label="good")
    at = int(np.argmax(np.abs(bad - good)))
    axes.plot([score[at], score[at]], [good[at], bad[at]], color=INK, lw=1.5, ls=":")
    axes.set(xlabel="score", ylabel="share at or below", ylim=(0, 1))
    axes.legend(frameon=False)
    axes.set_title(f"KS {report.figures['ks']} at {score[at]:.0f}", loc="left", fontsize=11)


def _reliability(axes: Axes, report: Report) -> None:
    pd_, bad, weight = _curves(report)
    groups = np.array_split(np.arange(len(pd_)), 10)
    expected = [float(np.average(pd_[g], weights=weight[g])) for g in groups if len(g)]
    observed = [float(np.average(bad[g], weights=weight[g])) for g in groups if len(g)]
    spread = [
        1.96 * (o * (1 - o) / max(float(weight[g].sum()), 1.0)) ** 0.5 for o, g in zip(observed, groups, strict=False)
    ]
    top = max([*expected, *observed]) * 1.1 + 1e-6
    axes.plot([0, top], [0, top], color=QUIET, lw=1, ls="--")
    axes.errorbar(expected, observed, yerr=spread, fmt="o", color=INK, ms=4, lw=1.2, capsize=2)
    axes.set(xlabel="expected default rate", ylabel="observed default rate", xlim=(0, top), ylim=(0, top))
    axes.set_title(f"Reliability: slope {report.figures['calibration_slope']}", loc="left", fontsize=11)


def _distribution(axes: Axes, report: Report) -> None:
    pd_, bad, weight = _curves(report)
    score, edges = np.clip(scores(pd_), 300, 900), [float(edge) for edge in range(300, 901, 15)]
    for which, colour, label in ((bad == 0, GOOD, "good"), (bad == 1, BAD, "bad")):
        if which.any():
            axes.hist(
                score[which], edges, weights=weight[which] / weight[which].sum(), color=colour, alpha=0.55, label=label
            )
    for floor in (650, 700, 750):
        axes.axvline(floor, color=QUIET, lw=0.8, ls=":")
    axes.set(xlabel="score", ylabel="share of shops")
    axes.legend(frameon=False)
    axes.set_title("Scores of good and bad shops", loc="left", fontsize=11)


def _band_rates(axes: Axes, report: Report) -> None:
    for place, row in enumerate(report.bands):
        low, high = row.observed.value - row.observed.low, row.observed.high - row.observed.value
        axes.bar(place, row.observed.value, color=BAND_COLOUR[row.band], width=0.6)
        axes.errorbar(place, row.observed.value, yerr=[[max(low, 0)], [max(high, 0)]], color=INK, capsize=3, lw=1.2)
        axes.plot([place - 0.35, place + 0.35], [row.expected] * 2, color=INK, lw=1.5, ls="--")
    axes.set_xticks(range(len(report.bands)), [f"{row.band}\n{row.rows:,} rows" for row in report.bands])
    axes.set(ylabel="default rate")
    axes.set_title("Observed (bars) and expected (dashes) by band", loc="left", fontsize=11)


def _psi(axes: Axes, report: Report) -> None:
    rows = list(reversed(report.shifts))
    places = range(len(rows))
    colours = [BAD if row.verdict == "block" else "#c98a1b" if row.verdict == "alert" else GOOD for row in rows]
    axes.barh(places, [row.psi for row in rows], color=colours, height=0.6)
    axes.plot([row.alert_above for row in rows], places, color=INK, ls="none", marker="|", ms=12)
    axes.set_yticks(places, [row.name for row in rows], fontsize=8)
    axes.set(xlabel="population stability index (bar), alert (tick)")
    axes.set_title("Largest shifts since training", loc="left", fontsize=11)


PLOTS: dict[str, Draw] = {
    "roc": _roc,
    "ks": _ks,
    "reliability": _reliability,
    "scores": _distribution,
    "bands": _band_rates,
    "psi": _psi,
}
