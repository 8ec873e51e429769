"""Consent asked for: a notice, word for word, on its way to a phone (contract C1, C2)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from altcredit.engine import consent
from altcredit.engine.messaging import store
from altcredit.engine.messaging.outgoing import MAX_QUESTION, MAX_TEXT, Button, Question, Template, Text
from altcredit.engine.messaging.phone import DIGITS, phone_hash, seal_address, sent_hash
from altcredit.engine.messaging.sending import queue
from altcredit.engine.messaging.wording import Language, say
from altcredit.runtime.db import Connection
from altcredit.runtime.ids import new_id
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Detail, Refusal
from altcredit.runtime.signing import SigningKeys

INVITATION_LASTS: Final = timedelta(days=7)
SHOWN: Final = "messaging.shown"


class NoticeTooLong(Refusal):
    """The notice names so many parties that no message holds it."""


class PhoneInvalid(Refusal):
    """The phone is not E.164 digits without plus."""


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversation needs of the installation."""

    keyring: Keyring
    signing: SigningKeys
    fiduciary: str


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

    :raises PhoneInvalid, NoticeTooLong, consent.RetailerUnknown, consent.RetailerAmbiguous, consent.LenderUnknown:
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
    """Queue a notice with its buttons, under a nonce of its own. Raises NoticeTooLong."""
    nonce, draft = new_id("inv"), shown.draft
    language, text = draft.notice.language, draft.notice.text
    if len(text) > MAX_TEXT:
        raise NoticeTooLong
    sealed = means.keyring.seal(msgspec.json.encode(shown), owner=nonce, purpose=SHOWN)
    hashed, expires_at = phone_hash(means.keyring, phone), now + INVITATION_LASTS
    scope = list(draft.lender_scope)
    await store.invite(db, nonce, hashed, draft.retailer_id, scope, draft.purpose, language, sealed, now, expires_at)
    short = len(text) <= MAX_QUESTION
    if not short:
        notice = Text(body=text)
        await queue(db, keyring=means.keyring, to=phone, topic="invitation", free=notice, now=now)
    asked = Question(
        body=text if short else say("question", language),
        footer=say("footer", language, version=draft.notice.version),
        buttons=tuple(
            Button(id=f"consent:{answer_}:{nonce}", title=say(title, language))
            for answer_, title in (("grant", "agree"), ("deny", "decline"), ("info", "more"))
        ),
    )
    template = Template(
        name="model_development_v1" if draft.purpose == consent.MODEL_DEVELOPMENT else "credit_consent_v1",
        language=language,
        values=draft.values,
        payloads=tuple(button.id for button in asked.buttons),
    )
    message_id = await queue(
        db,
        keyring=means.keyring,
        to=phone,
        topic="invitation",
        free=asked,
        template=template if short else None,
        now=now,
    )
    return Invitation(invitation_id=nonce, retailer_id=draft.retailer_id, message_id=message_id, expires_at=expires_at)
