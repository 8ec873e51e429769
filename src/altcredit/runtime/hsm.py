"""
A hardware security module, by PKCS#11: an AES key in a token encrypts and decrypts (CKM_AES_GCM).

The module's own library is loaded into this process and let go of as soon as it has answered.
"""

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from altcredit.runtime.custody import BOUND_TO, CustodianUnusable, secret
from altcredit.runtime.settings import Settings

_NONCE_BYTES = 12
_TAG_BITS = 128


class HardwareModule:
    """One AES key in a token; ``token`` and ``key`` are its labels, ``module`` the library that speaks to it."""

    def __init__(self, *, address: str, token: str, key: str, module: Path, pin: str) -> None:
        self.address = address
        self._token = token
        self._key = key
        self._module = module
        self._pin = pin

    @classmethod
    def at(cls, address: str, labels: tuple[str, str], settings: Settings) -> Self:
        """Return the module that the settings say how to reach. Raises CustodianUnusable."""
        if not settings.pkcs11_module or not settings.pkcs11_pin_file:
            raise CustodianUnusable(f"{address}: set ALTCREDIT_PKCS11_MODULE and ALTCREDIT_PKCS11_PIN_FILE.")
        return cls(
            address=address,
            token=labels[0],
            key=labels[1],
            module=Path(settings.pkcs11_module).expanduser(),
            pin=secret(settings.pkcs11_pin_file, "ALTCREDIT_PKCS11_PIN_FILE"),
        )

    def wrap(self, content: bytes) -> str:
        """Return nonce, ciphertext and tag in base64. Raises CustodianUnusable."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        with self._opened() as (key, how):
            return base64.b64encode(nonce + bytes(key.encrypt(content, **how(nonce)))).decode()

    def unwrap(self, wrapped: str) -> bytes:
        """Return the content. Raises CustodianUnusable."""
        try:
            raw = base64.b64decode(wrapped, validate=True)
        except ValueError as error:
            raise CustodianUnusable(f"{self.address}: what is to be unwrapped is not base64.") from error
        with self._opened() as (key, how):
            return bytes(key.decrypt(raw[_NONCE_BYTES:], **how(raw[:_NONCE_BYTES])))

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """Lend the key in a session, and what its two methods are to be called with for a nonce."""
        try:
            import pkcs11
        except ImportError as error:
            raise CustodianUnusable(f"{self.address}: needs `pip install altcredit[pkcs11]`.") from error

        def how(nonce: bytes) -> dict[str, Any]:
            given = pkcs11.GCMParams(nonce=nonce, aad=BOUND_TO, tag_bits=_TAG_BITS)
            return {"mechanism": pkcs11.Mechanism.AES_GCM, "mechanism_param": given}

        try:
            library = pkcs11.lib(str(self._module))
            try:
                token = library.get_token(token_label=self._token)
                with token.open(user_pin=self._pin) as session:
                    wanted = {
                        pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
                        pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.AES,
                        pkcs11.Attribute.LABEL: self._key,
                    }
                    yield self._only(list(session.get_objects(wanted))), how
            finally:
                library.finalize()
        except pkcs11.PKCS11Error as error:
            raise CustodianUnusable(
                f"{self.address}: {_SAYS.get(type(error).__name__) or _described(error)}"
            ) from error

    def _only(self, found: list[Any]) -> Any:
        if len(found) != 1:
            raise CustodianUnusable(f"{self.address}: the token has {len(found)} AES keys of this label, not one.")
        if not (hasattr(found[0], "encrypt") and hasattr(found[0], "decrypt")):
            raise CustodianUnusable(f"{self.address}: the key may not encrypt and decrypt (CKA_ENCRYPT, CKA_DECRYPT).")
        return found[0]


_SAYS = {
    "NoSuchToken": "the module has no token of this label.",
    "MultipleTokensReturned": "the module has several tokens of this label.",
    "PinIncorrect": "the PIN is wrong; a token locks after a few wrong ones, so mend the file before you try again.",
    "PinLocked": "the token is locked after too many wrong PINs; its security officer unlocks it.",
    "MechanismInvalid": "the module does not offer CKM_AES_GCM.",
    # How modules answer to a wrong tag; SoftHSM says no more than GeneralError.
    "EncryptedDataInvalid": "this key did not wrap the key file, or the file was altered.",
    "EncryptedDataLenRange": "this key did not wrap the key file, or the file was altered.",
    "GeneralError": "the module refused; likely this key did not wrap the key file, or the file was altered.",
}


def _described(error: Exception) -> str:
    return " ".join(filter(None, (type(error).__name__, str(error))))
