"""
A model on disk: ``card.json``, ``trees.ubj`` where it has trees, ``signature.json``.

The signature (ECDSA P-256 over SHA-256, DER) is over the bytes of the card, and the card holds the digest of the trees.
Both are checked before a byte is parsed. Nothing here can execute: JSON and XGBoost's own UBJ, no pickle.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import xgboost as xgb

from altcredit.pipeline.models.model import Card, Model
from altcredit.runtime.refusal import Refusal

CARD, TREES, SIGNATURE = "card.json", "trees.ubj", "signature.json"

Sign = Callable[[bytes], tuple[str, bytes]]
"""``sign(data) -> (key_id, signature)``"""
Verify = Callable[[str, bytes, bytes], bool]
"""``verify(key_id, data, signature)``"""


class ArtefactBroken(Refusal):
    """A model's files are missing, altered, or signed by nobody we know: it is not loaded."""


class ArtefactExists(Refusal):
    """There is a model of this version already; versions are never overwritten."""


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who signed the card; ``signature`` is hex."""

    key_id: str
    signature: str


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry records of an artefact."""

    path: str
    """Relative to the folder of models."""
    sha256: str
    """Of the card, which binds everything else."""
    key_id: str
    signature: bytes


def save(model: Model, *, folder: Path, sign: Sign) -> Saved:
    """
    Write a model under ``folder/<version>`` and sign it.

    The files appear together or not at all. Raises ArtefactExists.
    """
    trees = bytes(model.booster.save_raw("ubj")) if model.booster is not None else None
    digest = hashlib.sha256(trees).hexdigest() if trees is not None else None
    card = msgspec.json.encode(msgspec.structs.replace(model.card, booster_sha256=digest), order="sorted")
    key_id, signature = sign(card)
    target = folder / model.card.version
    staged = folder / f".{model.card.version}.{os.getpid()}"
    if target.exists():
        raise ArtefactExists(f"There is a model {model.card.version} already")
    staged.mkdir(parents=True, mode=0o700)
    written = {CARD: card, SIGNATURE: msgspec.json.encode(Signature(key_id=key_id, signature=signature.hex()))}
    if trees is not None:
        written[TREES] = trees
    for name, data in written.items():
        _write(staged / name, data)
    staged.rename(target)
    return Saved(path=target.name, sha256=hashlib.sha256(card).hexdigest(), key_id=key_id, signature=signature)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def load(folder: Path, *, verify: Verify, sha256: str | None = None, threads: int = 2) -> Model:
    """
    Return the model in ``folder``, once its signature and digests hold.

    ``sha256``: the digest of the card that the registry has. Raises ArtefactBroken.
    """
    try:
        card_bytes = (folder / CARD).read_bytes()
        signed = msgspec.json.decode((folder / SIGNATURE).read_bytes(), type=Signature)
        signature = bytes.fromhex(signed.signature)
    except (OSError, msgspec.DecodeError, ValueError) as error:
        raise ArtefactBroken(f"Model in {folder.name}: {error}") from error
    digest = hashlib.sha256(card_bytes).hexdigest()
    if sha256 is not None and digest != sha256:
        raise ArtefactBroken(f"Model in {folder.name}: its card is not the one that was registered")
    if not verify(signed.key_id, card_bytes, signature):
        raise ArtefactBroken(f"Model in {folder.name}: its card has no valid signature")
    try:
        card = msgspec.json.decode(card_bytes, type=Card)
    except msgspec.DecodeError as error:
        raise ArtefactBroken(f"Model in {folder.name}: its card is of another form: {error}") from error
    return Model(card, _trees(folder, card), sha256=digest, threads=threads)


def _trees(folder: Path, card: Card) -> xgb.Booster | None:
    if card.kind == "expert":
        return None
    try:
        trees = (folder / TREES).read_bytes()
    except OSError as error:
        raise ArtefactBroken(f"Model in {folder.name}: {error}") from error
    if hashlib.sha256(trees).hexdigest() != card.booster_sha256:
        raise ArtefactBroken(f"Model in {folder.name}: its trees are not those of its card")
    booster = xgb.Booster()
    booster.load_model(bytearray(trees))
    return booster
