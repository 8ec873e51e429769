"""What erasure, export and the shop itself ask of the consent ledger."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from altcredit.engine.consent import store
from altcredit.engine.consent.notice import BUSINESS, Disclosure
from altcredit.engine.consent.operations import SEAL, revoke
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

    ``retailer_ids``: all ids of the shop. Returns the consents that this ended. The signed records stay and verify;
    the shop's name, which they hold as a salted hash, is destroyed with its salt (decision 0011).
    """
    ended = await store.standing(db, retailer_ids)
    for consent_id in ended:
        await revoke(db, keyring=keyring, actor=actor, consent_id=consent_id, reason=reason, message_id=None, now=now)
    await store.clear_heads(db, retailer_ids)
    await store.forget_businesses(db, retailer_ids)
    return ended


async def records(db: Connection, *, retailer_ids: Sequence[str]) -> list[Recorded]:
    """Return all that a shop ever agreed to, oldest first."""
    return [
        Recorded(**{**row, "revocation": msgspec.json.decode(row["revocation"] or "null")})
        for row in await store.records(db, retailer_ids)
    ]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A notice as its shop saw it, word for word, and the disclosure that proves the name in it (RFC 9901)."""

    text: str
    disclosure: str


async def as_shown(db: Connection, *, keyring: Keyring, retailer_ids: Sequence[str]) -> dict[str, Shown]:
    """
    Return, by consent, the notices that called a shop by its name; for the shop itself and its exports alone.

    A consent that is not among them was shown as its record has it, or the name was erased.
    """
    found = {}
    for row in await store.businesses(db, retailer_ids):
        encoded = keyring.unseal(row["sealed_business"], owner=row["consent_id"], purpose=SEAL).decode("ascii")
        text: str = msgspec.json.decode(row["record"])["notice"]["text"]
        shown = text.replace(BUSINESS, Disclosure.decoded(encoded).name)
        found[row["consent_id"]] = Shown(text=shown, disclosure=encoded)
    return found
