"""Destroying rows whose retention is over, and the record of it."""

import hashlib
from collections.abc import Mapping
from datetime import datetime

import msgspec

from altcredit.engine.audit import operations, store
from altcredit.engine.audit.head import (
    Log,
    Purge,
    Signed,
    key_sha256,
    leaf_lines,
    month_of,
    record_of,
    root_of,
    timestamp,
)
from altcredit.engine.audit.retention import RETENTION, Retention, first_kept
from altcredit.engine.audit.tree import leaf_hash
from altcredit.engine.audit.verify import bounds
from altcredit.runtime.db import Connection
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.signing import SigningKeys


class NotAsSealed(Refusal):
    """Rows of a month that is due are not what was sealed: they are kept, as evidence."""


async def purge(
    db: Connection,
    *,
    signing: SigningKeys,
    actor: str,
    now: datetime,
    retention: Mapping[Log, Retention] = RETENTION,
) -> list[Purge]:
    """
    Destroy the oldest month of each log that has outlived its retention; return the signed records.

    One month a log and call, so that a clock that is years ahead cannot empty the logs overnight. A month with rows
    that are not sealed yet waits.

    :raises NotAsSealed: what would be destroyed is not what was sealed.
    """
    await store.lock(db)
    done = []
    for log, policy in retention.items():
        record = await _purge(db, log, policy, signing, now)
        if record is not None:
            details = msgspec.structs.asdict(record)
            await operations.append(
                db, actor=actor, action="audit.purged", subject=f"{log}:{record.month}", details=details, now=now
            )
            done.append(record)
    return done


async def _purge(db: Connection, log: Log, policy: Retention, signing: SigningKeys, now: datetime) -> Purge | None:
    oldest = await store.oldest(db, log)
    if oldest is None or month_of(oldest) >= first_kept(month_of(now), policy.months):
        return None
    month = month_of(oldest)
    first, beyond = bounds(month)
    if await store.is_waiting_of_month(db, log, first, beyond):
        return None
    leaves = await _sealed_rows(db, log, first, beyond)
    hashes = [sha256 for _, sha256 in leaves]
    record = Purge(
        log=log,
        month=f"{month:%Y-%m}",
        rows=len(leaves),
        first_leaf=leaves[0][0],
        last_leaf=leaves[-1][0],
        root=root_of(hashes).hex(),
        leaves_sha256=hashlib.sha256(leaf_lines(hashes)).hexdigest(),
        why=policy.why,
        time=timestamp(now),
        key_sha256=key_sha256(signing.public_pem(signing.active("audit"))),
    )
    key_id, signature = signing.sign("audit", record_of(record))
    signed = Signed(record=record_of(record), key_id=key_id, signature=signature)
    await store.add_purge(db, log, month, record.first_leaf, signed)
    await store.destroy(db, log, first, beyond)
    return record


async def _sealed_rows(db: Connection, log: Log, first: datetime, beyond: datetime) -> list[tuple[int, bytes]]:
    """Return the leaves of all rows that a month has now, if each is what was sealed."""
    leaves: list[tuple[int, bytes]] = []
    async for row in store.rows_of_month(db, log, first, beyond):
        if leaf_hash(row["line"].encode()) != row["sha256"]:
            raise NotAsSealed(f"{log} row {row['row_id']} is not what was sealed as leaf {row['leaf']}.")
        leaves.append((row["leaf"], row["sha256"]))
    if len(leaves) != await store.count_rows(db, log, first, beyond):
        raise NotAsSealed(f"{log} {first:%Y-%m} has rows that were never sealed.")
    return leaves
