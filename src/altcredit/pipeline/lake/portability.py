"""A shop's ledger as its owner may have it: every version of every record, in plain values."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from altcredit.pipeline.lake.engine import Lake
from altcredit.pipeline.lake.reading import Part, read
from altcredit.pipeline.lake.tables import FOREVER, Snapshot

_COLUMNS = (
    "distributor_id", "kind", "document_id", "invoice_id", "document_date", "due_date", "amount_paise", "terms",
    "disputed", "status", "received_us", f"until_us >= {FOREVER} AS current",
)  # fmt: skip


def ledger_of(lake: Lake, snapshot: Snapshot, retailer_id: str) -> list[dict[str, Any]]:
    """
    Return all that the lake holds of a shop and of the ids that were merged into it, oldest first.

    Amounts are rupees with two decimals, as text. ``current``: false for what a later record corrected.
    """
    with lake.session() as session:
        read(session, lake, snapshot, Part(retailers=(retailer_id,)))
        order = "distributor_id, document_date, kind, document_id, received_us, until_us, invoice_id, amount_paise"
        rows = session.fetch(f"SELECT {', '.join(_COLUMNS)} FROM silver ORDER BY {order}").to_pylist()  # noqa: S608
    return [_plain(row) for row in rows]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    paise, received = int(row.pop("amount_paise")), row.pop("received_us")
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=received)
    return {**row, "amount_inr": f"{Decimal(paise) / 100:.2f}", "received_at": at}
