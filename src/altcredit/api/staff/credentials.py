"""Staff as callers: a session, in the cookie of the pages or as a bearer token, and what its roles allow."""

from collections.abc import Awaitable, Callable

from altcredit.api.contract import Call, Caller, Credential, Header, Scheme
from altcredit.engine import identity
from altcredit.runtime import clock
from altcredit.runtime.refusal import Refusal

SESSION_COOKIE = "__Host-altcredit-staff"
KEY_ASSERTION = Header(
    name="X-Key-Assertion",
    description=(
        "The hardware key's assertion over this very request: the JSON of the browser's credential, in base64url."
        " Its options come from `POST /v1/staff/assertions` with the action and the body's SHA-256; good once, for a"
        " minute."
    ),
    required=True,
)


class OriginForeign(Refusal):
    """A browser sends this from a page of another site."""


_SCHEMES = (
    Scheme(
        name="staffSession",
        openapi={
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "ses_ and 64 hex digits",
            "description": "A session of staff: single sign-on, then a hardware key; 15 minutes, not renewable.",
        },
    ),
)


def cookie(call: Call, name: str) -> str:
    """Return the value of a cookie, empty without one, or with two of the same name."""
    pairs = [pair.strip().partition("=") for pair in call.headers.get("cookie", "").split(";")]
    values = [value for key, _, value in pairs if key == name]
    return values[0] if len(values) == 1 else ""


def require_own_origin(call: Call) -> None:
    """Raise OriginForeign unless the browser says that a page of this listener asks."""
    if call.headers.get("origin") != call.platform.settings.staff_origin:
        raise OriginForeign


def shown_token(call: Call) -> str:
    """Return the session token that a call shows, empty without one. Raises OriginForeign."""
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    if scheme:
        return token if scheme.lower() == "bearer" else ""
    shown = cookie(call, SESSION_COOKIE)
    if shown and call.scope["method"] not in ("GET", "HEAD"):
        require_own_origin(call)
    return shown


async def session_of_call(call: Call) -> identity.StaffSession:
    """
    Return the living session that a call shows.

    :raises SessionMissing, SessionInvalid, SessionExpired, OriginForeign:
    """
    return await identity.staff_by_session(
        call.platform.database,
        keyring=call.platform.keyring,
        token=shown_token(call),
        now=call.now,
        uptime=clock.uptime(),
    )


def _identify(roles: frozenset[identity.Role] | None) -> Callable[[Call], Awaitable[Caller]]:
    async def identify(call: Call) -> Caller:
        session = await session_of_call(call)
        if roles is not None and roles.isdisjoint(session.roles):
            raise identity.PermissionDenied
        return Caller(kind="staff", id=session.staff_id, subject=session)

    return identify


_REFUSALS = (identity.SessionMissing, identity.SessionInvalid, identity.SessionExpired, OriginForeign)

# Anybody of the staff.
STAFF = Credential(schemes=_SCHEMES, identify=_identify(None), refusals=_REFUSALS)


def staff(permission: str) -> Credential:
    """Return the credential of those whose roles have this permission. Raises KeyError for an unknown one."""
    roles = identity.PERMISSIONS[permission]
    return Credential(schemes=_SCHEMES, identify=_identify(roles), refusals=(*_REFUSALS, identity.PermissionDenied))


def session_of(call: Call) -> identity.StaffSession:
    """Return the session of the member of staff that calls, on routes with one of these credentials."""
    assert call.caller is not None
    session: identity.StaffSession = call.caller.subject
    return session
