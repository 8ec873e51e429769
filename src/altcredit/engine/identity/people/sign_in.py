"""
The way in: asked of the identity provider, proven by it, then by the hardware key; only then is there a session.

Between the steps, a cookie of its own stands for the sign-in; it is replaced as soon as the provider has vouched.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from altcredit.engine import audit
from altcredit.engine.identity.people import store
from altcredit.engine.identity.people.party import RelyingParty
from altcredit.engine.identity.people.sessions import open_session
from altcredit.engine.identity.people.staff import (
    IssuedSession,
    KeyMissing,
    KeyRefused,
    KeyTaken,
    NotStaff,
    SamlRefused,
    SignInNotSetUp,
    SignInUnknown,
    StaffMember,
    TicketInvalid,
    checked_name_id,
)
from altcredit.runtime import ids
from altcredit.runtime.clock import Uptime
from altcredit.runtime.db import Connection
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

ASKED_LIFETIME = timedelta(minutes=10)
PROVEN_LIFETIME = timedelta(minutes=5)


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send the browser, and the cookie that it keeps meanwhile."""

    url: str
    cookie: str


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """The identity provider has vouched for a member of staff; ``cookie`` replaces the one before."""

    member: StaffMember
    cookie: str
    has_key: bool


async def begin_sign_in(db: Connection, *, keyring: Keyring, settings: Settings, now: datetime) -> Begun:
    """Begin a sign-in: an AuthnRequest for the identity provider. What has expired is forgotten on the way."""
    from altcredit.engine.identity.people import providers, saml_request

    await store.forget_sign_ins(db, now=now)
    cookie, request_id = ids.new_secret(), f"_{ids.new_secret()}"
    await store.insert_sign_in(
        db, cookie_hmac=_hashed(keyring, cookie), request_id=request_id, now=now, expires_at=now + ASKED_LIFETIME
    )
    url = saml_request.request_url(
        idp=providers.identity_provider(settings, now=now),
        sp=providers.service_provider(settings),
        request_id=request_id,
        relay_state=request_id,
        now=now,
    )
    return Begun(url=url, cookie=cookie)


def _hashed(keyring: Keyring, cookie: str) -> bytes:
    return keyring.hmac("staff_sign_in", cookie)


async def _under_way(db: Connection, keyring: Keyring, cookie: str, state: str, now: datetime) -> store.SignIn:
    found = await store.lock_sign_in(db, cookie_hmac=_hashed(keyring, cookie))
    if found is None or found.state != state or not found.started_at <= now < found.expires_at:
        raise SignInUnknown
    return found


async def accept_response(
    db: Connection,
    *,
    keyring: Keyring,
    settings: Settings,
    cookie: str,
    response: str,
    relay_state: str,
    now: datetime,
) -> Proven:
    """
    Take the identity provider's response (base64, as posted) to the request of this sign-in; it counts once.

    :raises SignInUnknown, SamlRefused, NotStaff, SignInNotSetUp, MetadataInvalid:
    """
    from altcredit.engine.identity.people import providers, saml

    begun = await _under_way(db, keyring, cookie, "asked", now)
    if relay_state != begun.request_id:
        raise SamlRefused("the RelayState is not that of the request")
    login = saml.verified(
        response,
        idp=providers.identity_provider(settings, now=now),
        sp=providers.service_provider(settings),
        request_id=begun.request_id,
        now=now,
    )
    if not await store.assertion_is_new(
        db, issuer=login.issuer, assertion_id=login.assertion_id, expires_at=login.expires_at
    ):
        raise SamlRefused("the Assertion was used before")
    member = await store.staff_by_name_id(db, login.name_id)
    if member is None or member.status != "active":
        raise NotStaff
    replaced = ids.new_secret()
    await store.prove_sign_in(
        db,
        begun.request_id,
        cookie_hmac=_hashed(keyring, replaced),
        staff_id=member.staff_id,
        now=now,
        expires_at=now + PROVEN_LIFETIME,
    )
    keys = await store.live_keys(db, member.staff_id)
    return Proven(member=member, cookie=replaced, has_key=bool(keys))


