"""
The second place of signed tree heads: a file that is only ever appended to, one head a line.

Whoever can rewrite the database cannot rewrite what is not in it. The only module here that touches the disk, beside
the one that writes bundles.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

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


def lines(path: Path, *, upto: int) -> Iterator[bytes]:
    """Return the whole lines of the first ``upto`` bytes of the file; none where there is no file."""
    try:
        with path.open("rb") as file:
            for line in file:
                upto -= len(line)
                if upto < 0:
                    return
                if line.endswith(b"\n"):
                    yield line[:-1]
    except FileNotFoundError:
        return


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
                line = _Line(record=head.record.decode(), key_id=head.key_id, signature=head.signature.hex())
                file.write(msgspec.json.encode(line) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        _sync(path.parent)


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
