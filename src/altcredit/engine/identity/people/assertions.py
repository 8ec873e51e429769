"""A person's key signs for one action on one request: asked for, then shown with the action, once, within a minute."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from altcredit.engine.identity.people import store
from altcredit.engine.identity.people.party import RelyingParty
from altcredit.engine.identity.people.staff import (
    ASSERTION_LIFETIME,
    AssertionInvalid,
    AssertionMissing,
    AssertionStale,
    KeyRefused,
    SignedRequest,
    StaffSession,
)
from altcredit.runtime import ids
from altcredit.runtime.clock import Uptime, outlived
from altcredit.runtime.db import Connection

_ACTION = re.compile(r"[a-z][a-z_.]{1,59}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


async def ask_assertion(
    db: Connection,
    *,
    party: RelyingParty,
    session: StaffSession,
    action: str,
    request_sha256: str,
    now: datetime,
    uptime: Uptime | None = None,
) -> Mapping[str, Any]:
    """
    Return WebAuthn request options whose challenge binds ``action`` and the SHA-256 (hex) of the request's raw body.

    :raises AssertionInvalid: the action or the hash is not of the form of one.
    """
    from altcredit.engine.identity.people import webauthn

    if not _ACTION.fullmatch(action) or not _SHA256.fullmatch(request_sha256):
        raise AssertionInvalid("an action is lower-case words, a request_sha256 64 hex digits")
    digest = bytes.fromhex(request_sha256)
    nonce = bytes.fromhex(ids.new_secret())
    challenge = webauthn.bound_challenge(nonce, session_id=session.session_id, action=action, request_sha256=digest)
    asked = store.AskedAssertion(
        action=action,
        request_sha256=digest,
        rp_id=party.rp_id,
        origin=party.origin,
        asked_at=now,
        began=uptime,
        used_at=None,
    )
    await store.insert_assertion(db, challenge, session_id=session.session_id, asked=asked)
    keys = await store.live_keys(db, session.staff_id)
    credentials = [key.credential_id for key in keys]
    return webauthn.request_options(party=party, challenge=challenge, credential_ids=credentials)


async def require_assertion(
    db: Connection,
    *,
    session: StaffSession,
    action: str,
    request: bytes,
    assertion: str | None,
    now: datetime,
    uptime: Uptime | None = None,
) -> SignedRequest:
    """
    Use up a key assertion for ``action`` on the raw body ``request``; return the evidence for the audit row.

    ``assertion``: the JSON of the browser's credential in base64url, as in the header ``X-Key-Assertion``. Used in the
    caller's transaction: what is refused afterwards did not use it up. ``uptime``: this host's, as with sessions.

    :raises AssertionMissing, AssertionInvalid, AssertionStale:
    """
    from altcredit.engine.identity.people import webauthn

    if not assertion:
        raise AssertionMissing
    try:
        answer = webauthn.Answer(webauthn.unpacked(assertion))
    except KeyRefused as refused:
        raise AssertionInvalid(str(refused)) from refused
    asked = await store.lock_assertion(db, answer.challenge, session_id=session.session_id)
    digest = hashlib.sha256(request).digest()
    if asked is None or asked.used_at is not None or (asked.action, asked.request_sha256) != (action, digest):
        raise AssertionInvalid("not asked for this action and request, or used before")
    if not asked.asked_at <= now <= asked.asked_at + ASSERTION_LIFETIME:
        raise AssertionStale
    if outlived(asked.began, uptime, ASSERTION_LIFETIME):
        raise AssertionStale
    key = await store.lock_key(db, session.staff_id, credential_id=answer.credential_id)
    if key is None:
        raise AssertionInvalid("not this person's key")
    try:
        proven = answer.proven(
            party=RelyingParty(rp_id=asked.rp_id, origin=asked.origin),
            challenge=answer.challenge,
            credential=key.credential,
            sign_count=key.sign_count,
        )
    except KeyRefused as refused:
        raise AssertionInvalid(str(refused)) from refused
    await store.key_used(db, key.key_id, sign_count=proven.sign_count, now=now)
    await store.assertion_used(db, answer.challenge, key_id=key.key_id, signed=proven.signed, now=now)
    return SignedRequest(
        key_id=key.key_id, challenge=webauthn.packed(answer.challenge), request_sha256=asked.request_sha256.hex()
    )
