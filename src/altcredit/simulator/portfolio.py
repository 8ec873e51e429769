"""A simulated portfolio as a training frame, through the real lake and features, with the truth beside the labels."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from altcredit.pipeline.features.labels import training_frame
from altcredit.pipeline.lake.engine import Lake
from altcredit.pipeline.lake.tables import Feed, LakeFile, Snapshot
from altcredit.pipeline.learning import frame_of
from altcredit.simulator.bronze import truth_table, write_bronze
from altcredit.simulator.world import Kind, World, training_world

# The posting lag of a simulated distributor: bills are in the books within two days.
_LAG_DAYS = 2


def portfolio_frame(
    *, seed: int, shops: int, today: date, mechanism: Kind = "stress", weeks: int = 104, truth: bool = False
) -> pd.DataFrame:
    """
    Return a training frame of about ``shops`` simulated shops over ``weeks``, 13 weeks between as-of dates.

    ``mechanism`` "till" is the independent one, for grading what was learnt on "stress". With ``truth`` column
    ``true_pd`` is the true PD, by simulating how each shop could go on, which takes most of the time.
    """
    dates = range(weeks - 26, -1, -13)
    world = training_world(
        seed,
        today=today,
        shops=shops,
        mechanism=mechanism,
        weeks=weeks,
        as_of_weeks=list(dates) if truth else [],
        paths=40,
    )
    with portfolio_lake(world) as (lake, snapshot):
        # The last day of a simulated week, as the truth has it.
        days = [today - timedelta(weeks=back, days=1) for back in dates]
        frame = frame_of(training_frame(lake, snapshot, as_of_dates=days))
    if not truth:
        return frame
    known = truth_table(world).select(["retailer_id", "as_of", "true_pd"]).to_pandas()
    return frame.merge(known, on=["retailer_id", "as_of"], how="left")


@contextmanager
def portfolio_lake(world: World) -> Iterator[tuple[Lake, Snapshot]]:
    """Write a world's books as bronze into a temporary lake and lend it."""
    with TemporaryDirectory(prefix="altcredit-portfolio-") as folder:
        deltas = tuple(
            LakeFile(
                layer="bronze",
                kind="batch",
                path=file.path,
                rows=file.rows,
                bytes=file.bytes,
                sha256=file.sha256,
                distributor_id=file.distributor_id,
                batch_id=file.batch_id,
                file_id=number,
                added_version=number,
            )
            for number, file in enumerate(write_bronze(world, Path(folder)), start=1)
        )
        feed = Feed(coverage=((world.start, world.today),), watermark=world.today, lag_p90_days=_LAG_DAYS)
        feeds = {one.distributor_id: feed for one in world.distributors}
        lake = Lake(Path(folder))
        try:
            yield lake, Snapshot(version=len(deltas), deltas=deltas, feeds=feeds)
        finally:
            lake.close()
