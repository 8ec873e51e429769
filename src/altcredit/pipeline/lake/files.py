"""
Files of the lake appear whole or not at all.

A file is written under a temporary name in its own folder, synced, and renamed; then the folder is synced. Only after
that is it listed in the manifest. What a kill leaves behind is a temporary file, or a file that no list names.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from altcredit.pipeline.lake.tables import LakeFile

TEMPORARY = ".tmp"


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file, then give it its name, durably. An existing file is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + TEMPORARY)
    temporary.unlink(missing_ok=True)
    write(temporary)
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a small table as one parquet file, whole or not at all."""
    write_whole(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def described(root: Path, path: Path, *, layer: str, kind: str, rows: int) -> LakeFile:
    """Return what the manifest says of a file: its size and sha256 are read from it."""
    with path.open("rb") as body:
        digest = hashlib.file_digest(body, "sha256").hexdigest()
    return LakeFile(
        layer=layer,
        kind=kind,
        path=str(path.relative_to(root)),
        rows=rows,
        bytes=path.stat().st_size,
        sha256=digest,
    )


def delete(root: Path, relative: str) -> None:
    """Delete a file of the lake, and its folder when that was the last one in it; a file that is gone is no error."""
    path = root / relative
    path.unlink(missing_ok=True)
    folder = path.parent
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
