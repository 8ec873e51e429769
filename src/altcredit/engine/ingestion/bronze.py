"""The bronze file of a batch: its accepted records as one parquet file, in memory. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from altcredit.engine.ingestion.records import Allocation
from altcredit.engine.ingestion.validation import Checked, Sheet, ShopName, paise
from altcredit.engine.retailers import ShopKey

SCHEMA: Final = pa.schema(
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
# Columns with few values, which a dictionary makes so small that compressing them (20 us each, for the context of the
# compressor) gains nothing. The ids are nearly unique, and a dictionary of them would be work for nothing.
_DICTIONARY: Final = ["kind", "terms", "status", "distributor_id", "batch_id", "known_at"]
_COMPRESSED: Final = [
    "document_id",
    "invoice_id",
    "retailer_id",
    "document_date",
    "due_date",
    "amount_paise",
    "row_number",
]
_COMPRESSION: Final = {name: "zstd" if name in _COMPRESSED else "none" for name in SCHEMA.names}

# Places of columns in SCHEMA.
_RETAILER: Final = 3
DATE: Final = 4


class Shops:
    """The distinct shops that documents name, to be resolved all at once."""

    def __init__(self) -> None:
        self._places: dict[ShopName, int] = {}

    def places(self, names: Iterable[ShopName]) -> list[int | None]:
        """Return where each of these will stand among ``keys``; None for a document that names no shop."""
        known = self._places
        return [None if name == (None, None) else known.setdefault(name, len(known)) for name in names]

    def keys(self) -> list[ShopKey]:
        return [ShopKey(gstin=gstin, ref=ref) for gstin, ref in self._places]


def columns(batch: Checked, shops: Shops) -> list[list[Any]]:
    """
    Line up the accepted documents as bronze has them, SCHEMA's columns up to `row_number`.

    Instead of retailer ids the fourth column has places in ``shops``, where the shops that are named are noted.
    """
    parts = [
        _part(batch.invoices, shops, "invoice", "invoice_id", "invoice_date"),
        _part(batch.payments, shops, "payment", "payment_id", "paid_date"),
        _part(batch.credit_notes, shops, "credit_note", "credit_note_id", "credit_note_date"),
    ]
    return [list(chain.from_iterable(column)) for column in zip(*parts, strict=True)]


def _part(sheet: Sheet[Any], shops: Shops, kind: str, id_: str, date: str) -> list[Sequence[Any]]:
    """Return the documents of one kind, columns as SCHEMA has them."""
    rows = len(sheet.good())
    none = [None] * rows

    def column(name: str) -> Sequence[Any]:
        return sheet.accepted(sheet.columns[name]) if name in sheet.columns else none

    allocations = column("allocations")
    return [
        [kind] * rows,
        column(id_),
        # Where there are allocations, they say it better than a single invoice does.
        none if kind == "invoice" else _paid(column("invoice_id"), allocations),
        shops.places(sheet.accepted(sheet.shops)),
        column(date),
        column("due_date"),
        sheet.accepted(sheet.paise),
        column("terms"),
        column("disputed"),
        column("status"),
        [parts and _allocations(parts) for parts in allocations] if any(allocations) else none,
        sheet.accepted(sheet.numbers),
    ]


def _paid(invoice_ids: Sequence[str | None], allocations: Sequence[Any]) -> list[str | None]:
    return [None if parts else name or None for name, parts in zip(invoice_ids, allocations, strict=True)]


def _allocations(parts: list[Allocation]) -> list[dict[str, Any]]:
    amounts = paise(part.amount_inr for part in parts)
    return [
        {"invoice_id": part.invoice_id, "amount_paise": amount} for part, amount in zip(parts, amounts, strict=True)
    ]


def parquet(
    columns: list[list[Any]], retailer_ids: Sequence[str], *, distributor_id: str, batch_id: str, known_at: datetime
) -> bytes:
    """
    Write documents as parquet (zstd), one row each, columns as ``SCHEMA``.

    ``retailer_ids`` stands beside the keys of :class:`Shops`; ``known_at`` is when the batch was received.
    """
    named = list(columns)
    named[_RETAILER] = [None if place is None else retailer_ids[place] for place in columns[_RETAILER]]
    fields = list(SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(named, fields, strict=False)]
    for value, field in zip((distributor_id, batch_id, known_at), fields[len(named) :], strict=True):
        arrays.append(pa.repeat(pa.scalar(value, field.type), len(named[0])))
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_arrays(arrays, schema=SCHEMA), sink, compression=_COMPRESSION, use_dictionary=_DICTIONARY
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content
