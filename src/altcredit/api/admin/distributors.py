"""Distributors: onboard, rotate, revoke, suspend, backfill (API-ALTSCORE-001, sections 02, 05, 07; contract I5, I7)."""

from datetime import timedelta
from typing import Annotated, Any

import msgspec

from altcredit.api.admin.actions import Change, actor, changing, looking
from altcredit.api.contract import BodyMalformed, Call, Nothing
from altcredit.engine import identity
from altcredit.runtime.certificates import Authority, CsrInvalid
from altcredit.runtime.db import Connection
from altcredit.runtime.refusal import Detail

BASE = "/v1/admin/distributors"
EXAMPLE = "dist_c4f9a1b2c3d4e5f6"
_PERMISSION = "distributors.manage"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, description="As consent notices show it.")]
Csr = Annotated[
    str,
    msgspec.Meta(
        max_length=16_384,
        description=(
            "Certificate signing request (PEM) for a key that the distributor made; without one, a key is made here"
            " and returned, once."
        ),
    ),
]
Batches = Annotated[int, msgspec.Meta(ge=0, le=1_000_000, description="Batches an hour.")]
OverlapHours = Annotated[
    int, msgspec.Meta(ge=0, le=90 * 24, description="How long the newest old credentials still work; 0: not at all.")
]


class Distributors(msgspec.Struct, frozen=True, kw_only=True):
    """All distributors, the oldest first."""

    distributors: list[identity.DistributorAccount]


class WhichDistributor(msgspec.Struct, frozen=True, kw_only=True):
    """Which distributor."""

    id: Annotated[str, msgspec.Meta(examples=[EXAMPLE])]


class NewDistributor(Change, frozen=True, kw_only=True):
    """Whom to onboard."""

    name: Name
    distributor_id: Annotated[str, msgspec.Meta(description="An id of your choice.", examples=[EXAMPLE])] | None = None
    csr_pem: Csr | None = None
    batches_per_hour: Batches = 10


class Rotation(Change, frozen=True, kw_only=True):
    """How the credentials are replaced."""

    csr_pem: Csr | None = None
    overlap_hours: OverlapHours = 14 * 24


class Revocation(Change, frozen=True, kw_only=True):
    """What is refused from the next request on; at least one of the two."""

    certificate_sha256: (
        Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$", description="Fingerprint of a certificate.")] | None
    ) = None
    key_id: Annotated[str, msgspec.Meta(description="Id of an API key.")] | None = None


class Backfill(Change, frozen=True, kw_only=True):
    """A higher limit for a while, as for a first load."""

    batches_per_hour: Batches
    hours: Annotated[int, msgspec.Meta(ge=1, le=30 * 24)] = 24


class DistributorChange(Change, frozen=True, kw_only=True):
    """What to change; what is left out stays as it is."""

    status: identity.Status | None = None
    require_v2: Annotated[bool, msgspec.Meta(description="Whether batches need X-Payload-Signature-V2.")] | None = None
    batches_per_hour: Batches | None = None


async def _state(_call: Call, db: Connection, distributor_id: str) -> identity.DistributorAccount:
    return await identity.find_distributor(db, distributor_id=distributor_id)


def _authority(call: Call) -> Authority:
    return Authority.open(call.platform.settings, keyring=call.platform.keyring, now=call.now)


async def list_distributors(call: Call, _asked: Nothing) -> Distributors:
    return Distributors(distributors=await identity.list_distributors(call.db))


async def show_distributor(call: Call, asked: WhichDistributor) -> identity.DistributorAccount:
    return await identity.find_distributor(call.db, distributor_id=asked.id)


async def add_distributor(call: Call, asked: NewDistributor) -> identity.IssuedDistributor:
    return await identity.add_distributor(
        call.db,
        keyring=call.platform.keyring,
        authority=_authority(call),
        name=asked.name,
        distributor_id=asked.distributor_id,
        csr_pem=asked.csr_pem,
        batches_per_hour=asked.batches_per_hour,
        actor=actor(call),
        now=call.now,
    )


async def rotate(call: Call, asked: Rotation) -> identity.IssuedDistributor:
    return await identity.rotate_distributor(
        call.db,
        keyring=call.platform.keyring,
        authority=_authority(call),
        distributor_id=call.path["id"],
        csr_pem=asked.csr_pem,
        overlap=timedelta(hours=asked.overlap_hours),
        actor=actor(call),
        now=call.now,
    )


