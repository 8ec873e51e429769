"""
A shop's rows leave the lake: every file that holds any is written anew without them, and takes the old one's place.

What is a shop's: the rows that name it, and the rows that name no shop but a bill of it. A receipt for bills of several
shops loses the parts that are this shop's. No delete predicate is kept anywhere: the manifest only says that a file
became another one.

A pass may be killed at any time and run again; one that finds nothing proves that nothing is left. Old files stay on
disk for the readers that hold them (``runs.GRACE``), then they are swept.
"""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from altcredit.pipeline.lake import compaction, files, store
from altcredit.pipeline.lake.engine import ROW_GROUP_ROWS, Lake
from altcredit.pipeline.lake.tables import BRONZE, LakeFile
from altcredit.runtime.db import Database

_REWRITTEN: Final = re.compile(r"-e\d+$")
_SEPARATOR: Final = "\x1f"
_ORPHANED: Final = timedelta(days=1)


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass did. ``files`` were rewritten; 0 means that the manifest's files hold nothing of the shop."""

    bronze_rows: int = 0
    silver_rows: int = 0
    files: int = 0


class _Gone(msgspec.Struct, frozen=True):
    """A shop: its ids, and its bills as distributor, separator, number; the batches that hold rows of it."""

    ids: pa.Array
    bills: pa.Array
    batches: frozenset[str]


async def erase(
    database: Database, lake: Lake, *, retailer_ids: Sequence[str], distributor_ids: Sequence[str], now: datetime
) -> Dropped:
    """
    Take a shop's rows out of bronze and silver; run it again until it rewrites nothing.

    :param retailer_ids: all ids of the shop.
    :param distributor_ids: all distributors that ever named it.
    """
    orphans = await asyncio.to_thread(_orphans, lake, now - _ORPHANED)
    async with database.transaction() as db:
        known = await store.listed(db, paths=orphans)
        version = (await store.snapshot(db)).version
        held = await store.erasable(db, distributor_ids=distributor_ids)
    # A pass that was killed left files that no list names; they hold other shops' rows, which may be erased one day.
    await asyncio.to_thread(_tidy, lake, [path for path in orphans if path not in known])
    made = await asyncio.to_thread(partial(_rewrite_all, lake, held, list(retailer_ids), version))
    taken: list[LakeFile] = []
    if made:
        async with database.transaction() as db:
            taken = await store.replace(db, files=[(old, new) for old, new, _ in made], now=now)
    async with database.transaction() as db:
        current = await store.snapshot(db)
        listed = {file.path for file in (*current.base, *current.index)}
    paths = {file.path for file in taken}
    await asyncio.to_thread(_tidy, lake, [new.path for _, new, _ in made if new.path not in paths])
    # What an interrupted compaction left was made from files that hold the shop's rows.
    abandoned = compaction.Compacted(files=(), covers=0, seconds=0.0)
    await asyncio.to_thread(
        partial(compaction.finish, lake, abandoned, base_version=current.base_version - 1, listed=listed)
    )
    by_layer = {"bronze": 0, "silver": 0}
    for old, _, dropped in made:
        by_layer[old.layer] += dropped
    return Dropped(bronze_rows=by_layer["bronze"], silver_rows=by_layer["silver"], files=len(made))


async def swept(database: Database, *, removed_until: datetime) -> bool:
    """Tell whether every file that was off the list by a time has gone from disk."""
    async with database.transaction() as db:
        return not await store.removed_until(db, at=removed_until)


def _rewrite_all(
    lake: Lake, held: Sequence[LakeFile], retailer_ids: list[str], version: int
) -> list[tuple[LakeFile, LakeFile, int]]:
    """Write what must be written anew; return old file, new file and how many rows went."""
    with compaction.alone(lake):
        gone = _find(lake, [file for file in held if file.layer == "bronze"], retailer_ids)
        made = []
        for file in held:
            if file.layer == "bronze" and file.batch_id not in gone.batches:
                continue
            if file.layer == "silver" and not _holds_any(lake.path(file.path), gone):
                continue
            made.append(_rewrite(lake, file, gone, version))
        return made


