"""
The second place of signed tree heads: a file that is only ever appended to, one head a line.

Whoever can rewrite the database cannot rewrite what is not in it. The only module here that touches the disk, beside
the one that writes bundles.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from altcredit.engine.audit.head import Head, Signed

_LONGEST_LINE = 65_536


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    record: str
    key_id: str
    signature: str


_decode = msgspec.json.Decoder(_Line).decode


def parse(line: bytes) -> Signed:
    """Return the head that a line holds. Raises ValueError (msgspec.DecodeError is one): it holds none."""
    read = _decode(line)
    return Signed(record=read.record.encode(), key_id=read.key_id, signature=bytes.fromhex(read.signature))


def size_of(head: Signed) -> int:
    """Return the tree size of a head. Raises msgspec.DecodeError: it is none."""
    return msgspec.json.decode(head.record, type=Head).tree_size


def last(path: Path) -> Signed | None:
    """Return the last head of the file, None without one. Raises ValueError: the last whole line is no head."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 2 * _LONGEST_LINE))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return None
    # What follows the last line feed was cut off by a crash: nobody relied on it.
    return parse(lines[-2]) if len(lines) > 1 else None


def length(path: Path) -> int:
    """Return the file's length in bytes, 0 where there is no file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def lines(path: Path, *, above: int = 0, upto: int | None = None) -> Iterator[bytes]:
    """
    Return the whole lines of the file, from the first head of more than ``above`` rows on; none without a file.

    ``upto``: only those that end within so many bytes of the file.
    """
    try:
        with path.open("rb") as file:
            position = file.seek(_first_above(file, above))
            for line in file:
                position += len(line)
                if upto is not None and position > upto:
                    return
                if line.endswith(b"\n"):
                    yield line[:-1]
    except FileNotFoundError:
        return


def _first_above(file: BinaryIO, size: int) -> int:
    """Return where the first head of more than ``size`` rows begins, by bisection; 0 where the file is not in order."""
    low, high = 0, file.seek(0, os.SEEK_END) if size else 0
    while low < high:
        middle = (low + high) // 2
        file.seek(max(middle - 1, 0))
        if middle:
            file.readline()
        line = file.readline()
        try:
            is_above = not line.endswith(b"\n") or size_of(parse(line)) > size
        except ValueError:
            return 0
        if is_above:
            high = middle
        else:
            low = file.tell()
    return low


def append(path: Path, heads: Iterable[Signed]) -> None:
    """
    Append heads; when this returns they survive a power cut. What a crash left of a line goes first.

    Several processes of one machine may do so at once: a head that is there already is left out.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    is_new = not path.exists()
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _cut_torn_line(file.fileno())
        there = last(path)
        size = 0 if there is None else size_of(there)
        for head in heads:
            if size_of(head) > size:
                file.write(_written(head))
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        _sync(path.parent)


def read_mark(path: Path) -> Signed | None:
    """Return the mark beside the second place, None without one. Raises ValueError: what is there is none."""
    try:
        return parse(_mark_of(path).read_bytes())
    except FileNotFoundError:
        return None


def write_mark(path: Path, mark: Signed) -> None:
    """Put a mark in the place of the last one; a power cut leaves the one or the other."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = _mark_of(path)
    new = place.with_name(place.name + ".new")
    with new.open("wb") as file:
        file.write(_written(mark))
        file.flush()
        os.fsync(file.fileno())
    new.replace(place)
    _sync(path.parent)


def set_aside(path: Path, name: str) -> Path:
    """Give the file another name, for a new one to begin; its mark goes. Returns where it is. Raises OSError."""
    there = path.with_name(f"{path.stem}.{name}{path.suffix}")
    if there.exists():
        raise FileExistsError(f"{there} is there already")
    path.rename(there)
    _mark_of(path).unlink(missing_ok=True)
    _sync(path.parent)
    return there


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + ".verified")


def _written(signed: Signed) -> bytes:
    line = _Line(record=signed.record.decode(), key_id=signed.key_id, signature=signed.signature.hex())
    return msgspec.json.encode(line) + b"\n"


def _cut_torn_line(handle: int) -> None:
    end = os.fstat(handle).st_size
    tail = os.pread(handle, min(end, _LONGEST_LINE), max(0, end - _LONGEST_LINE))
    if tail and not tail.endswith(b"\n"):
        os.ftruncate(handle, end - len(tail) + tail.rfind(b"\n") + 1)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
