"""A retailer signs in by a one-time code over WhatsApp, and out again (contract C7)."""

from datetime import datetime
from typing import Annotated

import msgspec

from altcredit.api.altscore.credentials import RETAILER
from altcredit.api.altscore.languages import spoken
from altcredit.api.altscore.score import RetailerId
from altcredit.api.contract import Call, Nothing, Route
from altcredit.engine import identity, messaging
from altcredit.runtime import clock
from altcredit.runtime.ids import new_code, new_id

Phone = Annotated[
    str,
    msgspec.Meta(pattern=r"^[1-9][0-9]{6,14}$", description="E.164 digits without plus.", examples=["919812345678"]),
]


class CodeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which phone."""

    phone: Phone


class CodeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The same whether or not anybody has the phone."""

    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["sent_if_known"]})]
    expires_in: Annotated[int, msgspec.Meta(description="Seconds that the code is good for.")]


class SignInRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The code that came over WhatsApp."""

    phone: Phone
    code: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{6}$")]
    retailer_id: Annotated[RetailerId, msgspec.Meta(description="Which shop, where several have the phone.")] | None = (
        None
    )


class SignInAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A token for one retailer."""

    access_token: str
    token_type: str
    expires_in: Annotated[int, msgspec.Meta(description="Seconds.")]
    retailer_id: str


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It is done."""

    status: str


async def request_code(call: Call, asked: CodeRequest) -> CodeAnswer:
    await messaging.request_code(
        call.platform.database,
        keyring=call.platform.keyring,
        phone=asked.phone,
        code=new_code(),
        language=spoken(call),
        now=call.now,
        uptime=clock.uptime(),
    )
    return CodeAnswer(status="sent_if_known", expires_in=300)


async def sign_in(call: Call, asked: SignInRequest) -> SignInAnswer:
    issued = await messaging.redeem(
        call.platform.database,
        keyring=call.platform.keyring,
        signing=call.platform.signing,
        phone=asked.phone,
        code=asked.code,
        retailer_id=asked.retailer_id,
        token_id=new_id("tok"),
        now=call.now,
        uptime=clock.uptime(),
    )
    return SignInAnswer(
        access_token=issued.token,
        token_type="Bearer",  # noqa: S106
        expires_in=issued.expires_in,
        retailer_id=issued.retailer_id,
    )


async def sign_out(call: Call, _asked: Nothing) -> Done:
    assert call.caller is not None
    claims = call.caller.subject
    expires_at = datetime.fromtimestamp(claims.exp, call.now.tzinfo)
    await identity.deny_token(
        call.db, jti=claims.jti, expires_at=expires_at, actor=f"retailer:{call.caller.id}", now=call.now
    )
    return Done(status="signed_out")


ROUTES = (
    Route(
        method="POST",
        path="/v1/me/code",
        operation="requestSignInCode",
        tag="Retailer",
        summary="Ask for a one-time code over WhatsApp",
        description="Six digits, good for five minutes and five tries. Whether anybody has the phone is not told.",
        handler=request_code,
        asks=CodeRequest,
        answers=CodeAnswer,
        status=202,
        refusals=(messaging.PhoneInvalid,),
        limits={"hour": messaging.CODES.limit},
    ),
    Route(
        method="POST",
        path="/v1/me/token",
        operation="signInRetailer",
        tag="Retailer",
        summary="Exchange a one-time code for a token",
        description="Fifteen minutes, for one retailer. Where several shops have the phone, the answer 409 names them.",
        handler=sign_in,
        asks=SignInRequest,
        answers=SignInAnswer,
        refusals=(messaging.CodeInvalid, messaging.ShopAmbiguous),
    ),
    Route(
        method="POST",
        path="/v1/me/sign-out",
        operation="signOutRetailer",
        tag="Retailer",
        summary="End this token",
        handler=sign_out,
        answers=Done,
        credentials=(RETAILER,),
        writes=True,
    ),
)
