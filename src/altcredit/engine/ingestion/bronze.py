"""What a bronze file of a batch says: its accepted documents, lined up in columns. Pure."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

from altcredit.engine.ingestion.records import Allocation
from altcredit.engine.ingestion.validation import Checked, Sheet, ShopName, paise
from altcredit.engine.retailers import ShopKey

# Places of columns in the file's schema (parquet.py).
RETAILER: Final = 3
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
    Line up the accepted documents as bronze has them, the columns of parquet.SCHEMA up to `row_number`.

    Instead of retailer ids the fourth column has places in ``shops``, where the shops that are named are noted.
    """
    parts = [
        _part(batch.invoices, shops, "invoice", "invoice_id", "invoice_date"),
        _part(batch.payments, shops, "payment", "payment_id", "paid_date"),
        _part(batch.credit_notes, shops, "credit_note", "credit_note_id", "credit_note_date"),
    ]
    return [list(chain.from_iterable(column)) for column in zip(*parts, strict=True)]


def _part(sheet: Sheet[Any], shops: Shops, kind: str, id_: str, date: str) -> list[Sequence[Any]]:
    """Return the documents of one kind, columns as parquet.SCHEMA has them."""
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
