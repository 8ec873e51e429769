"""
Custody: the key file wrapped by a key that this machine does not have.

A *custodian* is a hardware module (PKCS#11) or a key service (the transit engine of Vault or OpenBao) that holds a key
and never gives it away. It wraps the content of the key file, and unwraps it once when a process starts; from then on
the process works in memory (docs/decisions/0012-custody.md). A custodian's address names kind and key, and stands in
the key file; how it is reached (module, server, PIN, token) is a matter of the machine, and stands in the settings.

    pkcs11:token=altcredit;object=key-file        token and object labels, as in RFC 7512
    vault:transit/altcredit                       mount and key of a transit engine
"""

from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

BOUND_TO = b"altcredit key file"
"""What the wrapped content is authenticated with, so that nothing else wrapped by the same key passes for it."""


class CustodianUnusable(Refusal):
    """The custodian's address makes no sense, it cannot be reached, or it does not do what it is asked."""


class Custodian(Protocol):
    """Wraps and unwraps, and knows its own address. Both methods raise CustodianUnusable."""

    address: str

    def wrap(self, content: bytes) -> str:
        """Return ``content`` encrypted and authenticated, as text."""

    def unwrap(self, wrapped: str) -> bytes:
        """Return what ``wrap`` was given, for text that this custodian's key made of it."""


def custodian(address: str, settings: Settings) -> Custodian:
    """Return the custodian of an address, which is not asked anything yet. Raises CustodianUnusable."""
    kind, _, key = address.partition(":")
    if kind == "pkcs11":
        from altcredit.runtime.hsm import HardwareModule

        return HardwareModule.at(address, _labels(address, key), settings)
    if kind == "vault":
        from altcredit.runtime.vault import Vault

        return Vault.at(address, key, settings)
    raise CustodianUnusable(f"{address}: not a custodian; one is pkcs11:token=…;object=… or vault:MOUNT/KEY.")


def _labels(address: str, path: str) -> tuple[str, str]:
    """Return token and object label of a PKCS#11 URI, of which no other attribute is known here."""
    named = dict(part.partition("=")[::2] for part in path.split(";"))
    if set(named) != {"token", "object"} or path.count(";") != 1 or not all(named.values()):
        raise CustodianUnusable(f"{address}: must be pkcs11:token=LABEL;object=LABEL, and nothing else.")
    return unquote(named["token"]), unquote(named["object"])


def secret(file: str, setting: str) -> str:
    """Return the secret that a file of the settings holds, without the line's end. Raises CustodianUnusable."""
    path = Path(file).expanduser()
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise CustodianUnusable(f"{setting}: {path} cannot be read ({type(error).__name__}).") from error
    if not text or not text.isprintable():
        raise CustodianUnusable(f"{setting}: {path} must hold one line.")
    return text
