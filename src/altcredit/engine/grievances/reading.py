"""Who may see which case: find one, list those of a retailer and those that are open, explain a score."""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from altcredit.engine import consent, retailers, scoring
from altcredit.engine.grievances import store
from altcredit.engine.grievances.case import Case, Note, Party, set_back_by, timers
from altcredit.engine.grievances.explanation import Explanation, told
from altcredit.runtime.db import Connection, Record
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Refusal

# What texts are sealed for; their owner is the retailer's id as filed.
DESCRIPTION, RESOLUTION, NOTE = "grievance.description", "grievance.resolution", "grievance.note"
_BEGINNING: Final = (datetime(1970, 1, 1, tzinfo=UTC), "")


class CaseUnknown(Refusal):
    """No such case, retailer or score for this caller. Which of them it is, is not said (contract G1)."""


async def find(db: Connection, *, keyring: Keyring, grievance_id: str, reader: Party, now: datetime) -> Case:
    """
    Return a case as ``reader`` may see it: staff all of it; a lender its own, under live consent; a retailer its own.

    :raises CaseUnknown: there is no such case for this reader.
    """
    row = await store.find(db, grievance_id)
    retailer_id = row["retailer_id"] if row is not None else reader.id
    if not await _may_read(db, keyring, row, retailer_id, reader, now) or row is None:
        raise CaseUnknown
    return await shown(db, keyring, row, reader, now)


async def _may_read(
    db: Connection, keyring: Keyring, row: Record | None, retailer_id: str, reader: Party, now: datetime
) -> bool:
    if reader.kind == "staff":
        return True
    if reader.kind == "lender":
        live = await consent.check(db, keyring=keyring, retailer_id=retailer_id, lender_id=reader.id, now=now)
        return live is not None and row is not None and (row["filed_by"], row["filer_id"]) == ("lender", reader.id)
    ids = await retailers.canonical(db, retailer_ids=(retailer_id, reader.id))
    return reader.id in ids and ids.get(retailer_id) == ids[reader.id]


async def of_retailer(
    db: Connection, *, keyring: Keyring, retailer_id: str, now: datetime, limit: int = 100
) -> list[Case]:
    """Return the cases about a retailer, whoever filed them, the newest first; all ids of the shop count."""
    shop = await retailers.profile(db, keyring=keyring, retailer_id=retailer_id)
    reader = Party(kind="retailer", id=shop.retailer_id)
    rows = await store.of_retailers(db, shop.ids, limit)
    return [await shown(db, keyring, row, reader, now) for row in rows]


async def list_open(
    db: Connection,
    *,
    keyring: Keyring,
    now: datetime,
    overdue: bool = False,
    after: Case | None = None,
    limit: int = 100,
) -> list[Case]:
    """
    Return unresolved cases with their clocks, the oldest first: that is also the order in which clocks run out.

    :param overdue: only those of which a clock has run out.
    :param after: the last case of the page that came before.
    """
    read_at, before = await store.last_read(db)
    latest = now + set_back_by(now, read_at=read_at, before=before)
    position = (after.filed_at, after.grievance_id) if after else _BEGINNING
    rows = await store.unresolved(db, latest, after=position, overdue=overdue, limit=limit)
    return [case_of(keyring, row, latest, ()) for row in rows]


async def explain(db: Connection, *, case: Case) -> Explanation:
    """Return what became of the score in question, in English and Hindi, with the reasons of the old and the new."""
    wanted = [score_id for score_id in (case.score_id, case.new_score_id) if score_id is not None]
    found = await scoring.recorded(db, score_ids=wanted)
    before = found.get(case.score_id or "")
    after = found.get(case.new_score_id or "")
    return Explanation(before=before, after=after, en=told("en", before, after), hi=told("hi", before, after))


async def shown(db: Connection, keyring: Keyring, row: Record, reader: Party, now: datetime) -> Case:
    """Return a case as ``reader`` may see it, its visible notes with it."""
    read_at, before = await store.last_read(db)
    latest = now + set_back_by(now, read_at=read_at, before=before)
    notes = tuple(
        Note(
            at=one["at"],
            author=one["author"] if reader.kind == "staff" else "staff",
            visible=one["visible"],
            text=_opened(keyring, one["sealed_text"], row["retailer_id"], NOTE) or "",
        )
        for one in await store.notes(db, row["grievance_id"])
        if one["visible"] or reader.kind == "staff"
    )
    return case_of(keyring, row, latest, notes)


def case_of(keyring: Keyring, row: Record, latest: datetime, notes: tuple[Note, ...]) -> Case:
    """Return the case that a row holds. ``latest``: the system's time plus everything that it was ever set back."""
    facts = {name: row[name] for name in _FACTS}
    return Case(
        **facts,
        description=_opened(keyring, row["sealed_description"], row["retailer_id"], DESCRIPTION) or "",
        resolution=_opened(keyring, row["sealed_resolution"], row["retailer_id"], RESOLUTION),
        escalated=tuple(row["escalated"]),
        notes=notes,
        timers=timers(
            latest - row["set_back"],
            due=store.due_of(row),
            acknowledged_at=row["acknowledged_at"],
            resolved_at=row["resolved_at"],
        ),
    )


_FACTS = tuple(
    field.name
    for field in msgspec.structs.fields(Case)
    if field.name not in ("description", "resolution", "escalated", "notes", "timers")
)


def _opened(keyring: Keyring, sealed: bytes | None, owner: str, purpose: str) -> str | None:
    return None if sealed is None else keyring.unseal(sealed, owner=owner, purpose=purpose).decode()


async def set_back(db: Connection) -> timedelta:
    """Return by how much the clocks of this installation were set back in all, as far as was noted."""
    _, found = await store.last_read(db)
    return found
