"""What erasure asks of the door: records in quarantine that name an erased shop, and the lists of who was touched."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from altcredit.engine import retailers
from altcredit.engine.ingestion import store
from altcredit.engine.ingestion.operations import SEAL
from altcredit.engine.ingestion.validation import Quarantined
from altcredit.runtime.db import Connection
from altcredit.runtime.keys import Keyring

_AT_ONCE = 200


async def erase(
    db: Connection,
    *,
    keyring: Keyring,
    retailer_ids: Sequence[str],
    distributor_ids: Sequence[str],
    identifiers: Collection[bytes],
) -> int:
    """
    Take the records that name a shop out of quarantine; return how many went.

    Quarantine is sealed under the distributor's key, which others' records need: so the bodies are opened, and what is
    left is sealed anew. ``identifiers``: the keyed hashes by which the shop was known.
    """
    known, gone, after = frozenset(identifiers), 0, ""
    while rows := await store.quarantined_of(db, distributor_ids=list(distributor_ids), after=after, limit=_AT_ONCE):
        for row in rows:
            gone += await _clean(db, keyring=keyring, row=row, identifiers=known)
        after = rows[-1]["batch_id"]
    await store.untouch(db, distributor_ids=list(distributor_ids), retailer_ids=list(retailer_ids))
    return gone


async def _clean(db: Connection, *, keyring: Keyring, row: Any, identifiers: frozenset[bytes]) -> int:
    owner = row["distributor_id"]
    held = msgspec.json.decode(keyring.unseal(row["sealed"], owner=owner, purpose=SEAL), type=list[Quarantined])
    left = [one for one in held if not retailers.names_one_of(keyring, owner, one.record, identifiers)]
    if len(left) < len(held):
        sealed = keyring.seal(msgspec.json.encode(left), owner=owner, purpose=SEAL) if left else None
        await store.reseal(db, batch_id=row["batch_id"], sealed=sealed)
    return len(held) - len(left)
