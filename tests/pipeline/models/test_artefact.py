import hashlib
from pathlib import Path

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from tests.pipeline.models.conftest import NOW
from tests.pipeline.models.population import population

from altcredit.engine import registry
from altcredit.pipeline.models import ArtefactBroken, ArtefactExists, Model, load, predict, save
from altcredit.pipeline.models.warm import Warm
from altcredit.runtime.db import Database

KEY = ec.generate_private_key(ec.SECP256R1())
SHOPS = population(shops=30, dates=1, seed=9)


def sign(data: bytes) -> tuple[str, bytes]:
    return "kid-1", KEY.sign(data, ec.ECDSA(SHA256()))


def verify(key_id: str, data: bytes, signature: bytes) -> bool:
    try:
        KEY.public_key().verify(signature, data, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return key_id == "kid-1"


def test_a_saved_model_answers_as_before(tmp_path: Path, trained: Model, expert: Model) -> None:
    for model in (trained, expert):
        saved = save(model, folder=tmp_path, sign=sign)
        again = load(tmp_path / saved.path, verify=verify, sha256=saved.sha256)
        assert predict(SHOPS, again) == predict(SHOPS, model)
        assert (
            again.info.sha256
            == saved.sha256
            == hashlib.sha256((tmp_path / saved.path / "card.json").read_bytes()).hexdigest()
        )
        assert msgspec.structs.replace(again.card, booster_sha256=None) == model.card


def test_files_are_json_and_ubj_and_nothing_else(tmp_path: Path, trained: Model) -> None:
    saved = save(trained, folder=tmp_path, sign=sign)
    assert {path.name for path in (tmp_path / saved.path).iterdir()} == {"card.json", "trees.ubj", "signature.json"}
    assert [path.name for path in tmp_path.iterdir()] == [saved.path]


def test_a_version_is_never_overwritten(tmp_path: Path, expert: Model) -> None:
    save(expert, folder=tmp_path, sign=sign)
    with pytest.raises(ArtefactExists):
        save(expert, folder=tmp_path, sign=sign)


@pytest.mark.parametrize("name", ["card.json", "trees.ubj", "signature.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_an_altered_model_is_not_loaded(tmp_path: Path, trained: Model, name: str, harm: str) -> None:
    saved = save(trained, folder=tmp_path, sign=sign)
    path = tmp_path / saved.path / name
    data = bytearray(path.read_bytes())
    if harm == "remove":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        # In the signature file, the middle lies in the hex digits.
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(ArtefactBroken):
        load(tmp_path / saved.path, verify=verify)


def test_a_validly_signed_model_that_is_not_the_registered_one_is_not_loaded(tmp_path: Path, expert: Model) -> None:
    saved = save(expert, folder=tmp_path, sign=sign)
    with pytest.raises(ArtefactBroken, match="registered"):
        load(tmp_path / saved.path, verify=verify, sha256="0" * 64)


def test_trees_of_another_model_do_not_pass(tmp_path: Path, trained: Model) -> None:
    one = save(trained, folder=tmp_path / "one", sign=sign)
    assert trained.booster is not None
    other = Model(trained.card, trained.booster[:3])
    two = save(other, folder=tmp_path / "two", sign=sign)
    (tmp_path / "one" / one.path / "trees.ubj").write_bytes((tmp_path / "two" / two.path / "trees.ubj").read_bytes())
    with pytest.raises(ArtefactBroken, match="trees"):
        load(tmp_path / "one" / one.path, verify=verify)


async def test_the_warm_champion_follows_promotion_and_rollback(
    tmp_path: Path, trained: Model, expert: Model, database: Database
) -> None:
    async with database.transaction() as db:
        warm = Warm(tmp_path, verify=verify, product="altscore")
        with pytest.raises(registry.ModelUnknown):
            await warm.champion(db)
        for model in (expert, trained):
            saved = save(model, folder=tmp_path, sign=sign)
            await registry.register(
                db,
                card=msgspec.to_builtins(model.card),
                path=saved.path,
                sha256=saved.sha256,
                key_id=saved.key_id,
                signature=saved.signature,
                environment="development",
                actor="cli:dev",
                now=NOW,
            )
        await registry.promote(db, version=expert.card.version, actor="cli:dev", environment="development", now=NOW)
        first = await warm.champion(db)
        assert first.info.version == expert.card.version
        assert await warm.champion(db) is first
        (tmp_path / expert.card.version / "card.json").write_text("{}")
        assert await warm.champion(db) is first  # what is in memory was verified
        with pytest.raises(ArtefactBroken):
            await Warm(tmp_path, verify=verify, product="altscore").champion(db)
