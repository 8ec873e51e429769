"""The SQL of conversations, messages, invitations and one-time codes. Phones are keyed hashes throughout."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from altcredit.engine.messaging.wording import Language
from altcredit.runtime.clock import Uptime
from altcredit.runtime.db import Connection, Record

# What a phone says first opens its conversation. The row's lock puts one phone's messages in line.
OPEN = """
INSERT INTO conversation AS c (phone, sealed, language, used_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (phone) DO UPDATE SET used_at = greatest(c.used_at, $4)
RETURNING language
"""
CONVERSATION = "SELECT sealed, language, heard_at FROM conversation WHERE phone = $1"
# Reads the row of the phone or else the next one, whoever's that is: whether a phone is known takes the same time.
SPOKEN = "SELECT phone = $1 AS theirs, language FROM conversation WHERE phone >= $1 ORDER BY phone LIMIT 1"
HEARD = "UPDATE conversation SET heard_at = greatest(heard_at, $2) WHERE phone = $1"
# WhatsApp holds that the 24 hours are over, whatever we have heard.
UNHEARD = "UPDATE conversation SET heard_at = NULL WHERE phone = $1"
SPEAK = "UPDATE conversation SET language = $2 WHERE phone = $1"

RECEIVE = """
INSERT INTO inbound_message (wamid, phone, written_at, received_at, kind, sealed_body) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (wamid) DO NOTHING RETURNING true
"""
RECEIVED = "SELECT phone, written_at, kind, sealed_body, answered_at FROM inbound_message WHERE wamid = $1 FOR UPDATE"
ANSWERED = "UPDATE inbound_message SET answered_at = $2 WHERE wamid = $1"

QUEUE = """
INSERT INTO outbound_message (message_id, phone, topic, sealed_body, created_at, due_at, expires_at, state_at)
VALUES ($1, $2, $3, $4, $5, $5, $6, $5)
"""
# The oldest message of a phone goes first, and alone. $2 now, $3 until when it is leased
CLAIM = """
UPDATE outbound_message SET leased_until = $3, tries = tries + 1
WHERE message_id = (
    SELECT message_id FROM outbound_message WHERE phone = $1 AND state = 'queued' ORDER BY place LIMIT 1 FOR UPDATE
) AND due_at <= $2 AND (leased_until IS NULL OR leased_until <= $2)
RETURNING message_id, topic, sealed_body, tries, expires_at
"""
# When there is something to do for a phone again.
NEXT = """
SELECT greatest(due_at, coalesce(leased_until, due_at)) FROM outbound_message
WHERE phone = $1 AND state = 'queued' ORDER BY place LIMIT 1
"""
SENT = """
UPDATE outbound_message SET state = 'sent', wamid = $2, sent_at = $3, state_at = $3, leased_until = NULL, problem = NULL
WHERE message_id = $1 AND state = 'queued'
"""
AGAIN = "UPDATE outbound_message SET due_at = $2, leased_until = NULL, problem = $3 WHERE message_id = $1"
ENDED = """
UPDATE outbound_message SET state = $2, problem = $3, state_at = $4, leased_until = NULL, sealed_body = NULL
WHERE message_id = $1
"""
STATUS = """
INSERT INTO message_status (wamid, state, at, code) VALUES ($1, $2, $3, $4) ON CONFLICT (wamid, state) DO NOTHING
"""
# WhatsApp says what became of a message while we write down that it was sent: one after the other, or each would look
# for what the other has not committed yet, and the status would be lost.
ALONE = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7242014))"
STATE = "SELECT message_id, state FROM outbound_message WHERE wamid = $1 FOR UPDATE"
STATES = "SELECT state, at, code FROM message_status WHERE wamid = $1"
PROGRESS = """
UPDATE outbound_message SET state = $2, state_at = $3, problem = coalesce($4, problem),
    sealed_body = CASE WHEN $2 IN ('delivered', 'read', 'failed') THEN NULL ELSE sealed_body END
WHERE message_id = $1
"""
OVERDUE = """
SELECT DISTINCT phone FROM outbound_message
WHERE state = 'queued' AND due_at <= $1 AND (leased_until IS NULL OR leased_until <= $1) LIMIT 500
"""

INVITE = """
INSERT INTO consent_invitation
    (nonce, phone, retailer_id, lender_ids, purpose, language, sealed_shown, shown_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
INVITATION = """
SELECT nonce, retailer_id, lender_ids, purpose, language, sealed_shown, state, expires_at
FROM consent_invitation WHERE nonce = $1 AND phone = $2 FOR UPDATE
"""
LAST_OPEN = """
SELECT nonce, retailer_id, lender_ids, purpose, language, sealed_shown, state, expires_at
FROM consent_invitation WHERE phone = $1 AND state = 'open' AND expires_at > $2 ORDER BY shown_at DESC, nonce LIMIT 1
FOR UPDATE
"""
SETTLE = """
UPDATE consent_invitation SET state = $2, settled_at = $3, consent_id = $4, sealed_shown = NULL
WHERE nonce = $1 AND state = 'open'
"""
SETTLE_ALIKE = """
UPDATE consent_invitation SET state = 'replaced', settled_at = $5, sealed_shown = NULL
WHERE phone = $1 AND retailer_id = $2 AND purpose = $3 AND lender_ids = $4 AND state = 'open'
"""
STOP = """
UPDATE consent_invitation SET state = 'stopped', settled_at = $2, sealed_shown = NULL
WHERE phone = $1 AND state = 'open'
"""
ASKED_BEFORE = """
SELECT EXISTS (SELECT FROM consent_invitation WHERE phone = $1 AND retailer_id = $2 AND purpose = $3)
"""

PUT_CODE = """
INSERT INTO sign_in_code (phone, code_hmac, issued_at, expires_at, boot, uptime) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (phone) DO UPDATE
SET code_hmac = $2, issued_at = $3, expires_at = $4, boot = $5, uptime = $6, tries = 0
"""
TRY_CODE = """
UPDATE sign_in_code SET tries = tries + 1 WHERE phone = $1
RETURNING code_hmac, issued_at, expires_at, boot, uptime, tries
"""
DROP_CODE = "DELETE FROM sign_in_code WHERE phone = $1"

PURGE_INBOUND_BODIES = (
    "UPDATE inbound_message SET sealed_body = NULL WHERE received_at < $1 AND sealed_body IS NOT NULL"
)
PURGE_INBOUND = "UPDATE inbound_message SET phone = ''::bytea WHERE received_at < $1 AND phone <> ''::bytea"
PURGE_OUTBOUND_BODIES = """
UPDATE outbound_message SET sealed_body = NULL WHERE created_at < $1 AND state <> 'queued' AND sealed_body IS NOT NULL
"""
PURGE_OUTBOUND = "DELETE FROM outbound_message WHERE created_at < $1 AND state <> 'queued'"
PURGE_STATUSES = "DELETE FROM message_status WHERE at < $1"
PURGE_SHOWN = "UPDATE consent_invitation SET sealed_shown = NULL WHERE expires_at < $1 AND sealed_shown IS NOT NULL"
PURGE_CODES = "DELETE FROM sign_in_code WHERE expires_at < $1"
PURGE_CONVERSATIONS = "DELETE FROM conversation WHERE used_at < $1"
FORGET = (
    "UPDATE inbound_message SET phone = ''::bytea, sealed_body = NULL WHERE phone = $1",
    "DELETE FROM outbound_message WHERE phone = $1",
    "DELETE FROM sign_in_code WHERE phone = $1",
    "DELETE FROM conversation WHERE phone = $1",
)
FORGET_PHONE_SHOWN = "UPDATE consent_invitation SET sealed_shown = NULL, phone = '' WHERE phone = $1"
FORGET_SHOWN = """
UPDATE consent_invitation SET sealed_shown = NULL, phone = '',
    state = CASE WHEN state = 'open' THEN 'replaced' ELSE state END
WHERE retailer_id = ANY ($1)
"""


async def open_(db: Connection, phone: bytes, *, sealed: bytes, language: str, now: datetime) -> Record:
    """Return the conversation of a phone, locked; a new one where there is none."""
    return await db.fetchrow(OPEN, phone, sealed, language, now)


async def conversation(db: Connection, phone: bytes) -> Record | None:
    return await db.fetchrow(CONVERSATION, phone)


async def spoken(db: Connection, phone: bytes) -> Language | None:
    """Return the language of a phone's conversation; None where it has none."""
    row = await db.fetchrow(SPOKEN, phone)
    found: Language | None = row["language"] if row and row["theirs"] else None
    return found


async def heard(db: Connection, phone: bytes, at: datetime) -> None:
    await db.execute(HEARD, phone, at)


async def unheard(db: Connection, phone: bytes) -> None:
    await db.execute(UNHEARD, phone)


async def stop(db: Connection, phone: bytes, now: datetime) -> None:
    """Close the questions that are open: no press of theirs counts any more, however late it comes."""
    await db.execute(STOP, phone, now)


async def speak(db: Connection, phone: bytes, language: str) -> None:
    await db.execute(SPEAK, phone, language)


async def receive(db: Connection, *values: Any) -> bool:
    """Store a message; tell whether it is new. ``values``: wamid, phone, written_at, received_at, kind, sealed body."""
    return bool(await db.fetchval(RECEIVE, *values))


async def received(db: Connection, wamid: str) -> Record | None:
    return await db.fetchrow(RECEIVED, wamid)


async def answered(db: Connection, wamid: str, at: datetime) -> None:
    await db.execute(ANSWERED, wamid, at)


async def queue(
    db: Connection, message_id: str, phone: bytes, *, topic: str, body: bytes, now: datetime, expires_at: datetime
) -> None:
    await db.execute(QUEUE, message_id, phone, topic, body, now, expires_at)


async def claim(db: Connection, phone: bytes, *, now: datetime, until: datetime) -> Record | None:
    return await db.fetchrow(CLAIM, phone, now, until)


async def next_at(db: Connection, phone: bytes) -> datetime | None:
    at: datetime | None = await db.fetchval(NEXT, phone)
    return at


async def sent(db: Connection, message_id: str, wamid: str, at: datetime) -> None:
    await db.execute(SENT, message_id, wamid, at)


async def again(db: Connection, message_id: str, *, due_at: datetime, problem: str) -> None:
    await db.execute(AGAIN, message_id, due_at, problem)


async def ended(db: Connection, message_id: str, *, state: str, problem: str, at: datetime) -> None:
    await db.execute(ENDED, message_id, state, problem, at)


async def alone(db: Connection, wamid: str) -> None:
    """Let nobody else touch what is known of a message until this transaction ends."""
    await db.execute(ALONE, wamid)


async def add_status(db: Connection, wamid: str, state: str, at: datetime, code: str | None) -> None:
    await db.execute(STATUS, wamid, state, at, code)


async def state_of(db: Connection, wamid: str) -> Record | None:
    return await db.fetchrow(STATE, wamid)


async def states(db: Connection, wamid: str) -> list[Record]:
    rows: list[Record] = await db.fetch(STATES, wamid)
    return rows


async def progress(db: Connection, message_id: str, *, state: str, at: datetime, problem: str | None) -> None:
    await db.execute(PROGRESS, message_id, state, at, problem)


async def overdue(db: Connection, now: datetime) -> list[bytes]:
    return [row["phone"] for row in await db.fetch(OVERDUE, now)]


async def invite(db: Connection, *values: Any) -> None:
    await db.execute(INVITE, *values)


async def invitation(db: Connection, nonce: str, phone: bytes) -> Record | None:
    return await db.fetchrow(INVITATION, nonce, phone)


async def last_open(db: Connection, phone: bytes, now: datetime) -> Record | None:
    return await db.fetchrow(LAST_OPEN, phone, now)


async def settle(db: Connection, nonce: str, *, state: str, at: datetime, consent_id: str | None = None) -> None:
    await db.execute(SETTLE, nonce, state, at, consent_id)


async def settle_alike(
    db: Connection, phone: bytes, *, retailer_id: str, purpose: str, lender_ids: Sequence[str], at: datetime
) -> None:
    """Close the other open questions for the same thing."""
    await db.execute(SETTLE_ALIKE, phone, retailer_id, purpose, list(lender_ids), at)


async def asked_before(db: Connection, phone: bytes, retailer_id: str, purpose: str) -> bool:
    return bool(await db.fetchval(ASKED_BEFORE, phone, retailer_id, purpose))


async def put_code(
    db: Connection, phone: bytes, code_hmac: bytes, *, now: datetime, expires_at: datetime, uptime: Uptime | None
) -> None:
    began = (uptime.boot, uptime.seconds) if uptime else (None, None)
    await db.execute(PUT_CODE, phone, code_hmac, now, expires_at, *began)


async def try_code(db: Connection, phone: bytes) -> Record | None:
    return await db.fetchrow(TRY_CODE, phone)


async def drop_code(db: Connection, phone: bytes) -> None:
    await db.execute(DROP_CODE, phone)


async def purge(db: Connection, *, bodies: datetime, rows: datetime, conversations: datetime, now: datetime) -> int:
    """Destroy bodies, then rows, then conversations of before these times; return how many bodies went."""
    gone = 0
    for statement in (PURGE_INBOUND_BODIES, PURGE_OUTBOUND_BODIES):
        gone += int((await db.execute(statement, bodies)).rsplit(" ", 1)[1])
    for statement in (PURGE_INBOUND, PURGE_OUTBOUND, PURGE_STATUSES):
        await db.execute(statement, rows)
    await db.execute(PURGE_CONVERSATIONS, conversations)
    await db.execute(PURGE_SHOWN, now)
    await db.execute(PURGE_CODES, now)
    return gone


async def forget(db: Connection, phone: bytes) -> None:
    for statement in (*FORGET, FORGET_PHONE_SHOWN):
        await db.execute(statement, phone)


async def forget_shown(db: Connection, retailer_ids: Sequence[str]) -> None:
    await db.execute(FORGET_SHOWN, list(retailer_ids))
