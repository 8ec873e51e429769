"""What can be done with models: register, compare, approve, promote, roll back, look up."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from altcredit.engine import audit, identity
from altcredit.engine.registry import store
from altcredit.engine.registry.events import ModelPromoted
from altcredit.engine.registry.gate import Comparison, objections
from altcredit.engine.registry.version import PROVEN_ORIGINS, Alias, Environment, ModelVersion, Product, Promotion
from altcredit.runtime import outbox
from altcredit.runtime.db import Connection
from altcredit.runtime.refusal import Refusal

# An approval that nothing came of lapses: the second person signs for what the first one meant.
APPROVAL_LASTS = timedelta(days=7)
PEOPLE = 2
PROMOTE = "models.promote"


class ModelUnknown(Refusal):
    """There is no such version, or no model holds this alias."""


class VersionTaken(Refusal):
    """The version or the very same artefact is registered already."""


class OriginUnproven(Refusal):
    """Production decides by what was learnt from consented ledgers, or by the expert scorecard: nothing else."""


class AlreadyChampion(Refusal):
    """The model is the champion as it is."""


class SecondPersonNeeded(Refusal):
    """A promotion needs two different people (API-ALTSCORE-001, section 07)."""


class NotCompared(Refusal):
    """The model has not been compared with the champion of now."""


class GateClosed(Refusal):
    """The model does not show what a champion must; the details say what."""


class NothingBefore(Refusal):
    """There is no earlier champion to roll back to."""


async def register(
    db: Connection,
    *,
    card: dict[str, Any],
    path: str,
    sha256: str,
    key_id: str,
    signature: bytes,
    environment: Environment,
    actor: str,
    now: datetime,
) -> ModelVersion:
    """
    Record a signed artefact, so that it can be compared, approved and promoted.

    ``card`` as in the artefact (``version``, ``product``, ``kind``, ``data_origin`` are read from it), ``path``
    relative to the folder of models.

    :raises VersionTaken:
    :raises OriginUnproven: in production, where the card says that the model learnt from simulated or public data.
    """
    model = ModelVersion(
        version=card["version"],
        product=card["product"],
        kind=card["kind"],
        data_origin=card["data_origin"],
        card=card,
        path=path,
        sha256=sha256,
        key_id=key_id,
        signature=signature,
        registered_by=actor,
        registered_at=now,
    )
    _require_origin(model, environment)
    if not await store.insert(db, model):
        raise VersionTaken(f"Model {model.version} is registered already, under this name or another")
    await audit.append(
        db,
        actor=actor,
        action="model.registered",
        subject=model.version,
        details={"product": model.product, "sha256": sha256, "data_origin": model.data_origin},
        now=now,
    )
    return model


def _require_origin(model: ModelVersion, environment: Environment) -> None:
    if environment == "production" and model.data_origin not in PROVEN_ORIGINS:
        raise OriginUnproven(f"Model {model.version} learnt from {model.data_origin} data")


async def get(db: Connection, *, version: str) -> ModelVersion:
    """Return a version with its card. Raises ModelUnknown."""
    model = await store.find(db, version)
    if model is None:
        raise ModelUnknown(f"There is no model {version}")
    return model


async def list_versions(db: Connection, *, product: Product | None = None) -> list[ModelVersion]:
    """Return every version, of one product or of all, the newest first."""
    return await store.every(db, product)


async def holder(db: Connection, *, product: Product, alias: Alias) -> ModelVersion:
    """Return a product's champion or challenger. Raises ModelUnknown: there is none."""
    model = await store.by_alias(db, product, alias)
    if model is None:
        raise ModelUnknown(f"No model is {alias} of {product}")
    return model


async def champion_artefact(db: Connection, *, product: Product) -> tuple[str, str, str]:
    """
    Return version, sha256 and path of a product's champion: one small read, cheap enough before every job.

    :raises ModelUnknown: there is no champion.
    """
    found = await store.champion_artefact(db, product)
    if found is None:
        raise ModelUnknown(f"No model is champion of {product}")
    return found


async def challenge(db: Connection, *, version: str, actor: str, now: datetime) -> None:
    """Make a version its product's challenger. Raises ModelUnknown, AlreadyChampion."""
    model = await get(db, version=version)
    if "champion" in model.aliases:
        raise AlreadyChampion(f"Model {version} is the champion")
    await store.set_alias(db, product=model.product, alias="challenger", version=version, now=now)
    await audit.append(db, actor=actor, action="model.challenged", subject=version, details={}, now=now)


async def record_comparison(
    db: Connection, *, version: str, against: str, comparison: Comparison, actor: str, now: datetime
) -> None:
    """Record how a version compares with another, which the gate reads. Raises ModelUnknown."""
    await get(db, version=version)
    await get(db, version=against)
    text = msgspec.json.encode(comparison).decode()
    await store.record_comparison(db, version=version, against=against, comparison=text, now=now)
    await audit.append(db, actor=actor, action="model.compared", subject=version, details={"against": against}, now=now)


async def approve(db: Connection, *, version: str, actor: str, now: datetime) -> list[str]:
    """
    Sign for a version's promotion, on the host; return whose signatures of the last seven days count.

    :param actor: ``person:<name>``. Where the name is a staff member's NameID, they must be allowed to promote models,
        and their signature counts as long as they are (see ``identity.standing``).
    :raises ModelUnknown:
    :raises identity.PermissionDenied: a member of staff who may not.
    """
    model = await get(db, version=version)
    await store.approve(db, version=version, actor=actor, standing=await _standing(db, actor), now=now)
    await _note_approved(db, model, actor, now)
    return await _approvals(db, version, now)


