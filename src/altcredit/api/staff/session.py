"""The session as callers of the admin API see it: who am I, let my key sign for a request, sign out."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from altcredit.api.contract import Call, Nothing, Route
from altcredit.api.staff.credentials import STAFF, session_of
from altcredit.engine import identity
from altcredit.runtime import clock


class SessionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in, with what roles and permissions, until when."""

    staff_id: str
    name_id: str
    roles: list[str]
    permissions: list[str]
    signed_in_at: datetime
    expires_at: datetime


class AssertionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the key is to sign for: the action's permission, and the SHA-256 of the request's raw body."""

    action: Annotated[
        str,
        msgspec.Meta(pattern=r"^[a-z][a-z_.]{1,59}$", description="As the route's documentation names it."),
    ]
    request_sha256: Annotated[
        str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$", description="Of the raw body; lower-case hex.")
    ]


class AllowedCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A key that may sign."""

    type: str
    id: str


class AssertionOptions(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """WebAuthn's PublicKeyCredentialRequestOptions; bytes are base64url."""

    challenge: str
    rp_id: str
    allow_credentials: list[AllowedCredential]
    user_verification: str
    timeout: int


class SignedOut(msgspec.Struct, frozen=True, kw_only=True):
    """The session is over."""

    session: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["ended"]})]


async def read_session(call: Call, _asked: Nothing) -> SessionAnswer:
    session = session_of(call)
    return SessionAnswer(
        staff_id=session.staff_id,
        name_id=session.name_id,
        roles=list(session.roles),
        permissions=identity.permissions_of(session.roles),
        signed_in_at=session.signed_in_at,
        expires_at=session.expires_at,
    )


async def ask_assertion(call: Call, asked: AssertionRequest) -> Any:
    return await identity.ask_assertion(
        call.db,
        party=identity.RelyingParty.of(call.platform.settings),
        session=session_of(call),
        action=asked.action,
        request_sha256=asked.request_sha256,
        now=call.now,
        uptime=clock.uptime(),
    )


async def sign_out(call: Call, _asked: Nothing) -> SignedOut:
    await identity.sign_out(call.db, session=session_of(call), now=call.now)
    return SignedOut(session="ended")


ROUTES = (
    Route(
        method="GET",
        path="/v1/staff/session",
        operation="readStaffSession",
        tag="Session",
        summary="Who is signed in",
        handler=read_session,
        answers=SessionAnswer,
        credentials=(STAFF,),
    ),
    Route(
        method="POST",
        path="/v1/staff/assertions",
        operation="askAssertion",
        tag="Session",
        summary="Ask for a challenge that your key signs for one request",
        description=(
            "Give the options to `navigator.credentials.get`, and send the credential's JSON, in base64url, as"
            " `X-Key-Assertion` with the request itself, within a minute. It counts once."
        ),
        handler=ask_assertion,
        asks=AssertionRequest,
        answers=AssertionOptions,
        credentials=(STAFF,),
        refusals=(identity.AssertionInvalid,),
        writes=True,
    ),
    Route(
        method="POST",
        path="/v1/staff/sign-out",
        operation="signOut",
        tag="Session",
        summary="End the session",
        handler=sign_out,
        answers=SignedOut,
        credentials=(STAFF,),
        writes=True,
    ),
)
