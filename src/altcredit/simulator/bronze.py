"""The ledger as bronze files of the lake: one row a record, one schema, as ingestion writes them."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from altcredit.simulator import feed
from altcredit.simulator.batches import windows
from altcredit.simulator.feed import CREDIT_NOTE, INVOICE, PAYMENT, Documents
from altcredit.simulator.identity import retailer_id
from altcredit.simulator.ledger import Flags, Ints, take
from altcredit.simulator.seasons import calendar_day
from altcredit.simulator.world import World

SCHEMA: Final = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("invoice_id", pa.string()),
        pa.field("retailer_id", pa.string()),
        pa.field("document_date", pa.date32(), nullable=False),
        pa.field("due_date", pa.date32()),
        pa.field("amount_paise", pa.int64(), nullable=False),
        pa.field("terms", pa.string()),
        pa.field("disputed", pa.bool_()),
        pa.field("status", pa.string()),
        pa.field("allocations", pa.list_(pa.struct([("invoice_id", pa.string()), ("amount_paise", pa.int64())]))),
        pa.field("row_number", pa.int32(), nullable=False),
        pa.field("distributor_id", pa.string(), nullable=False),
        pa.field("batch_id", pa.string(), nullable=False),
        pa.field("known_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)

REPEATING = ["kind", "retailer_id", "terms", "status", "distributor_id", "batch_id", "document_date", "due_date"]
"""Columns worth a dictionary; document numbers are all different."""

HOUR_US = 3_600_000_000
RECEIVED_US = 18 * HOUR_US
"""A running feed sends each day's postings the same night: 18:00 UTC, half an hour before midnight in India."""


class BronzeFile(msgspec.Struct, frozen=True, kw_only=True):
    """A written file, as the manifest lists it; ``path`` is relative to the lake."""

    path: str
    distributor_id: str
    batch_id: str
    rows: int
    bytes: int
    sha256: str
    received_at: datetime


def retailer_ids(world: World) -> pa.Array:
    """Return the opaque retailer id of every line of a world: one a shop, whatever its distributors call it."""
    ids = pa.array([retailer_id(shop.number, world.seed) for shop in world.shops])
    return pa.DictionaryArray.from_arrays(pa.array(world.population.shop.astype(np.int32)), ids)


def bronze_table(
    rows: Documents,
    *,
    retailers: pa.Array,
    distributor_id: str,
    batch_id: str,
    known_us: Ints | int,
    named: bool = True,
) -> pa.Table:
    """
    Return one row for each document, in the order given; words that repeat are dictionaries.

    ``retailers`` are ids by line; ``known_us`` is when the batch was received (µs since 1970), one or by document.
    Without ``named``, a payment for one bill names no shop, as in the published example of the batch.
    """
    begin = feed.starts(rows)
    first = take(rows, begin)
    n = len(begin)
    size = np.diff(np.append(begin, len(rows)))
    payment, single = first.kind == PAYMENT, size == 1
    invoice_of = np.where((first.kind == CREDIT_NOTE) | (payment & single), first.bill, -1)
    silent = np.zeros(n, np.bool_) if named else payment & single & (first.bill >= 0)
    shop = retailers.take(pa.array(first.line, mask=silent))
    invoice = first.kind == INVOICE
    columns = [
        _word(feed.KINDS, first.kind),
        _document_ids(first),
        _ids("INV", invoice_of, invoice_of >= 0),
        shop,
        pa.array(first.day.astype(np.int32)).cast(pa.date32()),
        pa.array(first.due.astype(np.int32), mask=first.due < 0).cast(pa.date32()),
        pa.array(np.add.reduceat(rows.amount, begin) if n else first.amount),
        _word(("cash", "credit"), np.where(first.cash, 0, np.where(first.due == first.day, 1, -1))),
        pa.array(np.ones(n, np.bool_), mask=~(first.disputed & invoice)),
        _word(("returned",), np.where(first.returned, 0, -1)),
        _allocations(rows, np.repeat(payment & ~single, size), size),
        pa.array(np.arange(n, dtype=np.int32)),
        _word((distributor_id,), np.zeros(n, np.int64)),
        _word((batch_id,), np.zeros(n, np.int64)),
        pa.array(np.broadcast_to(np.int64(known_us) if isinstance(known_us, int) else known_us, n)).cast(
            pa.timestamp("us", tz="UTC")
        ),
    ]
    return pa.table(columns, names=SCHEMA.names)


def _word(words: tuple[str, ...], index: Ints) -> pa.Array:
    """Return one of a few words for each row (null where the index is negative), as a dictionary."""
    return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int8), mask=index < 0), pa.array(words, pa.string()))


