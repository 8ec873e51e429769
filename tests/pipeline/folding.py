"""A base of silver without a database: the snapshot that a manifest would give after a compaction."""

from typing import Any

import msgspec

from altcredit.pipeline.lake import Compacted, Lake, Snapshot, compact
from altcredit.pipeline.lake.reading import Part, read


def folded(lake: Lake, snapshot: Snapshot, cut: int, *, made: Compacted | None = None) -> Snapshot:
    """Return the snapshot with the batches up to version ``cut`` in its base, the rest as deltas."""
    older = tuple(file for file in snapshot.deltas if file.added_version <= cut)
    newer = tuple(file for file in snapshot.deltas if file.added_version > cut)
    if not older:
        return snapshot
    if made is None:
        made = compact(lake, msgspec.structs.replace(snapshot, deltas=older, version=cut))
    return msgspec.structs.replace(
        snapshot,
        deltas=newer,
        base=tuple(file for file in made.files if file.kind != "index"),
        index=tuple(file for file in made.files if file.kind == "index"),
        base_version=snapshot.base_version + 1,
        covers=cut,
    )


def rows_of(lake: Lake, snapshot: Snapshot, retailers: tuple[str, ...] | None = None) -> list[dict[str, Any]]:
    """Return silver of all or some retailers, only what held for any time, in a fixed order."""
    with lake.session() as session:
        read(session, lake, snapshot, Part(retailers=retailers))
        table = session.fetch(
            "SELECT kind, distributor_id, document_id, line, retailer_id, invoice_id, on_account, amount_paise, status, "
            "own_us, known_us, until_us FROM silver WHERE known_us < until_us ORDER BY ALL"
        )
    return list(table.to_pylist())
