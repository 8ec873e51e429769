"""
Bundles: a range of the logs that anybody can verify without this installation, with ``verify.sh`` that does it.

    rows.jsonl             the rows in leaf order, each in its canonical form; a purged row's leaf hash in its place
    head.json .sig .pem    the signed head that the rows end at, its signature (DER) and the public key
    start.json .sig .pem   the signed head that they begin after; not there when they begin at the first leaf
    purge-N.json … .txt    signed records of purges that reach into the range, with the leaf hashes of what went
"""

from datetime import datetime
from importlib.resources import files
from pathlib import Path

import msgspec

from altcredit.engine.audit import store
from altcredit.engine.audit.head import Head, Purge, Signed, leaf_lines
from altcredit.engine.audit.verify import bounds
from altcredit.runtime.db import Connection
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.signing import SigningKeys

_PAGE = 5_000
VERIFIER = files("altcredit.engine.audit").joinpath("verify.sh").read_bytes()


class NothingSealed(Refusal):
    """No sealed row lies in the range asked for."""


class BundleExists(Refusal):
    """The folder for the bundle is there already and not empty."""


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """What was written: leaves ``first_leaf`` to ``tree_size`` (exclusive), and the key that verifies it."""

    folder: str
    rows: int
    purged_rows: int
    first_leaf: int
    tree_size: int
    root: str
    key_id: str
    key_sha256: str


async def export_bundle(
    db: Connection, *, signing: SigningKeys, out: Path, since: datetime | None = None, until: datetime | None = None
) -> Bundle:
    """
    Write a bundle of the sealed rows from ``since`` (inclusive) to ``until`` (exclusive) into a new folder.

    It begins and ends at a signed head, so that it may hold some rows before and after. ``db`` has just begun its
    transaction.

    :raises NothingSealed: no row of the range is sealed.
    :raises BundleExists: the folder is not empty.
    """
    await store.hold_still(db)
    range_ = await store.leaf_range(db, since, until)
    if range_ is None:
        raise NothingSealed("No sealed row lies in this range.")
    start = await store.head_before(db, range_["first"])
    end = await store.head_after(db, range_["last"])
    if end is None:
        raise NothingSealed("No signed head covers these rows; run `altcredit audit verify`.")
    _make(out)
    head = msgspec.json.decode(end.record, type=Head)
    first = msgspec.json.decode(start.record, type=Head).tree_size if start else 0
    _put(out, "head", end, signing)
    if start is not None:
        _put(out, "start", start, signing)
    purged = await _rows(db, out / "rows.jsonl", first, head.tree_size)
    await _purges(db, out, signing, purged)
    (out / "verify.sh").write_bytes(VERIFIER)
    return Bundle(
        folder=str(out),
        rows=head.tree_size - first - len(purged),
        purged_rows=len(purged),
        first_leaf=first,
        tree_size=head.tree_size,
        root=head.root,
        key_id=end.key_id,
        key_sha256=head.key_sha256,
    )


def _make(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise BundleExists(f"{out} is not empty.")


def _put(out: Path, name: str, signed: Signed, signing: SigningKeys) -> None:
    (out / f"{name}.json").write_bytes(signed.record)
    (out / f"{name}.sig").write_bytes(signed.signature)
    (out / f"{name}.pem").write_text(signing.public_pem(signed.key_id))


async def _rows(db: Connection, path: Path, first: int, beyond: int) -> list[int]:
    """Write the rows; return the leaves whose rows are gone."""
    gone = []
    with path.open("wb") as file:
        for position in range(first, beyond, _PAGE):
            for row in await store.leaves(db, position, min(position + _PAGE, beyond)):
                if row["line"] is None:
                    gone.append(row["leaf"])
                    file.write(leaf_lines([row["sha256"]]))
                else:
                    file.write(row["line"].encode() + b"\n")
    return gone


async def _purges(db: Connection, out: Path, signing: SigningKeys, gone: list[int]) -> None:
    """Write the records of the purges that may account for these leaves; ``verify.sh`` finds what none does."""
    if not gone:
        return
    number = 0
    for _, month, signed in await store.purges(db):
        purge = msgspec.json.decode(signed.record, type=Purge)
        if purge.first_leaf > gone[-1] or purge.last_leaf < gone[0]:
            continue
        number += 1
        hashes = await store.leaves_of_month(db, purge.log, bounds(month), (purge.first_leaf, purge.last_leaf))
        _put(out, f"purge-{number}", signed, signing)
        (out / f"purge-{number}.txt").write_bytes(leaf_lines(hashes))
