"""
How far the logs were verified: a signed mark beside the second place, so that the next look may begin there.

Who can write to the database alone cannot move it, and who can write to the second place alone cannot sign it. Moved
back, it makes the next look longer; taken away, it makes it a full one.
"""

from datetime import datetime
from pathlib import Path

import msgspec

from altcredit.engine.audit import operations, second_place
from altcredit.engine.audit.head import Mark, Signed, key_sha256, record_of, timestamp
from altcredit.engine.audit.verify import Verification
from altcredit.runtime.db import Connection
from altcredit.runtime.signing import SigningKeys


def recall(path: Path, *, signing: SigningKeys) -> Mark | None:
    """
    Return how far the logs were verified; None where that is not known, or not said by this installation.

    :param path: the second place.
    """
    try:
        signed = second_place.read_mark(path)
    except ValueError:
        return None
    if signed is None or not signing.verify("audit", signed.key_id, signed.record, signed.signature):
        return None
    try:
        return msgspec.json.decode(signed.record, type=Mark)
    except msgspec.DecodeError:  # a head, under a mark's name
        return None


async def remember(
    db: Connection, *, signing: SigningKeys, path: Path, found: Verification, actor: str, now: datetime
) -> None:
    """
    Record that the logs were verified, and with which result; where everything held, the next look may begin here.

    The event is for those who ask whether anybody looks (the compliance report); the mark is for :func:`verify`.
    """
    details = {
        "holds": found.is_whole,
        "full": found.verified_before == 0,
        "rows": found.rows,
        "tree_size": found.tree_size,
        "root": found.root,
        "findings": [f"{one.kind} {'' if one.leaf is None else one.leaf}".strip() for one in found.findings[:10]],
    }
    await operations.append(db, actor=actor, action="audit.verified", subject="audit", details=details, now=now)
    if not found.is_whole or not found.tree_size:
        return
    mark = Mark(
        tree_size=found.tree_size,
        root=found.root,
        verified_at=timestamp(now),
        key_sha256=key_sha256(signing.public_pem(signing.active("audit"))),
    )
    key_id, signature = signing.sign("audit", record_of(mark))
    second_place.write_mark(path, Signed(record=record_of(mark), key_id=key_id, signature=signature))
