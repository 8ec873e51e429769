"""Refresh, nightly run and rebuild against a real manifest."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from altcredit.pipeline import runs
from altcredit.pipeline.lake import BaseMoved, Lake, batch_files, compact, snapshot, store
from altcredit.pipeline.lake.tables import LakeFile
from altcredit.runtime.db import Database
from tests.pipeline.books import Books, day, invoice, payment, shop

NOW = datetime(2025, 6, 1, 3, tzinfo=UTC)
TODAY = day(150)
WATERMARK = day(119)
FEED = """
INSERT INTO distributor_feed (distributor_id, coverage, watermark, lag_days, lag_p90_days, returns_seen, last_batch_at)
VALUES ($1, '{[2025-01-01,2025-05-01)}', '2025-04-30', '{}', 2, false, $2)
"""


class Shop:
    """The caller's side: consents and recorded scores."""

    def __init__(self, consented: set[str]) -> None:
        self.consented = consented
        self.scored: dict[str, dict[str, Any]] = {}
        self.calls = 0

    async def scope_of(self, retailers: Collection[str] | None) -> list[tuple[str, str]]:
        chosen = self.consented if retailers is None else self.consented & set(retailers)
        return [(retailer, "dist_a") for retailer in sorted(chosen)]

    async def score(self, table: pa.Table) -> int:
        self.calls += 1
        rows = table.to_pylist()
        self.scored.update({row["retailer_id"]: row for row in rows})
        return len(rows)


async def listed(database: Database, file: LakeFile) -> None:
    """List a bronze file as the door does."""
    async with database.transaction() as db:
        await store.publish(db, added=[file], now=NOW)


async def trade(database: Database, books: Books, number: int, on: int) -> LakeFile:
    """One batch: two shops order, the first pays its bill without naming itself."""
    file = books.batch(
        [
            invoice(f"I{number}-{on}", on, 5_000, due=on + 14, to=shop(number)),
            payment(f"P{number}-{on}", on, 5_000, of=f"I{number}-{on}"),
            invoice(f"J{number}-{on}", on, 2_000, due=on + 14, to=shop(number + 1)),
        ],
        received=on,
    )
    await listed(database, file)
    return file


@pytest.fixture
async def books(database: Database, tmp_path: Path) -> Books:
    async with database.transaction() as db:
        await db.execute(FEED, "dist_a", NOW)
    return Books(tmp_path)


@pytest.fixture
def lake(tmp_path: Path) -> Any:
    lake = Lake(tmp_path, threads=1)
    yield lake
    lake.close()


async def test_a_snapshot_is_one_version_whatever_is_listed_after(database: Database, books: Books) -> None:
    first = await trade(database, books, 1, 100)
    async with database.transaction() as db:
        then = await snapshot(db)
    await trade(database, books, 1, 101)
    async with database.transaction() as db:
        assert await snapshot(db, version=then.version) == then
        now = await snapshot(db)
        (found,) = await batch_files(db, batch_ids=[first.batch_id or "", "bat_unknown"])
    assert [file.path for file in then.deltas] == [first.path]
    assert found == then.deltas[0]
    assert len(now.deltas) == 2
    feed = now.feeds["dist_a"]
    assert feed.coverage == ((day(0), WATERMARK),)
    assert feed.lag_p90_days == 2


async def test_a_refresh_scores_the_touched_and_consented_and_no_one_else(
    database: Database, books: Books, lake: Lake
) -> None:
    file = await trade(database, books, 1, 100)
    await trade(database, books, 5, 101)
    me = Shop({shop(1), shop(5)})
    done = await runs.refresh(
        database, lake, batch_ids=[file.batch_id or ""], today=TODAY, scope_of=me.scope_of, score=me.score
    )
    assert me.scored.keys() == {shop(1)}
    assert me.scored[shop(1)]["has_payment_data"]
    assert (done.retailers, done.scored) == (1, 1)
    assert done.seconds.keys() == {"touched", "gold", "score"}


async def test_a_batch_that_arrives_after_its_days_is_part_of_them(
    database: Database, books: Books, lake: Lake
) -> None:
    await trade(database, books, 1, 60)
    late = books.batch([invoice("L", 118, 900, due=130)], received=125)
    await listed(database, late)
    me = Shop({shop(1)})
    await runs.refresh(
        database, lake, batch_ids=[late.batch_id or ""], today=TODAY, scope_of=me.scope_of, score=me.score
    )
    assert me.scored[shop(1)]["as_of"] == WATERMARK
    assert me.scored[shop(1)]["gmv_6m_inr"] == 5_900


async def test_a_refresh_without_consent_computes_nothing(database: Database, books: Books, lake: Lake) -> None:
    file = await trade(database, books, 1, 100)
    me = Shop(set())
    await runs.refresh(
        database, lake, batch_ids=[file.batch_id or ""], today=TODAY, scope_of=me.scope_of, score=me.score
    )
    assert me.calls == 0