async def _note_approved(db: Connection, model: ModelVersion, actor: str, now: datetime) -> None:
    details = {"sha256": model.sha256}
    await audit.append(db, actor=actor, action="model.approved", subject=model.version, details=details, now=now)


async def _standing(db: Connection, actor: str) -> int | None:
    return await identity.standing(db, name_id=actor.removeprefix("person:"), permission=PROMOTE)


async def _approvals(db: Connection, version: str, now: datetime) -> list[str]:
    """Return who has signed on the host, and still may."""
    return [
        actor
        for actor, standing in await store.approvals(db, version=version, since=now - APPROVAL_LASTS)
        if await _still(db, actor, standing)
    ]


async def _still(db: Connection, actor: str, standing: int | None) -> bool:
    try:
        return await _standing(db, actor) == standing
    except identity.PermissionDenied:
        return False


async def sign_promotion(
    db: Connection, *, version: str, session: identity.StaffSession, environment: Environment, now: datetime
) -> Promotion | None:
    """
    Sign for a version's promotion as staff: None after the first signature; the second, by somebody else, promotes.

    Whatever the environment, it takes two (API-ALTSCORE-001, section 07). Only signatures of callers who proved
    themselves the same way count, not those made on the host. What a first signature counts for, and how long, says
    ``identity.sign_with``; it is refused where the promotion would be.

    :raises identity.SecondPersonNeeded: this person has signed already.
    :raises ModelUnknown, AlreadyChampion, OriginUnproven, NotCompared, GateClosed:
    """
    await store.lock(db)
    model, champion = await _promotable(db, version, environment)
    actor = f"staff:{session.staff_id}"
    first = await identity.sign_with(db, session=session, action=PROMOTE, subject=version, now=now)
    if first is None:
        await _note_approved(db, model, actor, now)
        return None
    return await _promote(db, model, champion, people=(f"staff:{first}", actor), now=now)


async def _promotable(
    db: Connection, version: str, environment: Environment
) -> tuple[ModelVersion, ModelVersion | None]:
    """Return a model that may become champion, and the champion whose place it takes."""
    model = await get(db, version=version)
    if "champion" in model.aliases:
        raise AlreadyChampion(f"Model {version} is the champion already")
    _require_origin(model, environment)
    champion = await store.by_alias(db, model.product, "champion")
    if champion is not None:
        await _require_open_gate(db, model, against=champion.version)
    return model, champion


async def promote(db: Connection, *, version: str, actor: str, environment: Environment, now: datetime) -> Promotion:
    """
    Make a version its product's champion, in the caller's transaction and without a restart anywhere.

    Two different people: whoever calls, and another who has approved. In development one person suffices, and the
    audit row says so. A first champion has nobody to be compared with.

    :raises ModelUnknown: AlreadyChampion: OriginUnproven:
    :raises SecondPersonNeeded: nobody else approved within seven days, or nobody who still may.
    :raises identity.PermissionDenied: ``actor`` is of the staff, and may not.
    :raises NotCompared: GateClosed: the gate of pipeline.md, with every objection in the details.
    """
    await store.lock(db)
    model, champion = await _promotable(db, version, environment)
    await _standing(db, actor)
    people = (*(other for other in await _approvals(db, version, now) if other != actor), actor)
    if len(people) < PEOPLE and environment != "development":
        raise SecondPersonNeeded(f"Someone other than {actor} must approve {version} first")
    return await _promote(db, model, champion, people=people, now=now)


async def _promote(
    db: Connection, model: ModelVersion, champion: ModelVersion | None, *, people: tuple[str, ...], now: datetime
) -> Promotion:
    """Change the champion; the last of ``people`` carries it out."""
    version, predecessor = model.version, champion.version if champion else None
    await store.set_alias(db, product=model.product, alias="champion", version=version, now=now)
    await store.drop_alias(db, alias="challenger", version=version)
    await store.record_promotion(db, version=version, predecessor=predecessor, promoted_by=people, now=now)
    details = {
        "product": model.product,
        "predecessor": predecessor,
        "people": people,
        "sole_operator": len(people) < PEOPLE,
        "sha256": model.sha256,
    }
    await audit.append(db, actor=people[-1], action="model.promoted", subject=version, details=details, now=now)
    await outbox.publish(db, ModelPromoted(product=model.product, version=version), now=now)
    return Promotion(version=version, product=model.product, predecessor=predecessor, promoted_by=people, at=now)


async def _require_open_gate(db: Connection, model: ModelVersion, *, against: str) -> None:
    version = model.version
    text = await store.comparison(db, version=version, against=against)
    if text is None:
        raise NotCompared(f"Model {version} has not been compared with the champion {against}")
    found = objections(msgspec.json.decode(text, type=Comparison), product=model.product)
    if found:
        raise GateClosed(f"Model {version} may not replace {against}", details=found)


async def rollback(db: Connection, *, product: Product, actor: str, now: datetime) -> Promotion:
    """
    Put the predecessor of a product's champion back in office: one update, effective with the next job.

    One person suffices.

    :raises NothingBefore: there is no champion, or it is the first.
    """
    await store.lock(db)
    changed = await store.roll_back(db, product=product, now=now)
    if changed is None:
        raise NothingBefore(f"There is no earlier champion of {product}")
    left, restored = changed
    details = {"product": product, "from": left}
    await audit.append(db, actor=actor, action="model.rolled_back", subject=restored, details=details, now=now)
    await outbox.publish(db, ModelPromoted(product=product, version=restored), now=now)
    return Promotion(version=restored, product=product, predecessor=left, promoted_by=(actor,), at=now)
