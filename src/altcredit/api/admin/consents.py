"""Consents: those whose office it is see them as they were signed; staff may end any (contract C4)."""

import json
from datetime import datetime
from typing import Annotated, Any

import msgspec

from altcredit.api.admin.actions import Change, actor, changing, looking, reason_of
from altcredit.api.admin.retailers import WhichRetailer
from altcredit.api.contract import Call
from altcredit.engine import consent, retailers
from altcredit.runtime.db import Connection


class WhichConsent(msgspec.Struct, frozen=True, kw_only=True):
    """Which consent."""

    id: Annotated[str, msgspec.Meta(pattern=r"^cns_[A-Za-z0-9]{1,64}$", examples=["cns_8a2f4c6d8e0b1a3c"])]


class SignedConsent(msgspec.Struct, frozen=True, kw_only=True):
    """A consent as it was signed: verify ``signature`` (DER, hex) over the JCS form of ``record``."""

    consent_id: str
    record: dict[str, Any]
    signature: str
    public_key: str
    signature_holds: Annotated[bool, msgspec.Meta(description="Checked now, over the bytes that are stored.")]
    revoked_at: datetime | None


class Consents(msgspec.Struct, frozen=True, kw_only=True):
    """All that a retailer ever agreed to, the oldest first."""

    retailer_id: str
    consents: list[SignedConsent]


class RevokedConsent(msgspec.Struct, frozen=True, kw_only=True):
    """The ended consent: no read from now on, and no processing after ``processing_halt_by``."""

    consent_id: str
    status: str
    revoked_at: datetime
    processing_halt_by: datetime


async def _state(_call: Call, db: Connection, consent_id: str) -> dict[str, Any]:
    return {"revoked_at": (await consent.show(db, consent_id=consent_id)).revoked_at}


async def _signed(call: Call, consent_id: str, found: consent.Exported | consent.Recorded) -> SignedConsent:
    if not call.platform.signing.knows(found.key_id):
        await call.platform.refresh_keys()  # signed elsewhere by a key that came into use since this process looked
    signing = call.platform.signing
    return SignedConsent(
        consent_id=consent_id,
        record=json.loads(found.record),
        signature=found.signature.hex(),
        public_key=signing.public_pem(found.key_id),
        signature_holds=signing.verify("consent", found.key_id, found.record, found.signature),
        revoked_at=found.revoked_at,
    )


async def show(call: Call, asked: WhichConsent) -> SignedConsent:
    return await _signed(call, asked.id, await consent.show(call.db, consent_id=asked.id))


async def list_consents(call: Call, asked: WhichRetailer) -> Consents:
    shop = await retailers.profile(call.db, keyring=call.platform.keyring, retailer_id=asked.id)
    found = await consent.records(call.db, retailer_ids=shop.ids)
    return Consents(retailer_id=shop.retailer_id, consents=[await _signed(call, one.consent_id, one) for one in found])


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


_READ: dict[str, Any] = {"tag": "Consents", "permissions": ("consent.read",), "about": "id"}
ROUTES = (
    looking(
        path="/v1/admin/consents/{id}",
        operation="showConsentToStaff",
        summary="Show a consent as it was signed, and whether its signature holds",
        handler=show,
        asks=WhichConsent,
        answers=SignedConsent,
        refusals=(consent.ConsentUnknown,),
        **_READ,
    ),
    looking(
        path="/v1/admin/retailers/{id}/consents",
        operation="listConsentsOfRetailer",
        summary="List all that a retailer ever agreed to, as it was signed",
        description="An erased retailer's, too: the signed ledger stays, under opaque ids.",
        handler=list_consents,
        asks=WhichRetailer,
        answers=Consents,
        refusals=(retailers.RetailerUnknown,),
        **_READ,
    ),
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
