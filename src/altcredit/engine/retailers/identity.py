"""Identifiers at rest: keyed hashes for finding a shop, and one sealed record a shop for what must be read back."""

from typing import Final

import msgspec

from altcredit.engine.retailers.matching import HashedKey, ShopKey
from altcredit.runtime.keys import Keyring

_SEAL: Final = "retailer.identity"


class Identity(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is known of a shop in clear. Never stored but sealed."""

    name: str | None = None
    gstins: list[str] = []
    phone_hashes: list[str] = []

    def take(self, key: ShopKey) -> None:
        """Add what a record says; the newest name holds."""
        self.name = key.name or self.name
        if key.gstin and key.gstin not in self.gstins:
            self.gstins.append(key.gstin)
        if key.phone_hash and key.phone_hash not in self.phone_hashes:
            self.phone_hashes.append(key.phone_hash)


def seal(identity: Identity, *, keyring: Keyring, retailer_id: str) -> bytes:
    return keyring.seal(msgspec.json.encode(identity), owner=retailer_id, purpose=_SEAL)


def unseal(sealed: bytes, *, keyring: Keyring, retailer_id: str) -> Identity:
    return msgspec.json.decode(keyring.unseal(sealed, owner=retailer_id, purpose=_SEAL), type=Identity)


def gst_hash(keyring: Keyring, gstin: str) -> bytes:
    """Return the keyed hash that stands for a GSTIN in the database (32 bytes)."""
    return keyring.hmac("retailer.gst", gstin)


def ref_hash(keyring: Keyring, distributor_id: str, ref: str) -> bytes:
    """Return the keyed hash that stands for a distributor's own code of a shop."""
    return keyring.hmac("retailer.ref", distributor_id, ref)


def phone_hash(keyring: Keyring, sent: str) -> bytes:
    """Return the keyed hash that stands for a phone; ``sent`` is its SHA-256 as in the API (contract C1)."""
    return keyring.hmac("retailer.phone", sent)


def name_hash(keyring: Keyring, name: str) -> bytes:
    return keyring.hmac("retailer.name", name)


def hashed(keyring: Keyring, distributor_id: str, key: ShopKey) -> HashedKey:
    return HashedKey(
        gst=gst_hash(keyring, key.gstin) if key.gstin else None,
        ref=ref_hash(keyring, distributor_id, key.ref) if key.ref else None,
        phone=phone_hash(keyring, key.phone_hash) if key.phone_hash else None,
    )
