"""
What this process already found out: which retailer a combination of identifiers means.

Held in memory only, under a keyed hash (a dump of the heap shows no identifiers). An entry is good for the day it was
made, so that ``last_seen`` stays true to the day, and for one epoch: whatever makes identities wrong counts it up.
Merges don't: an absorbed id keeps answering, and readers resolve it.
"""

from collections import OrderedDict
from datetime import date
from hashlib import blake2b
from typing import Final
from weakref import WeakKeyDictionary

from altcredit.engine.retailers.matching import ShopKey
from altcredit.runtime.keys import Keyring

CAPACITY: Final = 50_000


class Remembered:
    """Least recently used entries go first."""

    def __init__(self, secret: bytes) -> None:
        self._keyed = blake2b(key=secret, digest_size=16)
        self._epoch: tuple[int, int] | None = None
        self._entries: OrderedDict[bytes, tuple[date, str]] = OrderedDict()

    def at(self, epoch: tuple[int, int]) -> None:
        """Forget everything if it was found out in another epoch."""
        if epoch != self._epoch:
            self._entries.clear()
            self._epoch = epoch

    def get(self, token: bytes, on: date) -> str | None:
        entry = self._entries.get(token)
        if entry is None or entry[0] != on:
            return None
        self._entries.move_to_end(token)
        return entry[1]

    def put(self, token: bytes, on: date, retailer_id: str) -> None:
        self._entries[token] = (on, retailer_id)
        if len(self._entries) > CAPACITY:
            self._entries.popitem(last=False)

    def token(self, distributor_id: str, key: ShopKey) -> bytes:
        """Return the name that an entry goes by. NUL occurs in no field: requests that contain it are refused."""
        text = f"{distributor_id}\0{key.gstin}\0{key.ref}\0{key.phone_hash}\0{key.name}"
        hashed = self._keyed.copy()  # half the cost of setting up the key each time
        hashed.update(text.encode())
        return hashed.digest()


_by_keyring: WeakKeyDictionary[Keyring, Remembered] = WeakKeyDictionary()


def remembered(keyring: Keyring) -> Remembered:
    """Return the memory of the installation that the keyring belongs to."""
    memory = _by_keyring.get(keyring)
    if memory is None:
        memory = _by_keyring[keyring] = Remembered(keyring.hmac("retailer.remembered", "token"))
    return memory
