"""Consent API (API-ALTSCORE-001, section 04): grant, revoke, check, export. For internal services."""

import json
from typing import Annotated, Any, Literal

import msgspec

from altcredit.api.altscore.credentials import service
from altcredit.api.altscore.score import Purpose, RetailerId
from altcredit.api.contract import BodyMalformed, Call, Link, Route
from altcredit.engine import consent
from altcredit.runtime.refusal import Detail

AnyId = Annotated[str, msgspec.Meta(pattern=r"^[a-z]+_[A-Za-z0-9_-]{1,64}$")]
MessageId = Annotated[str, msgspec.Meta(min_length=1, max_length=256, description="WhatsApp's id of the message.")]


class GrantRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the retailer agreed to."""

    retailer_phone_hash: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[0-9a-f]{64}$",
            description="SHA-256 of the E.164 digits without plus (919812345678), lower-case hex.",
            examples=["5f0e5c2f3f0c4d9dfc6c8a53be2e0a4d3a1f8f5d3a6f8f2e0c1b7d9a4e6b3c21"],
        ),
    ]
    distributor_id: Annotated[AnyId, msgspec.Meta(examples=["dist_c4f9a1b2c3d4e5f6"])]
    lender_scope: Annotated[
        list[AnyId],
        msgspec.Meta(
            max_length=50, description="Lenders that may see the score; empty for model_development, and only there."
        ),
    ]
    purpose: Purpose
    consent_channel: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]{0,31}$", examples=["whatsapp"])]
    wa_message_id: MessageId
    retailer_ref: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    language: Literal["en", "hi"] = "en"


class GrantAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The signed record."""

    consent_id: str
    retailer_id: RetailerId
    signed_at: str
    signature: Annotated[str, msgspec.Meta(description="ECDSA P-256 over the record's JCS form, DER, hex.")]
    key_id: str
    expires_at: str


class RevokeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which consent ends, and why."""

    consent_id: Annotated[AnyId, msgspec.Meta(examples=["cns_8a2f4c6d8e0b1a3c"])]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=256, examples=["retailer_request"])]
    wa_message_id: MessageId | None = None


class RevokeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The ended consent."""

    consent_id: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["revoked"]})]
    processing_halt_by: str


class CheckRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which retailer, which lender."""

    retailer_id: RetailerId
    lender_id: AnyId


class CheckAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the lender may see the retailer's score now."""

    consented: bool
    consent_id: str | None
    expires_at: str | None


class ShowRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which consent."""

    consent_id: AnyId


class ShowAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The signed record: verify ``signature`` over the JCS form of ``record`` with ``public_key``."""

    record: Annotated[
        dict[str, Any],
        msgspec.Meta(
            description="`notice.text` is what was shown, with ⟦business⟧ for the shop's own name; `business_sha256` "
            "is the digest of a disclosure of the name (RFC 9901), which the shop itself can read and hand on."
        ),
    ]
    signature: str
    public_key: str
    revoked_at: str | None


def _actor(call: Call) -> str:
    assert call.caller is not None
    return call.caller.id


async def grant(call: Call, asked: GrantRequest) -> GrantAnswer:
    # A consent to model development is the platform's alone: its notice names no lender, and it opens no score to one.
    if asked.purpose == consent.MODEL_DEVELOPMENT and asked.lender_scope:
        raise BodyMalformed(details=(Detail("$.lender_scope", "must be empty for model_development"),))
    if asked.purpose != consent.MODEL_DEVELOPMENT and not asked.lender_scope:
        raise BodyMalformed(details=(Detail("$.lender_scope", "names no lender"),))
    if len(set(asked.lender_scope)) < len(asked.lender_scope):
        raise BodyMalformed(details=(Detail("$.lender_scope", "names a lender twice"),))
    given = await consent.grant(
        call.db,
        keyring=call.platform.keyring,
        signing=call.platform.signing,
        fiduciary=consent.Fiduciary.of(call.platform.settings),
        actor=_actor(call),
        phone_hash=asked.retailer_phone_hash,
        distributor_id=asked.distributor_id,
        retailer_ref=asked.retailer_ref,
        lender_scope=asked.lender_scope,
        purpose=asked.purpose,
        channel=asked.consent_channel,
        message_id=asked.wa_message_id,
        language=asked.language,
        now=call.now,
    )
    return GrantAnswer(
        consent_id=given.consent.consent_id,
        retailer_id=given.consent.retailer_id,
        signed_at=consent.timestamp(given.consent.granted_at),
        signature=given.signature.hex(),
        key_id=given.key_id,
        expires_at=consent.timestamp(given.consent.expires_at),
    )


