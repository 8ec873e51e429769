"""
What a computation reads: silver of some retailers at one snapshot, as the table ``silver`` of a session.

Without batches newer than the base, that is the base's rows. With them, it is the silver expression over the base's
rows of those retailers, the lines that wait for their invoice, the newer batches, and, from the index, the invoices
that newer money refers to.
"""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pyarrow as pa

from altcredit.pipeline.lake import silver
from altcredit.pipeline.lake.engine import DuckSession, Lake, compiled
from altcredit.pipeline.lake.tables import (
    BATCHES,
    BRONZE,
    INDEX,
    LINES,
    SILVER,
    SLICES,
    LakeFile,
    Snapshot,
    slice_of,
    slice_range,
)

DEFAULT_LAG_DAYS = 3
"""Posting lag of a distributor that has not been watched for long enough to know it."""


class Part(msgspec.Struct, frozen=True):
    """Some retailers: all of the slices ``first`` to ``last`` (see slice_range), or those named."""

    first: int = 0
    last: int = SLICES - 1
    retailers: tuple[str, ...] | None = None


def parts(snapshot: Snapshot, *, rows: int) -> list[Part]:
    """Cut all retailers into equal ranges, each with about ``rows`` rows of the base at most."""
    number = min(max(-(-sum(file.rows for file in snapshot.base) // rows), 1), SLICES)
    edges = [SLICES * part // number for part in range(number + 1)]
    return [Part(first, end - 1) for first, end in pairwise(edges)]


def read(session: DuckSession, lake: Lake, snapshot: Snapshot, part: Part) -> None:
    """Make ``silver``, what the snapshot holds of a part's retailers and of all ids that were merged into them, and
    ``unresolved``, the lines of which no invoice has told the shop yet."""
    condition = _condition(session, snapshot, part)
    base = [lake.path(file.path) for file in snapshot.base]
    columns = ", ".join(SILVER)
    if not snapshot.deltas:
        session.scan("silver", base, SILVER, columns=columns, where=condition)
        session.scan("unresolved", base, SILVER, columns=columns, where="retailer_id IS NULL")
        return
    stage(session, lake, snapshot, snapshot.deltas)
    _make_moved(session)
    columns = ", ".join(LINES)
    # One scan for each condition: with OR between them, none would be pushed down into the files.
    moved = f"retailer_id IN (SELECT retailer_id FROM moved) AND NOT ({condition})"  # noqa: S608
    session.scan("held", base, SILVER, columns=columns, where=condition)
    session.scan("held_elsewhere", base, SILVER, columns=columns, where=moved)
    session.scan("waiting", base, SILVER, columns=columns, where="retailer_id IS NULL")
    index = compiled(session.dialect, silver.index_lines)
    known = f"({condition}) OR retailer_id IN (SELECT retailer_id FROM moved)"  # noqa: S608
    session.view("told", f"SELECT * FROM ({index}) WHERE NOT ({known})")  # noqa: S608
    together = " UNION ALL ".join(f"SELECT {columns} FROM {name}" for name in _SOURCES)  # noqa: S608
    session.make("together", together)
    session.view("lines", "SELECT * FROM together")
    silver.view_silver(session)
    session.make("around", f"SELECT * FROM silver WHERE {condition} OR retailer_id IS NULL")  # noqa: S608
    session.view("silver", "SELECT * FROM around WHERE retailer_id IS NOT NULL")
    session.view("unresolved", "SELECT * FROM around WHERE retailer_id IS NULL")


_SOURCES = ("held", "held_elsewhere", "waiting", "delta", "told")


def stage(session: DuckSession, lake: Lake, snapshot: Snapshot, files: Sequence[LakeFile]) -> None:
    """Make ``delta``, the lines of bronze files, and ``matches``, what the index knows of the invoices they name."""
    give_bronze(session, lake, snapshot, files)
    silver.view_lines(session)
    session.make("delta", "SELECT * FROM lines")
    session.scan("invoices", [lake.path(file.path) for file in snapshot.index], INDEX)
    named = (
        "SELECT distributor_id, CASE WHEN kind = 'invoice' THEN document_id ELSE invoice_id END AS document_id "
        "FROM delta WHERE kind = 'invoice' OR retailer_id IS NULL"
    )
    columns = ", ".join(INDEX)
    session.make(
        "matches",
        f"SELECT {columns} FROM invoices WHERE (distributor_id, document_id) IN ({named})",  # noqa: S608
    )


def give_bronze(session: DuckSession, lake: Lake, snapshot: Snapshot, files: Sequence[LakeFile]) -> None:
    """Name the rows of bronze files ``bronze`` and what is known of their batches ``batches``."""
    session.scan_bronze([lake.path(file.path) for file in files], BRONZE)
    lags = {distributor: feed.lag_p90_days for distributor, feed in snapshot.feeds.items()}
    rows = [
        {"batch_id": file.batch_id, "seq": file.added_version, "lag_days": _lag(lags.get(file.distributor_id or ""))}
        for file in files
    ]
    session.give("batches", pa.Table.from_pylist(rows, schema=BATCHES.to_pyarrow()))


def _lag(days: int | None) -> int:
    return DEFAULT_LAG_DAYS if days is None else max(days, 0)


def _make_moved(session: DuckSession) -> None:
    """Make ``moved``: the shops that lose an invoice to another shop by a newer version; their money moves along."""
    session.make(
        "moved",
        "SELECT DISTINCT m.retailer_id FROM matches m JOIN delta d ON d.kind = 'invoice' "
        "AND d.distributor_id = m.distributor_id AND d.document_id = m.document_id AND d.retailer_id <> m.retailer_id",
    )


def touched(lake: Lake, snapshot: Snapshot, files: Sequence[LakeFile]) -> set[str]:
    """Return the retailers that records of some bronze files concern, also through the invoices they name."""
    if not files:
        return set()
    with lake.session() as session:
        unread = {file.path for file in snapshot.deltas}
        stage(session, lake, snapshot, [*snapshot.deltas, *(file for file in files if file.path not in unread)])
        sequence = ", ".join(str(file.added_version) for file in files)
        rows = session.fetch(
            f"WITH fresh AS (SELECT *, CASE WHEN kind = 'invoice' THEN document_id ELSE invoice_id END AS bill "  # noqa: S608
            f"FROM delta WHERE seq IN ({sequence})), "
            "holders AS (SELECT distributor_id, document_id, retailer_id FROM delta WHERE kind = 'invoice' "
            "UNION ALL SELECT distributor_id, document_id, retailer_id FROM matches) "
            "SELECT retailer_id FROM fresh WHERE retailer_id IS NOT NULL UNION "
            "SELECT h.retailer_id FROM holders h JOIN fresh f ON h.distributor_id = f.distributor_id "
            "AND h.document_id = f.bill AND (f.kind = 'invoice' OR f.retailer_id IS NULL)"
        )
    found = (str(value) for value in rows["retailer_id"].to_pylist())
    return {snapshot.aliases.get(retailer, retailer) for retailer in found}


def waiting(lake: Lake, snapshot: Snapshot, files: Sequence[LakeFile]) -> dict[str, list[tuple[str, int]]]:
    """
    Return by batch the records (kind, row number) that name no shop but an invoice that is not known yet.

    They are kept, and join their shop's ledger when the invoice arrives.
    """
    batches = {file.added_version: file.batch_id for file in files if file.batch_id is not None}
    if not batches:
        return {}
    with lake.session() as session:
        unread = {file.path for file in snapshot.deltas}
        stage(session, lake, snapshot, [*snapshot.deltas, *(file for file in files if file.path not in unread)])
        sequence = ", ".join(str(version) for version in batches)
        rows = session.fetch(
            "WITH holders AS (SELECT distributor_id, document_id FROM delta WHERE kind = 'invoice' "  # noqa: S608 - numbers
            "UNION ALL SELECT distributor_id, document_id FROM matches) "
            "SELECT DISTINCT seq, kind, row_number FROM delta AS f "
            f"WHERE seq IN ({sequence}) AND kind <> 'invoice' AND retailer_id IS NULL AND NOT EXISTS ("
            "SELECT 1 FROM holders h WHERE h.distributor_id = f.distributor_id AND h.document_id = f.invoice_id) "
            "ORDER BY seq, kind, row_number"
        )
    found: dict[str, list[tuple[str, int]]] = {}
    for row in rows.to_pylist():
        found.setdefault(batches[row["seq"]], []).append((row["kind"], row["row_number"]))
    return found


def _merged(snapshot: Snapshot, part: Part) -> list[str]:
    """Return the ids that were merged into a retailer of the part."""
    if part.retailers is not None:
        wanted = set(part.retailers)
        return [alias for alias, survivor in snapshot.aliases.items() if survivor in wanted]
    return [alias for alias, survivor in snapshot.aliases.items() if part.first <= slice_of(survivor) <= part.last]


def _condition(session: DuckSession, snapshot: Snapshot, part: Part) -> str:
    """Return the SQL condition of the part's rows: merged ids come along, ids that were merged elsewhere do not."""
    merged = _merged(snapshot, part)
    if part.retailers is not None:
        session.give("named", pa.table({"retailer_id": pa.array([*part.retailers, *merged], pa.string())}))
        session.make("wanted", "SELECT * FROM named")
        return "retailer_id IN (SELECT retailer_id FROM wanted)"
    low, high = slice_range(part.first, part.last)
    condition = f"retailer_id >= '{low}' AND retailer_id < '{high}'"
    elsewhere = [alias for alias in snapshot.aliases if low <= alias < high and alias not in set(merged)]
    if elsewhere:
        condition = f"{condition} AND retailer_id NOT IN ({_strings(elsewhere)})"
    return f"(({condition}) OR retailer_id IN ({_strings(merged)}))" if merged else f"({condition})"


def _strings(values: Sequence[str]) -> str:
    """Return SQL strings; retailer ids are hexadecimal, but nothing here relies on it."""
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values) or "NULL"
