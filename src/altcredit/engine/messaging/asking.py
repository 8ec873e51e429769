"""Consent asked for: a notice, word for word, on its way to a phone (contract C1, C2)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from altcredit.engine import consent
from altcredit.engine.messaging import store
from altcredit.engine.messaging.outgoing import Button, Question
from altcredit.engine.messaging.phone import DIGITS, phone_hash, seal_address, sent_hash
from altcredit.engine.messaging.sending import queue
from altcredit.engine.messaging.wording import Language, say, template
from altcredit.runtime.db import Connection
from altcredit.runtime.ids import new_id
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Detail, Refusal
from altcredit.runtime.signing import SigningKeys

INVITATION_LASTS: Final = timedelta(days=7)
SHOWN: Final = "messaging.shown"
# What a button does, and the key of its title: under the notice, and under the question after it.
_FIRST: Final = (("grant", "agree"), ("deny", "decline"), ("info", "more"))
_SECOND: Final = (("grant", "yes"), ("deny", "no"))


class PhoneInvalid(Refusal):
    """The phone is not E.164 digits without plus."""


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversation needs of the installation."""

    keyring: Keyring
    signing: SigningKeys
    fiduciary: consent.Fiduciary


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """A consent notice on its way to a retailer."""

    invitation_id: str
    retailer_id: str
    message_id: str
    expires_at: datetime


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What was shown, and how to draft it again in the other language."""

    draft: consent.Draft
    distributor_id: str
    retailer_ref: str | None


async def invite(
    db: Connection,
    *,
    means: Means,
    phone: str,
    distributor_id: str,
    retailer_ref: str | None,
    lender_scope: Sequence[str],
    purpose: str,
    language: Language,
    now: datetime,
) -> Invitation:
    """
    Ask a retailer for its consent: the notice, word for word, with buttons (contract C1, C2). Good for seven days.

    ``language`` counts for a phone that is not in conversation yet; any other is asked in its own.

    :raises PhoneInvalid: and as ``consent.draft``.
    """
    if not DIGITS.fullmatch(phone):
        raise PhoneInvalid(details=(Detail("$.phone", "must be E.164 digits without plus"),))
    sealed = seal_address(means.keyring, phone)
    opened = await store.open_(db, phone_hash(means.keyring, phone), sealed=sealed, language=language, now=now)
    shown = await drafted(db, means, phone, distributor_id, retailer_ref, lender_scope, purpose, opened["language"])
    return await show(db, means, phone, shown, now)


async def drafted(
    db: Connection,
    means: Means,
    phone: str,
    distributor_id: str,
    retailer_ref: str | None,
    lender_scope: Sequence[str],
    purpose: str,
    language: Language,
) -> Shown:
    """Return what to show: the notice as it is now, in a language. Raises as ``consent.draft``."""
    draft = await consent.draft(
        db,
        keyring=means.keyring,
        fiduciary=means.fiduciary,
        phone_hash=sent_hash(phone),
        distributor_id=distributor_id,
        retailer_ref=retailer_ref,
        lender_scope=lender_scope,
        purpose=purpose,
        language=language,
    )
    return Shown(draft=draft, distributor_id=distributor_id, retailer_ref=retailer_ref)


async def show(db: Connection, means: Means, phone: str, shown: Shown, now: datetime) -> Invitation:
    """Queue a notice with its buttons, under a nonce of its own; beyond 24 hours, the template that leads to it."""
    nonce, draft = new_id("inv"), shown.draft
    sealed = means.keyring.seal(msgspec.json.encode(shown), owner=nonce, purpose=SHOWN)
    hashed, expires_at = phone_hash(means.keyring, phone), now + INVITATION_LASTS
    scope, language = list(draft.lender_scope), draft.notice.language
    await store.invite(db, nonce, hashed, draft.retailer_id, scope, draft.purpose, language, sealed, now, expires_at)
    message_id = await put(db, means, phone, nonce, draft, now)
    return Invitation(invitation_id=nonce, retailer_id=draft.retailer_id, message_id=message_id, expires_at=expires_at)


async def put(db: Connection, means: Means, phone: str, nonce: str, draft: consent.Draft, now: datetime) -> str:
    """
    Queue the question with this nonce: the notice word for word, with its buttons. Returns the message's id.

    WhatsApp takes it within 24 hours of the phone's last message. Beyond them goes a short template with one button,
    which brings the notice: a template cannot be the notice, which begins with a name in Hindi, as no template may.
    """
    second, language = draft.purpose == consent.MODEL_DEVELOPMENT, draft.notice.language
    titles = _SECOND if second else _FIRST
    buttons = tuple(Button(id=f"consent:{does}:{nonce}", title=say(key, language)) for does, key in titles)
    opener = template(
        "invitation",
        language,
        (f"consent:show:{nonce}",),
        fiduciary=consent.plain(means.fiduciary.name),
        distributor=consent.plain(draft.distributor),
    )
    return await queue(
        db,
        keyring=means.keyring,
        to=phone,
        topic="invitation",
        free=Question(body=draft.notice.shown, buttons=buttons),
        template=None if second else opener,
        now=now,
    )
