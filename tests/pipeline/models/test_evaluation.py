import io
import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from tests.pipeline.models.population import population

from altcredit.engine.registry import objections
from altcredit.engine.scoring import CODES
from altcredit.pipeline.models import FrameInvalid, Model
from altcredit.pipeline.models.compare import compare
from altcredit.pipeline.models.evaluate import Report, bands_of, evaluate, reason_figures, unseen
from altcredit.pipeline.models.report import PLOTS, show, write


@pytest.fixture(scope="module")
def report(ledgers: pd.DataFrame, trained: Model) -> Report:
    return evaluate(ledgers, trained, tested_on="the tests' population", replicates=40)


def test_only_the_test_window_is_looked_at(ledgers: pd.DataFrame, trained: Model, report: Report) -> None:
    tested = unseen(ledgers, trained)
    assert str(tested["as_of"].min().date()) == trained.card.windows["test"][0] == report.first
    assert report.rows == len(tested) < len(ledgers)


def test_the_report_finds_the_model_good_where_the_truth_says_it_is(report: Report) -> None:
    figures = report.figures
    assert report.truth["auc_of_truth"] - 0.03 < figures["auc"].value <= report.truth["auc_of_truth"] + 0.01
    assert figures["calibration_slope"].low < 1.0 < figures["calibration_slope"].high
    assert figures["observed_to_expected"].low < 1.0 < figures["observed_to_expected"].high
    assert figures["gini"].value == pytest.approx(2 * figures["auc"].value - 1)


def test_a_model_made_worse_is_found_worse(ledgers: pd.DataFrame, trained: Model, report: Report) -> None:
    """Scrambling the features of the strongest family must show: the report is no rubber stamp."""
    rng = np.random.default_rng(0)
    tested = unseen(ledgers, trained)
    mixed = tested.assign(
        **{name: rng.permutation(tested[name].to_numpy()) for name in tested.columns if "late" in name or "due" in name}
    )
    worse = evaluate(ledgers, trained, tested_on="mixed", rows=mixed, leave_out=False, replicates=40)
    assert worse.figures["auc"].high < report.figures["auc"].low


def test_bands_are_in_order_and_cover_every_row(report: Report) -> None:
    assert [row.band for row in report.bands] == ["A", "B", "C", "D"]
    assert sum(row.rows for row in report.bands) == report.rows
    observed = [row.observed.value for row in report.bands]
    assert observed == sorted(observed)
    for row in report.bands:
        assert row.observed.low <= row.observed.value <= row.observed.high


def test_each_distributor_is_left_out_in_turn(report: Report) -> None:
    assert {item.distributor_id for item in report.left_out} == {f"dist_{n}" for n in range(4)}
    assert all(item.auc.value > 0.8 for item in report.left_out)


def test_groups_that_the_model_treats_alike_show_no_gap_and_others_do(
    ledgers: pd.DataFrame, trained: Model, report: Report
) -> None:
    by_name = {group.name: group for group in report.groups}
    gst = by_name["with GSTIN"]  # drawn by lot in this population
    assert gst.caught_gap.low < 0 < gst.caught_gap.high
    assert 0.9 < gst.not_d < 1.1
    tested = unseen(ledgers, trained)
    pd_ = trained.explain(tested).pd
    unfair = tested.assign(gst_registered=(pd_ < np.median(pd_)).astype(float))
    skewed = evaluate(ledgers, trained, tested_on="skewed", rows=unfair, leave_out=False, replicates=40)
    assert {g.name: g for g in skewed.groups}["without GSTIN"].not_d < 0.8


def test_no_reason_is_untrue_and_small_changes_hardly_matter(ledgers: pd.DataFrame, trained: Model) -> None:
    figures = reason_figures(unseen(ledgers, trained), trained, most=500)
    assert figures.untrue == 0
    assert figures.stable > 0.85
    assert set(figures.share) == set(CODES)


def test_the_report_is_printed_with_every_figure_and_its_interval(report: Report) -> None:
    paper = io.StringIO()
    show(report, Console(width=160, file=paper))
    text = paper.getvalue()
    for name in report.figures:
        assert re.search(rf"{name.replace('_', ' ')}\s.*\d\.\d+\s+\[-?\d\.\d+, -?\d\.\d+\]", text), name
    for row in report.bands:
        assert f"{row.observed.value:.4f}" in text
    assert "dist_0" in text
    assert "with GSTIN" in text


def test_plots_and_figures_are_written_as_files(report: Report, tmp_path: Path) -> None:
    written = write(report, tmp_path / "report")
    assert {path.name for path in written} == {"report.json"} | {n + s for n in PLOTS for s in (".svg", ".png")}
    again = msgspec.json.decode((tmp_path / "report" / "report.json").read_bytes(), type=Report)
    assert again.figures == report.figures
    for name in PLOTS:
        assert ElementTree.parse(tmp_path / "report" / f"{name}.svg").getroot().tag.endswith("svg")
        assert (tmp_path / "report" / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_plots_are_the_same_bytes_for_the_same_report(report: Report, tmp_path: Path) -> None:
    one, two = write(report, tmp_path / "one"), write(report, tmp_path / "two")
    for a, b in zip(one, two, strict=True):
        if a.suffix == ".png":
            assert a.read_bytes() == b.read_bytes()


def test_a_learnt_model_passes_the_gate_against_the_expert(
    ledgers: pd.DataFrame, trained: Model, expert: Model
) -> None:
    comparison = compare(ledgers, trained, expert, replicates=60)
    assert comparison.champion_is_expert
    assert objections(comparison, product="altscore") == ()
    # The unproven scorecard gives nobody band A, so many shops move up.
    assert comparison.mean_score_move > 0
    assert comparison.limit_change > 0


def test_a_model_compared_with_itself_moves_nobody(ledgers: pd.DataFrame, trained: Model) -> None:
    comparison = compare(ledgers, trained, trained, replicates=40)
    assert (comparison.auc_difference.low, comparison.auc_difference.high) == (0.0, 0.0)
    assert (comparison.band_flips, comparison.two_band_moves, comparison.limit_change) == (0.0, 0.0, 0)
    assert comparison.score_psi == pytest.approx(0.0)
    assert objections(comparison, product="altscore") == ()


def test_a_blind_model_does_not_pass_the_gate(ledgers: pd.DataFrame, trained: Model) -> None:
    assert trained.booster is not None
    flat = msgspec.structs.replace(
        trained.card, calibration=msgspec.structs.replace(trained.card.calibration, slope=0.05, intercept=-2.2)
    )
    paths = {
        detail.path
        for detail in objections(
            compare(ledgers, Model(flat, trained.booster), trained, replicates=40), product="altscore"
        )
    }
    assert {"calibration_slope", "two_band_moves"} <= paths


def test_nothing_can_be_compared_without_defaults(ledgers: pd.DataFrame, trained: Model, expert: Model) -> None:
    with pytest.raises(FrameInvalid, match="compared"):
        compare(ledgers.assign(default=False), trained, expert)


def test_bands_follow_scores() -> None:
    assert bands_of(np.array([0.01, 0.08, 0.15, 0.4])) == ["A", "B", "C", "D"]


def test_a_small_portfolio_is_evaluated_too(expert: Model) -> None:
    few = population(shops=60, dates=1, seed=21)
    report = evaluate(few, expert, tested_on="sixty shops", replicates=30)
    assert report.groups == []
    assert report.rows == 60
