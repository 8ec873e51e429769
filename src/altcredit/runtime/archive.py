"""
Backup of a whole installation in one folder, and the way back.

    backup.json          what the folder holds, with sizes and digests, and which key opens it; written last
    database.dump        the database as of one moment
    lake/                the files of the lake that the database lists as of that moment
    models/              trained models
    certificates/        the internal authority, sealed

The key file is not in it, and must not be kept beside it: what the folder holds of people is sealed under those keys.
Files of the lake are never changed, and stay on disk for an hour after they left the list. So they are copied twice:
before the moment, which takes as long as it takes, and after it those that are new.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import msgspec

from altcredit.runtime import backup, schema
from altcredit.runtime.backup import BackupFailed, Listed
from altcredit.runtime.certificates import certificates_folder
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

FORMAT = 1
_INDEX = "backup.json"
_DUMP = "database.dump"

Say: TypeAlias = Callable[[str], None]


class BackupUnusable(Refusal):
    """A folder is no backup, is damaged or incomplete, or is sealed under keys that are not here."""


class PlaceNotEmpty(Refusal):
    """There is something where a backup is to be written, or put back."""


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. ``keks``: ids of the key-encryption keys that it may be sealed under, the current first."""

    format: int
    made_at: datetime
    revision: str
    keks: tuple[str, ...]
    files: tuple[Listed, ...]


