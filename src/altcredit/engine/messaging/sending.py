"""Messages on their way out: queued in the caller's transaction, sent by a job, one phone's in their order."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from altcredit.engine import retailers
from altcredit.engine.messaging import store
from altcredit.engine.messaging.client import Client, Outcome
from altcredit.engine.messaging.inbound import StatusUpdate, outranks
from altcredit.engine.messaging.outgoing import Free, Outgoing, Template, wire
from altcredit.engine.messaging.phone import BODY, address, phone_hash, sent_hash
from altcredit.runtime import jobs
from altcredit.runtime.db import Connection, Database, Record
from altcredit.runtime.ids import new_id
from altcredit.runtime.keys import Keyring

JOB: Final = "messaging.send"
# WhatsApp counts 24 hours from the user's last message; a minute of them is left for the way.
WINDOW: Final = timedelta(hours=24) - timedelta(minutes=1)
KEPT_TRYING: Final = timedelta(hours=24)
_LEASE: Final = timedelta(seconds=45)  # longer than an exchange
_PAUSES: Final = (2, 5, 15, 60, 300, 900)  # seconds after each failed try, and the last one from then on

Topic = Literal["invitation", "reply", "grievance", "code"]


async def queue(
    db: Connection,
    *,
    keyring: Keyring,
    to: str,
    topic: Topic,
    free: Free | None,
    template: Template | None = None,
    now: datetime,
    kept_trying: timedelta = KEPT_TRYING,
) -> str:
    """
    Queue a message to a number (digits); return its id, ``msg_…``.

    :param free: what goes while the 24 hours after the phone's last message last; ``template``: what goes afterwards.
    """
    phone = phone_hash(keyring, to)
    message_id = new_id("msg")
    body = msgspec.json.encode(Outgoing(to=to, free=free, template=template))
    sealed = keyring.seal(body, owner=message_id, purpose=BODY)
    await store.queue(db, message_id, phone, topic=topic, body=sealed, now=now, expires_at=now + kept_trying)
    await wake(db, phone)
    return message_id


async def queue_to(
    db: Connection,
    *,
    keyring: Keyring,
    phone: bytes,
    topic: Topic,
    free: Free | None,
    template: Template | None = None,
    now: datetime,
) -> str | None:
    """Queue a message to a phone that is known by its keyed hash; None where it has no conversation (any more)."""
    found = await store.conversation(db, phone)
    if found is None:
        return None
    to = address(keyring, phone, found["sealed"])
    return await queue(db, keyring=keyring, to=to, topic=topic, free=free, template=template, now=now)


async def wake(db: Connection, phone: bytes, *, after: timedelta | None = None) -> None:
    """Queue the job that sends what waits for a phone."""
    key = f"messaging|{phone.hex()}"
    await jobs.enqueue(db, JOB, {"phone": phone.hex()}, dedupe_key=key, execute_after=after)


async def wake_overdue(db: Connection, *, now: datetime) -> int:
    """Queue jobs for what is due and, against all expectation, has none; return for how many phones."""
    found = await store.overdue(db, now)
    for phone in found:
        await wake(db, phone)
    return len(found)


async def drain(
    database: Database, *, keyring: Keyring, phone: bytes, client: Client, clock: Callable[[], datetime]
) -> int:
    """Send what waits for a phone, oldest first, until all is sent or the first has to wait; return how many went."""
    count = 0
    while True:
        async with database.transaction() as db:
            now = clock()
            claimed = await store.claim(db, phone, now=now, until=now + _LEASE)
            if claimed is None:
                await _wake_for_next(db, phone, now)
                return count
            message = await _chosen(db, keyring, phone, claimed, now)
        if message is not None:
            outcome = await client.send(message)
            async with database.transaction() as db:
                if outcome.end == "window":
                    await store.unheard(db, phone)
                count += await _noted(db, claimed, outcome, clock())


async def _wake_for_next(db: Connection, phone: bytes, now: datetime) -> None:
    at = await store.next_at(db, phone)
    if at is not None:
        await wake(db, phone, after=max(at - now, timedelta()))


async def _chosen(
    db: Connection, keyring: Keyring, phone: bytes, claimed: Record, now: datetime
) -> dict[str, object] | None:
    """Return what to post for a claimed message; None where it may not be sent, which is then on record."""
    message_id = claimed["message_id"]
    outgoing = msgspec.json.decode(
        keyring.unseal(claimed["sealed_body"], owner=message_id, purpose=BODY), type=Outgoing
    )
    conversation = await store.conversation(db, phone)
    heard_at = conversation["heard_at"] if conversation is not None else None
    within = heard_at is not None and now - heard_at < WINDOW
    chosen = outgoing.free if within and outgoing.free is not None else outgoing.template
    problem = None
    if claimed["expires_at"] <= now:
        problem = "expired"
    elif claimed["topic"] == "code" and not await retailers.of_phone(
        db, keyring=keyring, phone_hash=sent_hash(outgoing.to)
    ):
        problem = "no shop has this phone"
    elif chosen is None:
        problem = "outside the 24 hours, and no template"
    if problem is not None or chosen is None:
        await store.ended(db, message_id, state="dropped", problem=problem or "", at=now)
        return None
    return wire(outgoing.to, chosen)


async def _noted(db: Connection, claimed: Record, outcome: Outcome, now: datetime) -> int:
    message_id = claimed["message_id"]
    if outcome.end == "sent":
        await store.alone(db, outcome.wamid)
        await store.sent(db, message_id, outcome.wamid, now)
        for row in await store.states(db, outcome.wamid):
            await _progress(db, outcome.wamid, row["state"], row["at"], row["code"])
        return 1
    if outcome.end != "never":
        pause = timedelta(seconds=_PAUSES[min(claimed["tries"], len(_PAUSES)) - 1])
        await store.again(db, message_id, due_at=now + pause, problem=outcome.problem)
    else:
        await store.ended(db, message_id, state="failed", problem=outcome.problem, at=now)
    return 0


async def take_status(db: Connection, *, update: StatusUpdate) -> None:
    """Record what became of a message of ours; what says less than is known already changes nothing."""
    await store.alone(db, update.wamid)
    await store.add_status(db, update.wamid, update.state, update.at, update.code)
    await _progress(db, update.wamid, update.state, update.at, update.code)


async def _progress(db: Connection, wamid: str, state: str, at: datetime, code: str | None) -> None:
    row = await store.state_of(db, wamid)
    if row is not None and outranks(state, row["state"]):
        problem = f"code {code}" if code else None
        await store.progress(db, row["message_id"], state=state, at=at, problem=problem)
