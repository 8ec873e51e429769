"""
The tables of the lake, as Ibis sees them, and what a snapshot of it is.

Knowledge time is kept as whole microseconds since 1970 (UTC) in plain integers: one arithmetic on every engine.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final

import ibis
import msgspec

BRONZE: Final = ibis.schema(
    {
        "kind": "string",
        "document_id": "string",
        "invoice_id": "string",
        "retailer_id": "string",
        "document_date": "date",
        "due_date": "date",
        "amount_paise": "int64",
        "terms": "string",
        "disputed": "boolean",
        "status": "string",
        "allocations": "array<struct<invoice_id: string, amount_paise: int64>>",
        "row_number": "int32",
        "distributor_id": "string",
        "batch_id": "string",
        "received_us": "int64",
    }
)
"""A batch as the door wrote it, its ``known_at`` (when it was received) as microseconds."""

BATCHES: Final = ibis.schema({"batch_id": "string", "seq": "int64", "lag_days": "int64"})
"""Of each batch: its place in the order of arrival, and its distributor's 90th percentile of posting lag."""

RECORDS: Final = ibis.schema(
    {**{name: kind for name, kind in BRONZE.items() if name != "batch_id"}, "seq": "int64", "backfill_us": "int64"}
)
"""Bronze with the order of arrival, and when a record of a backfill would have been known (else null)."""

LINES: Final = ibis.schema(
    {
        "kind": "string",
        "distributor_id": "string",
        "document_id": "string",
        "line": "int32",  # 0, or 1..n for the allocations of a payment
        "retailer_id": "string",  # null while no invoice tells
        "named": "boolean",  # the record named its shop itself
        "invoice_id": "string",
        "on_account": "boolean",  # the money is not stated for that invoice, which only tells the shop
        "document_date": "date",
        "due_date": "date",
        "amount_paise": "int64",
        "terms": "string",
        "disputed": "boolean",
        "status": "string",
        "seq": "int64",
        "row_number": "int32",
        "received_us": "int64",
        "backfill_us": "int64",  # when a record of a backfill would have been known, had the feed been running
        "original": "boolean",  # false on the further pieces of a line whose invoice moved to another shop
    }
)
"""Documents, payments split by what they are stated for; every version that was sent."""

SILVER: Final = ibis.schema({**LINES, "own_us": "int64", "known_us": "int64", "until_us": "int64"})
"""
Lines, each with the time during which it was what the platform knew: ``known_us <= moment < until_us``. A line that
waited for its invoice was itself known from ``own_us``.
"""

KNOWN: Final = ibis.schema({**SILVER, "opens": "boolean"})
"""Silver before money has found its shop; ``opens``: the version with which the knowledge of a document begins."""

INDEX: Final = ibis.schema(
    {
        "distributor_id": "string",
        "document_id": "string",
        "retailer_id": "string",
        "seq": "int64",
        "row_number": "int32",
        "received_us": "int64",
        "backfill_us": "int64",
    }
)
"""Every version of every invoice, sorted by distributor and number: to whom it was made out."""

FOREVER: Final = 1 << 62
NOW: Final = FOREVER - 1
"""The moment by which everything in the lake is known."""
DAY_US: Final = 86_400_000_000
EPOCH: Final = date(1970, 1, 1)


def day_number(day: date) -> int:
    """Return the days from 1970-01-01 to ``day``."""
    return (day - EPOCH).days


def end_of_day(day: date) -> int:
    """Return the last microsecond of ``day`` in UTC: what is known by then is known on that day."""
    return (day_number(day) + 1) * DAY_US - 1


def moment(value: datetime) -> int:
    """Return an aware time as whole microseconds since 1970 in UTC."""
    return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


class LakeFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the manifest. ``path`` is relative to the lake's folder; ``file_id`` is 0 before it is listed."""

    layer: str
    kind: str
    path: str
    rows: int
    bytes: int
    sha256: str
    distributor_id: str | None = None
    batch_id: str | None = None
    file_id: int = 0
    added_version: int = 0


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a distributor's feed: days covered (inclusive), end of the contiguous cover, posting lag."""

    coverage: tuple[tuple[date, date], ...] = ()
    watermark: date | None = None
    lag_p90_days: int | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which files make up the lake at one version of the manifest; nothing else is read.

    ``base`` holds all bronze files up to version ``covers``, each file some distributors' lines sorted by retailer;
    ``deltas`` are the bronze files after it. ``norms`` are the stored norms of distributors, newest first, as
    (as_of, path).
    """

    version: int
    deltas: tuple[LakeFile, ...] = ()
    base: tuple[LakeFile, ...] = ()
    index: tuple[LakeFile, ...] = ()
    norms: tuple[tuple[date, str], ...] = ()
    base_version: int = 0
    covers: int = 0
    aliases: dict[str, str] = {}
    feeds: dict[str, Feed] = {}


SLICES: Final = 256


def slice_of(retailer_id: str) -> int:
    """Return in which 256th of all retailers an id lies: ids are keyed hashes, so equal ranges of them are equally
    full."""
    return int(retailer_id[4:6], 16)


def slice_range(first: int, last: int) -> tuple[str, str]:
    """Return the half-open range of retailer ids ``[low, high)`` of the slices ``first`` to ``last``."""
    return f"ret_{first:02x}", "ret_g" if last == SLICES - 1 else f"ret_{last + 1:02x}"
