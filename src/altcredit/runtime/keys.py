"""
The keys of an installation: what every secret at rest is sealed with, and what every lookup hash is keyed with.

A key file holds two things. The *root* never changes: from it, HKDF (RFC 5869) derives one HMAC key a purpose, so that
hashes stored years ago still match. The *key-encryption keys* (KEK) can be rotated: the first of the file seals, all
of them open. A sealed value carries a data key of its own, wrapped by a KEK (RFC 3394), so changing the KEK rewrites
48 bytes of each value (:meth:`Keyring.rewrap`) and none of its ciphertext.

    sealed value = version (1) | KEK id (8) | wrapped data key (40) | nonce (12) | AES-256-GCM ciphertext and tag

The file may be wrapped by a hardware module or a key service (:mod:`altcredit.runtime.custody`), which unwraps it once
when a process starts. What is in memory after that is the same.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import struct
import tempfile
from pathlib import Path
from typing import Self

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from altcredit.runtime.custody import Custodian, CustodianUnusable, custodian
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

KEY_BYTES = 32
_VERSION = 1
_KEK_ID_BYTES = 8
_WRAPPED_BYTES = KEY_BYTES + 8
_NONCE_BYTES = 12
_HEADER = struct.Struct(f">B{_KEK_ID_BYTES}s{_WRAPPED_BYTES}s{_NONCE_BYTES}s")


class KeysUnusable(Refusal):
    """The key file is missing, readable by others, malformed, or a development key in production."""


class SealBroken(Exception):
    """A sealed value is not what was sealed for this owner and purpose. Never expected: altered data, or a bug."""


class _Keys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a key file; keys in hex."""

    root: str
    keks: tuple[str, ...]
    development: bool = False


