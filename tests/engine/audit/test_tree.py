"""The tree against RFC 9162 as it is written down, and against known answers."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from altcredit.engine.audit.tree import EMPTY_ROOT, Tree, leaf_hash, node_hash


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(by_definition(leaves[:k]), by_definition(leaves[k:]))


def grown(rows: list[bytes]) -> Tree:
    tree = Tree()
    for row in rows:
        tree.add(leaf_hash(row))
    return tree


# Of the test data that certificate transparency's implementations share.
INPUTS = [bytes.fromhex(one) for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
INPUTS.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert grown(INPUTS[:size]).root().hex() == ROOTS[size - 1]


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_a_tree_that_grows_has_the_root_of_the_definition(rows: list[bytes]) -> None:
    assert grown(rows).root() == by_definition(rows)


@given(st.lists(st.binary(max_size=4), max_size=40), st.lists(st.binary(max_size=4), max_size=40))
def test_a_tree_taken_up_from_its_peaks_goes_on_as_if_never_left(before: list[bytes], after: list[bytes]) -> None:
    first = grown(before)
    again = Tree(first.size, first.peaks)
    for row in after:
        again.add(leaf_hash(row))
    assert again.root() == by_definition(before + after)


def test_an_empty_tree_has_the_empty_root() -> None:
    assert Tree().root() == EMPTY_ROOT == by_definition([])


def test_peaks_that_do_not_fit_a_size_are_refused() -> None:
    with pytest.raises(ValueError, match="has 2 peaks, not 1"):
        Tree(5, [EMPTY_ROOT])
