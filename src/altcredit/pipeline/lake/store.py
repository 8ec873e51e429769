"""The manifest in PostgreSQL: which files make up the lake. Every change is a new version, made in one transaction."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from altcredit.pipeline.lake.tables import Feed, LakeFile, Snapshot
from altcredit.runtime.db import Connection

VERSION = "SELECT version FROM lake_version"
BUMP = "UPDATE lake_version SET version = version + 1 RETURNING version"
BASE = "SELECT version, covers FROM lake_base WHERE version <= $1 ORDER BY version DESC LIMIT 1"
COLUMNS = "file_id, layer, kind, path, rows, bytes, sha256, distributor_id, batch_id, added_version"
FILES = f"""
SELECT {COLUMNS} FROM lake_file
WHERE added_version <= $1 AND (removed_version IS NULL OR removed_version > $1)
  AND (layer <> 'bronze' OR added_version > $2)
ORDER BY added_version, file_id
"""
BRONZE = f"""
SELECT {COLUMNS} FROM lake_file
WHERE layer = 'bronze' AND added_version <= $1 AND (removed_version IS NULL OR removed_version > $1)
ORDER BY added_version, file_id
"""
BATCHES = f"SELECT {COLUMNS} FROM lake_file WHERE batch_id = ANY($1::text[]) AND layer = 'bronze' ORDER BY file_id"
ALIASES = "SELECT alias_id, retailer_id FROM retailer_alias"
FEEDS = "SELECT distributor_id, coverage, watermark, lag_p90_days FROM distributor_feed"
ADD = """
INSERT INTO lake_file
    (layer, kind, path, rows, bytes, sha256, distributor_id, batch_id, created_at, added_version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
REMOVE = "UPDATE lake_file SET removed_version = $2 WHERE file_id = ANY($1::bigint[]) AND removed_version IS NULL"
MARK_REMOVED = "INSERT INTO lake_removed (file_id, removed_at) SELECT unnest($1::bigint[]), $2 ON CONFLICT DO NOTHING"
ADD_BASE = "INSERT INTO lake_base (version, covers, made_at) VALUES ($1, $2, $3)"
LISTED = "SELECT path FROM lake_file WHERE path = ANY($1::text[])"
GARBAGE = """
SELECT f.file_id, f.path FROM lake_removed r JOIN lake_file f USING (file_id) WHERE r.removed_at < $1 ORDER BY f.file_id
"""
REMOVED_UNTIL = "SELECT count(*) FROM lake_removed WHERE removed_at <= $1"
FORGET = """
WITH gone AS (DELETE FROM lake_removed WHERE file_id = ANY($1::bigint[]) RETURNING file_id)
DELETE FROM lake_file USING gone WHERE lake_file.file_id = gone.file_id
"""
ERASABLE = f"""
SELECT {COLUMNS} FROM lake_file WHERE removed_version IS NULL
  AND (kind IN ('base', 'index') OR (layer = 'bronze' AND distributor_id = ANY($1::text[])))
ORDER BY added_version, file_id
"""
REPLACE = """
UPDATE lake_file SET path = $3, rows = $4, bytes = $5, sha256 = $6
WHERE file_id = $1 AND path = $2 AND removed_version IS NULL RETURNING file_id
"""
TOMBSTONE = """
INSERT INTO lake_file
    (layer, kind, path, rows, bytes, sha256, distributor_id, batch_id, created_at, added_version, removed_version)
SELECT layer, kind, $2, $3, $4, $5, distributor_id, batch_id, $7, $6, $6 FROM lake_file WHERE file_id = $1
RETURNING file_id
"""
OLD_NORMS = "SELECT file_id FROM lake_file WHERE kind = 'norms' AND removed_version IS NULL"


class BaseMoved(Exception):
    """Another compaction has replaced the base that this one started from; its files are not listed."""


async def snapshot(db: Connection, *, version: int | None = None, rebuild: bool = False) -> Snapshot:
    """
    Return the lake as of a version of the manifest, None: the newest.

    With ``rebuild`` the base is left out and every bronze file is a delta, which is what a full rebuild reads.
    Call it inside a transaction or not: the version is read first and everything else is of that version.
    """
    if version is None:
        version = await db.fetchval(VERSION)
    assert version is not None
    base = await db.fetchrow(BASE, version)
    covers = base["covers"] if base else 0
    rows = await (db.fetch(BRONZE, version) if rebuild else db.fetch(FILES, version, covers))
    files = [LakeFile(**dict(row)) for row in rows]
    norms = [(_as_of(file), file.path) for file in files if file.kind == "norms"]
    return Snapshot(
        version=version,
        deltas=tuple(file for file in files if file.layer == "bronze"),
        base=tuple(file for file in files if file.kind == "base"),
        index=tuple(file for file in files if file.kind == "index"),
        norms=tuple(sorted(norms, reverse=True)),
        base_version=base["version"] if base else 0,
        covers=covers,
        aliases={row["alias_id"]: row["retailer_id"] for row in await db.fetch(ALIASES)},
        feeds={row["distributor_id"]: _feed(row) for row in await db.fetch(FEEDS)},
    )


def norms_path(as_of: date, version: int) -> str:
    """Return the path, relative to the lake, of norms of distributors as of a day."""
    return f"gold/norms/{as_of.isoformat()}-{version}.parquet"


def _as_of(file: LakeFile) -> date:
    return date.fromisoformat(file.path.rsplit("/", 1)[1][:10])


def _feed(row: Any) -> Feed:
    day = timedelta(days=1)
    return Feed(
        coverage=tuple((span.lower, span.upper - day) for span in row["coverage"]),
        watermark=row["watermark"],
        lag_p90_days=row["lag_p90_days"],
    )


async def batch_files(db: Connection, *, batch_ids: Iterable[str]) -> tuple[LakeFile, ...]:
    """Return the bronze files of some batches; unknown batches have none."""
    return tuple(LakeFile(**dict(row)) for row in await db.fetch(BATCHES, list(batch_ids)))


async def publish(db: Connection, *, added: Sequence[LakeFile], removed: Sequence[int] = (), now: datetime) -> int:
    """List new files and take others (by id) off the list, as one new version, which is returned."""
    version: int = await db.fetchval(BUMP)
    rows = [
        (f.layer, f.kind, f.path, f.rows, f.bytes, f.sha256, f.distributor_id, f.batch_id, now, version) for f in added
    ]
    await db.executemany(ADD, rows)
    await db.execute(REMOVE, list(removed), version)
    await db.execute(MARK_REMOVED, list(removed), now)
    return version


async def publish_base(
    db: Connection, *, added: Sequence[LakeFile], replaces: Snapshot, covers: int, now: datetime
) -> int:
    """
    Put a new base of silver in the place of the one in ``replaces``; return the new version.

    :raises BaseMoved: the base is no longer that one.
    """
    await db.fetchval(f"{VERSION} FOR UPDATE")
    current = await db.fetchrow(BASE, await db.fetchval(VERSION))
    if (current["version"] if current else 0) != replaces.base_version:
        raise BaseMoved
    old = await snapshot(db)
    removed = [file.file_id for file in (*old.base, *old.index)]
    version = await publish(db, added=added, removed=removed, now=now)
    await db.execute(ADD_BASE, version, covers, now)
    return version


async def publish_norms(db: Connection, *, files: Sequence[LakeFile], now: datetime) -> int:
    """List norms of distributors in the place of those listed before; return the new version."""
    old = [row["file_id"] for row in await db.fetch(OLD_NORMS)]
    return await publish(db, added=files, removed=old, now=now)


async def listed(db: Connection, *, paths: Sequence[str]) -> set[str]:
    """Return which of some paths the manifest knows, files that are off the list but still on disk included."""
    return {row["path"] for row in await db.fetch(LISTED, list(paths))}


async def garbage(db: Connection, *, removed_before: datetime) -> list[tuple[int, str]]:
    """Return the files (id, path) that were taken off the list before a time and are still on disk."""
    return [(row["file_id"], row["path"]) for row in await db.fetch(GARBAGE, removed_before)]


async def forget(db: Connection, *, file_ids: Sequence[int]) -> None:
    """Drop files from the manifest for good, after they have gone from disk."""
    await db.execute(FORGET, list(file_ids))


async def erasable(db: Connection, *, distributor_ids: Sequence[str]) -> tuple[LakeFile, ...]:
    """Return the files that may hold rows of a shop: bronze of the distributors that name it, and all of silver."""
    return tuple(LakeFile(**dict(row)) for row in await db.fetch(ERASABLE, list(distributor_ids)))


async def replace(db: Connection, *, files: Sequence[tuple[LakeFile, LakeFile]], now: datetime) -> list[LakeFile]:
    """
    Put files (second of each pair) in the place of others, in every version of the manifest; return those that took it.

    A place is not another file: it keeps its version, so that the order of arrival, and what is newer than the base,
    stay what they were, and no earlier version leads back to what was rewritten. The old file is listed as removed, for
    the readers that hold it now. The base counts as moved: a compaction that began with the old files is given up.
    A file that has left the list meanwhile takes nothing.
    """
    version: int = await db.fetchval(BUMP)
    taken = []
    for old, new in files:
        if await db.fetchval(REPLACE, old.file_id, old.path, new.path, new.rows, new.bytes, new.sha256) is None:
            continue
        gone = await db.fetchval(TOMBSTONE, old.file_id, old.path, old.rows, old.bytes, old.sha256, version, now)
        await db.execute(MARK_REMOVED, [gone], now)
        taken.append(new)
    base = await db.fetchrow(BASE, version)
    await db.execute(ADD_BASE, version, base["covers"] if base else 0, now)
    return taken


async def removed_until(db: Connection, *, at: datetime) -> int:
    """Return how many files that were off the list by a time are still on disk."""
    count: int = await db.fetchval(REMOVED_UNTIL, at)
    return count
