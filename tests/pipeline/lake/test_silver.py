"""When a record counts as known, and to which shop it belongs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from altcredit.pipeline.lake import Feed, Lake, Snapshot, compact, compaction, touched
from altcredit.pipeline.lake.reading import Part, read
from altcredit.pipeline.lake.tables import FOREVER, end_of_day, moment
from tests.pipeline.books import Books, Record, credit_note, day, invoice, payment, shop
from tests.pipeline.folding import folded, rows_of

FEEDS = {"dist_a": Feed(lag_p90_days=4)}


def silver(root: Path, snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return all lines that have found a shop, in order of document and time."""
    lake = Lake(root, threads=1)
    with lake.session() as session:
        read(session, lake, snapshot, Part())
        rows = session.fetch("SELECT * FROM silver ORDER BY document_id, line, known_us").to_pylist()
    lake.close()
    return rows


def waiting(root: Path, snapshot: Snapshot) -> list[str]:
    lake = Lake(root, threads=1)
    with lake.session() as session:
        read(session, lake, snapshot, Part())
        rows = session.fetch("SELECT document_id FROM unresolved ORDER BY document_id")
    lake.close()
    return list(rows["document_id"].to_pylist())


def at(number: int, hour: int = 12) -> int:
    return moment(datetime.combine(day(number), datetime.min.time(), tzinfo=UTC).replace(hour=hour))


def test_a_record_is_known_from_its_receipt(tmp_path: Path) -> None:
    books = Books(tmp_path)
    books.batch([invoice("A", 3, 100)], received=5)
    (row,) = silver(tmp_path, books.snapshot(feeds=FEEDS))
    assert (row["known_us"], row["until_us"]) == (at(5), FOREVER)


def test_a_correction_holds_from_its_receipt_and_ends_the_version_before(tmp_path: Path) -> None:
    books = Books(tmp_path)
    books.batch([invoice("A", 3, 100)], received=5)
    books.batch([invoice("A", 3, 90)], received=9)
    first, second = silver(tmp_path, books.snapshot(feeds=FEEDS))
    assert (first["amount_paise"], first["known_us"], first["until_us"]) == (100_00, at(5), at(9))
    assert (second["amount_paise"], second["known_us"], second["until_us"]) == (90_00, at(9), FOREVER)


def test_an_exact_resend_is_dropped_but_a_return_to_an_older_version_is_not(tmp_path: Path) -> None:
    books = Books(tmp_path)
    for received, rupees in ((5, 100), (6, 100), (7, 90), (8, 100)):
        books.batch([invoice("A", 3, rupees)], received=received)
    rows = silver(tmp_path, books.snapshot(feeds=FEEDS))
    assert [(row["amount_paise"], row["known_us"]) for row in rows] == [
        (100_00, at(5)),
        (90_00, at(7)),
        (100_00, at(8)),
    ]


def test_of_two_versions_in_one_batch_the_later_row_holds(tmp_path: Path) -> None:
    books = Books(tmp_path)
    books.batch([invoice("A", 3, 100), invoice("A", 3, 80)], received=5)
    rows = [row for row in silver(tmp_path, books.snapshot(feeds=FEEDS)) if row["known_us"] < row["until_us"]]
    assert [row["amount_paise"] for row in rows] == [80_00]


def test_a_backfill_counts_as_known_after_the_usual_lag_of_its_documents(tmp_path: Path) -> None:
    books = Books(tmp_path)
    books.batch([invoice("A", 3, 100), invoice("B", 50, 100), invoice("C", 199, 100)], received=200)
    known = {row["document_id"]: row["known_us"] for row in silver(tmp_path, books.snapshot(feeds=FEEDS))}
    assert known == {"A": end_of_day(day(7)), "B": end_of_day(day(54)), "C": at(200)}  # never after its receipt


def test_one_late_bill_among_new_ones_is_no_backfill(tmp_path: Path) -> None:
    books = Books(tmp_path)
    books.batch([invoice("A", 3, 100), invoice("B", 198, 100), invoice("C", 199, 100)], received=200)
    assert {row["known_us"] for row in silver(tmp_path, books.snapshot(feeds=FEEDS))} == {at(200)}


def test_a_correction_that_comes_in_a_backfill_is_known_from_its_receipt(tmp_path: Path) -> None:
    books = Books(tmp_path)
    books.batch([invoice("A", 3, 100)], received=5)
    books.batch([invoice("A", 3, 90), invoice("B", 4, 100)], received=200)
    known = [(row["document_id"], row["known_us"]) for row in silver(tmp_path, books.snapshot(feeds=FEEDS))]
    assert known == [("A", at(5)), ("A", at(200)), ("B", end_of_day(day(8)))]


def test_money_without_a_shop_belongs_to_its_invoices_shop_once_both_are_known(tmp_path: Path) -> None:
    books = Books(tmp_path)
    books.batch([payment("P", 3, 100, of="A"), credit_note("C", 3, 10, of="A"), payment("Q", 3, 5)], received=3)
    assert waiting(tmp_path, books.snapshot()) == ["C", "P", "Q"]
    books.batch([invoice("A", 1, 100)], received=8)
    rows = {row["document_id"]: row for row in silver(tmp_path, books.snapshot())}
    assert {name: row["retailer_id"] for name, row in rows.items()} == dict.fromkeys("ACP", shop(1))
    assert (rows["P"]["own_us"], rows["P"]["known_us"]) == (at(3), at(8))
    assert waiting(tmp_path, books.snapshot()) == ["Q"]


