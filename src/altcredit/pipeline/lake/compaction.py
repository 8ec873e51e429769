"""
Fold the batches since the base into a new base of silver.

The base is cut by distributor, into groups of a bounded number of rows, because everything that must meet is of one
distributor: versions of a document, a receipt and its invoice. Each group is one file, sorted by retailer: a retailer
id is a keyed hash, so the file's row groups are equal ranges of hashes, and a reader of some retailers skips the rest
by their statistics. Beside it lies the group's part of the index of invoices.

A kill can come at any time. All files are made in one folder, named by the base it starts from and the version it
covers; a file that has its name is whole (files.py), so a run that finds such a folder goes on where the last one
stopped. Readers see nothing of it until the manifest names the new files (store.publish_base).
"""

import fcntl
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from altcredit.pipeline.lake import files
from altcredit.pipeline.lake.engine import DuckSession, Lake
from altcredit.pipeline.lake.progress import Progress, Report, silent
from altcredit.pipeline.lake.reading import give_bronze
from altcredit.pipeline.lake.silver import view_lines, view_silver
from altcredit.pipeline.lake.tables import INDEX, LINES, SILVER, LakeFile, Snapshot

ROWS_PER_GROUP: Final = 1_250_000


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a compaction cuts its work; written first, so that a resumed run cuts it the same way."""

    base_version: int
    covers: int
    rebuild: bool
    groups: tuple[tuple[str, ...], ...]
    """Distributors of each group."""
    rows: tuple[int, ...]
    """Rows to read of each group."""


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """A finished base that is not listed yet."""

    files: tuple[LakeFile, ...]
    covers: int
    seconds: float


def pending(lake: Lake, *, base_version: int) -> Plan | None:
    """Return the plan of an interrupted compaction of this base, the one that covers most; None if there is none."""
    plans = (_load(path) for path in (lake.root / "silver").glob("*/plan.json"))
    found = [plan for plan in plans if plan.base_version == base_version]
    return max(found, key=lambda plan: plan.covers, default=None)


def compact(lake: Lake, snapshot: Snapshot, *, rebuild: bool = False, report: Report = silent) -> Compacted:
    """
    Write a new base from the snapshot's base and deltas; nothing is listed.

    A run of the same base and version that was interrupted is resumed. ``rebuild``: the snapshot is one of bronze
    alone (``store.snapshot(rebuild=True)``).
    """
    started = time.perf_counter()
    folder = lake.root / "silver" / f"{snapshot.base_version}-{snapshot.version}{'-rebuild' if rebuild else ''}"
    made: list[LakeFile] = []
    with alone(lake), lake.session() as session:
        plan = _plan(session, lake, snapshot, folder, rebuild)
        done = 0
        for number, group in enumerate(plan.groups):
            made.extend(_group(session, lake, snapshot, folder, number, group))
            done += plan.rows[number]
            rate = done / (time.perf_counter() - started)
            report(Progress(stage="silver", rows=done, total=sum(plan.rows), rate=rate))
    return Compacted(files=tuple(made), covers=snapshot.version, seconds=time.perf_counter() - started)


def finish(lake: Lake, made: Compacted, *, base_version: int, listed: Collection[str]) -> None:
    """Tidy up after a compaction: files that did not get listed, plans, and what older bases left undone."""
    with alone(lake):
        for file in made.files:
            if file.path not in listed:
                lake.path(file.path).unlink(missing_ok=True)
        kept = {lake.path(path).parent for path in listed}
        for path in (lake.root / "silver").glob("*/plan.json"):
            if path.parent in kept:
                path.unlink()
            elif _load(path).base_version <= base_version:
                shutil.rmtree(path.parent)


@contextmanager
def alone(lake: Lake) -> Iterator[None]:
    """Let one compaction at a time work on a lake; the lock goes with the process that holds it."""
    path = lake.root / "silver" / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _load(path: Path) -> Plan:
    return msgspec.json.decode(path.read_bytes(), type=Plan)


def _plan(session: DuckSession, lake: Lake, snapshot: Snapshot, folder: Path, rebuild: bool) -> Plan:
    path = folder / "plan.json"
    if path.exists():
        return _load(path)
    rows: dict[str, int] = {}
    for file in snapshot.deltas:
        rows[file.distributor_id or ""] = rows.get(file.distributor_id or "", 0) + file.rows
    session.scan("base", [lake.path(file.path) for file in snapshot.base], SILVER)
    held = session.fetch("SELECT distributor_id, count(*) AS n FROM base GROUP BY distributor_id")
    for distributor, n in zip(*held.to_pydict().values(), strict=True):
        rows[distributor] = rows.get(distributor, 0) + n
    groups = _packed(rows)
    plan = Plan(
        base_version=snapshot.base_version,
        covers=snapshot.version,
        rebuild=rebuild,
        groups=groups,
        rows=tuple(sum(rows[distributor] for distributor in group) for group in groups),
    )
    files.write_whole(path, lambda temporary: _write_bytes(temporary, msgspec.json.encode(plan)))
    return plan


def _write_bytes(path: Path, body: bytes) -> None:
    path.write_bytes(body)


def _packed(rows: dict[str, int]) -> tuple[tuple[str, ...], ...]:
    """Put distributors together, in order, up to the rows of a group."""
    groups: list[list[str]] = [[]]
    filled = 0
    for distributor in sorted(rows):
        if groups[-1] and filled + rows[distributor] > ROWS_PER_GROUP:
            groups.append([])
            filled = 0
        groups[-1].append(distributor)
        filled += rows[distributor]
    return tuple(tuple(group) for group in groups if group)


def _group(
    session: DuckSession, lake: Lake, snapshot: Snapshot, folder: Path, number: int, group: tuple[str, ...]
) -> Iterator[LakeFile]:
    """Write the base and the index of one group, where they are missing, and yield what the manifest is to say."""
    base, index = folder / f"base-{number:03d}.parquet", folder / f"index-{number:03d}.parquet"
    if not base.exists():
        _silver(session, lake, snapshot, group)
        order = "retailer_id NULLS LAST, distributor_id, kind, document_date"
        _write(session, f"SELECT {', '.join(SILVER)} FROM silver ORDER BY {order}", base)  # noqa: S608
        session.drop("bronze")
    if not index.exists():
        session.scan("made", [base], SILVER)
        invoices = "kind = 'invoice' AND retailer_id IS NOT NULL"
        _write(
            session,
            f"SELECT {', '.join(INDEX)} FROM made WHERE {invoices} ORDER BY distributor_id, document_id",  # noqa: S608
            index,
        )
    for kind, path in (("base", base), ("index", index)):
        session.scan("counted", [path], SILVER)
        rows = int(session.fetch("SELECT count(*) AS n FROM counted")["n"][0].as_py())
        yield files.described(lake.root, path, layer="silver", kind=kind, rows=rows)


def _silver(session: DuckSession, lake: Lake, snapshot: Snapshot, group: tuple[str, ...]) -> None:
    """Name ``silver`` of a group of distributors."""
    give_bronze(session, lake, snapshot, [file for file in snapshot.deltas if (file.distributor_id or "") in group])
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in group)
    held = [lake.path(file.path) for file in snapshot.base]
    session.scan("base", held, SILVER, columns=", ".join(LINES), where=f"distributor_id IN ({names})")
    view_lines(session, "base")
    view_silver(session)


def _write(session: DuckSession, sql: str, path: Path) -> None:
    files.write_whole(path, lambda temporary: session.write(sql, temporary))
