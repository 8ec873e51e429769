"""features(all data, t) == features(data known by t, t), for every feature, on random ledgers."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from altcredit.pipeline.features import CATALOGUE, gold
from altcredit.pipeline.lake import Feed, Lake
from tests.pipeline.books import day
from tests.pipeline.random_books import books

FEEDS = {name: Feed(coverage=((day(0), day(150)),), lag_p90_days=2) for name in ("dist_a", "dist_b", "dist_c")}


def features(root: Path, seed: int, t: int, until: int | None) -> dict[str, dict[str, Any]]:
    written, _ = books(root, seed, shops=6, days=200, until=until)
    lake = Lake(root, threads=1)
    table = gold(lake, written.snapshot(feeds=FEEDS), as_of=day(t), scope=None)
    lake.close()
    return {row["retailer_id"]: row for row in table.to_pylist()}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**6), t=st.integers(40, 180))
def test_no_feature_of_a_day_uses_what_became_known_after_it(seed: int, t: int) -> None:
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as then:
        everything = features(Path(whole), seed, t, None)
        by_then = features(Path(then), seed, t, t)
    assert everything.keys() == by_then.keys()
    for retailer, row in everything.items():
        for name in (*CATALOGUE, "in_default", "gmv_6m_inr", "gmv_month_median_inr", "overdue_inr", "feed"):
            assert row[name] == by_then[retailer][name], (retailer, name)
