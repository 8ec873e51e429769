"""The bronze file of a batch: its accepted records as one parquet file, in memory. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from altcredit.engine.ingestion.records import CreditNote, Invoice, Payment
from altcredit.engine.ingestion.validation import Checked, Sheet, ShopName
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
# Columns with few values. The ids are nearly unique, and a dictionary of them is work for nothing.
_DICTIONARY: Final = ["kind", "terms", "status", "distributor_id", "batch_id", "known_at"]

# Places in a document's tuple, which has SCHEMA's columns up to `row_number`.
_RETAILER: Final = 3
DATE: Final = 4


class Shops:
    """The distinct shops that documents name, to be resolved all at once."""

    def __init__(self) -> None:
        self._places: dict[ShopName, int] = {}

    def place(self, shop: ShopName) -> int | None:
        """Return where this shop will stand among ``keys``; None for a document that names none."""
        return None if shop == (None, None) else self._places.setdefault(shop, len(self._places))

    def keys(self) -> list[ShopKey]:
        return [ShopKey(gstin=gstin, ref=ref) for gstin, ref in self._places]


def columns(batch: Checked, shops: Shops) -> list[list[Any]]:
    """
    Line up the accepted documents as bronze has them, SCHEMA's columns up to `row_number`.

    Instead of retailer ids the fourth column has places in ``shops``, where the shops that are named are noted.
    """
    rows = [
        *_invoices(batch.invoices, shops),
        *_payments(batch.payments, shops),
        *_credit_notes(batch.credit_notes, shops),
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def _invoices(sheet: Sheet[Invoice], shops: Shops) -> Iterator[tuple[Any, ...]]:
    for row, shop, paise, number in sheet.accepted():
        yield (
            "invoice", row.invoice_id, None, shops.place(shop), row.invoice_date, row.due_date, paise,
            row.terms, row.disputed, None, None, number,
        )  # fmt: skip


def _payments(sheet: Sheet[Payment], shops: Shops) -> Iterator[tuple[Any, ...]]:
    for row, shop, paise, number in sheet.accepted():
        parts = [
            {"invoice_id": part.invoice_id, "amount_paise": round(part.amount_inr * 100)}
            for part in row.allocations or ()
        ]
        # Where there are allocations, they say it better than a single invoice does.
        invoice_id = None if parts else row.invoice_id or None
        yield (
            "payment", row.payment_id, invoice_id, shops.place(shop), row.paid_date, None, paise,
            None, None, row.status, parts or None, number,
        )  # fmt: skip


def _credit_notes(sheet: Sheet[CreditNote], shops: Shops) -> Iterator[tuple[Any, ...]]:
    for row, shop, paise, number in sheet.accepted():
        yield (
            "credit_note", row.credit_note_id, row.invoice_id or None, shops.place(shop), row.credit_note_date, None,
            paise, None, None, None, None, number,
        )  # fmt: skip


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
    pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), sink, compression="zstd", use_dictionary=_DICTIONARY)
    content: bytes = sink.getvalue().to_pybytes()
    return content
