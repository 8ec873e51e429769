"""The installation's signing keys: what there is, and rotation by hand (the schedule rotates by itself)."""

from typing import Any

import msgspec

from altcredit.api.admin.actions import Change, actor, changing, looking
from altcredit.api.contract import Call, Nothing
from altcredit.engine import identity
from altcredit.runtime import signing
from altcredit.runtime.db import Connection

BASE = "/v1/admin/keys"
_PERMISSION = "keys.manage"


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """All signing keys with their public parts, by purpose, the oldest first."""

    keys: list[signing.SigningKey]


class KeyRotation(Change, frozen=True, kw_only=True):
    """Which key: the purpose of the path again, so that the hardware key signs for it."""

    purpose: signing.Purpose


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """A key that entered a state."""

    kid: str
    purpose: signing.Purpose
    state: signing.State


class RotatedKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What changed: the old key retires for 14 days, the next one is active, and another next one is published."""

    changes: list[KeyChange]


async def _state(_call: Call, db: Connection, purpose: str) -> dict[str, Any]:
    return {key.kid: key.state for key in await signing.list_keys(db) if key.purpose == purpose}


async def list_keys(call: Call, _asked: Nothing) -> Keys:
    return Keys(keys=list(await signing.list_keys(call.db)))


async def rotate(call: Call, asked: KeyRotation) -> RotatedKeys:
    changes = await identity.rotate_signing_keys(
        call.db, keyring=call.platform.keyring, purpose=asked.purpose, actor=actor(call), now=call.now
    )
    return RotatedKeys(changes=[KeyChange(**msgspec.structs.asdict(one)) for one in changes])


ROUTES = (
    looking(
        path=BASE,
        operation="listKeys",
        tag="Keys",
        summary="List the signing keys and their states",
        permissions=(_PERMISSION,),
        about="keys",
        handler=list_keys,
        answers=Keys,
    ),
    changing(
        path=f"{BASE}/{{purpose}}/rotate",
        operation="rotateKey",
        tag="Keys",
        summary="Put the next signing key of a purpose to use",
        description=(
            "Every process follows within seconds. Tokens by the old key are honoured for 14 more days; what the other"
            " keys have signed stays verifiable for ever."
        ),
        permission=_PERMISSION,
        about="purpose",
        state=_state,
        signed=True,
        repeats="purpose",
        places={"purpose": "access_token"},
        handler=rotate,
        asks=KeyRotation,
        answers=RotatedKeys,
        replays="X-Request-ID",
    ),
)
