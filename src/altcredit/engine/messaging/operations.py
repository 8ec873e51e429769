"""
Conversations with retailers: consent asked for and given, withdrawn by a word, and what is left to others to answer.

What touches consent happens in the transaction that takes the webhook: a STOP ends consents and closes questions there
and then, so that no press of a button that was made before it counts after it.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from altcredit.engine import audit, consent, retailers
from altcredit.engine.messaging import store
from altcredit.engine.messaging.asking import SHOWN, Means, Shown, drafted, put, show
from altcredit.engine.messaging.inbound import Delivery, Inbound, Meaning, understood
from altcredit.engine.messaging.outgoing import MAX_TEXT, Free, Text
from altcredit.engine.messaging.phone import BODY, address, phone_hash, seal_address, sent_hash
from altcredit.engine.messaging.sending import queue, take_status
from altcredit.engine.messaging.wording import Language, say
from altcredit.runtime import jobs, quotas
from altcredit.runtime.db import Connection, Record
from altcredit.runtime.keys import Keyring
from altcredit.runtime.quotas import Quota, RateLimitExceeded

ANSWER_JOB: Final = "messaging.answer"
BODIES_KEPT: Final = timedelta(days=30)
ROWS_KEPT: Final = timedelta(days=90)
CONVERSATIONS_KEPT: Final = timedelta(days=730)
# What a phone may have answered in an hour; a STOP is heard beyond it too.
_HEARD: Final = Quota(name="hour", limit=60, seconds=3_600)
_PRESS: Final = re.compile(r"consent:(grant|deny|info|show):(inv_[0-9a-f]{16})")
# What may have changed since a question was put. It is no fault of the retailer's, nor of WhatsApp's, which would send
# the webhook again: the question is closed.
_NOT_NOW: Final = (
    consent.LenderUnknown,
    consent.NoticeNotSetUp,
    consent.NoticeTooLong,
    consent.RetailerAmbiguous,
    consent.RetailerUnknown,
    retailers.RetailerUnknown,
)
_DEVANAGARI: Final = re.compile("[\u0900-\u097f]")


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A message that others answer (job ``messaging.answer``)."""

    wamid: str
    phone: str
    language: Language
    meaning: Meaning


async def receive(db: Connection, *, means: Means, delivery: Delivery, now: datetime) -> int:
    """
    Take what a webhook brought, once: act on what concerns consent, queue what others answer.

    Returns how many messages were new. The caller has verified WhatsApp's signature over the raw bytes.
    """
    # Each phone's messages in their order, and all webhooks' phones in one: no two webhooks wait for each other.
    new = 0
    for message in sorted(delivery.messages, key=lambda one: one.phone):
        new += await _heard(db, means, message, now)
    for update in sorted(delivery.statuses, key=lambda one: one.wamid):
        await take_status(db, update=update)
    return new


async def question(db: Connection, *, keyring: Keyring, wamid: str) -> Waiting | None:
    """Return a message that waits for an answer; None where it was answered, or its body is gone."""
    row = await store.received(db, wamid)
    if row is None or row["answered_at"] is not None or row["sealed_body"] is None:
        return None
    known = await store.conversation(db, row["phone"])
    if known is None:
        return None
    text = keyring.unseal(row["sealed_body"], owner=wamid, purpose=BODY).decode()
    number = address(keyring, row["phone"], known["sealed"])
    message = Inbound(wamid=wamid, phone=number, written_at=row["written_at"], kind=row["kind"], text=text)
    return Waiting(wamid=wamid, phone=number, language=known["language"], meaning=understood(message))


async def answer(db: Connection, *, keyring: Keyring, asked: Waiting, texts: Sequence[str], now: datetime) -> None:
    """Reply to a message, and note that it is answered."""
    for text in texts:
        await _reply(db, keyring, asked.phone, Text(body=consent.cut(text, MAX_TEXT)), now)
    await store.answered(db, asked.wamid, now)


async def language_of(db: Connection, *, phone: bytes) -> Language | None:
    """Return the language that a phone is spoken to in; None where there is no conversation."""
    found = await store.conversation(db, phone)
    language: Language | None = None if found is None else found["language"]
    return language


