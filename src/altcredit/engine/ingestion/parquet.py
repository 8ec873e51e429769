"""The bronze file of a batch, in memory. Loaded when the first is written: pyarrow is a fifth of the API's start."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from altcredit.engine.ingestion.bronze import RETAILER

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


def encode(
    columns: list[list[Any]], retailer_ids: Sequence[str], *, distributor_id: str, batch_id: str, known_at: datetime
) -> bytes:
    """
    Write documents as parquet (zstd), one row each, columns as ``SCHEMA``.

    ``retailer_ids`` stands beside the keys of :class:`bronze.Shops`; ``known_at`` is when the batch was received.
    """
    named = list(columns)
    named[RETAILER] = [None if place is None else retailer_ids[place] for place in columns[RETAILER]]
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