def _ids(prefix: str, number: Ints, present: Flags) -> pa.Array:
    """Return document ids as batches.document_id writes them: prefix, dash, six digits or more."""
    digits = pc.utf8_lpad(pa.array(number, mask=~present).cast(pa.string()), 6, "0")
    return pc.binary_join_element_wise(pa.scalar(prefix), digits, pa.scalar("-"))


def _document_ids(rows: Documents) -> pa.Array:
    digits = pc.utf8_lpad(pa.array(rows.number).cast(pa.string()), 6, "0")
    prefix = pa.array(["INV", "RCP", "CN"]).take(pa.array(rows.kind))
    return pc.binary_join_element_wise(prefix, digits, pa.scalar("-"))


def _allocations(rows: Documents, several: Flags, size: Ints) -> pa.Array:
    """Return what receipts state of several bills; null where a document states none or one."""
    stated = several & (rows.bill >= 0)
    document = np.repeat(np.arange(len(size)), size)
    count = np.bincount(document[stated], minlength=len(size))
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
    kind: Any = SCHEMA.field("allocations").type.value_type
    bills = _ids("INV", rows.bill[stated], np.ones(int(stated.sum()), np.bool_))
    values = pa.StructArray.from_arrays([bills, pa.array(rows.amount[stated])], fields=[kind.field(0), kind.field(1)])
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(count == 0))


def write_file(table: pa.Table, lake: Path, distributor_id: str, batch_id: str, received_at: datetime) -> BronzeFile:
    """Write one file under ``<lake>/bronze/<distributor_id>/<yyyy-mm>/`` and return its entry."""
    path = Path("bronze", distributor_id, f"{received_at:%Y-%m}", f"{batch_id}.parquet")
    target = lake / path
    target.parent.mkdir(parents=True, exist_ok=True)
    # Without the Arrow schema in the file, columns read back as plain strings, as ingestion writes them.
    pq.write_table(table, target, compression="zstd", use_dictionary=REPEATING, store_schema=False)
    with target.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    return BronzeFile(
        path=str(path),
        distributor_id=distributor_id,
        batch_id=batch_id,
        rows=table.num_rows,
        bytes=target.stat().st_size,
        sha256=digest,
        received_at=received_at,
    )


def batch_name(*parts: object) -> str:
    """Return the id of a simulated batch, ``bat_`` and 16 hex digits."""
    return f"bat_{hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()}"


def known_us(posted: Ints) -> Ints:
    """Return when a running feed delivers what was posted on these days."""
    return posted * 24 * HOUR_US + RECEIVED_US


def write_bronze(world: World, lake: Path, *, live: bool = True, named: bool = True) -> Iterator[BronzeFile]:
    """
    Write a world's documents as bronze files and yield their entries, oldest first within a distributor.

    ``live``: as if the feed had run all along (one file a distributor and month; each record known on the night of its
    posting). Otherwise a first load: batches of 1,000 records, all received this morning.
    """
    retailers = retailer_ids(world)
    this_morning = datetime.combine(world.today, time(6), UTC)
    for firm in world.distributors:
        parts = _months(world, firm.number) if live else (rows for _, rows, _ in windows(world, firm.number))
        for n, rows in enumerate(parts):
            batch_id = batch_name(world.seed, firm.distributor_id, n)
            last = calendar_day(int(rows.posted[-1]))
            received_at = datetime.combine(last, time(18), UTC) if live else this_morning
            table = bronze_table(
                rows,
                retailers=retailers,
                distributor_id=firm.distributor_id,
                batch_id=batch_id,
                known_us=known_us(rows.posted[feed.starts(rows)]) if live else int(this_morning.timestamp() * 1e6),
                named=named,
            )
            yield write_file(table, lake, firm.distributor_id, batch_id, received_at)


def _months(world: World, distributor: int) -> Iterator[Documents]:
    rows = world.documents_of(distributor)
    month = rows.posted.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    for value in np.unique(month):
        yield take(rows, month == value)


def truth_table(world: World) -> pa.Table:
    """
    Return the truth by retailer and as-of day: ``in_default``, ``eligible``, ``true_pd`` (null where not eligible) and
    ``defaulted`` (null where not eligible or not known yet), with the ids that ``write_bronze`` uses.
    """
    ids = pa.array([retailer_id(shop.number, world.seed) for shop in world.shops])
    tables = [
        pa.table(
            {
                "retailer_id": ids,
                "as_of": pa.repeat(calendar_day(t.as_of), len(ids)),
                "in_default": pa.array(t.in_default),
                "eligible": pa.array(t.eligible),
                "true_pd": pa.array(t.pd, mask=np.isnan(t.pd)),
                "defaulted": pa.array(t.defaulted == 1, mask=t.defaulted < 0),
            }
        )
        for t in world.truths
    ]
    return pa.concat_tables(tables)