async def purge(db: Connection, *, now: datetime) -> int:
    """Destroy bodies after 30 days, rows after 90, silent conversations after two years. Returns how many bodies."""
    return await store.purge(
        db, bodies=now - BODIES_KEPT, rows=now - ROWS_KEPT, conversations=now - CONVERSATIONS_KEPT, now=now
    )


async def forget(db: Connection, *, phones: Iterable[bytes], retailer_ids: Sequence[str] = ()) -> None:
    """
    Destroy all that is held of phones (keyed hashes): numbers, messages, codes, what was shown. For erasure.

    A phone that another shop has is left alone, but for what was shown to it of these retailers; a hash that is no
    phone's changes nothing.
    """
    await store.forget_shown(db, retailer_ids)
    for phone in phones:
        if not await retailers.has_phone(db, hashed=phone):
            await store.forget(db, phone)


async def _heard(db: Connection, means: Means, message: Inbound, now: datetime) -> int:
    phone = phone_hash(means.keyring, message.phone)
    language: Language = "hi" if _DEVANAGARI.search(message.text) and message.kind == "text" else "en"
    sealed = seal_address(means.keyring, message.phone)
    opened = await store.open_(db, phone, sealed=sealed, language=language, now=now)
    body = means.keyring.seal(message.text.encode(), owner=message.wamid, purpose=BODY)
    if not await store.receive(db, message.wamid, phone, message.written_at, now, message.kind, body):
        return 0
    await store.heard(db, phone, min(message.written_at, now))  # WhatsApp counts its 24 hours from the writing
    meaning = understood(message)
    if meaning.intent != "stop" and not await _within_limit(db, phone, now):
        return 1
    conversation = _Conversation(db, means, message, phone, opened, now)
    await conversation.act(meaning)
    return 1


async def _within_limit(db: Connection, phone: bytes, now: datetime) -> bool:
    try:
        await quotas.take(db, quota=_HEARD, subject=f"whatsapp|{phone.hex()}", now=now)
    except RateLimitExceeded:
        return False
    return True


