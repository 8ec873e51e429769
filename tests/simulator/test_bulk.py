"""Bulk files: as many as asked for, the same every time, in memory that does not grow."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from altcredit.simulator import bulk

TODAY = date(2026, 11, 22)


def written(folder: Path, **wanted) -> list:
    return list(bulk(seed=3, out=folder, today=TODAY, **wanted))


def read(folder: Path, files) -> pa.Table:
    return pa.concat_tables([pq.read_table(folder / f.path, partitioning=None) for f in files])


@pytest.mark.parametrize("retailers", [1_000, 20_000])
def test_bulk_writes_what_was_asked_for(tmp_path, retailers):
    files = written(tmp_path, retailers=retailers, invoices=200_000)
    table = read(tmp_path, files)
    invoices = table.filter(pc.equal(table["kind"], "invoice")).select(["distributor_id", "document_id"])
    count = invoices.group_by(["distributor_id", "document_id"]).aggregate([]).num_rows
    assert abs(count - 200_000) <= 10_000
    payments = pc.sum(pc.equal(table["kind"], "payment")).as_py()
    assert 0.9 <= payments / 200_000 <= 1.4
    seen = len(table["retailer_id"].unique())
    assert 0.9 * retailers <= seen <= retailers
    assert sum(f.rows for f in files) == table.num_rows
    assert len({f.batch_id for f in files}) == len(files)


def test_money_names_invoices_of_the_same_shop_and_distributor(tmp_path):
    table = read(tmp_path, written(tmp_path, retailers=900, invoices=200_000))
    keys = ["distributor_id", "document_id", "retailer_id"]
    bills = table.filter(pc.equal(table["kind"], "invoice")).select(keys).group_by(keys).aggregate([])
    paid = table.filter(pc.and_(pc.equal(table["kind"], "payment"), pc.is_valid(table["invoice_id"])))
    paid = paid.select(["distributor_id", "invoice_id", "retailer_id"])
    joined = paid.join(bills, keys=["distributor_id", "invoice_id"], right_keys=keys[:2], right_suffix="_bill")
    assert joined.num_rows == paid.num_rows > 100_000
    same = pc.equal(joined["retailer_id"], joined["retailer_id_bill"])
    assert same.null_count == 0
    assert pc.all(same).as_py()


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    first = written(tmp_path / "a", retailers=500, invoices=20_000)
    again = written(tmp_path / "b", retailers=500, invoices=20_000)
    assert [f.sha256 for f in first] == [f.sha256 for f in again]


PEAK = """
import sys
from datetime import date
from pathlib import Path
from altcredit.simulator import bulk
rows = sum(f.rows for f in bulk(retailers=int(sys.argv[1]), invoices=int(sys.argv[2]), seed=1, out=Path(sys.argv[3]),
                                today=date(2026, 11, 22)))
# Not getrusage: that peak is inherited from the process that started this one.
print(rows, next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024)
"""


def peak(folder: Path, retailers: int, invoices: int) -> tuple[int, int]:
    arguments = [sys.executable, "-c", PEAK, str(retailers), str(invoices), str(folder)]
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, env={"PYTHONPATH": source})
    rows, megabytes = done.stdout.split()
    return int(rows), int(megabytes)


def test_memory_does_not_grow_with_the_number_of_documents(tmp_path):
    small_rows, small = peak(tmp_path / "small", 2_000, 100_000)
    large_rows, large = peak(tmp_path / "large", 10_000, 500_000)
    assert large_rows > 3.5 * small_rows
    assert large < 350
    assert large < small + 50
