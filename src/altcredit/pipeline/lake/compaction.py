"""
Fold the batches since the base into a new base of silver, in two stages that a kill can interrupt anywhere.

1. Distributor by distributor (in groups of a bounded number of rows): silver of the group, cut by bucket, and its part
   of the index. Everything that must meet, versions of a document, a receipt and its invoice, is of one distributor.
2. Bucket by bucket: the groups' pieces of a bucket, sorted by retailer, are a file of the base.

All of it happens in one folder, named by the base it starts from and the version it covers. A file that has its name is
whole (files.py), so a run that finds such a folder goes on where the last one stopped. Readers see nothing of it until
the manifest names the new files (store.publish_base).
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
from altcredit.pipeline.lake.tables import INDEX, LINES, SILVER, LakeFile, Snapshot, bucket_range

ROWS_PER_GROUP: Final = 1_250_000
ROWS_PER_BUCKET: Final = 250_000
MAX_BUCKETS: Final = 256


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a compaction cuts its work; written first, so that a resumed run cuts it the same way."""

    base_version: int
    covers: int
    rebuild: bool
    buckets: int
    groups: tuple[tuple[str, ...], ...]
    rows: tuple[int, ...]
    """Rows to read of each group."""


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """A finished base that is not listed yet."""

    files: tuple[LakeFile, ...]
    covers: int
    buckets: int
    seconds: float


def pending(lake: Lake, *, base_version: int) -> Plan | None:
    """Return the plan of a compaction of this base that was interrupted; the one that covers most, None if there is
    none."""
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
    with _alone(lake), lake.session() as session:
        plan = _plan(session, lake, snapshot, folder, rebuild)
        done = 0
        clock = _Clock(report, "silver", sum(plan.rows))
        for number in range(len(plan.groups)):
            _group(session, lake, snapshot, folder, plan, number)
            done += plan.rows[number]
            clock.at(done)
        listed = list(_buckets(session, lake, folder, plan, report))
        listed.extend(_described_index(session, lake, folder, plan))
    return Compacted(
        files=tuple(listed),
        covers=snapshot.version,
        buckets=plan.buckets,
        seconds=time.perf_counter() - started,
    )


def finish(lake: Lake, made: Compacted, *, base_version: int, listed: Collection[str]) -> None:
    """Tidy up after a compaction: files that did not get listed, pieces, plans, and what older bases left undone."""
    with _alone(lake):
        for file in made.files:
            if file.path not in listed:
                lake.path(file.path).unlink(missing_ok=True)
        kept = {lake.path(path).parent for path in listed}
        for path in (lake.root / "silver").glob("*/plan.json"):
            if path.parent in kept:
                shutil.rmtree(path.parent / "pieces", ignore_errors=True)
                path.unlink()
            elif _load(path).base_version <= base_version:
                shutil.rmtree(path.parent)


@contextmanager
def _alone(lake: Lake) -> Iterator[None]:
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
    buckets = 1
    while buckets < MAX_BUCKETS and buckets * ROWS_PER_BUCKET < sum(rows.values()):
        buckets *= 2
    groups = _packed(rows)
    plan = Plan(
        base_version=snapshot.base_version,
        covers=snapshot.version,
        rebuild=rebuild,
        buckets=buckets,
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


def _group(session: DuckSession, lake: Lake, snapshot: Snapshot, folder: Path, plan: Plan, number: int) -> None:
    """Write the pieces and the index of one group, unless the last of them is there."""
    index = _index(folder, number)
    if index.exists():
        return
    _silver(session, lake, snapshot, plan.groups[number])
    ranges = [(bucket, *bucket_range(bucket, bucket, plan.buckets)) for bucket in range(plan.buckets)]
    whens = " ".join(f"WHEN retailer_id < '{high}' THEN {bucket}" for bucket, _, high in ranges)
    bucket = f"CASE WHEN retailer_id IS NULL THEN -1 {whens} END"
    rows = f"SELECT {', '.join(SILVER)}, {bucket} AS bucket FROM silver"  # noqa: S608
    pieces = _pieces(folder, number)
    files.write_folder(pieces, lambda temporary: session.write_parts(rows, temporary, by="bucket"))
    session.drop("bronze")
    session.scan("pieces", sorted(pieces.glob("*/*.parquet")), SILVER)
    invoices = (
        f"SELECT {', '.join(INDEX)} FROM pieces WHERE kind = 'invoice' AND retailer_id IS NOT NULL "  # noqa: S608
        "ORDER BY distributor_id, document_id"
    )
    _write(session, invoices, index)


def _silver(session: DuckSession, lake: Lake, snapshot: Snapshot, group: tuple[str, ...]) -> None:
    """Name ``silver`` of a group of distributors."""
    deltas = [file for file in snapshot.deltas if (file.distributor_id or "") in group]
    give_bronze(session, lake, snapshot, deltas)
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in group)
    columns = ", ".join(LINES)
    session.scan(
        "base",
        [lake.path(file.path) for file in snapshot.base],
        SILVER,
        columns=columns,
        where=f"distributor_id IN ({names})",
    )
    view_lines(session, "base")
    view_silver(session)


def _buckets(session: DuckSession, lake: Lake, folder: Path, plan: Plan, report: Report) -> Iterator[LakeFile]:
    """Write the files of the base that are missing, and yield what the manifest is to say of all."""
    clock = _Clock(report, "base", sum(plan.rows))
    done = 0
    for bucket in (-1, *range(plan.buckets)):
        path = folder / ("waiting.parquet" if bucket < 0 else f"base-{bucket:03d}.parquet")
        if not path.exists():
            pieces = sorted(folder.glob(f"pieces/*/bucket={bucket}/*.parquet"))
            session.scan("pieces", pieces, SILVER)
            order = "retailer_id, distributor_id, kind, document_date"
            _write(session, f"SELECT {', '.join(SILVER)} FROM pieces ORDER BY {order}", path)  # noqa: S608
        rows = _count(session, path)
        done += rows
        clock.at(done)
        kind, number = ("waiting", None) if bucket < 0 else ("base", bucket)
        yield files.described(lake.root, path, layer="silver", kind=kind, rows=rows, bucket=number)


def _described_index(session: DuckSession, lake: Lake, folder: Path, plan: Plan) -> Iterator[LakeFile]:
    for number in range(len(plan.groups)):
        path = _index(folder, number)
        rows = _count(session, path)
        yield files.described(lake.root, path, layer="silver", kind="index", rows=rows)


def _count(session: DuckSession, path: Path) -> int:
    session.scan("counted", [path], SILVER)
    return int(session.fetch("SELECT count(*) AS n FROM counted")["n"][0].as_py())


def _write(session: DuckSession, sql: str, path: Path) -> None:
    files.write_whole(path, lambda temporary: session.write(sql, temporary))


def _pieces(folder: Path, group: int) -> Path:
    return folder / "pieces" / str(group)


def _index(folder: Path, group: int) -> Path:
    return folder / f"index-{group:03d}.parquet"


class _Clock:
    """Reports a stage's rows with their rate since its beginning."""

    def __init__(self, report: Report, stage: str, total: int) -> None:
        self.report, self.stage, self.total = report, stage, total
        self.started = time.perf_counter()

    def at(self, rows: int) -> None:
        """Report that so many rows are done."""
        elapsed = max(time.perf_counter() - self.started, 1e-9)
        self.report(Progress(stage=self.stage, rows=rows, total=self.total, rate=rows / elapsed))