class _Conversation:
    """One message of one phone, and what is done about it."""

    def __init__(
        self, db: Connection, means: Means, message: Inbound, phone: bytes, opened: Record, now: datetime
    ) -> None:
        self.db, self.means, self.message, self.phone, self.now = db, means, message, phone, now
        self.language: Language = opened["language"]

    async def act(self, meaning: Meaning) -> None:
        """Do what the message asks for."""
        match meaning.intent:
            case "stop":
                await self.stop()
            case "press":
                await self.press(meaning.rest)
            case "english" | "hindi":
                await self.speak("en" if meaning.intent == "english" else "hi")
            case "score" | "grievance":
                await jobs.enqueue(self.db, ANSWER_JOB, {"wamid": self.message.wamid})
                return
            case _:
                await self.reply("help")
        await store.answered(self.db, self.message.wamid, self.now)

    async def reply(self, key: str, **values: object) -> None:
        text = Text(body=say(key, self.language, **values))
        await _reply(self.db, self.means.keyring, self.message.phone, text, self.now)

    async def stop(self) -> None:
        """End every consent of the phone's shops, for all lenders, and every question that is open (contract C4)."""
        await store.stop(self.db, self.phone, self.now)
        count = 0
        for retailer_id in await self._shops():
            ids = (await retailers.profile(self.db, keyring=self.means.keyring, retailer_id=retailer_id)).ids
            standing = [
                one.consent_id for one in await consent.records(self.db, retailer_ids=ids) if one.revoked_at is None
            ]
            for consent_id in standing:
                await consent.revoke(
                    self.db,
                    keyring=self.means.keyring,
                    actor=f"retailer:{retailer_id}",
                    consent_id=consent_id,
                    reason="retailer_request",
                    message_id=self.message.wamid,
                    now=self.now,
                )
            count += len(standing)
        await self.reply("stopped", count=count)

    async def speak(self, language: Language) -> None:
        """Go on in another language; a question that is open is asked again in it."""
        self.language = language
        await store.speak(self.db, self.phone, language)
        row = await store.last_open(self.db, self.phone, self.now)
        if row is None or row["language"] == language:
            await self.reply("language")
            return
        shown = self._shown(row)
        try:
            async with self.db.transaction():  # a savepoint
                asked = await self._drafted(shown, shown.draft.lender_scope, shown.draft.purpose)
        except _NOT_NOW:
            await store.settle(self.db, row["nonce"], state="replaced", at=self.now)
            await self.reply("settled")
            return
        await show(self.db, self.means, self.message.phone, asked, self.now)

    async def press(self, button: str) -> None:
        """Take the answer to a question, if it is open still, and was put to this phone."""
        match = _PRESS.fullmatch(button)
        row = await store.invitation(self.db, match[2], self.phone) if match else None
        if match is None or row is None or not self._is_open(row):
            await self.reply("settled")
        elif match[1] == "info":
            await self.reply("information")
        elif match[1] == "show":
            await put(self.db, self.means, self.message.phone, row["nonce"], self._shown(row).draft, self.now)
        elif match[1] == "deny":
            await self._decline(row)
        else:
            await self._agree(row)

    async def _decline(self, row: Record) -> None:
        await self._settle(row, "declined", None)
        retailer_id, purpose = row["retailer_id"], row["purpose"]
        details = {"retailer_id": retailer_id, "purpose": purpose, "wa_message_id": self.message.wamid}
        actor = f"retailer:{retailer_id}"
        await audit.append(
            self.db, actor=actor, action="consent.declined", subject=row["nonce"], details=details, now=self.now
        )
        await self.reply("development_declined" if purpose == consent.MODEL_DEVELOPMENT else "declined")

    def _is_open(self, row: Record) -> bool:
        return row["state"] == "open" and row["expires_at"] > self.now and row["sealed_shown"] is not None

    async def _agree(self, row: Record) -> None:
        shown = self._shown(row)
        try:
            if row["retailer_id"] not in await self._shops():  # merged, erased, or the phone is another's now
                raise consent.RetailerUnknown
            async with self.db.transaction():  # a savepoint
                given = await consent.agree(
                    self.db,
                    keyring=self.means.keyring,
                    signing=self.means.signing,
                    actor=f"retailer:{row['retailer_id']}",
                    draft=shown.draft,
                    channel="whatsapp",
                    message_id=self.message.wamid,
                    now=self.now,
                )
        except _NOT_NOW:
            await self._settle(row, "declined", None)
            await self.reply("settled")
            return
        await self._settle(row, "granted", given.consent.consent_id)
        if shown.draft.purpose == consent.MODEL_DEVELOPMENT:
            await self.reply("development_granted", consent_id=given.consent.consent_id)
            return
        await self.reply("granted", consent_id=given.consent.consent_id)
        await self._ask_for_development(shown, given.consent.retailer_id)

    async def _ask_for_development(self, shown: Shown, retailer_id: str) -> None:
        """Ask, once and apart, whether the data may help to improve the model (contract C2)."""
        purpose = consent.MODEL_DEVELOPMENT
        if await store.asked_before(self.db, self.phone, retailer_id, purpose):
            return
        try:
            async with self.db.transaction():  # a savepoint
                asked = await self._drafted(shown, (), purpose)
        except _NOT_NOW:  # an optional question about a shop that has changed meanwhile is left unasked
            return
        await show(self.db, self.means, self.message.phone, asked, self.now)

    async def _drafted(self, shown: Shown, lender_scope: Sequence[str], purpose: str) -> Shown:
        """Return the notice as it is now, in the language of the conversation."""
        return await drafted(
            self.db,
            self.means,
            self.message.phone,
            shown.distributor_id,
            shown.retailer_ref,
            lender_scope,
            purpose,
            self.language,
        )

    async def _settle(self, row: Record, state: str, consent_id: str | None) -> None:
        await store.settle(self.db, row["nonce"], state=state, at=self.now, consent_id=consent_id)
        await store.settle_alike(
            self.db,
            self.phone,
            retailer_id=row["retailer_id"],
            purpose=row["purpose"],
            lender_ids=row["lender_ids"],
            at=self.now,
        )

    def _shown(self, row: Record) -> Shown:
        opened = self.means.keyring.unseal(row["sealed_shown"], owner=row["nonce"], purpose=SHOWN)
        return msgspec.json.decode(opened, type=Shown)

    async def _shops(self) -> list[str]:
        hashed = sent_hash(self.message.phone)
        return await retailers.of_phone(self.db, keyring=self.means.keyring, phone_hash=hashed)


async def _reply(db: Connection, keyring: Keyring, phone: str, text: Free, now: datetime) -> None:
    await queue(db, keyring=keyring, to=phone, topic="reply", free=text, now=now)
