"""
The Merkle tree of RFC 9162, section 2.1: leaf = SHA-256(00 | row), node = SHA-256(01 | left | right).

A tree of n leaves is a row of perfect trees, one for each bit of n that is set, the largest first: its *peaks*. They
are all that is needed to add leaves and to know the root, so adding one costs two hashes on average, whatever n is.
"""

import hashlib
from collections.abc import Iterable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(row: bytes) -> bytes:
    """Return the hash (32 bytes) of a leaf that stands for ``row``."""
    return hashlib.sha256(b"\x00" + row).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash (32 bytes) of the node above two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that leaves can be added to, kept as its peaks."""

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        """Take up a tree where it was left; ``peaks`` as :attr:`peaks` gave them. Raises ValueError: not of a size."""
        self.size = size
        self._peaks = list(peaks)
        if len(self._peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(self._peaks)}")

    @property
    def peaks(self) -> Sequence[bytes]:
        """The roots of the perfect trees that make up this one, the largest first."""
        return tuple(self._peaks)

    def add(self, leaf: bytes) -> None:
        """Append a leaf, given by its hash."""
        size = self.size
        while size & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            size >>= 1
        self._peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root (32 bytes) of the tree as it is now."""
        if not self._peaks:
            return EMPTY_ROOT
        *above, root = self._peaks
        for peak in reversed(above):
            root = node_hash(peak, root)
        return root
