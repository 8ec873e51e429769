"""Small hand-made ledgers: records as the door would write them to bronze, and the snapshot that lists them."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from altcredit.pipeline.lake.tables import Feed, LakeFile, Snapshot

SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("document_id", pa.string()),
        ("invoice_id", pa.string()),
        ("retailer_id", pa.string()),
        ("document_date", pa.date32()),
        ("due_date", pa.date32()),
        ("amount_paise", pa.int64()),
        ("terms", pa.string()),
        ("disputed", pa.bool_()),
        ("status", pa.string()),
        ("allocations", pa.list_(pa.struct([("invoice_id", pa.string()), ("amount_paise", pa.int64())]))),
        ("row_number", pa.int32()),
        ("distributor_id", pa.string()),
        ("batch_id", pa.string()),
        ("known_at", pa.timestamp("us", tz="UTC")),
    ]
)

Record = dict[str, Any]
START = date(2025, 1, 1)


def shop(number: int) -> str:
    """Return a retailer id; consecutive numbers lie far apart, as keyed hashes do."""
    return f"ret_{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


def day(number: int) -> date:
    """Return the day ``number`` days after the start of the small ledgers."""
    return START + timedelta(days=number)


def invoice(
    document_id: str, on: int, rupees: float, *, due: int | None = None, to: str | None = None, **more: Any
) -> Record:
    return {
        "kind": "invoice",
        "document_id": document_id,
        "retailer_id": to or shop(1),
        "document_date": day(on),
        "due_date": None if due is None else day(due),
        "amount_paise": round(rupees * 100),
        **more,
    }


def payment(
    document_id: str, on: int, rupees: float, *, of: str | None = None, by: str | None = None, **more: Any
) -> Record:
    """A receipt: stated for one bill (``of``), for several (``allocations=``), or on account of a shop (``by``)."""
    if "allocations" in more:
        parts = more.pop("allocations").items()
        more["allocations"] = [{"invoice_id": bill, "amount_paise": round(part * 100)} for bill, part in parts]
    return {
        "kind": "payment",
        "document_id": document_id,
        "invoice_id": of,
        "retailer_id": by,
        "document_date": day(on),
        "amount_paise": round(rupees * 100),
        **more,
    }


def credit_note(document_id: str, on: int, rupees: float, *, of: str | None = None, by: str | None = None) -> Record:
    return payment(document_id, on, rupees, of=of, by=by) | {"kind": "credit_note"}


class Books:
    """A lake in a folder, to which batches are added; each batch is one file and one version of the manifest."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[LakeFile] = []

    def batch(
        self, records: Iterable[Record], *, distributor: str = "dist_a", received: datetime | date | int
    ) -> LakeFile:
        """Write a batch, received at that time (of a day: at noon UTC)."""
        if isinstance(received, int):
            received = day(received)
        if not isinstance(received, datetime):
            received = datetime.combine(received, time(12), tzinfo=UTC)
        version = len(self.files) + 1
        batch_id = f"bat_{version:016x}"
        rows = [
            dict.fromkeys(SCHEMA.names)
            | record
            | {"row_number": number, "distributor_id": distributor, "batch_id": batch_id, "known_at": received}
            for number, record in enumerate(records)
        ]
        relative = f"bronze/{distributor}/{received:%Y-%m}/{batch_id}.parquet"
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, compression="zstd")
        body = path.read_bytes()
        file = LakeFile(
            layer="bronze",
            kind="batch",
            path=relative,
            rows=len(rows),
            bytes=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            distributor_id=distributor,
            batch_id=batch_id,
            file_id=version,
            added_version=version,
        )
        self.files.append(file)
        return file

    def daily(self, records: Iterable[Record], *, distributor: str = "dist_a") -> None:
        """Write the records as a running feed would: each received on its own day."""
        by_day: dict[date, list[Record]] = {}
        for record in records:
            by_day.setdefault(record["document_date"], []).append(record)
        for on, of_day in sorted(by_day.items()):
            self.batch(of_day, distributor=distributor, received=on)

    def snapshot(self, *, feeds: dict[str, Feed] | None = None, aliases: dict[str, str] | None = None) -> Snapshot:
        """Return the manifest now: every batch is newer than the (empty) base."""
        return Snapshot(version=len(self.files), deltas=tuple(self.files), feeds=feeds or {}, aliases=aliases or {})