class _Wrapped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key file whose content a custodian wrapped."""

    custodian: str
    wrapped: str


def _key(text: str, path: Path) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeysUnusable(f"{path}: every key must be {2 * KEY_BYTES} hex digits.")
    return key


def _read(path: Path) -> _Keys | _Wrapped:
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise KeysUnusable(f"{path}: the key file cannot be read ({error.strerror}).") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeysUnusable(f"{path}: others may read this key file; run `chmod 600 {path}`.")
    return _decoded(content, path)


def _decoded(content: bytes, path: Path) -> _Keys | _Wrapped:
    try:
        found = msgspec.json.decode(content)
        if isinstance(found, dict) and "custodian" in found:
            return msgspec.convert(found, _Wrapped)
        keys = msgspec.convert(found, _Keys)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # The error names a field or a position, never a value.
        raise KeysUnusable(f"{path}: not a key file ({error}).") from error
    if not keys.keks:
        raise KeysUnusable(f"{path}: the key file holds no key-encryption key.")
    for key in (keys.root, *keys.keks):
        _key(key, path)
    return keys


def _opened(path: Path, settings: Settings) -> tuple[_Keys, Custodian | None]:
    """Return the keys of a file, and who unwrapped it. Raises KeysUnusable."""
    found = _read(path)
    if isinstance(found, _Keys):
        return found, None
    keeper = custodian(found.custodian, settings)
    return _unwrapped(keeper, found.wrapped, path), keeper


def _unwrapped(keeper: Custodian, wrapped: str, path: Path) -> _Keys:
    keys = _decoded(keeper.unwrap(wrapped), path)
    if not isinstance(keys, _Keys):
        raise KeysUnusable(f"{path}: the key file is wrapped twice.")
    return keys


def write_private(path: Path, content: bytes, *, replace: bool) -> None:
    """
    Write a file that only this user may read, whole: a reader sees the old one or the new one, nothing between.

    :raises FileExistsError: there is one already, and ``replace`` is false; the first of several racing processes wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent)  # mode 0600 from the start
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(name, path)
        else:
            os.link(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _write(path: Path, keys: _Keys, keeper: Custodian | None, *, replace: bool) -> None:
    """Write a key file, wrapped where there is a custodian; never one that the custodian does not open again."""
    content: _Keys | _Wrapped = keys
    if keeper is not None:
        content = _Wrapped(custodian=keeper.address, wrapped=keeper.wrap(msgspec.json.encode(keys)))
        if _unwrapped(keeper, content.wrapped, path) != keys:
            raise CustodianUnusable(
                f"{keeper.address}: it unwraps something else than it wrapped; nothing was written."
            )
    try:
        write_private(path, msgspec.json.format(msgspec.json.encode(content)) + b"\n", replace=replace)
    except FileExistsError:
        raise
    except OSError as error:
        raise KeysUnusable(f"{path}: the key file cannot be written ({error.strerror}).") from error


def create_key_file(path: Path, *, keeper: Custodian | None = None, development: bool = False) -> None:
    """
    Write a new key file, mode 0600, wrapped by ``keeper`` if there is one: then its keys were never on the disk.

    :raises FileExistsError: keys in use are never overwritten.
    :raises altcredit.runtime.custody.CustodianUnusable: it does not wrap, or does not unwrap what it wrapped.
    """
    keys = _Keys(root=secrets.token_hex(KEY_BYTES), keks=(secrets.token_hex(KEY_BYTES),), development=development)
    _write(path, keys, keeper, replace=False)


def wrap_key_file(path: Path, settings: Settings, *, keeper: Custodian | None) -> None:
    """
    Put a key file into the custody of ``keeper``, or of nobody; its keys stay what they are.

    :raises KeysUnusable: the file cannot be read as a key file.
    :raises altcredit.runtime.custody.CustodianUnusable: the one that has it, or the one that is to have it, fails.
    """
    keys, _ = _opened(path, settings)
    _write(path, keys, keeper, replace=True)


def add_kek(path: Path, settings: Settings) -> None:
    """
    Put a new key-encryption key first in the file: it seals from the next start on, the older ones still open.

    :raises KeysUnusable, CustodianUnusable: as ``wrap_key_file``.
    """
    keys, keeper = _opened(path, settings)
    _write(path, msgspec.structs.replace(keys, keks=(secrets.token_hex(KEY_BYTES), *keys.keks)), keeper, replace=True)


def drop_keks(path: Path, settings: Settings) -> int:
    """
    Leave the first key-encryption key alone in the file; return how many went. What they sealed is lost to this file.

    :raises KeysUnusable, CustodianUnusable: as ``wrap_key_file``.
    """
    keys, keeper = _opened(path, settings)
    _write(path, msgspec.structs.replace(keys, keks=keys.keks[:1]), keeper, replace=True)
    return len(keys.keks) - 1


class KeyProvider:
    """The key-encryption keys and the root of one installation, held in memory."""

    def __init__(self, *, root: bytes, keks: tuple[bytes, ...], custody: str = "") -> None:
        """
        ``root`` and each of ``keks``: 32 bytes. The first KEK wraps, all of them unwrap.

        ``custody`` says in words where they came from.
        """
        self.root = root
        self._keks = {hashlib.sha256(b"altcredit kek" + kek).digest()[:_KEK_ID_BYTES]: kek for kek in keks}
        self.kek_id = next(iter(self._keks))
        self.custody = custody

    @classmethod
    def from_file(cls, path: Path, settings: Settings) -> Self:
        """
        Read a key file; its custodian is asked where it has one.

        :raises KeysUnusable: the file cannot be used, or is a development key in production.
        :raises altcredit.runtime.custody.CustodianUnusable: it does not unwrap the file.
        """
        keys, keeper = _opened(path, settings)
        if settings.environment == "production" and keys.development:
            raise KeysUnusable(f"{path}: a development key; production needs one of its own.")
        kind = "development key file" if keys.development else "key file"
        return cls(
            root=_key(keys.root, path),
            keks=tuple(_key(kek, path) for kek in keys.keks),
            custody=f"{kind} {path}, {f'wrapped by {keeper.address}' if keeper else 'not wrapped'}",
        )

    @classmethod
    def chosen(cls, settings: Settings) -> Self:
        """
        Read the key file that the settings name; outside production, none named means one under the home folder.

        :raises KeysUnusable: the file cannot be used; in production also: no file named, or a development key.
        :raises altcredit.runtime.custody.CustodianUnusable: the file is wrapped, and is not unwrapped.
        """
        path = cls.path(settings)
        if not settings.key_file and not path.exists():
            with contextlib.suppress(FileExistsError):  # another process was first: its key is the installation's
                create_key_file(path, development=True)
        return cls.from_file(path, settings)

    @staticmethod
    def path(settings: Settings) -> Path:
        """Return the key file that ``chosen`` reads. Raises KeysUnusable: none is named in production."""
        if settings.key_file:
            return Path(settings.key_file).expanduser()
        if settings.environment == "production":
            raise KeysUnusable("Production needs a key file: set ALTCREDIT_KEY_FILE.")
        return settings.home_path / "keys" / "development.json"

    @property
    def kek_ids(self) -> tuple[bytes, ...]:
        """The ids of all key-encryption keys, the current one first."""
        return tuple(self._keks)

    def wrap(self, data_key: bytes) -> bytes:
        """Wrap a 32-byte data key under the current KEK (RFC 3394, 40 bytes)."""
        return aes_key_wrap(self._keks[self.kek_id], data_key)

    def unwrap(self, kek_id: bytes, wrapped: bytes) -> bytes:
        """Return the data key. Raises SealBroken: the KEK is unknown here, or the wrapped key was altered."""
        try:
            return aes_key_unwrap(self._keks[kek_id], wrapped)
        except KeyError as error:
            raise SealBroken(f"sealed under the unknown key {kek_id.hex()}") from error
        except InvalidUnwrap as error:
            raise SealBroken("the data key does not unwrap") from error


def _prefixed(*parts: str | bytes) -> bytes:
    """Join parts so that no two different lists of parts give the same bytes."""
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(len(part).to_bytes(8, "big") + part for part in encoded)


class Keyring:
    """Seals, opens and hashes with the keys of a provider."""

    def __init__(self, provider: KeyProvider) -> None:
        self._provider = provider
        self._hmac_keys: dict[str, bytes] = {}

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """
        Open the keyring that the settings name.

        :raises KeysUnusable, CustodianUnusable: see ``KeyProvider.chosen``.
        """
        return cls(KeyProvider.chosen(settings))

    @property
    def custody(self) -> str:
        """Where the keys came from, in words."""
        return self._provider.custody

    @property
    def kek_ids(self) -> tuple[bytes, ...]:
        """The ids of the key-encryption keys: the current one, and those before it. They tell nothing of the keys."""
        return self._provider.kek_ids

    def _hmac_key(self, purpose: str) -> bytes:
        key = self._hmac_keys.get(purpose)
        if key is None:
            info = b"altcredit hmac " + purpose.encode()
            key = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(self._provider.root)
            self._hmac_keys[purpose] = key
        return key

    def hmac(self, purpose: str, *parts: str | bytes) -> bytes:
        """
        Return HMAC-SHA256 (32 bytes) over the length-prefixed parts, under the key of this purpose.

        Texts count as their UTF-8 bytes. The result stays the same for the life of the installation.
        """
        return hmac.digest(self._hmac_key(purpose), _prefixed(*parts), "sha256")

    def seal(self, plaintext: bytes, *, owner: str, purpose: str) -> bytes:
        """Encrypt for one owner and purpose; only ``unseal`` with the same two opens it. Adds 77 bytes."""
        data_key, nonce = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(_NONCE_BYTES)
        header = _HEADER.pack(_VERSION, self._provider.kek_id, self._provider.wrap(data_key), nonce)
        return header + AESGCM(data_key).encrypt(nonce, plaintext, _prefixed(owner, purpose, bytes([_VERSION])))

    def unseal(self, sealed: bytes, *, owner: str, purpose: str) -> bytes:
        """Return what was sealed for this owner and purpose. Raises SealBroken."""
        kek_id, wrapped, nonce = _parsed(sealed)
        data_key = self._provider.unwrap(kek_id, wrapped)
        try:
            associated = _prefixed(owner, purpose, bytes([_VERSION]))
            return AESGCM(data_key).decrypt(nonce, sealed[_HEADER.size :], associated)
        except InvalidTag as error:
            raise SealBroken(f"not sealed for {owner}, {purpose}, or altered") from error

    @property
    def current_kek(self) -> bytes:
        """The id of the current KEK, which values sealed under it carry in their bytes 2 to 9."""
        return self._provider.kek_id

    def is_current(self, sealed: bytes) -> bool:
        """Tell whether the current KEK wraps this value's data key. Raises SealBroken."""
        return _parsed(sealed)[0] == self._provider.kek_id

    def rewrap(self, sealed: bytes) -> bytes:
        """Return the value with its data key under the current KEK, its ciphertext untouched. Raises SealBroken."""
        kek_id, wrapped, nonce = _parsed(sealed)
        data_key = self._provider.unwrap(kek_id, wrapped)
        header = _HEADER.pack(_VERSION, self._provider.kek_id, self._provider.wrap(data_key), nonce)
        return header + sealed[_HEADER.size :]


def _parsed(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    if len(sealed) < _HEADER.size or sealed[0] != _VERSION:
        raise SealBroken("not a sealed value of a known version")
    _, kek_id, wrapped, nonce = _HEADER.unpack_from(sealed)
    return kek_id, wrapped, nonce
