"""Bronze for benchmarks: seeded ledgers of any size, written batch by batch without ever holding them in memory."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from altcredit.pipeline.lake.tables import EPOCH, Feed, LakeFile, Snapshot

DAYS = 540
FIRST = date(2025, 1, 1)
LAST = FIRST + timedelta(days=DAYS - 1)
TERM = 14


def shop(number: int) -> str:
    """Return an opaque retailer id."""
    return f"ret_{(number + 1) * 0x9E3779B97F4A7C15 % 2**64:016x}"


def write(root: Path, *, invoices: int, retailers: int, distributors: int, batch: int, seed: int = 7) -> Snapshot:
    """
    Write bronze of about ``invoices`` bills and as many receipts; return its snapshot (no base).

    Four in five receipts name their bill (half of them without naming the shop), one in five is on account; 2 % of the
    bills are sent twice with another amount, 1 % of the receipts come back, 3 % of the bills get a credit note, 2 % are
    cash, 1 % lack a due date.
    """
    files: list[LakeFile] = []
    for number in range(distributors):
        distributor = f"dist_{number:04x}"
        stream = _distributor(np.random.default_rng((seed, number)), distributor, invoices // distributors, retailers)
        for table, received in _batches(stream, batch):
            version = len(files) + 1
            files.append(_file(root, table, distributor=distributor, received=received, version=version))
    feed = Feed(coverage=((FIRST, LAST),), watermark=LAST, lag_p90_days=1)
    feeds = {f"dist_{number:04x}": feed for number in range(distributors)}
    return Snapshot(version=len(files), deltas=tuple(files), feeds=feeds)


def _distributor(rng: np.random.Generator, distributor: str, bills: int, retailers: int) -> Iterator[pa.Table]:
    """Yield the records of 30 days at a time, sorted by date; what falls later waits for its month."""
    customers = rng.choice(retailers, max(retailers // 3, 1), replace=False)
    names = pa.array([shop(int(number)) for number in customers])
    slowness = rng.gamma(1.5, 6.0, len(customers))
    months = DAYS // 30
    later: list[pa.Table] = []
    for month in range(months):
        size = bills // months
        table = _month(rng, distributor, month, size, names, slowness)
        later.append(table)
        whole = pa.concat_tables(later)
        day = np.asarray(whole["document_date"].cast(pa.int32()))
        edge = (FIRST - EPOCH).days + 30 * (month + 1)
        now = day < edge if month < months - 1 else day <= (LAST - EPOCH).days
        later = [whole.filter(pa.array(~now))]
        due = whole.filter(pa.array(now))
        yield due.take(pa.array(np.argsort(day[now], kind="stable")))


def _month(
    rng: np.random.Generator, distributor: str, month: int, size: int, names: pa.Array, slowness: np.ndarray
) -> pa.Table:
    who = rng.integers(0, len(names), size)
    day = (FIRST - EPOCH).days + month * 30 + np.sort(rng.integers(0, 30, size))
    amount = (rng.lognormal(9, 0.8, size) * 100).astype(np.int64) + 100
    number = np.arange(month * size, (month + 1) * size)
    bill = pa.array([f"INV-{distributor[-4:]}-{n:08d}" for n in number])
    cash = rng.random(size) < 0.02
    due = pa.array(day + TERM, mask=(rng.random(size) < 0.01) | cash)
    parts = [
        _records(
            kind="invoice", document=bill, invoice=None, retailer=names.take(pa.array(who)), day=day, due=due,
            amount=amount, cash=cash,
        )
    ]  # fmt: skip
    again = np.flatnonzero(rng.random(size) < 0.02)
    parts.append(_chosen(parts[0], again, (amount[again] * 1.1).astype(np.int64)))
    paid = day + np.maximum(TERM + np.round(rng.normal(0, 4, size) + slowness[who] - 8).astype(np.int64), 1)
    two = rng.random(size) < 0.1
    pieces = np.concatenate([np.arange(size)[rng.random(size) > 0.05], np.flatnonzero(two)])
    value = np.where(two, amount // 2, amount)[pieces]
    style = rng.random(len(pieces))
    receipt = pa.array([f"PAY-{distributor[-4:]}-{month:03d}-{n:08d}" for n in range(len(pieces))])
    parts.append(
        _records(
            kind="payment", document=receipt, invoice=_but(bill.take(pa.array(pieces)), style > 0.8),
            retailer=_but(names.take(pa.array(who[pieces])), style < 0.4),
            day=paid[pieces] + np.where(np.arange(len(pieces)) >= size, 7, 0), due=None, amount=value, cash=None,
            returned=rng.random(len(pieces)) < 0.01,
        )
    )  # fmt: skip
    back = np.flatnonzero(rng.random(size) < 0.03)
    parts.append(
        _records(
            kind="credit_note", document=pa.array([f"CN-{distributor[-4:]}-{n:08d}" for n in number[back]]),
            invoice=bill.take(pa.array(back)), retailer=None, day=day[back] + 5, due=None, amount=amount[back] // 5,
            cash=None,
        )
    )  # fmt: skip
    return pa.concat_tables(parts)


def _records(*, kind, document, invoice, retailer, day, due, amount, cash, returned=None) -> pa.Table:  # type: ignore[no-untyped-def]
    size = len(document)
    text = pa.nulls(size, pa.string())
    return pa.table(
        {
            "kind": pa.array([kind] * size),
            "document_id": document,
            "invoice_id": text if invoice is None else invoice,
            "retailer_id": text if retailer is None else retailer,
            "document_date": pa.array(day.astype(np.int32)).cast(pa.date32()),
            "due_date": pa.nulls(size, pa.date32()) if due is None else due.cast(pa.int32()).cast(pa.date32()),
            "amount_paise": pa.array(amount),
            "terms": text if cash is None else pa.array(np.where(cash, "cash", "credit")),
            "disputed": pa.nulls(size, pa.bool_()),
            "status": text if returned is None else pa.array(np.where(returned, "returned", "cleared")),
            "allocations": pa.nulls(
                size, pa.list_(pa.struct([("invoice_id", pa.string()), ("amount_paise", pa.int64())]))
            ),
        }
    )


def _but(values: pa.Array, where: np.ndarray) -> pa.Array:
    """Return the values with nulls at some places."""
    return pc.if_else(pa.array(where), pa.scalar(None, pa.string()), values)


def _chosen(table: pa.Table, rows: np.ndarray, amount: np.ndarray) -> pa.Table:
    """Return corrections of some bills: the same documents with other amounts."""
    chosen = table.take(pa.array(rows))
    return chosen.set_column(6, "amount_paise", pa.array(amount))


def _batches(stream: Iterator[pa.Table], size: int) -> Iterator[tuple[pa.Table, datetime]]:
    """Cut a stream into batches, each received on the evening of its last record's day."""
    for table in stream:
        for start in range(0, len(table), size):
            piece = table.slice(start, size)
            last = max(piece["document_date"][-1].as_py(), piece["document_date"][0].as_py())
            yield piece, datetime(last.year, last.month, last.day, 18, tzinfo=UTC)


def _file(root: Path, table: pa.Table, *, distributor: str, received: datetime, version: int) -> LakeFile:
    size = len(table)
    batch_id = f"bat_{version:016x}"
    table = table.append_column("row_number", pa.array(np.arange(size, dtype=np.int32)))
    table = table.append_column("distributor_id", pa.array([distributor] * size))
    table = table.append_column("batch_id", pa.array([batch_id] * size))
    table = table.append_column("known_at", pa.array([received] * size, pa.timestamp("us", tz="UTC")))
    relative = f"bronze/{distributor}/{received:%Y-%m}/{batch_id}.parquet"
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
    return LakeFile(
        layer="bronze", kind="batch", path=relative, rows=size, bytes=path.stat().st_size, sha256="",
        distributor_id=distributor, batch_id=batch_id, file_id=version, added_version=version,
    )  # fmt: skip
