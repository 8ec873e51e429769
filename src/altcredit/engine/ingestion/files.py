"""The lake's files: kept for good before they are listed, or not at all. The only module here that touches the disk."""

import os
from datetime import datetime
from pathlib import Path

from altcredit.runtime.refusal import Refusal


class LakeUnavailable(Refusal):
    """The batch cannot be stored now (the disk is full, or cannot be written): nothing was kept; send it again."""


def bronze_path(*, distributor_id: str, batch_id: str, known_at: datetime) -> str:
    """Return where a batch's file goes, relative to the lake."""
    if not distributor_id.replace("_", "").replace("-", "").isalnum():
        raise ValueError(f"{distributor_id!r} cannot name a folder")
    return f"bronze/{distributor_id}/{known_at:%Y-%m}/{batch_id}.parquet"


def put(lake: Path, path: str, content: bytes) -> None:
    """
    Store a file; when this returns, it survives a power cut. When it raises, no part of it is left.

    The caller holds the batch's row in a transaction, so that only one process at a time writes under the name, and
    none after it has been listed. A file that is already there was left by a process that died before it could list
    it: nobody has read it, and it goes. For the same reason the bytes are written under the final name at once, which
    spares a second journal commit; what is not listed is nothing, whole or torn.

    :raises LakeUnavailable: the disk is full, or the folder cannot be written.
    """
    target = lake / path
    try:
        _make_folders(target.parent, lake)
        target.unlink(missing_ok=True)
        try:
            with target.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _sync(target.parent)
        except OSError:
            target.unlink(missing_ok=True)
            raise
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
    """Return the bronze files last written before a moment, relative to the lake."""
    before = older_than.timestamp()
    files = (lake / "bronze").glob("*/*/*.parquet")
    return sorted(str(path.relative_to(lake)) for path in files if path.stat().st_mtime < before)


def remove(lake: Path, paths: list[str]) -> None:
    for path in paths:
        (lake / path).unlink(missing_ok=True)