async def revoke(call: Call, asked: RevokeRequest) -> RevokeAnswer:
    ended = await consent.revoke(
        call.db,
        keyring=call.platform.keyring,
        actor=_actor(call),
        consent_id=asked.consent_id,
        reason=asked.reason,
        message_id=asked.wa_message_id,
        now=call.now,
    )
    return RevokeAnswer(
        consent_id=ended.consent_id, status="revoked", processing_halt_by=consent.timestamp(ended.halt_by)
    )


async def check(call: Call, asked: CheckRequest) -> CheckAnswer:
    async with call.platform.database.transaction() as db:
        active = await consent.check(
            db,
            keyring=call.platform.keyring,
            retailer_id=asked.retailer_id,
            lender_id=asked.lender_id,
            now=call.now,
        )
    if active is None:
        return CheckAnswer(consented=False, consent_id=None, expires_at=None)
    return CheckAnswer(consented=True, consent_id=active.consent_id, expires_at=consent.timestamp(active.expires_at))


async def show(call: Call, asked: ShowRequest) -> ShowAnswer:
    async with call.platform.database.transaction() as db:
        found = await consent.show(db, consent_id=asked.consent_id)
    if not call.platform.signing.knows(found.key_id):
        await call.platform.refresh_keys()  # signed elsewhere by a key that came into use since this process looked
    return ShowAnswer(
        record=json.loads(found.record),
        signature=found.signature.hex(),
        public_key=call.platform.signing.public_pem(found.key_id),
        revoked_at=None if found.revoked_at is None else consent.timestamp(found.revoked_at),
    )


ROUTES = (
    Route(
        method="POST",
        path="/v1/consent/grant",
        operation="grantConsent",
        tag="Consent",
        summary="Record a retailer's consent",
        description="Creates a signed, immutable record (ECDSA P-256) and the event `consent.granted`.",
        handler=grant,
        asks=GrantRequest,
        answers=GrantAnswer,
        credentials=(service("consent:grant"),),
        refusals=(
            consent.RetailerUnknown,
            consent.RetailerAmbiguous,
            consent.LenderUnknown,
            consent.NoticeTooLong,
            consent.NoticeNotSetUp,
        ),
        writes=True,
        replays="X-Request-ID",
        links={
            "show": Link(operation="showConsent", parameters={"consent_id": "/consent_id"}),
            "check": Link(operation="checkConsent", parameters={"retailer_id": "/retailer_id"}),
        },
    ),
    Route(
        method="POST",
        path="/v1/consent/revoke",
        operation="revokeConsent",
        tag="Consent",
        summary="End a retailer's consent",
        description="Scoring for its lenders stops at once. The record is kept; the event is `consent.revoked`.",
        handler=revoke,
        asks=RevokeRequest,
        answers=RevokeAnswer,
        credentials=(service("consent:revoke"),),
        refusals=(consent.ConsentUnknown,),
        writes=True,
        replays="X-Request-ID",
        links={"show": Link(operation="showConsent", parameters={"consent_id": "/consent_id"})},
    ),
    Route(
        method="GET",
        path="/v1/consent/check",
        operation="checkConsent",
        tag="Consent",
        summary="Check whether a lender may see a retailer",
        handler=check,
        asks=CheckRequest,
        answers=CheckAnswer,
        credentials=(service("consent:check"),),
    ),
    Route(
        method="GET",
        path="/v1/consent/{consent_id}",
        operation="showConsent",
        tag="Consent",
        summary="Export a consent's signed record",
        description="The record with its signature and public key, verifiable without this service.",
        handler=show,
        asks=ShowRequest,
        answers=ShowAnswer,
        credentials=(service("consent:check"),),
        refusals=(consent.ConsentUnknown,),
    ),
)
