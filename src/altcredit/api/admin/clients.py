"""Lenders and services: add, limit, suspend, rotate secrets (API-ALTSCORE-001, sections 02, 09; contract A15, C6)."""

from datetime import timedelta
from typing import Annotated, Any

import msgspec

from altcredit.api.admin.actions import Change, actor, changing, looking
from altcredit.api.contract import Call, Nothing, Route
from altcredit.engine import identity
from altcredit.runtime.db import Connection

Limit = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
ChosenId = Annotated[str, msgspec.Meta(description="An id of your choice.")]
Scope = Annotated[str, msgspec.Meta(extra_json_schema={"enum": sorted(identity.SCOPES)})]


class Clients(msgspec.Struct, frozen=True, kw_only=True):
    """Clients of one kind, the oldest first."""

    clients: list[identity.Client]


class NewLender(Change, frozen=True, kw_only=True):
    """A lender to add."""

    name: Name
    client_id: ChosenId | None = None
    minute_limit: Limit = 100
    day_limit: Limit = 5_000
    max_limit_inr: (
        Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1, description="Caps its recommended limits.")] | None
    ) = None


class NewService(Change, frozen=True, kw_only=True):
    """An internal service to add."""

    name: Name
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1, max_length=10)]
    client_id: ChosenId | None = None


class ClientChange(Change, frozen=True, kw_only=True):
    """What to change; what is left out stays as it is. A ``max_limit_inr`` of null lifts the cap."""

    status: identity.Status | None = None
    minute_limit: Limit | None = None
    day_limit: Limit | None = None
    max_limit_inr: Limit | msgspec.UnsetType | None = msgspec.UNSET


class SecretRotation(Change, frozen=True, kw_only=True):
    """How the secret is replaced."""

    overlap_hours: Annotated[int, msgspec.Meta(ge=0, le=30 * 24, description="How long the old one still works.")] = 24


async def add_lender(call: Call, asked: NewLender) -> identity.IssuedClient:
    return await identity.add_lender(
        call.db,
        keyring=call.platform.keyring,
        name=asked.name,
        client_id=asked.client_id,
        minute=asked.minute_limit,
        day=asked.day_limit,
        max_limit_inr=asked.max_limit_inr,
        actor=actor(call),
        now=call.now,
    )


async def add_service(call: Call, asked: NewService) -> identity.IssuedClient:
    return await identity.add_service(
        call.db,
        keyring=call.platform.keyring,
        name=asked.name,
        client_id=asked.client_id,
        scopes=asked.scopes,
        actor=actor(call),
        now=call.now,
    )


async def _change(call: Call, kind: identity.Kind, asked: ClientChange) -> identity.Client:
    client_id = call.path["id"]
    found = await identity.find_client(call.db, client_id=client_id, kind=kind)
    if asked.status is not None:
        await identity.set_client_status(
            call.db, client_id=client_id, status=asked.status, actor=actor(call), now=call.now
        )
    cap = found.max_limit_inr if asked.max_limit_inr is msgspec.UNSET else asked.max_limit_inr
    limits = (
        found.minute_limit if asked.minute_limit is None else asked.minute_limit,
        found.day_limit if asked.day_limit is None else asked.day_limit,
        cap,
    )
    if limits != (found.minute_limit, found.day_limit, found.max_limit_inr):
        minute, day, _ = limits
        await identity.set_limits(
            call.db, client_id=client_id, minute=minute, day=day, max_limit_inr=cap, actor=actor(call), now=call.now
        )
    return await identity.find_client(call.db, client_id=client_id, kind=kind)


def _of(kind: identity.Kind, *, base: str, permission: str, example: str) -> tuple[Route, ...]:
    """Return what can be done with the clients of a kind, beyond adding one."""
    title = kind.capitalize()

    async def list_(call: Call, _asked: Nothing) -> Clients:
        return Clients(clients=await identity.list_clients(call.db, kind=kind))

    async def change(call: Call, asked: ClientChange) -> identity.Client:
        return await _change(call, kind, asked)

    async def rotate(call: Call, asked: SecretRotation) -> identity.IssuedClient:
        await identity.find_client(call.db, client_id=call.path["id"], kind=kind)
        return await identity.rotate_client_secret(
            call.db,
            keyring=call.platform.keyring,
            client_id=call.path["id"],
            overlap=timedelta(hours=asked.overlap_hours),
            actor=actor(call),
            now=call.now,
        )

    of_one: dict[str, Any] = {
        "tag": "Clients",
        "permission": permission,
        "about": "id",
        "state": _state(kind),
        "places": {"id": example},
        "refusals": (identity.ClientUnknown,),
    }
    return (
        looking(
            path=base,
            operation=f"list{title}s",
            tag="Clients",
            summary=f"List {kind}s with their limits",
            permissions=(permission,),
            about=f"{kind}s",
            handler=list_,
            answers=Clients,
        ),
        changing(
            method="PUT",
            path=f"{base}/{{id}}",
            operation=f"change{title}",
            summary=f"Suspend or activate a {kind}, or change its limits",
            description="Suspension refuses the secret, and the tokens that live, from the next request on.",
            handler=change,
            asks=ClientChange,
            answers=identity.Client,
            replays="X-Request-ID",
            **of_one,
        ),
        changing(
            path=f"{base}/{{id}}/rotate-secret",
            operation=f"rotate{title}Secret",
            summary=f"Issue a {kind}'s new secret beside the old one",
            handler=rotate,
            asks=SecretRotation,
            answers=identity.IssuedClient,
            **of_one,
        ),
    )


def _state(kind: identity.Kind) -> Any:
    async def state(_call: Call, db: Connection, client_id: str) -> identity.Client:
        return await identity.find_client(db, client_id=client_id, kind=kind)

    return state


_LENDERS, _SERVICES = "/v1/admin/lenders", "/v1/admin/services"
_ADDS: dict[str, Any] = {
    "tag": "Clients",
    "about": "client_id",
    "creates": True,
    "answers": identity.IssuedClient,
    "status": 201,
    "description": "The secret is in this answer and nowhere else: it is not kept for replay.",
}
ROUTES = (
    changing(
        path=_LENDERS,
        operation="addLender",
        summary="Add a lender",
        permission="lenders.manage",
        state=_state("lender"),
        handler=add_lender,
        asks=NewLender,
        refusals=(identity.IdInvalid, identity.IdTaken),
        **_ADDS,
    ),
    *_of("lender", base=_LENDERS, permission="lenders.manage", example="lender_shriram"),
    changing(
        path=_SERVICES,
        operation="addService",
        summary="Add an internal service",
        permission="services.manage",
        state=_state("service"),
        handler=add_service,
        asks=NewService,
        refusals=(identity.IdInvalid, identity.IdTaken, identity.ScopeUnknown),
        **_ADDS,
    ),
    *_of("service", base=_SERVICES, permission="services.manage", example="svc_whatsapp"),
)