def test_money_moves_along_with_its_invoice_to_another_shop(tmp_path: Path) -> None:
    books = Books(tmp_path)
    books.batch([invoice("A", 1, 100), payment("P", 3, 100, of="A")], received=3)
    books.batch([invoice("A", 1, 100, to=shop(2))], received=9)
    held = [
        (row["retailer_id"], row["known_us"], row["until_us"])
        for row in silver(tmp_path, books.snapshot())
        if row["document_id"] == "P"
    ]
    assert held == [(shop(1), at(3), at(9)), (shop(2), at(9), FOREVER)]


def test_a_receipt_for_several_bills_is_cut_and_what_is_left_goes_on_account(tmp_path: Path) -> None:
    books = Books(tmp_path)
    receipt = payment("P", 3, 100, allocations={"A": 50, "B": 30})
    books.batch([invoice("A", 1, 50), invoice("B", 1, 30, to=shop(2)), receipt], received=3)
    lines = [
        (row["line"], row["retailer_id"], row["amount_paise"], row["on_account"])
        for row in silver(tmp_path, books.snapshot())
        if row["document_id"] == "P"
    ]
    assert lines == [(0, shop(1), 20_00, True), (1, shop(1), 50_00, False), (2, shop(2), 30_00, False)]


def test_the_same_number_of_another_distributor_is_another_document(tmp_path: Path) -> None:
    books = Books(tmp_path)
    books.batch([invoice("A", 1, 100)], received=3)
    books.batch([invoice("A", 1, 70, to=shop(2)), payment("P", 3, 70, of="A")], received=3, distributor="dist_b")
    rows = silver(tmp_path, books.snapshot())
    assert {(row["distributor_id"], row["document_id"], row["retailer_id"]) for row in rows} == {
        ("dist_a", "A", shop(1)),
        ("dist_b", "A", shop(2)),
        ("dist_b", "P", shop(2)),
    }


STORY: list[tuple[int, list[Record]]] = [
    (3, [invoice("A", 1, 100), payment("P", 3, 100, of="A"), payment("Q", 3, 50, of="B")]),
    (5, [invoice("A", 1, 90), invoice("C", 4, 10, to=shop(3))]),
    (9, [invoice("B", 1, 50, to=shop(2)), invoice("A", 1, 90, to=shop(2)), payment("R", 8, 10, of="C")]),
    (9, [invoice("C", 4, 10, to=shop(3)), payment("P", 3, 100, of="A", status="returned")]),
    (200, [invoice("D", 20, 70), invoice("C", 4, 12, to=shop(4)), payment("S", 25, 70, allocations={"D": 60, "A": 5})]),
]


def test_folding_batches_into_the_base_at_any_time_changes_nothing(tmp_path: Path) -> None:
    books = Books(tmp_path)
    for received, records in STORY:
        books.batch(records, received=received)
    lake = Lake(tmp_path, threads=1)
    snapshot = books.snapshot(feeds=FEEDS)
    whole = rows_of(lake, snapshot)
    for cut in range(len(STORY) + 1):
        assert rows_of(lake, folded(lake, snapshot, cut)) == whole, cut
    assert rows_of(lake, folded(lake, folded(lake, snapshot, 2), 4)) == whole
    lake.close()


def test_some_shops_read_alone_are_as_they_are_among_all(tmp_path: Path) -> None:
    books = Books(tmp_path)
    for received, records in STORY:
        books.batch(records, received=received)
    lake = Lake(tmp_path, threads=1)
    snapshot = books.snapshot(feeds=FEEDS)
    for cut in range(len(STORY) + 1):
        at_cut = folded(lake, snapshot, cut)
        for number in (1, 2, 3, 4):
            everyone = [row for row in rows_of(lake, at_cut) if row["retailer_id"] == shop(number)]
            assert rows_of(lake, at_cut, (shop(number),)) == everyone, (cut, number)
    lake.close()


def test_a_batch_touches_the_shops_it_names_and_those_of_the_invoices_it_names(tmp_path: Path) -> None:
    books = Books(tmp_path)
    files = [books.batch(records, received=received) for received, records in STORY]
    lake = Lake(tmp_path, threads=1)
    snapshot = books.snapshot()
    expected = [{shop(1), shop(2)}, {shop(1), shop(2), shop(3)}, {shop(1), shop(2), shop(3), shop(4)}]
    for cut in range(len(STORY) + 1):
        at_cut = folded(lake, snapshot, cut)
        assert touched(lake, at_cut, [files[0]]) == expected[0]
        assert touched(lake, at_cut, [files[2]]) >= {shop(1), shop(2), shop(3)}  # A left shop 1; R pays C of shop 3
        assert touched(lake, at_cut, files) == expected[2]
    aliased = books.snapshot(aliases={shop(1): shop(9)})
    assert shop(9) in touched(lake, aliased, [files[0]])
    lake.close()


def test_an_interrupted_compaction_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    books = Books(tmp_path)
    for received, records in STORY:
        books.batch(records, received=received)
        books.batch(records, received=received, distributor="dist_b")
    lake = Lake(tmp_path, threads=1)
    snapshot = books.snapshot()
    whole = rows_of(lake, snapshot)

    class Killed(Exception):
        pass

    def die_after_the_first_group(progress: Any) -> None:
        raise Killed

    monkeypatch.setattr(compaction, "ROWS_PER_GROUP", 10)  # a group for each distributor
    with pytest.raises(Killed):
        compact(lake, snapshot, report=die_after_the_first_group)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "silver").rglob("*.parquet")}
    assert len(kept) == 2  # its base and its index
    made = compact(lake, snapshot)
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
    assert rows_of(lake, folded(lake, snapshot, len(books.files), made=made)) == whole
    lake.close()