async def test_the_nightly_run_folds_batches_scores_all_and_stores_norms(
    database: Database, books: Books, lake: Lake
) -> None:
    for on in range(60, 100, 10):
        await trade(database, books, 1, on)
    me = Shop({shop(1), shop(2)})
    before = await _gold_now(database, lake, me)
    done = await runs.nightly(database, lake, today=TODAY, now=NOW, scope_of=me.scope_of, score=me.score)
    assert done.scored == 2
    assert me.scored == before
    async with database.transaction() as db:
        now = await snapshot(db)
    assert now.deltas == ()
    assert sum(file.rows for file in now.base) == 12
    assert [as_of for as_of, _ in now.norms] == [WATERMARK]
    norms = runs.stored_norms(lake, now, WATERMARK)
    assert norms is not None
    assert norms["usual_term"].to_pylist() == [14]


async def _gold_now(database: Database, lake: Lake, me: Shop) -> dict[str, dict[str, Any]]:
    from altcredit.pipeline.features import gold

    async with database.transaction() as db:
        now = await snapshot(db)
    table = gold(lake, now, as_of=WATERMARK, scope=await me.scope_of(None), known_now=True)
    return {row["retailer_id"]: row for row in table.to_pylist()}


async def test_a_rebuild_from_bronze_gives_what_the_nightly_run_gave(
    database: Database, books: Books, lake: Lake
) -> None:
    for on in (60, 70):
        await trade(database, books, 1, on)
    me, again = Shop({shop(1), shop(2)}), Shop({shop(1), shop(2)})
    await runs.nightly(database, lake, today=TODAY, now=NOW, scope_of=me.scope_of, score=me.score)
    await trade(database, books, 1, 80)
    await runs.nightly(database, lake, today=TODAY, now=NOW, scope_of=me.scope_of, score=me.score)
    await runs.rebuild(database, lake, today=TODAY, now=NOW, scope_of=again.scope_of, score=again.score)
    assert again.scored == me.scored


async def test_old_files_go_from_disk_only_after_the_grace_of_their_last_reader(
    database: Database, books: Books, lake: Lake, tmp_path: Path
) -> None:
    await trade(database, books, 1, 60)
    first = await runs.compact(database, lake, now=NOW)
    await trade(database, books, 1, 70)
    second = await runs.compact(database, lake, now=NOW)
    old = [tmp_path / file.path for file in first.base]
    assert await runs.sweep(database, lake, now=NOW + timedelta(minutes=59)) == 0
    assert all(path.exists() for path in old)
    assert await runs.sweep(database, lake, now=NOW + timedelta(hours=2)) == len(first.base) + len(first.index)
    assert not any(path.exists() for path in old)
    assert all((tmp_path / file.path).exists() for file in second.base)
    assert not list((tmp_path / "silver").rglob("plan.json"))
    assert not list((tmp_path / "silver").rglob("*.tmp"))


async def test_of_two_compactions_of_one_base_the_second_gives_way(
    database: Database, books: Books, lake: Lake
) -> None:
    await trade(database, books, 1, 60)
    async with database.transaction() as db:
        start = await snapshot(db)
    made = compact(lake, start)
    await runs.compact(database, lake, now=NOW)
    with pytest.raises(BaseMoved):
        async with database.transaction() as db:
            await store.publish_base(db, added=made.files, replaces=start, covers=made.covers, now=NOW)


async def test_compactions_at_the_same_time_leave_one_whole_base(
    database: Database, books: Books, lake: Lake, tmp_path: Path
) -> None:
    for on in (60, 70):
        await trade(database, books, 1, on)
    other = Lake(tmp_path, threads=1)
    found = await asyncio.gather(
        runs.compact(database, lake, now=NOW),
        runs.compact(database, other, now=NOW),
        runs.compact(database, lake, now=NOW),
    )
    other.close()
    for now in found:
        assert now.deltas == ()
        assert sum(pq.read_metadata(tmp_path / file.path).num_rows for file in now.base) == 6
    assert not list((tmp_path / "silver").rglob("plan.json"))


async def test_a_compaction_killed_before_its_listing_is_resumed_and_loses_no_batch(
    database: Database, books: Books, lake: Lake
) -> None:
    await trade(database, books, 1, 60)
    async with database.transaction() as db:
        start = await snapshot(db)
    compact(lake, start)  # and then the process dies
    await trade(database, books, 1, 70)
    after = await runs.compact(database, lake, now=NOW)
    assert after.covers == start.version
    assert len(after.deltas) == 1
    final = await runs.compact(database, lake, now=NOW)
    assert final.deltas == ()
    assert sum(file.rows for file in final.base) == 6


async def test_many_batches_make_a_compaction_due(database: Database, books: Books, lake: Lake) -> None:
    await trade(database, books, 1, 60)
    await trade(database, books, 1, 61)
    assert not await runs.compact_if_due(database, lake, now=NOW, max_deltas=2)
    assert await runs.compact_if_due(database, lake, now=NOW, max_deltas=1)
    assert not await runs.compact_if_due(database, lake, now=NOW, max_deltas=1)
