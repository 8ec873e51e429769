"""``altcredit receipt``: is a decision receipt genuine, and does the model say the same again."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cyclopts
import msgspec

from altcredit.cli.clients import ACTOR
from altcredit.cli.output import say
from altcredit.cli.session import run, settings
from altcredit.runtime import clock
from altcredit.runtime.platform import Platform
from altcredit.runtime.refusal import Refusal

if TYPE_CHECKING:
    from altcredit.engine.scoring import Receipt

group = cyclopts.App(name="receipt", help="Decision receipts.")


class FileUnusable(Refusal):
    """A file that was named cannot be read, or is not what it should be."""


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(group)


@group.command
def verify(
    file: Path, *, public_key: Path | None = None, model: Path | None = None, features: Path | None = None
) -> int:
    """
    Verify a receipt's signature, and that its model and inputs give its score again; exit 1 if anything does not hold.

    With --public-key it needs nothing of this installation: no database, no network.

    Parameters
    ----------
    file: Path
        The receipt, as `GET /v1/score/{score_id}/receipt` answered it.
    public_key: Path | None
        The public key: a PEM file, or the key set that the receipt's `public_keys` names. Default: this
        installation's keys.
    model: Path | None
        The model's folder, to score again; needs --features.
    features: Path | None
        What the score was made from, as `altcredit receipt inputs` writes it.
    """
    from altcredit.engine import scoring

    if (model is None) != (features is None):
        raise FileUnusable("--model and --features go together.")
    receipt, signature = scoring.receipt_from(_json(file))
    holds = _is_signed(receipt, signature, public_key)
    say(f"The signature of {receipt.score_id} by key {receipt.key_id} {'holds' if holds else 'DOES NOT HOLD'}.")
    if not holds:
        say("The receipt was changed after it was signed, or the signature is not of this key.")
    if model is not None and features is not None:
        holds = _reproduces(receipt, model, features) and holds
    return 0 if holds else 1


@group.command
def inputs(score_id: str, *, out: Path) -> None:
    """
    Write what a score was made from, byte for byte as its receipt's `inputs_sha256` says; recorded in the audit log.

    Parameters
    ----------
    score_id: str
        As in the receipt.
    out: Path
        The file to write.
    """
    from altcredit.engine import audit, scoring

    async def work(platform: Platform) -> bytes:
        async with platform.database.transaction() as db:
            found = await scoring.inputs(db, score_id=score_id)
            now = clock.now()
            await audit.append(db, actor=ACTOR, action="score.inputs_shown", subject=score_id, details={}, now=now)
            return found

    out.write_bytes(run(work))
    say(f"Wrote {out}.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise FileUnusable(f"{path}: {problem.strerror}.") from problem


def _json(path: Path) -> dict[str, Any]:
    """Return a JSON object whose names are each there once: of two, a reader may see the one, a program the other."""
    try:
        found = json.loads(_read(path), object_pairs_hook=_once)
    except (ValueError, RecursionError) as problem:
        raise FileUnusable(f"{path}: not a JSON object ({problem}).") from problem
    if not isinstance(found, dict):
        raise FileUnusable(f"{path}: not a JSON object.")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _is_signed(receipt: "Receipt", signature: bytes, public_key: Path | None) -> bool:
    from altcredit.engine.scoring import signed_bytes
    from altcredit.runtime.signing import is_signed_by, key_ids

    data = signed_bytes(receipt)
    if public_key is not None:
        public = _read(public_key)
        known = key_ids(public)
        if not known:
            raise FileUnusable(f"{public_key}: neither a public key (PEM, EC) nor a JSON Web Key Set with one.")
        if receipt.key_id not in known:
            say(f"{public_key} does not have the key that the receipt names; it has {', '.join(sorted(known))}.")
        return is_signed_by(public, receipt.key_id, data, signature)

    async def work(platform: Platform) -> bool:
        return platform.signing.verify("receipt", receipt.key_id, data, signature)

    return run(work)


def _reproduces(receipt: "Receipt", folder: Path, features: Path) -> bool:
    """Score the inputs again, and tell what differs."""
    import pandas as pd

    from altcredit.engine import scoring
    from altcredit.pipeline.models import load, predict

    text = _read(features)
    if hashlib.sha256(text).hexdigest() != receipt.inputs_sha256:
        say(f"{features} IS NOT what the score was made from.")
        return False
    standing = msgspec.json.decode(text, type=scoring.Standing)
    # The receipt names the card's digest, and is itself signed: the card needs no other proof.
    model = load(folder, verify=lambda _key_id, _data, _signature: True, sha256=receipt.model.sha256)
    (estimate,) = predict(pd.DataFrame([standing.features], dtype=float), model)
    policy = scoring.policy_of(settings())
    wrong = scoring.differences(receipt, standing, estimate, model=model.info, policy=policy)
    for name in wrong:
        say(f"{name} DIFFERS when scored again.")
    if receipt.policy_version != policy.version:
        say(f"The limit was not compared: it is of policy {receipt.policy_version}.")
    if not wrong:
        say(f"The model gives {receipt.altscore} again, for the same reasons.")
    return not wrong
