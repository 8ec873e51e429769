"""
What all operations of the Admin API have in common (API-ALTSCORE-001, section 07: "all operations are audit-logged").

An operation is declared by ``looking`` or ``changing``, which make a route of it: a session whose roles allow it, a
reason for every change, and one audit row a call, ``admin.<operation>``, with who, in which roles, why, and what was
before and after. The row is written in the transaction of what it tells of; a call that was refused leaves a row, too.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from altcredit.api.contract import BodyMalformed, Call, Caller, Credential, Header, NotFound, Pending, Place, Route
from altcredit.api.staff.credentials import KEY_ASSERTION, STAFF, session_of, staff
from altcredit.engine import audit, identity
from altcredit.runtime import clock
from altcredit.runtime.db import Connection
from altcredit.runtime.refusal import Detail, Refusal

Handler = Callable[[Call, Any], Awaitable[Any]]
# Reads what a subject is like now, as the audit log may keep it for ever: no secrets, nothing about retailers.
State = Callable[[Call, Connection, str], Awaitable[Any]]

Reason = Annotated[
    str,
    msgspec.Meta(
        min_length=3, max_length=500, description="Why; kept in the audit log. May be sent as X-Reason instead."
    ),
]
REASON = Header(
    name="X-Reason",
    description="Why, in 3 to 500 ASCII characters; a change needs it, here or as `reason` in the body.",
    schema={"type": "string", "minLength": 3, "maxLength": 500},
)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change, and why it is made."""

    reason: Reason | None = None


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the audit row of an operation says.

    ``about`` names where its subject is found: in the path, else the question, else the answer; a plain word that is
    none of them is the subject itself. Where an operation ``creates``, only the answer says. ``signed``: a hardware key
    signs for it, over the body; so the body's field ``repeats`` says again what the path says, and is signed for, too.
    """

    operation: str
    permissions: tuple[str, ...]
    about: str
    state: State | None = None
    needs_reason: bool = False
    creates: bool = False
    signed: bool = False
    repeats: str = ""


def actor(call: Call) -> str:
    """Return who calls, as audit rows name them."""
    return f"staff:{session_of(call).staff_id}"


def looking(*, permissions: tuple[str, ...], about: str, handler: Handler, **declared: Any) -> Route:
    """Declare an operation that changes nothing; ``declared`` are a Route's own fields."""
    act = Act(operation=declared["operation"], permissions=permissions, about=about)
    return _route(act, handler, method="GET", **declared)


def changing(
    *,
    permission: str,
    about: str,
    handler: Handler,
    state: State | None = None,
    creates: bool = False,
    signed: bool = False,
    repeats: str = "",
    places: Mapping[str, str] = {},
    **declared: Any,
) -> Route:
    """
    Declare an operation that changes something; ``declared`` are a Route's own fields.

    ``signed``: it takes the caller's hardware key over this very body, for the action that the permission names;
    ``repeats`` is the body's field that names the path's subject again. ``places``: path parameters, each with an
    example.
    """
    act = Act(
        operation=declared["operation"],
        permissions=(permission,),
        about=about,
        state=state,
        needs_reason=True,
        creates=creates,
        signed=signed,
        repeats=repeats,
    )
    refusals = declared.pop("refusals", ())
    headers: tuple[Header, ...] = (REASON, *declared.pop("headers", ()))
    if signed:
        headers += (KEY_ASSERTION,)
        refusals += (identity.AssertionMissing, identity.AssertionInvalid, identity.AssertionStale)
        declared["description"] = f"{declared.get('description', '')} {_SIGNED.format(permission=permission)}".lstrip()
    declared.setdefault("method", "POST")
    return _route(
        act,
        handler,
        headers=headers,
        refusals=refusals,
        places=tuple(_place(name, example) for name, example in places.items()),
        **declared,
    )


_SIGNED = "It takes your hardware key over this very request: ask for an assertion of the action `{permission}`."


def _place(name: str, example: str) -> Place:
    return Place(name=name, description=f"`{example}`, for instance.", schema={"type": "string", "examples": [example]})


def _route(act: Act, handler: Handler, *, writes: bool = True, **declared: Any) -> Route:
    return Route(
        handler=_recorded(act, handler, inside=writes),
        credentials=tuple(_permitted(act, permission) for permission in act.permissions),
        permissions=act.permissions,
        refused=_refused(act),
        writes=writes,
        **declared,
    )


