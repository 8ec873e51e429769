"""What erasure and export ask of the consent ledger."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from altcredit.engine.consent import store
from altcredit.engine.consent.operations import revoke
from altcredit.runtime.db import Connection
from altcredit.runtime.keys import Keyring


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A consent of a shop: its signed bytes, and how it ended."""

    consent_id: str
    record: bytes
    signature: bytes
    key_id: str
    revoked_at: datetime | None
    revocation: dict[str, Any] | None


async def end_all(
    db: Connection, *, keyring: Keyring, actor: str, retailer_ids: Sequence[str], reason: str, now: datetime
) -> list[str]:
    """
    Revoke every consent of a shop and drop its look-up rows: the next read of any lender is refused.

    ``retailer_ids``: all ids of the shop. Returns the consents that this ended. The signed records stay.
    """
    ended = await store.standing(db, retailer_ids)
    for consent_id in ended:
        await revoke(db, keyring=keyring, actor=actor, consent_id=consent_id, reason=reason, message_id=None, now=now)
    await store.clear_heads(db, retailer_ids)
    return ended


async def records(db: Connection, *, retailer_ids: Sequence[str]) -> list[Recorded]:
    """Return all that a shop ever agreed to, oldest first."""
    return [
        Recorded(**{**row, "revocation": msgspec.json.decode(row["revocation"] or "null")})
        for row in await store.records(db, retailer_ids)
    ]
