"""
Going on after a restore: the second place knows heads that the database has not, and rightly so.

The break is an audit event of its own, sealed like all others: what was lost, from which head on, who says so and why.
"""

from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from altcredit.engine.audit import operations, second_place, store
from altcredit.engine.audit.head import Head
from altcredit.engine.audit.verify import own
from altcredit.runtime.db import Connection
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.signing import SigningKeys

_ANY_SIZE: Final = 2**62


class NothingToResume(Refusal):
    """The database and the second place agree: nothing has stopped."""


class NotResumable(Refusal):
    """What the second place holds, or the database, is not of this installation: no restore makes up for that."""


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a restore took away: the rows from ``resumed_at_size`` to ``lost_size`` (exclusive), by leaf.

    The head of ``resumed_at_size`` rows is the last that both places have (0: none is).
    """

    resumed_at_size: int
    resumed_at_root: str
    lost_size: int
    lost_root: str
    lost_at: str
    lost_head_key_id: str
    lost_head_signature: str

    @property
    def lost_rows(self) -> int:
        return self.lost_size - self.resumed_at_size


async def resume(
    db: Connection, *, signing: SigningKeys, second: Path, reason: str, actor: str, now: datetime
) -> Break:
    """
    Record that the log goes on from an older state, with the newest head that is no longer to be had.

    Afterwards, when this is committed, the file is to be put aside (:func:`set_aside`); the sealer begins a new one.
    Done again, after a crash between the two, it records the same again.

    :param second: the file that has heads which the database has not.
    :raises NothingToResume: they agree.
    :raises NotResumable: the newest head of either is not one that this installation signed.
    """
    await store.lock(db)
    try:
        there = second_place.last(second)
    except ValueError as problem:
        raise NotResumable(f"The last line of {second.name} is not a tree head ({problem}).") from problem
    if there is None:
        raise NothingToResume(f"{second} has no heads.")
    lost = own(there, signing)
    if lost is None:
        raise NotResumable(f"The last head of {second.name} is not signed by this installation.")
    if await store.head_at(db, lost.tree_size) == there:
        raise NothingToResume(f"The database has the last head of {second.name}.")
    common = await _common(db, second)
    last = await store.last_head(db)
    if last is not None and own(last, signing) is None:
        raise NotResumable("The last tree head of the database is not signed by this installation.")
    found = Break(
        resumed_at_size=common.tree_size if common else 0,
        resumed_at_root=common.root if common else "",
        lost_size=lost.tree_size,
        lost_root=lost.root,
        lost_at=lost.time,
        lost_head_key_id=there.key_id,
        lost_head_signature=there.signature.hex(),
    )
    details = {**msgspec.structs.asdict(found), "lost_rows": found.lost_rows, "reason": reason}
    await operations.append(db, actor=actor, action="audit.resumed", subject="audit", details=details, now=now)
    return found


def set_aside(second: Path, *, found: Break) -> Path:
    """
    Put the file with the lost heads aside, where it stays as proof; return where.

    :raises NotResumable: the file cannot be renamed (a place that is only appended to).
    """
    try:
        return second_place.set_aside(second, f"until-{found.lost_size}")
    except OSError as problem:
        raise NotResumable(
            f"{second} cannot be put aside ({problem.strerror or problem}): name a new file in ALTCREDIT_AUDIT_HEADS."
        ) from problem


async def _common(db: Connection, second: Path) -> Head | None:
    """Return the newest head that both places have, alike: as a rule the last one of the restored database."""
    size = _ANY_SIZE
    while (signed := await store.head_before(db, size)) is not None:
        head = msgspec.json.decode(signed.record, type=Head)
        line = next(second_place.lines(second, above=head.tree_size - 1), None)
        if line is not None and second_place.parse(line) == signed:
            return head
        size = head.tree_size - 1
    return None
