"""What erasure and export ask of scores: what goes, what stays and why, and all that a shop may see."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from altcredit.engine.scoring import store
from altcredit.runtime.db import Connection


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """
    How much went, and how much stays.

    ``kept``: assessments that a lender was told. They are records of decisions and stay under their opaque id, without
    the features that they were made from.
    """

    snapshots: int
    assessments: int
    kept: int


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a lender that was about this retailer, refused ones included."""

    at: datetime
    lender_id: str
    operation: str
    purpose: str | None
    outcome: str
    consent_id: str | None
    score_id: str | None
    request_id: str


async def erase(db: Connection, *, retailer_ids: Sequence[str]) -> Erased:
    """Delete scores and features of a retailer (all its ids), as far as they are not records of decisions told."""
    snapshots, assessments, kept = await store.forget(db, list(retailer_ids))
    return Erased(snapshots=snapshots, assessments=assessments, kept=kept)


async def assessments(db: Connection, *, retailer_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return every assessment of a retailer, oldest first, with its reasons and the features it was made from."""
    return [
        {
            **row,
            "reasons": msgspec.json.decode(row["reasons"]),
            "standing": msgspec.json.decode(row["standing"]),
        }
        for row in await store.assessments(db, list(retailer_ids))
    ]


async def accesses(db: Connection, *, retailer_ids: Sequence[str]) -> list[Access]:
    """Return who asked about a retailer, when, for what and with which outcome, oldest first."""
    return [Access(**row) for row in await store.accesses(db, list(retailer_ids))]
