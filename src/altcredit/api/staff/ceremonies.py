"""What the key page's script asks for: WebAuthn's options, and what the key answered to them."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec

from altcredit.api.contract import Call, Raw, Route
from altcredit.api.staff.credentials import SESSION_COOKIE, OriginForeign, cookie, require_own_origin
from altcredit.api.staff.headers import SIGN_IN_COOKIE, set_cookie
from altcredit.api.staff.pages import note_refused
from altcredit.engine import identity
from altcredit.runtime import clock
from altcredit.runtime.refusal import Refusal

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]
Options = Any
_UNDER_WAY = (OriginForeign, identity.SignInUnknown, identity.NotStaff)
_NOTED = (identity.KeyRefused, identity.TicketInvalid, identity.KeyTaken)


class Ask(msgspec.Struct, frozen=True):
    """Nothing is asked but for options."""


class Enrolment(msgspec.Struct, frozen=True):
    """The ticket that lets one enrol a key."""

    ticket: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]


class Made(msgspec.Struct, frozen=True, rename="camel"):
    """What the browser says that the key said."""

    client_data_json: Text = msgspec.field(name="clientDataJSON")
    attestation_object: Text


class Registration(msgspec.Struct, frozen=True):
    """A new key's credential, as JSON; bytes are base64url."""

    id: Text
    response: Made


class Said(msgspec.Struct, frozen=True, rename="camel"):
    """What the browser says that the key said."""

    client_data_json: Text = msgspec.field(name="clientDataJSON")
    authenticator_data: Text
    signature: Text


class Assertion(msgspec.Struct, frozen=True):
    """A key's assertion, as JSON; bytes are base64url."""

    id: Text
    response: Said


class Enrolled(msgspec.Struct, frozen=True):
    """The key is enrolled; it signs in from now on."""

    key_id: str


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """The session is in a cookie; it ends at ``expires_at``."""

    staff_id: str
    roles: list[str]
    expires_at: datetime


def _means(call: Call) -> dict[str, Any]:
    require_own_origin(call)
    return {
        "keyring": call.platform.keyring,
        "settings": call.platform.settings,
        "cookie": cookie(call, SIGN_IN_COOKIE),
        "now": call.now,
    }


def _noting(handler: Callable[[Call, Any], Awaitable[Any]]) -> Callable[[Call, Any], Awaitable[Any]]:
    """Write what the key, or the ticket, did not prove into the audit log."""

    async def run(call: Call, asked: Any) -> Any:
        try:
            return await handler(call, asked)
        except _NOTED as refusal:
            await note_refused(call, refusal)
            raise

    return run


async def key_options(call: Call, _asked: Ask) -> Options:
    async with call.platform.database.transaction() as db:
        return await identity.ask_key(db, **_means(call))


async def key_answer(call: Call, _asked: Assertion) -> Raw:
    async with call.platform.database.transaction() as db:
        issued = await identity.finish_sign_in(db, answer=call.body, uptime=clock.uptime(), **_means(call))
    session = issued.session
    left = session.expires_at - session.signed_in_at
    answer = SignedIn(staff_id=session.staff_id, roles=list(session.roles), expires_at=session.expires_at)
    return Raw(
        msgspec.json.encode(answer),
        "application/json",
        (
            set_cookie(SESSION_COOKIE, issued.token, seconds=int(left.total_seconds())),
            set_cookie(SIGN_IN_COOKIE, "", seconds=0, cross_site=True),
        ),
    )


async def enrolment_options(call: Call, asked: Enrolment) -> Options:
    async with call.platform.database.transaction() as db:
        return await identity.ask_enrolment(db, ticket=asked.ticket, **_means(call))


async def enrolment_answer(call: Call, _asked: Registration) -> Enrolled:
    async with call.platform.database.transaction() as db:
        return Enrolled(await identity.enrol_key(db, answer=call.body, **_means(call)))


def _route(
    path: str, operation: str, summary: str, handler: Any, asks: type, answers: Any, *refusals: type[Refusal]
) -> Route:
    return Route(
        method="POST",
        path=path,
        operation=operation,
        tag="Sign-in",
        summary=summary,
        handler=_noting(handler),
        asks=asks,
        answers=answers,
        refusals=(*_UNDER_WAY, *refusals),
        max_body=32 * 1024,
        hidden=True,
    )


_ANY: dict[str, Any] = {"type": "object"}
ROUTES = (
    _route("/staff/key/options", "askKey", "Options for a key", key_options, Ask, _ANY, identity.KeyMissing),
    _route("/staff/key/answer", "answerKey", "Sign in", key_answer, Assertion, SignedIn, identity.KeyRefused),
    _route(
        "/staff/enrolment/options",
        "askEnrolment",
        "Options for a new key",
        enrolment_options,
        Enrolment,
        _ANY,
        identity.TicketInvalid,
    ),
    _route(
        "/staff/enrolment/answer",
        "answerEnrolment",
        "Enrol a key",
        enrolment_answer,
        Registration,
        Enrolled,
        identity.TicketInvalid,
        identity.KeyRefused,
        identity.KeyRootsInvalid,
        identity.KeyTaken,
    ),
)
