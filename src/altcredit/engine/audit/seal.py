"""
The seal: committed rows get leaf numbers, the tree grows by them, and its head is signed and stored in two places.

Ids are given out before a transaction commits, so they are no order to rely on. A row's place in the tree is given to
it here, once it is committed and can be read: there is no gap to wait for, and none to overlook.
"""

from datetime import datetime
from pathlib import Path

import msgspec

from altcredit.engine.audit import second_place, store
from altcredit.engine.audit.head import Head, Signed, head_of, record_of, timestamp
from altcredit.engine.audit.tree import Tree, leaf_hash
from altcredit.runtime.db import Connection
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.signing import SigningKeys

# Rows that one transaction seals at most, under one head: a fraction of a second of work.
MOST_ROWS = 5_000
_PROOF_BYTES = 16


class HeadsDisagree(Refusal):
    """The heads in the database and those in the second place are not of one tree: nothing more is sealed."""


class HeadBroken(Refusal):
    """The last head in the database is not one that this installation signed: nothing more is sealed."""


def leaf_proof(keyring: Keyring, leaf: int, log: str, at: datetime, row_id: int, sha256: bytes) -> bytes:
    """Return what only this installation can have written beside a leaf (16 bytes)."""
    return keyring.hmac("audit_leaf", str(leaf), log, timestamp(at), str(row_id), sha256)[:_PROOF_BYTES]


async def seal(
    db: Connection, *, keyring: Keyring, signing: SigningKeys, now: datetime, most: int = MOST_ROWS
) -> Head | None:
    """
    Give leaves to at most ``most`` committed rows that have none, and sign the tree's new head.

    One process at a time: None where another is at it, and where there is nothing to do. Follow it with
    :func:`keep_heads` when the transaction is committed.

    :raises HeadBroken: the tree that would be continued is not ours.
    """
    if not await store.is_waiting(db) or not await store.try_lock(db):
        return None
    last = await store.last_head(db)
    before = None if last is None else _own(last, signing)
    tree = before.tree() if before else Tree()
    rows = await store.take(db, most)
    if not rows:
        return None
    leaves = []
    for row in rows:
        sha256 = leaf_hash(row["line"].encode())
        named = (tree.size, row["log"], row["at"], row["row_id"], sha256)
        leaves.append((*named, leaf_proof(keyring, *named)))
        tree.add(sha256)
    await store.add_leaves(db, leaves)
    # A clock that was set back does not take a head back: its time is never before that of the head it follows.
    time = max(timestamp(now), before.time if before else "")
    head = head_of(tree, time=time, public_pem=signing.public_pem(signing.active("audit")))
    key_id, signature = signing.sign("audit", record_of(head))
    await store.add_head(db, tree.size, Signed(record=record_of(head), key_id=key_id, signature=signature))
    return head


def _own(signed: Signed, signing: SigningKeys) -> Head:
    if not signing.verify("audit", signed.key_id, signed.record, signed.signature):
        raise HeadBroken("The last tree head's signature does not hold; run `altcredit audit verify`.")
    return msgspec.json.decode(signed.record, type=Head)


async def keep_heads(db: Connection, *, path: Path) -> int:
    """
    Append the heads that the second place does not have yet; return how many.

    To be called after each seal, and before the first: a process that died between the two left some to do.

    :raises HeadsDisagree: the file's last head is not in the database, or not as it is there.
    """
    size = await agreed_size(db, path=path)
    kept = 0
    while heads := await store.heads(db, above=size, upto=2**62, limit=1_000):
        second_place.append(path, [head for _, head in heads])
        size = heads[-1][0]
        kept += len(heads)
    return kept


async def agreed_size(db: Connection, *, path: Path) -> int:
    """
    Return how many rows the last head of the second place is of, which the database has too; 0: there is none yet.

    :raises HeadsDisagree: as for ``keep_heads``.
    """
    try:
        there = second_place.last(path)
        size = 0 if there is None else second_place.size_of(there)
    except ValueError as problem:
        raise HeadsDisagree(f"The last line of {path.name} is not a tree head ({problem}).") from problem
    if there is not None and await store.head_at(db, size) != there:
        raise HeadsDisagree(
            f"The database does not have the tree head of {size} rows that {path.name} has: it was altered, or"
            " replaced by an older backup. After a restore, keep this file and name a new one in ALTCREDIT_AUDIT_HEADS."
        )
    return size
