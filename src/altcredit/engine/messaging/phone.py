"""A phone at rest: a keyed hash to know it by, and the number sealed, where it must be written to (contract C1)."""

import hashlib
import re
from typing import Final

from altcredit.engine import retailers
from altcredit.runtime.keys import Keyring

# What is sealed, and for what; the owner of an address is the phone's hash in hex.
ADDRESS: Final = "messaging.address"
BODY: Final = "messaging.body"
DIGITS: Final = re.compile(r"[1-9][0-9]{6,14}")


def sent_hash(digits: str) -> str:
    """Return the hash of a phone as the API has it: SHA-256 of the E.164 digits without plus, lower-case hex."""
    return hashlib.sha256(digits.encode("ascii")).hexdigest()


def phone_hash(keyring: Keyring, digits: str) -> bytes:
    """Return the keyed hash that stands for a phone, here as with retailers."""
    return retailers.phone_hash(keyring, sent_hash(digits))


def seal_address(keyring: Keyring, digits: str) -> bytes:
    return keyring.seal(digits.encode(), owner=phone_hash(keyring, digits).hex(), purpose=ADDRESS)


def address(keyring: Keyring, phone: bytes, sealed: bytes) -> str:
    """Return the number behind a phone's hash."""
    return keyring.unseal(sealed, owner=phone.hex(), purpose=ADDRESS).decode()
