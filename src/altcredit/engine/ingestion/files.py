"""The lake's files: written whole and kept, or not at all. The only module here that touches the disk."""

import contextlib
import os
import tempfile
from datetime import datetime
from pathlib import Path

from altcredit.runtime.refusal import Refusal


class LakeUnavailable(Refusal):
    """The batch cannot be stored now (the disk is full, or cannot be written): nothing was kept; send it again."""


def bronze_path(*, distributor_id: str, batch_id: str, known_at: datetime) -> str:
    """Return where a batch's file goes, relative to the lake."""
    assert distributor_id.replace("_", "").replace("-", "").isalnum(), "an id that names a folder"
    return f"bronze/{distributor_id}/{known_at:%Y-%m}/{batch_id}.parquet"


def put(lake: Path, path: str, content: bytes) -> None:
    """
    Store a file; when this returns, it survives a power cut, and a crash before leaves no part of it under its name.

    The caller holds the batch's row in a transaction, so that only one process at a time writes under the name, and
    none after it has been listed. A file that is already there was left by a process that died before it could list
    it: nobody has read it, and it is replaced.

    :raises LakeUnavailable: the disk is full, or the folder cannot be written.
    """
    target = lake / path
    try:
        _make_folders(target.parent, lake)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, target)
            except FileExistsError:
                os.replace(temporary, target)
        finally:
            with contextlib.suppress(FileNotFoundError):  # it took the place of the file that was there
                os.unlink(temporary)
        _sync(target.parent)
    except OSError as error:
        raise LakeUnavailable(f"The lake cannot be written ({error.strerror}).") from error


def _make_folders(folder: Path, top: Path) -> None:
    """Make the folders that are missing, each one's entry in its parent made durable too."""
    if folder.is_dir():
        return
    if folder != top:
        _make_folders(folder.parent, top)
    folder.mkdir(parents=True, exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def strays(lake: Path, *, older_than: datetime) -> list[str]:
    """Return the bronze files (and unfinished ones) last written before a moment, relative to the lake."""
    before = older_than.timestamp()
    files = [path for pattern in ("*.parquet", ".*.part") for path in (lake / "bronze").glob(f"*/*/{pattern}")]
    return sorted(str(path.relative_to(lake)) for path in files if path.stat().st_mtime < before)


def remove(lake: Path, paths: list[str]) -> None:
    for path in paths:
        (lake / path).unlink(missing_ok=True)
