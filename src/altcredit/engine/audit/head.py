"""Signed statements about the tree: its heads, and the months whose rows were destroyed."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Literal, Protocol

import msgspec

from altcredit.engine.audit.tree import Tree

Log = Literal["audit_event", "score_access"]
_encode = msgspec.json.Encoder(order="sorted").encode


class Verify(Protocol):
    """Tells whether a signature (DER) is that of some bytes by a key of this installation that signs audit records."""

    def __call__(self, key_id: str, data: bytes, signature: bytes) -> bool: ...


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The state of the tree at a moment. Its signed form is JSON with sorted keys and no spaces: texts, one integer.

    ``root`` and ``peaks`` (largest first) are lower-case hex. ``key_sha256`` is the digest of the PEM file of the
    public key, so that a bundle's key is bound by what it verifies.
    """

    tree_size: int
    root: str
    peaks: tuple[str, ...]
    time: str
    key_sha256: str

    def tree(self) -> Tree:
        """Return the tree, to go on from. Raises ValueError: the peaks do not fit the size or the root."""
        tree = Tree(self.tree_size, (bytes.fromhex(peak) for peak in self.peaks))
        if tree.root().hex() != self.root:
            raise ValueError(f"the peaks of head {self.tree_size} do not make up its root")
        return tree


class Purge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Which rows were destroyed: those of a log in a month (UTC), by leaf from ``first_leaf`` to ``last_leaf``.

    Leaves of other months and of the other log may lie between the two. ``leaves_sha256`` is the digest of the leaf
    hashes in order, each as lower-case hex and a line feed; ``root`` is the root of the Merkle tree over them.
    """

    log: Log
    month: str
    rows: int
    first_leaf: int
    last_leaf: int
    root: str
    leaves_sha256: str
    why: str
    time: str
    key_sha256: str


class Mark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything under the head of ``tree_size`` rows was as it was sealed when it was looked at, ``verified_at``."""

    tree_size: int
    root: str
    verified_at: str
    key_sha256: str


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A head, a purge or a mark as signed: ``record`` is the very bytes, ``signature`` DER (ECDSA P-256, SHA-256)."""

    record: bytes
    key_id: str
    signature: bytes


def record_of(statement: Head | Purge | Mark) -> bytes:
    """Return the bytes that are signed."""
    return _encode(statement)


def head_of(tree: Tree, *, time: str, public_pem: str) -> Head:
    """Return the head of a tree as it is now."""
    return Head(
        tree_size=tree.size,
        root=tree.root().hex(),
        peaks=tuple(peak.hex() for peak in tree.peaks),
        time=time,
        key_sha256=key_sha256(public_pem),
    )


def key_sha256(public_pem: str) -> str:
    """Return the digest of a public key's PEM file, lower-case hex."""
    return hashlib.sha256(public_pem.encode()).hexdigest()


def leaf_lines(hashes: Iterable[bytes]) -> bytes:
    """Return leaf hashes as a purge record digests them: hex, a line each."""
    return b"".join(one.hex().encode() + b"\n" for one in hashes)


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Return the root of the tree over these leaf hashes."""
    tree = Tree()
    for one in hashes:
        tree.add(one)
    return tree.root()


def timestamp(at: datetime) -> str:
    """Return a moment as the sealed records write it: UTC, microseconds, ``Z``."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def month_of(at: datetime) -> date:
    """Return the first day of the month (UTC) whose partition a row is in."""
    return at.astimezone(UTC).date().replace(day=1)
