"""The pages of signing in: identity provider, hardware key, session. Rendered here; nothing inline, nothing foreign."""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from importlib.resources import files
from typing import Any

from altcredit.api.contract import Call, Nothing, Raw, Route
from altcredit.api.staff.credentials import SESSION_COOKIE, cookie, require_own_origin, session_of_call, shown_token
from altcredit.api.staff.errors import ERROR_TABLE
from altcredit.api.staff.forms import form, query
from altcredit.api.staff.headers import HTML, SIGN_IN_COOKIE, set_cookie
from altcredit.engine import identity
from altcredit.runtime import quotas
from altcredit.runtime.peer import client_address
from altcredit.runtime.quotas import Quota
from altcredit.runtime.refusal import Refusal

Page = Callable[[Call], Awaitable[Raw]]

# A sign-in costs a row and, refused, a line in the audit log.
_QUOTA = Quota(name="minute", limit=60, seconds=60)
_FORM_LIMIT = 192 * 1024


@lru_cache(maxsize=1)
def _templates() -> Any:
    import jinja2

    folder = files("altcredit.api.staff").joinpath("templates")
    # The package's own files and no others; everything that is shown is escaped.
    loader = jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8"))
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)


def rendered(
    template: str, *, title: str, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = (), **values: Any
) -> Raw:
    """Return a page."""
    shown = _templates().get_template(template).render(**{"development": False, "title": title, **values})
    return Raw(shown.encode(), "text/html; charset=utf-8", (*HTML, *headers), status)


def seen_at(url: str, *headers: tuple[bytes, bytes]) -> Raw:
    """Return an answer that sends the browser on by GET."""
    return Raw(b"", "text/plain", (*HTML, (b"location", url.encode()), *headers), 303)


def refused(call: Call, refusal: Refusal) -> Raw:
    """Return the page that tells a person what was refused, and no more than a caller of the API hears."""
    error = ERROR_TABLE.of(type(refusal))
    return rendered(
        "message.html",
        title="Not signed in",
        status=error.status,
        message=error.message("en"),
        code=error.code,
        request_id=call.request_id,
    )


def _page(handler: Page) -> Callable[[Call, Any], Awaitable[Raw]]:
    async def run(call: Call, _asked: Any) -> Raw:
        try:
            return await handler(call)
        except Refusal as refusal:
            return refused(call, refusal)

    return run


async def _counted(call: Call, step: str) -> None:
    """Count a step of a sign-in. Raises RateLimitExceeded: this address takes it too often."""
    address = client_address(call.scope, call.platform.trusted_proxies)
    async with call.platform.database.transaction() as db:
        await quotas.take(db, quota=_QUOTA, subject=f"staff_{step}|{address}", now=call.now)


async def _login(call: Call) -> Raw:
    platform = call.platform
    await _counted(call, "login")
    async with platform.database.transaction() as db:
        begun = await identity.begin_sign_in(db, keyring=platform.keyring, settings=platform.settings, now=call.now)
    return seen_at(begun.url, set_cookie(SIGN_IN_COOKIE, begun.cookie, seconds=600, cross_site=True))


async def _acs(call: Call) -> Raw:
    platform = call.platform
    shown = cookie(call, SIGN_IN_COOKIE)
    await _counted(call, "acs")
    try:
        response, relay_state = form(call, "SAMLResponse", "RelayState")
        async with platform.database.transaction() as db:
            proven = await identity.accept_response(
                db,
                keyring=platform.keyring,
                settings=platform.settings,
                cookie=shown,
                response=response,
                relay_state=relay_state,
                now=call.now,
            )
    except (identity.SamlRefused, identity.NotStaff) as refusal:
        await note_refused(call, refusal)
        raise
    return seen_at("/staff/key", set_cookie(SIGN_IN_COOKIE, proven.cookie, seconds=300, cross_site=True))


async def note_refused(call: Call, refusal: Refusal) -> None:
    """Write a refused sign-in into the audit log: what it did was rolled back, that it was tried is not."""
    async with call.platform.database.transaction() as db:
        await identity.note_refused(
            db, keyring=call.platform.keyring, cookie=cookie(call, SIGN_IN_COOKIE), refusal=refusal, now=call.now
        )