async def _proven(db: Connection, keyring: Keyring, cookie: str, now: datetime) -> tuple[store.SignIn, StaffMember]:
    found = await _under_way(db, keyring, cookie, "proven", now)
    member = await store.lock_staff(db, found.staff_id or "")
    if member is None or member.status != "active":
        raise NotStaff
    return found, member


async def proven_member(db: Connection, *, keyring: Keyring, cookie: str, now: datetime) -> Proven:
    """Return who the identity provider has vouched for in this sign-in. Raises SignInUnknown, NotStaff."""
    _, member = await _proven(db, keyring, cookie, now)
    return Proven(member=member, cookie=cookie, has_key=bool(await store.live_keys(db, member.staff_id)))


async def ask_key(
    db: Connection, *, keyring: Keyring, settings: Settings, cookie: str, now: datetime
) -> Mapping[str, Any]:
    """Return WebAuthn request options for one of the person's keys. Raises SignInUnknown, NotStaff, KeyMissing."""
    from altcredit.engine.identity.people import webauthn

    found, member = await _proven(db, keyring, cookie, now)
    keys = await store.live_keys(db, member.staff_id)
    if not keys:
        raise KeyMissing
    challenge = bytes.fromhex(ids.new_secret())
    await store.challenge_sign_in(db, found.request_id, ceremony="sign_in", challenge=challenge, ticket_hmac=None)
    credentials = [key.credential_id for key in keys]
    return webauthn.request_options(party=RelyingParty.of(settings), challenge=challenge, credential_ids=credentials)


async def ask_enrolment(
    db: Connection, *, keyring: Keyring, settings: Settings, cookie: str, ticket: str, now: datetime
) -> Mapping[str, Any]:
    """
    Return WebAuthn creation options to the person whom the ticket is for.

    :raises SignInUnknown, NotStaff, TicketInvalid:
    """
    from altcredit.engine.identity.people import attestation

    found, member = await _proven(db, keyring, cookie, now)
    ticket_hmac = hashed_ticket(keyring, ticket)
    if not await store.ticket_is_good(db, ticket_hmac, staff_id=member.staff_id, now=now):
        raise TicketInvalid
    challenge = bytes.fromhex(ids.new_secret())
    await store.challenge_sign_in(db, found.request_id, ceremony="enrol", challenge=challenge, ticket_hmac=ticket_hmac)
    keys = await store.live_keys(db, member.staff_id)
    return attestation.creation_options(
        party=RelyingParty.of(settings),
        challenge=challenge,
        user_handle=await store.user_handle(db, member.staff_id),
        name=member.name_id,
        credential_ids=[key.credential_id for key in keys],
    )


def hashed_ticket(keyring: Keyring, ticket: str) -> bytes:
    """Return what is stored of a ticket."""
    return keyring.hmac("staff_ticket", ticket.strip())


async def enrol_key(
    db: Connection,
    *,
    keyring: Keyring,
    settings: Settings,
    cookie: str,
    answer: bytes,
    now: datetime,
) -> str:
    """
    Enrol the key of a registration (the JSON of the browser's credential), use its ticket up, return the key's id.

    There is no session yet: the key signs in afterwards, as it will every time.

    :raises SignInUnknown, NotStaff, TicketInvalid, KeyTaken, KeyRefused:
    """
    from altcredit.engine.identity.people import attestation

    found, member = await _proven(db, keyring, cookie, now)
    if found.ceremony != "enrol" or found.challenge is None or found.ticket_hmac is None:
        raise SignInUnknown
    made = attestation.enrolled(
        answer,
        party=RelyingParty.of(settings),
        challenge=found.challenge,
        believed=attestation.vendors(settings),
        today=now.date(),
    )
    if not await store.use_ticket(db, found.ticket_hmac, staff_id=member.staff_id, now=now):
        raise TicketInvalid
    key = store.EnrolledKey(
        key_id=ids.new_id("sky"),
        credential_id=made.credential_id,
        credential=made.credential,
        sign_count=made.sign_count,
    )
    if not await store.insert_key(db, key, staff_id=member.staff_id, attested_by=made.attested_by, now=now):
        raise KeyTaken
    await store.challenge_sign_in(db, found.request_id, ceremony=None, challenge=None, ticket_hmac=None)
    actor, details = f"staff:{member.staff_id}", {"key_id": key.key_id, "attested_by": made.attested_by}
    await audit.append(db, actor=actor, action="staff.key_enrolled", subject=member.staff_id, details=details, now=now)
    return key.key_id


