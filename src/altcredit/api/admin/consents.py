"""Consents: staff may end any (contract C4)."""

from datetime import datetime
from typing import Any

import msgspec

from altcredit.api.admin.actions import Change, actor, changing, reason_of
from altcredit.api.contract import Call
from altcredit.engine import consent
from altcredit.runtime.db import Connection


class RevokedConsent(msgspec.Struct, frozen=True, kw_only=True):
    """The ended consent: no read from now on, and no processing after ``processing_halt_by``."""

    consent_id: str
    status: str
    revoked_at: datetime
    processing_halt_by: datetime


async def _state(_call: Call, db: Connection, consent_id: str) -> dict[str, Any]:
    return {"revoked_at": (await consent.show(db, consent_id=consent_id)).revoked_at}


async def revoke(call: Call, asked: Change) -> RevokedConsent:
    ended = await consent.revoke(
        call.db,
        keyring=call.platform.keyring,
        actor=actor(call),
        consent_id=call.path["id"],
        reason=reason_of(call, asked) or "",
        message_id=None,
        now=call.now,
    )
    return RevokedConsent(
        consent_id=ended.consent_id,
        status="revoked",
        revoked_at=ended.revoked_at,
        processing_halt_by=ended.halt_by,
    )


ROUTES = (
    changing(
        path="/v1/admin/consents/{id}/revoke",
        operation="revokeConsentAsStaff",
        tag="Consents",
        summary="End a consent on the retailer's behalf",
        description="Scoring for its lenders stops at once; the signed record is kept.",
        permission="consent.revoke",
        about="id",
        state=_state,
        places={"id": "cns_8a2f4c6d8e0b1a3c"},
        handler=revoke,
        asks=Change,
        answers=RevokedConsent,
        refusals=(consent.ConsentUnknown,),
        replays="X-Request-ID",
    ),
)