def write(settings: Settings, folder: Path, *, keyring: Keyring, now: datetime, say: Say) -> Index:
    """
    Write a backup into a new folder, while the installation is in use; ``say`` is told how it goes.

    The folder and all in it are for its owner alone. It is a backup once ``backup.json`` is there.

    :raises PlaceNotEmpty: the folder holds something.
    :raises BackupFailed: the dump failed, a file could not be copied, or is not what the manifest says.
    """
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        if any(folder.iterdir()):
            raise PlaceNotEmpty(f"{folder} holds something already: name a new folder.")
        folder.chmod(0o700)
        files = _written(settings, folder, say)
        index = Index(
            format=FORMAT,
            made_at=now,
            revision=schema.head(),
            keks=tuple(one.hex() for one in keyring.kek_ids),
            files=tuple(files),
        )
        os.sync()  # what the index says is there must be there after a power cut
        path = folder / _INDEX
        with path.open("xb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(index)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BackupFailed(f"{error.filename or folder}: {error.strerror}.") from error
    return index


def _written(settings: Settings, folder: Path, say: Say) -> list[Listed]:
    lake, kept = settings.lake_path, folder / "lake"
    with backup.moment(settings) as (_, listed):
        first = listed
    say(f"Copying {len(first)} files of the lake …")
    for one in first:
        _copy(lake / one.path, kept / one.path, one, missing_ok=True)
    with backup.moment(settings) as (snapshot, listed):
        say("Dumping the database …")
        backup.dump(settings, folder / _DUMP, snapshot=snapshot)
    new = [one for one in listed if not (kept / one.path).exists()]
    say(f"Copying {len(new)} files of the lake that are new …")
    for one in new:
        _copy(lake / one.path, kept / one.path, one)
    for gone in {one.path for one in first} - {one.path for one in listed}:
        (kept / gone).unlink(missing_ok=True)
    found = [Listed(path=f"lake/{one.path}", bytes=one.bytes, sha256=one.sha256) for one in listed]
    for source in (settings.home_path / "models", certificates_folder(settings)):
        for path in _kept_of(source):
            target = folder / source.name / path.relative_to(source)
            _copy(path, target)
            found.append(_described(target, folder))
    return [_described(folder / _DUMP, folder), *found]


def _kept_of(source: Path) -> list[Path]:
    """Return the files of a folder that a backup keeps; certificates of servers are made anew."""
    return sorted(path for path in source.rglob("*") if path.is_file() and path.name != "server.pem")


def _copy(source: Path, target: Path, expected: Listed | None = None, *, missing_ok: bool = False) -> None:
    """Copy a file, and see that it is what the manifest says."""
    target.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    try:
        shutil.copyfile(source, target)
        target.chmod(0o600)
    except FileNotFoundError as error:
        if missing_ok:
            return
        raise BackupFailed(f"{source} is listed, and not there: the lake is damaged.") from error
    if expected is not None and _digest(target) != expected.sha256:
        raise BackupFailed(f"{source} is not what the manifest says of it: the lake is damaged.")


def _described(path: Path, folder: Path) -> Listed:
    return Listed(path=str(path.relative_to(folder)), bytes=path.stat().st_size, sha256=_digest(path))


def _digest(path: Path) -> str:
    with path.open("rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest()


def read(folder: Path) -> Index:
    """Return what a backup says it holds, not looked at. Raises BackupUnusable."""
    try:
        index = msgspec.json.decode((folder / _INDEX).read_bytes(), type=Index)
    except FileNotFoundError as error:
        raise BackupUnusable(f"{folder} is no backup, or one that was not finished: it has no {_INDEX}.") from error
    except OSError as error:
        raise BackupUnusable(f"{folder / _INDEX} cannot be read ({error.strerror}).") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupUnusable(f"{folder / _INDEX} cannot be read ({error}).") from error
    paths = {one.path for one in index.files}
    if index.format != FORMAT or not index.keks or _DUMP not in paths or not all(map(_stays_inside, paths)):
        raise BackupUnusable(f"{folder} is a backup of another kind than this version makes.")
    return index


def _stays_inside(path: str) -> bool:
    parts = Path(path).parts
    return bool(parts) and ".." not in parts and (path == _DUMP or parts[0] in {"lake", "models", "certificates"})


def check(folder: Path) -> Index:
    """
    Read every file of a backup and return what it holds.

    :raises BackupUnusable: a file is missing, or not what it was; each is named.
    """
    index = read(folder)
    bad = []
    for one in index.files:
        try:
            if _digest(folder / one.path) != one.sha256:
                bad.append(f"{one.path} is not what it was")
        except OSError as error:
            bad.append(f"{one.path}: {error.strerror}")
    if bad:
        more = f", and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise BackupUnusable(f"{folder} is damaged: {'; '.join(bad[:5])}{more}.")
    return index


def put_back(settings: Settings, folder: Path, *, keyring: Keyring, force: bool, say: Say) -> Index:
    """
    Put an installation back from a backup: its files first, then the database, in one transaction.

    Until the last moment the database is what it was. Stop the API and the workers first.

    :param force: replace what is there.
    :raises BackupUnusable: before anything is changed.
    :raises PlaceNotEmpty, DatabaseNotEmpty: there is something, and ``force`` is not set.
    :raises BackupFailed: a file cannot be written, or the database does not take the dump.
    """
    index = read(folder)
    _require_keys(index, keyring)
    say(f"Reading {len(index.files)} files of the backup of {index.made_at:%Y-%m-%d %H:%M} UTC …")
    check(folder)
    places = {
        "lake": settings.lake_path,
        "models": settings.home_path / "models",
        "certificates": certificates_folder(settings),
    }
    targets = [(one, _target(places, one)) for one in index.files if one.path != _DUMP]
    if not force:
        _require_empty(places.values())
        backup.require_empty(settings)
    try:
        for one, target in targets:
            _copy(folder / one.path, target, one)
        for public in places["certificates"].glob("ca.pem"):
            public.chmod(0o644)  # distributors are given it
    except OSError as error:
        raise BackupFailed(f"{error.filename}: {error.strerror}.") from error
    say("Restoring the database …")
    backup.restore(settings, folder / _DUMP, force=force)
    return index


def _require_keys(index: Index, keyring: Keyring) -> None:
    if bytes.fromhex(index.keks[0]) not in keyring.kek_ids:
        raise BackupUnusable(
            f"The backup is sealed under the key {index.keks[0]}, which is not here ({keyring.custody}):"
            " ALTCREDIT_KEY_FILE must name the key file of that time."
        )


def _require_empty(places: Iterable[Path]) -> None:
    for place in places:
        if next((path for path in place.rglob("*") if path.is_file()), None):
            raise PlaceNotEmpty(f"{place} holds something already: --force puts the backup's files in their place.")


def _target(places: dict[str, Path], one: Listed) -> Path:
    room, _, rest = one.path.partition("/")
    return places[room] / rest