async def revoke(call: Call, asked: Revocation) -> identity.DistributorAccount:
    if asked.certificate_sha256 is None and asked.key_id is None:
        raise BodyMalformed(details=(Detail("$", "name a certificate_sha256, a key_id, or both"),))
    about: dict[str, Any] = {"distributor_id": call.path["id"], "actor": actor(call), "now": call.now}
    if asked.certificate_sha256 is not None:
        await identity.revoke_certificate(call.db, sha256=bytes.fromhex(asked.certificate_sha256), **about)
    if asked.key_id is not None:
        await identity.revoke_key(call.db, key_id=asked.key_id, **about)
    return await identity.find_distributor(call.db, distributor_id=call.path["id"])


async def grant_backfill(call: Call, asked: Backfill) -> identity.DistributorAccount:
    await identity.grant_backfill(
        call.db,
        distributor_id=call.path["id"],
        limit=asked.batches_per_hour,
        until=call.now + timedelta(hours=asked.hours),
        actor=actor(call),
        now=call.now,
    )
    return await identity.find_distributor(call.db, distributor_id=call.path["id"])


async def change_distributor(call: Call, asked: DistributorChange) -> identity.DistributorAccount:
    await identity.set_distributor(
        call.db,
        distributor_id=call.path["id"],
        status=asked.status,
        require_v2=asked.require_v2,
        batches_per_hour=asked.batches_per_hour,
        actor=actor(call),
        now=call.now,
    )
    return await identity.find_distributor(call.db, distributor_id=call.path["id"])


_OF_ONE: dict[str, Any] = {
    "tag": "Distributors",
    "about": "id",
    "state": _state,
    "places": {"id": EXAMPLE},
    "answers": identity.DistributorAccount,
    "replays": "X-Request-ID",
}
ROUTES = (
    looking(
        path=BASE,
        operation="listDistributors",
        tag="Distributors",
        summary="List distributors with their certificates and keys",
        permissions=(_PERMISSION,),
        about="distributors",
        handler=list_distributors,
        answers=Distributors,
    ),
    changing(
        path=BASE,
        operation="addDistributor",
        tag="Distributors",
        summary="Onboard a distributor",
        description=(
            "Issues a client certificate (90 days), an API key (one year) and a signing secret. They are in this answer"
            " and nowhere else: it is not kept for replay."
        ),
        permission=_PERMISSION,
        about="distributor_id",
        creates=True,
        state=_state,
        handler=add_distributor,
        asks=NewDistributor,
        answers=identity.IssuedDistributor,
        status=201,
        refusals=(identity.IdInvalid, identity.IdTaken, CsrInvalid),
    ),
    looking(
        path=f"{BASE}/{{id}}",
        operation="showDistributor",
        tag="Distributors",
        summary="Show a distributor",
        permissions=(_PERMISSION,),
        about="id",
        handler=show_distributor,
        asks=WhichDistributor,
        answers=identity.DistributorAccount,
        refusals=(identity.DistributorUnknown,),
    ),
    changing(
        method="PUT",
        path=f"{BASE}/{{id}}",
        operation="changeDistributor",
        summary="Suspend or activate a distributor, or change its limit or its signatures",
        permission=_PERMISSION,
        handler=change_distributor,
        asks=DistributorChange,
        refusals=(identity.DistributorUnknown,),
        **_OF_ONE,
    ),
    changing(
        path=f"{BASE}/{{id}}/rotate-key",
        operation="rotateDistributor",
        summary="Issue new credentials beside the old ones",
        description="Certificate, API key and signing secret; the newest old ones work until the overlap is over.",
        permission=_PERMISSION,
        handler=rotate,
        asks=Rotation,
        refusals=(identity.DistributorUnknown, CsrInvalid),
        **_OF_ONE | {"answers": identity.IssuedDistributor, "replays": ""},
    ),
    changing(
        path=f"{BASE}/{{id}}/revoke",
        operation="revokeDistributorCredentials",
        summary="Refuse a certificate or an API key from the next request on",
        description="Connections that are open with the certificate are no way around that.",
        permission=_PERMISSION,
        handler=revoke,
        asks=Revocation,
        refusals=(identity.DistributorUnknown, identity.CredentialUnknown),
        **_OF_ONE,
    ),
    changing(
        path=f"{BASE}/{{id}}/backfill",
        operation="grantBackfill",
        summary="Let a distributor send more batches for a while",
        permission="backfill.grant",
        handler=grant_backfill,
        asks=Backfill,
        refusals=(identity.DistributorUnknown,),
        **_OF_ONE,
    ),
)