def _find(lake: Lake, bronze: Sequence[LakeFile], retailer_ids: list[str]) -> _Gone:
    """Find the bills of a shop, and the batches with rows of it. A bill that moved to another shop is the other's."""
    with lake.session() as session:
        columns = [name for name in BRONZE if name != "received_us"]
        schema = BRONZE.to_pyarrow()
        empty = _Bare(pa.schema([schema.field(name) for name in columns]))
        session.scan("trade", [lake.path(file.path) for file in bronze], empty, columns=", ".join(columns))
        session.give("gone", pa.table({"retailer_id": pa.array(retailer_ids, pa.string())}))
        session.make(
            "bills",
            "WITH mine AS (SELECT DISTINCT distributor_id, document_id FROM trade "
            "WHERE kind = 'invoice' AND retailer_id IN (SELECT retailer_id FROM gone)) "
            "SELECT * FROM mine WHERE (distributor_id, document_id) NOT IN ("
            "SELECT (distributor_id, document_id) FROM trade WHERE kind = 'invoice' "
            "AND retailer_id NOT IN (SELECT retailer_id FROM gone))",
        )
        batches = session.fetch(
            "WITH unnamed AS (SELECT batch_id, distributor_id, invoice_id FROM trade WHERE retailer_id IS NULL "
            "UNION ALL SELECT batch_id, distributor_id, unnest(allocations).invoice_id FROM trade "
            "WHERE retailer_id IS NULL) "
            "SELECT batch_id FROM trade WHERE retailer_id IN (SELECT retailer_id FROM gone) UNION "
            "SELECT batch_id FROM unnamed WHERE (distributor_id, invoice_id) IN (SELECT * FROM bills)"
        )
        bills = session.fetch(f"SELECT distributor_id || '{_SEPARATOR}' || document_id AS bill FROM bills")  # noqa: S608
        session.drop("bills")
    return _Gone(
        ids=pa.array(retailer_ids, pa.string()),
        bills=pa.array(bills["bill"].to_pylist(), pa.string()),
        batches=frozenset(batches["batch_id"].to_pylist()),
    )


class _Bare(msgspec.Struct, frozen=True):
    """A schema as ``scan`` asks for it."""

    schema: pa.Schema

    def to_pyarrow(self) -> pa.Schema:
        return self.schema


def _holds_any(path: Path, gone: _Gone) -> bool:
    """Tell whether a file of silver has rows of the shop; row groups that cannot are skipped by their statistics."""
    names = [name for name in ("retailer_id", "distributor_id", "invoice_id") if name in pq.read_schema(path).names]
    either = pc.field("retailer_id").isin(gone.ids) | pc.field("retailer_id").is_null()
    return bool(pc.any(_lost(pq.read_table(path, columns=names, filters=either), gone)).as_py())


def _lost(table: pa.Table, gone: _Gone) -> Any:
    """Return which rows are the shop's."""
    named = pc.is_in(table["retailer_id"], value_set=gone.ids)
    if "invoice_id" not in table.column_names:
        return named
    bill = pc.binary_join_element_wise(table["distributor_id"], table["invoice_id"], _SEPARATOR)
    return pc.or_(named, pc.and_(pc.is_null(table["retailer_id"]), pc.is_in(bill, value_set=gone.bills)))


def _rewrite(lake: Lake, file: LakeFile, gone: _Gone, version: int) -> tuple[LakeFile, LakeFile, int]:
    """Write a file without the shop's rows beside the old one, a row group at a time."""
    source = lake.path(file.path)
    target = source.with_name(f"{_REWRITTEN.sub('', source.stem)}-e{version}.parquet")
    counted = {"read": 0, "kept": 0}

    def write(temporary: Path) -> None:
        parquet = pq.ParquetFile(source)
        options = {"compression": "zstd"} if file.layer == "bronze" else {"compression": "lz4"}
        with pq.ParquetWriter(temporary, parquet.schema_arrow, **options) as writer:
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group)
                kept = _parted(table.filter(pc.invert(_lost(table, gone))), gone)
                writer.write_table(kept, row_group_size=ROW_GROUP_ROWS)
                counted["read"] += table.num_rows
                counted["kept"] += kept.num_rows

    files.write_whole(target, write)
    made = files.described(lake.root, target, layer=file.layer, kind=file.kind, rows=counted["kept"])
    return file, made, counted["read"] - counted["kept"]


def _parted(table: pa.Table, gone: _Gone) -> pa.Table:
    """Take the shop's parts out of receipts that name no shop and pay bills of several."""
    if "allocations" not in table.column_names:
        return table
    bills = set(gone.bills.to_pylist())
    rows = table.to_pylist() if table["allocations"].null_count < table.num_rows else []
    changed = [_without(row, bills) for row in rows]
    if changed == rows:
        return table
    return pa.Table.from_pylist([row for row in changed if row is not None], schema=table.schema)


def _without(row: dict[str, Any], bills: set[str]) -> dict[str, Any] | None:
    """Return a record without the parts that settle one of these bills; None where nothing is left of it."""
    parts = row["allocations"]
    if row["retailer_id"] is not None or not parts:
        return row
    left = [one for one in parts if f"{row['distributor_id']}{_SEPARATOR}{one['invoice_id']}" not in bills]
    if len(left) == len(parts):
        return row
    if not left:
        return None
    gone_paise = sum(one["amount_paise"] for one in parts) - sum(one["amount_paise"] for one in left)
    return {**row, "allocations": left, "amount_paise": row["amount_paise"] - gone_paise}


def _orphans(lake: Lake, older_than: datetime) -> list[str]:
    """Return rewritten files of silver last touched before a time; bronze has a sweep of its own."""
    before = older_than.timestamp()
    written = (lake.root / "silver").glob("*/*-e*.parquet*")
    return [str(path.relative_to(lake.root)) for path in written if path.stat().st_mtime < before]


def _tidy(lake: Lake, unlisted: Sequence[str]) -> None:
    for path in unlisted:
        files.delete(lake.root, path)
