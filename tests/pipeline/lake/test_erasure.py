"""A shop's rows leave the lake, other shops' ledgers stay as they were, and no version of the manifest leads back."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from altcredit.pipeline import runs
from altcredit.pipeline.lake import BaseMoved, Lake, compact, snapshot, store
from altcredit.pipeline.lake.erasure import Dropped, erase, swept
from altcredit.pipeline.lake.portability import ledger_of
from altcredit.runtime.db import Database
from tests.pipeline.books import Books, credit_note, invoice, payment, shop
from tests.pipeline.test_runs import FEED, listed

NOW = datetime(2025, 6, 1, 3, tzinfo=UTC)
GONE, OTHER = shop(1), shop(2)


@pytest.fixture
async def books(database: Database, tmp_path: Path) -> Books:
    async with database.transaction() as db:
        await db.execute(FEED, "dist_a", NOW)
    return Books(tmp_path)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    lake = Lake(tmp_path, threads=1)
    yield lake
    lake.close()


async def _trade(database: Database, books: Books) -> None:
    """Two shops; money that names its shop, its bill, or bills of both."""
    batches: list[list[dict[str, Any]]] = [
        [invoice("A1", 1, 500, due=15, to=GONE), invoice("B1", 1, 700, due=15, to=OTHER)],
        [payment("P1", 3, 100, of="A1"), payment("P2", 3, 200, of="B1"), payment("P3", 3, 50, by=GONE)],
        [payment("P4", 4, 300, allocations={"A1": 120, "B1": 180}), credit_note("C1", 4, 10, of="A1")],
        [payment("P5", 5, 20, allocations={"A1": 20}), payment("P6", 5, 9, by=OTHER)],
        [invoice("B2", 6, 40, due=20, to=OTHER)],
    ]
    for on, records in enumerate(batches, start=1):
        await listed(database, books.batch(records, received=on))


async def _snapshot(database: Database) -> Any:
    async with database.transaction() as db:
        return await snapshot(db)


async def _erase(database: Database, lake: Lake, *, now: datetime = NOW) -> Dropped:
    return await erase(database, lake, retailer_ids=[GONE], distributor_ids=["dist_a"], now=now)


def _held(root: Path) -> set[str]:
    """Return the documents of the shop that any parquet file under the lake holds."""
    found = set()
    for path in root.rglob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            bills = [row.get("invoice_id"), *(part["invoice_id"] for part in row.get("allocations") or ())]
            if row.get("retailer_id") == GONE or "A1" in bills:
                found.add(row["document_id"])
    return found


@pytest.mark.parametrize("folded", [False, True], ids=["deltas", "base"])
async def test_no_file_that_is_listed_holds_a_row_of_the_shop(
    database: Database, books: Books, lake: Lake, folded: bool
) -> None:
    await _trade(database, books)
    if folded:
        await runs.compact(database, lake, now=NOW)
    before = ledger_of(lake, await _snapshot(database), OTHER)
    assert _held(lake.root) == {"A1", "P1", "P3", "P4", "C1", "P5"}
    done = await _erase(database, lake)
    assert done.bronze_rows == 5  # A1, P1, P3, C1, P5; P4 loses its part
    assert (done.silver_rows > 0) == folded
    after = await _snapshot(database)
    assert ledger_of(lake, after, GONE) == []
    assert ledger_of(lake, after, OTHER) == before
    assert await runs.sweep(database, lake, now=NOW + timedelta(hours=2)) == done.files
    assert _held(lake.root) == set()


async def test_a_pass_after_the_first_finds_nothing(database: Database, books: Books, lake: Lake) -> None:
    await _trade(database, books)
    await _erase(database, lake)
    assert await _erase(database, lake, now=NOW + timedelta(hours=1)) == Dropped()


async def test_a_late_batch_is_found_by_the_next_pass(database: Database, books: Books, lake: Lake) -> None:
    await _trade(database, books)
    await _erase(database, lake)
    await listed(database, books.batch([invoice("A9", 9, 5, to=GONE)], received=9))
    assert await _erase(database, lake, now=NOW + timedelta(hours=1)) == Dropped(bronze_rows=1, files=1)


async def test_old_versions_of_the_manifest_lead_to_the_new_files(database: Database, books: Books, lake: Lake) -> None:
    await _trade(database, books)
    old = (await _snapshot(database)).version
    await _erase(database, lake)
    async with database.transaction() as db:
        then = await snapshot(db, version=old)
    assert ledger_of(lake, then, GONE) == []


async def test_a_reader_of_an_old_snapshot_finishes_while_the_files_are_kept(
    database: Database, books: Books, lake: Lake
) -> None:
    await _trade(database, books)
    held = await _snapshot(database)
    before = ledger_of(lake, held, GONE)
    await _erase(database, lake)
    assert ledger_of(lake, held, GONE) == before
    assert not await swept(database, removed_until=NOW)
    await runs.sweep(database, lake, now=NOW + timedelta(hours=2))
    assert await swept(database, removed_until=NOW)


@pytest.mark.parametrize("folded", [False, True], ids=["no base", "base"])
async def test_a_compaction_that_began_before_cannot_bring_the_shop_back(
    database: Database, books: Books, lake: Lake, folded: bool
) -> None:
    await _trade(database, books)
    if folded:
        await runs.compact(database, lake, now=NOW)
        await listed(database, books.batch([invoice("B3", 8, 5, to=OTHER)], received=8))
    began = await _snapshot(database)
    made = compact(lake, began)
    await _erase(database, lake)
    with pytest.raises(BaseMoved):
        async with database.transaction() as db:
            await store.publish_base(db, added=made.files, replaces=began, covers=made.covers, now=NOW)
    await runs.sweep(database, lake, now=NOW + timedelta(hours=2))
    assert _held(lake.root) == set()
    assert [row["document_id"] for row in ledger_of(lake, await _snapshot(database), OTHER)][:1] == ["B1"]


async def test_the_lake_goes_on_after_an_erasure_as_if_the_shop_had_never_been(
    database: Database, books: Books, lake: Lake
) -> None:
    await _trade(database, books)
    await runs.compact(database, lake, now=NOW)
    await _erase(database, lake)
    # A correction of a bill that came before: its order of arrival must still be known.
    await listed(database, books.batch([invoice("B1", 1, 650, due=15, to=OTHER)], received=10))
    current = ledger_of(lake, await _snapshot(database), OTHER)
    await runs.compact(database, lake, now=NOW)
    assert ledger_of(lake, await _snapshot(database), OTHER) == current
    await runs.compact(database, lake, now=NOW, rebuild=True)
    assert ledger_of(lake, await _snapshot(database), OTHER) == current
    assert [row["amount_inr"] for row in current if row["document_id"] == "B1" and row["current"]] == ["650.00"]


async def test_a_killed_pass_leaves_nothing_that_a_second_one_does_not_mend(
    database: Database, books: Books, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _trade(database, books)

    async def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            await _erase(database, lake)
    assert (await _erase(database, lake)).bronze_rows == 5
    await runs.sweep(database, lake, now=NOW + timedelta(hours=2))
    assert _held(lake.root) == set()


async def test_a_bill_that_moved_to_another_shop_is_the_other_shops(
    database: Database, books: Books, lake: Lake
) -> None:
    await listed(database, books.batch([invoice("A1", 1, 500, due=15, to=GONE)], received=1))
    await listed(database, books.batch([invoice("A1", 1, 500, due=15, to=OTHER)], received=2))
    await listed(database, books.batch([payment("P1", 3, 500, of="A1")], received=3))
    assert (await _erase(database, lake)).bronze_rows == 1
    assert {row["document_id"] for row in ledger_of(lake, await _snapshot(database), OTHER)} == {"A1", "P1"}