def _recorded(act: Act, handler: Handler, *, inside: bool) -> Handler:
    """Run ``handler`` and record it; ``inside`` the request's transaction, where the route has one."""

    async def run(call: Call, asked: Any) -> Any:
        if any("\0" in name for name in call.path.values()):  # nothing in the database can be called that
            raise NotFound
        reason = reason_of(call, asked)
        _require_complete(act, call, asked, reason)
        if act.signed:
            await _require_key(call, act.permissions[0])
        subject = "" if act.creates else call.path.get(act.about) or _named(act.about, asked)
        before = await _state(act, call, subject, inside=inside)
        answer = await handler(call, asked)
        subject = subject or _named(act.about, _content(answer)) or act.about
        after = await _state(act, call, subject, inside=inside)
        details: dict[str, Any] = {"reason": reason, "request_id": call.request_id, **differences(before, after)}
        if isinstance(answer, Pending):
            details["pending"] = True
        async with _transaction(call, inside=inside) as db:
            await _append(db, act, call, subject, details)
        return answer

    return run


def _require_complete(act: Act, call: Call, asked: Any, reason: str | None) -> None:
    if reason is None and act.needs_reason:
        raise BodyMalformed(details=(Detail("$.reason", "a change needs a reason, here or as X-Reason"),))
    if act.repeats and getattr(asked, act.repeats) != call.path[act.about]:
        raise BodyMalformed(details=(Detail(f"$.{act.repeats}", "is not that of the path"),))


@asynccontextmanager
async def _transaction(call: Call, *, inside: bool) -> AsyncIterator[Connection]:
    if inside:
        yield call.db
    else:
        async with call.platform.database.transaction() as db:
            yield db


async def _append(db: Connection, act: Act, call: Call, subject: str, details: dict[str, Any]) -> None:
    session = session_of(call)
    who = {"roles": session.roles, "session_id": session.session_id}
    await audit.append(
        db, actor=actor(call), action=f"admin.{act.operation}", subject=subject, details=who | details, now=call.now
    )


def reason_of(call: Call, asked: Any) -> str | None:
    """Return why something is done, as the body says or X-Reason does. Raises BodyMalformed: it is no sentence."""
    given: str | None = getattr(asked, "reason", None) or call.headers.get("x-reason")
    if given is None:
        return None
    if not given.isprintable() or not 3 <= len(given.strip()) <= 500:
        raise BodyMalformed(details=(Detail("$.reason", "must be 3 to 500 printable characters"),))
    return given.strip()


def _named(name: str, where: Any) -> str:
    found = getattr(where, name, None)
    return found if isinstance(found, str) else ""


def _content(answer: Any) -> Any:
    return answer.content if isinstance(answer, Pending) else answer


async def _state(act: Act, call: Call, subject: str, *, inside: bool) -> dict[str, Any]:
    if act.state is None or not subject:
        return {}
    async with _transaction(call, inside=inside) as db:
        found: dict[str, Any] = msgspec.to_builtins(await act.state(call, db, subject))
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what changed, as it was and as it is; what did not is left out, and so is an empty side."""
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    sides = {"before": before, "after": after}
    kept = {side: {name: value for name, value in values.items() if name in names} for side, values in sides.items()}
    return {side: values for side, values in kept.items() if values}


# Refused calls


def _permitted(act: Act, permission: str) -> Credential:
    """Return the credential of those who have a permission; others who are signed in leave a row, as they go."""
    allowed = staff(permission)

    async def identify(call: Call) -> Caller:
        try:
            return await allowed.identify(call)
        except identity.PermissionDenied:
            if permission == act.permissions[-1]:
                call.caller = await STAFF.identify(call)
            raise

    return msgspec.structs.replace(allowed, identify=identify)


def _refused(act: Act) -> Callable[[Call, Refusal], Awaitable[None]]:
    async def record(call: Call, refusal: Refusal) -> None:
        details = {"refused": type(refusal).__name__, "request_id": call.request_id}
        subject = call.path.get(act.about, "").replace("\0", "") or "-"
        async with call.platform.database.transaction() as db:
            await _append(db, act, call, subject, details)

    return record


async def _require_key(call: Call, action: str) -> None:
    """Use up the hardware key's assertion that binds this very request; the evidence goes into the audit log."""
    session = session_of(call)
    signed = await identity.require_assertion(
        call.db,
        session=session,
        action=action,
        request=call.body,
        assertion=call.headers.get("x-key-assertion"),
        now=call.now,
        uptime=clock.uptime(),
    )
    await audit.append(
        call.db,
        actor=actor(call),
        action="assertion.used",
        subject=session.session_id,
        details={"action": action, **msgspec.to_builtins(signed)},
        now=call.now,
    )
