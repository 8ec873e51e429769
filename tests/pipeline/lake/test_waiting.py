"""Payments and credit notes of invoices that have not arrived: told, kept, and joined later."""

from pathlib import Path

from altcredit.pipeline.lake import Lake
from altcredit.pipeline.lake.reading import waiting
from tests.pipeline.books import Books, credit_note, invoice, payment, shop
from tests.pipeline.folding import folded


def test_records_of_unknown_invoices_are_told_by_batch_until_the_invoice_arrives(tmp_path: Path) -> None:
    books = Books(tmp_path)
    early = books.batch(
        [payment("R1", 5, 100, of="A"), payment("R2", 5, 100, of="B"), credit_note("N1", 6, 10, of="B")], received=6
    )
    late = books.batch([invoice("A", 1, 100, to=shop(1))], received=7)
    named = books.batch([payment("R3", 8, 50, of="Z", by=shop(2))], received=8)
    lake = Lake(tmp_path, threads=1)
    snapshot = books.snapshot()
    assert early.batch_id is not None
    for cut in range(4):
        found = waiting(lake, folded(lake, snapshot, cut), [early, late, named])
        assert {kind for kind, _ in found[early.batch_id]} == {"payment", "credit_note"}
        assert len(found[early.batch_id]) == 2  # R2 and N1 of bill B; R1's bill has come, R3 names its shop
        assert set(found) == {early.batch_id}
    lake.close()
