"""WhatsApp: its webhook (contract: surface, C4, X1), and consent notices that services have sent by it."""

from typing import Annotated, Any, Literal

import msgspec

from altcredit.api.altscore.consent import AnyId
from altcredit.api.altscore.credentials import service
from altcredit.api.altscore.score import Purpose
from altcredit.api.contract import BodyMalformed, Call, Header, Raw, Route
from altcredit.engine import consent, identity, messaging
from altcredit.runtime.refusal import Detail, Refusal


class VerifyTokenInvalid(Refusal):
    """The handshake does not know the verify token, or is none."""


class HandshakeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What WhatsApp sends to prove that a webhook is wanted."""

    mode: Annotated[str, msgspec.Meta(max_length=40)] = msgspec.field(name="hub.mode")
    verify_token: Annotated[str, msgspec.Meta(max_length=256)] = msgspec.field(name="hub.verify_token")
    challenge: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,256}$")] = msgspec.field(name="hub.challenge")


class WebhookRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook of WhatsApp's Cloud API; its form is WhatsApp's, and what is not known of it is passed over."""

    object: str
    entry: list[dict[str, Any]]


class WebhookAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages were new."""

    received: int


class InvitationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask for consent to what."""

    phone: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[1-9][0-9]{6,14}$",
            description="E.164 digits without plus; sealed until the message is delivered, then a keyed hash.",
            examples=["919812345678"],
        ),
    ]
    distributor_id: Annotated[AnyId, msgspec.Meta(examples=["dist_c4f9a1b2c3d4e5f6"])]
    lender_scope: Annotated[list[AnyId], msgspec.Meta(min_length=1, max_length=50)]
    purpose: Purpose
    retailer_ref: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    language: Literal["en", "hi"] = "en"


class InvitationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The notice is on its way; the retailer's answer becomes `consent.granted`."""

    invitation_id: str
    retailer_id: str
    expires_at: str


def means(call: Call) -> messaging.Means:
    """Return what conversations need of the installation."""
    platform = call.platform
    fiduciary = consent.Fiduciary.of(platform.settings)
    return messaging.Means(keyring=platform.keyring, signing=platform.signing, fiduciary=fiduciary)


async def verify(call: Call, asked: HandshakeRequest) -> Raw:
    account = messaging.Account.of(call.platform.settings)
    if asked.mode != "subscribe" or not account.verifies(asked.verify_token):
        raise VerifyTokenInvalid
    return Raw(asked.challenge.encode(), "text/plain")


async def _judge_signature(call: Call) -> None:
    account = messaging.Account.of(call.platform.settings)
    if not account.signs(call.body, call.headers.get("x-hub-signature-256")):
        raise identity.SignatureInvalid


async def receive(call: Call, _asked: None) -> WebhookAnswer:
    try:
        document = msgspec.json.decode(call.body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise BodyMalformed(details=(Detail("$", "is not a JSON object"),)) from problem
    account = messaging.Account.of(call.platform.settings)
    delivery = messaging.read(document, phone_number_id=account.listens_to)
    return WebhookAnswer(received=await messaging.receive(call.db, means=means(call), delivery=delivery, now=call.now))


async def invite(call: Call, asked: InvitationRequest) -> InvitationAnswer:
    if asked.purpose == consent.MODEL_DEVELOPMENT:
        raise BodyMalformed(details=(Detail("$.purpose", "is asked for after another consent, apart"),))
    if len(set(asked.lender_scope)) < len(asked.lender_scope):
        raise BodyMalformed(details=(Detail("$.lender_scope", "names a lender twice"),))
    sent = await messaging.invite(
        call.db,
        means=means(call),
        phone=asked.phone,
        distributor_id=asked.distributor_id,
        retailer_ref=asked.retailer_ref,
        lender_scope=asked.lender_scope,
        purpose=asked.purpose,
        language=asked.language,
        now=call.now,
    )
    return InvitationAnswer(
        invitation_id=sent.invitation_id,
        retailer_id=sent.retailer_id,
        expires_at=consent.timestamp(sent.expires_at),
    )


ROUTES = (
    Route(
        method="GET",
        path="/v1/webhooks/whatsapp",
        operation="verifyWhatsappWebhook",
        tag="WhatsApp",
        summary="WhatsApp's handshake",
        description="Echoes the challenge to whoever knows the verify token.",
        handler=verify,
        asks=HandshakeRequest,
        answers={"type": "string"},
        media="text/plain",
        refusals=(VerifyTokenInvalid,),
    ),
    Route(
        method="POST",
        path="/v1/webhooks/whatsapp",
        operation="receiveWhatsappWebhook",
        tag="WhatsApp",
        summary="Messages and statuses from WhatsApp",
        description=(
            "Proven by the HMAC-SHA256 of the raw body under the app secret; anything else is refused and stores"
            " nothing. Each message counts once, however often it is sent. STOP ends all consents of its phone before"
            " this is answered."
        ),
        handler=receive,
        asks=WebhookRequest,
        decodes=False,
        answers=WebhookAnswer,
        refusals=(identity.SignatureInvalid,),
        headers=(
            Header(
                name="X-Hub-Signature-256",
                description="`sha256=` and the HMAC-SHA256 of the raw body under the app secret, lower-case hex.",
                required=True,
            ),
        ),
        judges_body=_judge_signature,
        writes=True,
        max_body=3 * 1024 * 1024,  # as WhatsApp documents it
    ),
    Route(
        method="POST",
        path="/v1/consent/invitations",
        operation="inviteToConsent",
        tag="Consent",
        summary="Ask a retailer for consent over WhatsApp",
        description="Sends the notice with buttons, in the retailer's language; good for seven days.",
        handler=invite,
        asks=InvitationRequest,
        answers=InvitationAnswer,
        status=202,
        credentials=(service("consent:grant"),),
        refusals=(
            consent.RetailerUnknown,
            consent.RetailerAmbiguous,
            consent.LenderUnknown,
            consent.NoticeTooLong,
            consent.NoticeNotSetUp,
            messaging.PhoneInvalid,
        ),
        writes=True,
        replays="X-Request-ID",
    ),
)
