"""Models: who is champion, promotion by two people, rollback (API-ALTSCORE-001, section 07)."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from altcredit.api.admin.actions import Change, actor, changing, looking
from altcredit.api.contract import Call, Pending
from altcredit.api.staff.credentials import session_of
from altcredit.engine import identity, registry
from altcredit.runtime.db import Connection

BASE = "/v1/admin/models"

Version = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$", examples=["altscore-xgb-v2"])]


class WhichModels(msgspec.Struct, frozen=True, kw_only=True):
    """Which models; without anything, all of them."""

    product: registry.Product | None = None


class ModelItem(msgspec.Struct, frozen=True, kw_only=True):
    """One registered version; ``sha256`` is that of its card, which binds the rest."""

    version: str
    product: registry.Product
    kind: str
    data_origin: str
    sha256: str
    aliases: tuple[registry.Alias, ...]
    registered_by: str
    registered_at: datetime


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """Registered versions, the newest first."""

    models: list[ModelItem]


class PromotionRequest(Change, frozen=True, kw_only=True):
    """Which version becomes its product's champion."""

    version: Version


class PromotionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A change of champion, effective with the next job, and who wanted it."""

    version: str
    product: registry.Product
    predecessor: str | None
    promoted_by: tuple[str, ...]
    at: datetime


class PromotionPending(msgspec.Struct, frozen=True, kw_only=True):
    """Signed for by one person; a second one must send the same."""

    version: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["pending_second_person"]})]
    requested_by: str
    lapses_at: datetime


class RollbackRequest(Change, frozen=True, kw_only=True):
    """Whose champion steps back for its predecessor."""

    product: registry.Product = "altscore"


async def _office(_call: Call, db: Connection, product: str) -> dict[str, Any]:
    held = await registry.list_versions(db, product=msgspec.convert(product, registry.Product))
    return {"champion": next((one.version for one in held if "champion" in one.aliases), None)}


async def _aliases(_call: Call, db: Connection, version: str) -> dict[str, Any]:
    return {"aliases": (await registry.get(db, version=version)).aliases}


async def list_models(call: Call, asked: WhichModels) -> Models:
    return Models(
        models=[
            ModelItem(
                version=one.version,
                product=one.product,
                kind=one.kind,
                data_origin=one.data_origin,
                sha256=one.sha256,
                aliases=one.aliases,
                registered_by=one.registered_by,
                registered_at=one.registered_at,
            )
            for one in await registry.list_versions(call.db, product=asked.product)
        ]
    )


async def promote(call: Call, asked: PromotionRequest) -> PromotionAnswer | Pending:
    promotion = await registry.sign_promotion(
        call.db,
        version=asked.version,
        session=session_of(call),
        environment=call.platform.settings.environment,
        now=call.now,
    )
    if promotion is None:
        return Pending(
            PromotionPending(
                version=asked.version,
                status="pending_second_person",
                requested_by=actor(call),
                lapses_at=call.now + identity.SIGNATURE_LASTS,
            )
        )
    return _answer(promotion)


async def roll_back(call: Call, asked: RollbackRequest) -> PromotionAnswer:
    return _answer(await registry.rollback(call.db, product=asked.product, actor=actor(call), now=call.now))


def _answer(promotion: registry.Promotion) -> PromotionAnswer:
    return PromotionAnswer(
        version=promotion.version,
        product=promotion.product,
        predecessor=promotion.predecessor,
        promoted_by=promotion.promoted_by,
        at=promotion.at,
    )


ROUTES = (
    looking(
        path=BASE,
        operation="listModels",
        tag="Models",
        summary="List model versions, with champions and challengers",
        permissions=("models.rollback", "compliance.report"),
        about="models",
        handler=list_models,
        asks=WhichModels,
        answers=Models,
    ),
    changing(
        path=f"{BASE}/promote",
        operation="promoteModel",
        tag="Models",
        summary="Promote a model to champion",
        description=(
            "Two people: the first one's signature is recorded (202) and counts for seven days, as long as they are"
            " active in a role that allows it; a second one's promotes (200). The model must have been"
            " compared with the champion and pass the gate. Effective with the next job, without a restart."
        ),
        permission="models.promote",
        about="version",
        state=_aliases,
        signed=True,
        handler=promote,
        asks=PromotionRequest,
        answers=PromotionAnswer,
        pending=PromotionPending,
        refusals=(
            identity.SecondPersonNeeded,
            registry.ModelUnknown,
            registry.AlreadyChampion,
            registry.OriginUnproven,
            registry.NotCompared,
            registry.GateClosed,
        ),
        replays="X-Request-ID",
    ),
    changing(
        path=f"{BASE}/rollback",
        operation="rollBackModel",
        tag="Models",
        summary="Put the champion's predecessor back in office",
        description="One step, effective with the next job, without a restart.",
        permission="models.rollback",
        about="product",
        state=_office,
        handler=roll_back,
        asks=RollbackRequest,
        answers=PromotionAnswer,
        refusals=(registry.NothingBefore,),
        replays="X-Request-ID",
    ),
)