async def _key(call: Call) -> Raw:
    async with call.platform.database.transaction() as db:
        proven = await identity.proven_member(
            db, keyring=call.platform.keyring, cookie=cookie(call, SIGN_IN_COOKIE), now=call.now
        )
    return rendered("key.html", title="Hardware key", name_id=proven.member.name_id, has_key=proven.has_key)


async def _session(call: Call) -> Raw:
    session = await session_of_call(call)
    return rendered(
        "session.html",
        title="Signed in",
        session=session,
        token=shown_token(call),
        actions=identity.permissions_of(session.roles),
    )


async def _sign_out(call: Call) -> Raw:
    require_own_origin(call)
    session = await session_of_call(call)
    async with call.platform.database.transaction() as db:
        await identity.sign_out(db, session=session, now=call.now)
    return seen_at("/staff/signed-out", set_cookie(SESSION_COOKIE, "", seconds=0))


async def _signed_out(_call: Call) -> Raw:
    return rendered("message.html", title="Signed out", message="Your session is over.", code="", request_id="")


async def _metadata(call: Call) -> Raw:
    return Raw(identity.sp_metadata(call.platform.settings), "application/samlmetadata+xml", HTML)


async def _development_idp(call: Call) -> Raw:
    saml_request, relay_state = query(call, "SAMLRequest", "RelayState")
    identity.development_request(call.platform.settings, saml_request=saml_request)
    return rendered(
        "development_idp.html",
        title="Built-in identity provider",
        development=True,
        saml_request=saml_request,
        relay_state=relay_state,
    )


async def _development_answer(call: Call) -> Raw:
    require_own_origin(call)
    settings = call.platform.settings
    saml_request, relay_state, name_id = form(call, "SAMLRequest", "RelayState", "name_id")
    request_id = identity.development_request(settings, saml_request=saml_request)
    response = identity.development_response(settings, request_id=request_id, name_id=name_id, now=call.now)
    return rendered(
        "development_response.html",
        title="Built-in identity provider",
        development=True,
        acs_url=f"{settings.staff_origin}/staff/acs",
        response=response,
        relay_state=relay_state,
        name_id=name_id,
    )


def _asset(name: str, media: str) -> Page:
    content = files("altcredit.api.staff").joinpath("assets", name).read_bytes()

    async def asset(_call: Call) -> Raw:
        return Raw(content, media, HTML)

    return asset


def _route(method: Any, path: str, operation: str, summary: str, handler: Page) -> Route:
    return Route(
        method=method,
        path=path,
        operation=operation,
        tag="Sign-in",
        summary=summary,
        handler=_page(handler),
        asks=Nothing,
        decodes=False,
        max_body=_FORM_LIMIT,
        hidden=True,
    )


ROUTES = (
    _route("GET", "/staff/login", "beginSignIn", "Go to the identity provider", _login),
    _route("POST", "/staff/acs", "acceptSamlResponse", "Come back from the identity provider", _acs),
    _route("GET", "/staff/metadata", "readSamlMetadata", "Our SAML metadata", _metadata),
    _route("GET", "/staff/key", "showKeyPage", "Use or enrol a hardware key", _key),
    _route("GET", "/staff", "showSession", "Who is signed in", _session),
    _route("POST", "/staff/sign-out", "leaveSession", "End the session", _sign_out),
    _route("GET", "/staff/signed-out", "showSignedOut", "The session is over", _signed_out),
    _route("GET", "/staff/development-idp", "showDevelopmentIdp", "The built-in identity provider", _development_idp),
    _route("POST", "/staff/development-idp", "answerDevelopmentIdp", "Its answer", _development_answer),
    _route("GET", "/staff/assets/staff.js", "readStaffScript", "Script", _asset("staff.js", "text/javascript")),
    _route("GET", "/staff/assets/staff.css", "readStaffStyle", "Style", _asset("staff.css", "text/css")),
)
