"""The simulator's label and the pipeline's were written by two hands, from the contract; they must agree."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from altcredit.pipeline.features.labels import labels
from altcredit.pipeline.lake.engine import Lake
from altcredit.pipeline.lake.tables import Feed, LakeFile, Snapshot
from altcredit.simulator import CLEAN, Quality, World, build, truth_table, write_bronze

TODAY = date(2026, 11, 22)


def snapshot(world: World, lake: Path) -> Snapshot:
    files = [
        LakeFile(
            layer="bronze",
            kind="batch",
            path=file.path,
            rows=file.rows,
            bytes=file.bytes,
            sha256=file.sha256,
            distributor_id=file.distributor_id,
            batch_id=file.batch_id,
            added_version=version,
        )
        for version, file in enumerate(write_bronze(world, lake), start=1)
    ]
    last = world.today - timedelta(days=1)
    feed = Feed(coverage=((world.start, last),), watermark=last, lag_p90_days=2)
    feeds = {d.distributor_id: feed for d in world.distributors}
    return Snapshot(version=len(files), deltas=tuple(files), feeds=feeds)


@pytest.mark.parametrize("mechanism", ["stress", "till"])
@pytest.mark.parametrize(("quality", "differing"), [(CLEAN, 0), (Quality(), 0.01)], ids=["clean", "usual"])
def test_labels_from_the_lake_are_the_labels_of_the_true_ledger(tmp_path, mechanism, quality, differing):
    """Exactly where the books are clean; but for one in a hundred where due dates are missing and bills mistyped."""
    world = build(
        seed=3,
        today=TODAY,
        shops=300,
        firms=[("One", "csv", quality), ("Two", "csv", quality)],
        mechanism=mechanism,
        as_of_weeks=(26, 13),
        paths=2,
    )
    true = {(r["retailer_id"], r["as_of"]): r for r in truth_table(world).to_pylist()}
    days = sorted({day for _, day in true})
    found = labels(Lake(tmp_path), snapshot(world, tmp_path), as_of_dates=days).to_pylist()
    seen = {(r["retailer_id"], r["as_of"]): (r["eligible"], r["default"]) for r in found}
    expected = {key: (r["eligible"], r["defaulted"]) for key, r in true.items() if key in seen}
    assert sum(r["eligible"] for key, r in true.items() if key not in seen) == 0
    different = [key for key in expected if expected[key] != seen[key]]
    assert len(different) <= differing * len(expected)
    assert sum(bool(defaulted) for _, defaulted in expected.values()) > 20
