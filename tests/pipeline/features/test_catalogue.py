"""What holds of every feature, and that its SQL exists for both engines."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from altcredit.pipeline.features import CATALOGUE, GOLD, MODEL_INPUTS, labels
from altcredit.pipeline.features import ledger as ledger_sql
from altcredit.pipeline.features import norms as norms_sql
from altcredit.pipeline.features.festivals import recent_seasons, seasons
from altcredit.pipeline.features.gold import retailers
from altcredit.pipeline.lake import EngineMissing, Lake, silver
from altcredit.pipeline.lake.engine import compiled
from altcredit.pipeline.lake.tables import NOW

DAY = date(2026, 5, 1)

EXPRESSIONS: dict[str, tuple[Any, ...]] = {
    "dated_batches": (silver._dated_batches,),
    "records": (silver._records,),
    "lines": (silver._lines, ("base",)),
    "repeated": (silver._repeated,),
    "revised": (silver._revised,),
    "known": (silver._known,),
    "silver": (silver._resolved,),
    "index": (silver.index_lines,),
    "documents": (ledger_sql.documents, NOW, DAY, True, True),
    "money": (ledger_sql.money,),
    "bills": (ledger_sql.bills, DAY),
    "growths": (norms_sql.growths, DAY),
    "terms": (norms_sql.term_counts,),
    "feeds": (norms_sql.feed_counts, DAY, NOW),
    "unresolved": (norms_sql.unresolved_counts, DAY, NOW),
    "norms": (norms_sql.norms,),
    "gold": (retailers, DAY),
    "queue": (labels.__globals__["_queue"],),
    "labels": (labels.__globals__["_labels"], 90),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_transform_compiles_for_duckdb_and_for_spark(name: str) -> None:
    build, *arguments = EXPRESSIONS[name]
    for dialect in ("duckdb", "pyspark"):
        assert "SELECT" in compiled(dialect, build, *arguments)


def test_spark_without_pyspark_says_what_to_install(tmp_path: Path) -> None:
    try:
        import pyspark  # noqa: F401

        pytest.skip("pyspark is installed")
    except ImportError:
        with pytest.raises(EngineMissing, match=r"altcredit\[spark\]"):
            Lake(tmp_path, engine="spark")


def test_there_are_at_least_24_model_inputs_in_families() -> None:
    assert len(MODEL_INPUTS) >= 24
    assert len({CATALOGUE[name].family for name in MODEL_INPUTS}) >= 7


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_feature_says_what_it_is(name: str) -> None:
    feature = CATALOGUE[name]
    assert feature.name == name
    assert feature.unit
    assert len(feature.meaning) > 15
    assert feature.monotone in (-1, 0, 1)
    assert name in GOLD.names
    assert (feature.over is None) == (feature.expression is None)


def test_facts_are_no_model_inputs() -> None:
    facts = {name for name, feature in CATALOGUE.items() if feature.family == "facts"}
    assert facts == {"distributor_count", "completeness_score", "gst_registered"}
    assert facts.isdisjoint(MODEL_INPUTS)


def test_any_day_of_the_calendar_has_a_whole_diwali_season_behind_it() -> None:
    for year in range(2024, 2030):
        for month in (1, 6, 9, 12):
            assert any((last - first).days == 42 for first, last in recent_seasons(date(year, month, 1)))


def test_the_calendar_knows_the_festivals_of_2025() -> None:
    assert (date(2025, 9, 15), date(2025, 10, 27)) in seasons()