async def finish_sign_in(
    db: Connection,
    *,
    keyring: Keyring,
    settings: Settings,
    cookie: str,
    answer: bytes,
    now: datetime,
    uptime: Uptime | None = None,
) -> IssuedSession:
    """
    Open the session of a person whose key has answered (the JSON of the browser's credential); the sign-in is over.

    :raises SignInUnknown, NotStaff, KeyRefused:
    """
    from altcredit.engine.identity.people import webauthn

    found, member = await _proven(db, keyring, cookie, now)
    if found.ceremony != "sign_in" or found.challenge is None:
        raise SignInUnknown
    said = webauthn.Answer(answer)
    key = await store.lock_key(db, member.staff_id, credential_id=said.credential_id)
    if key is None:
        raise KeyRefused("not this person's key")
    proven = said.proven(
        party=RelyingParty.of(settings), challenge=found.challenge, credential=key.credential, sign_count=key.sign_count
    )
    await store.key_used(db, key.key_id, sign_count=proven.sign_count, now=now)
    await store.finish_sign_in(db, found.request_id)
    issued = await open_session(db, keyring=keyring, member=member, key_id=key.key_id, now=now, uptime=uptime)
    details = {"session_id": issued.session.session_id, "key_id": key.key_id, "roles": member.roles}
    actor = f"staff:{member.staff_id}"
    await audit.append(db, actor=actor, action="staff.signed_in", subject=member.staff_id, details=details, now=now)
    return issued


async def note_refused(db: Connection, *, keyring: Keyring, cookie: str, refusal: Refusal, now: datetime) -> None:
    """Write a refused sign-in into the audit log, in a transaction of its own: who it was as far as was proven."""
    found = await store.lock_sign_in(db, cookie_hmac=_hashed(keyring, cookie))
    who = found.staff_id if found is not None and found.staff_id else "unknown"
    details = {"refusal": type(refusal).__name__, "why": str(refusal)}
    await audit.append(
        db, actor="system:sign_in", action="staff.sign_in_refused", subject=who, details=details, now=now
    )


def sp_metadata(settings: Settings) -> bytes:
    """Return the SAML metadata (XML) that the identity provider is set up with."""
    from altcredit.engine.identity.people import providers, saml_request

    return saml_request.sp_metadata(providers.service_provider(settings))


def development_request(settings: Settings, *, saml_request: str) -> str:
    """Return the id of a request of ours to the built-in identity provider. Raises SignInNotSetUp, SamlRefused."""
    from altcredit.engine.identity.people import development, providers

    if not settings.has_builtin_idp:
        raise SignInNotSetUp
    return development.requested(saml_request, sp=providers.service_provider(settings))


def development_response(settings: Settings, *, request_id: str, name_id: str, now: datetime) -> str:
    """
    Return the built-in identity provider's signed response (base64) that says that ``name_id`` has authenticated.

    :raises SignInNotSetUp: this is no development environment, or it has another provider.
    """
    from altcredit.engine.identity.people import development, providers

    if not settings.has_builtin_idp:
        raise SignInNotSetUp
    return development.signed_response(
        development.provider(settings, now=now),
        sp=providers.service_provider(settings),
        request_id=request_id,
        name_id=checked_name_id(name_id),
        now=now,
    )
