"""The jobs of conversations: ``messaging.send``, ``messaging.answer``, and by a schedule sweeping and purging."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from altcredit.runtime import log
from altcredit.runtime.jobs import Payload
from altcredit.runtime.platform import Platform
from altcredit.worker.work import Work

if TYPE_CHECKING:
    from altcredit.engine.messaging import Client, Language, Waiting
    from altcredit.runtime.db import Connection

INDIA = ZoneInfo("Asia/Kolkata")
_REASONS_SAID = 5


@asynccontextmanager
async def _client(platform: Platform) -> AsyncIterator[Client | None]:
    """Lend the connections to WhatsApp; None where no address is set."""
    from altcredit.engine.messaging import Account, Client

    account = Account.of(platform.settings)
    if not account.base_url:
        log.warning("messages_not_sent", reason="ALTCREDIT_WHATSAPP_BASE_URL is empty")
        yield None
        return
    async with Client(account) as client:
        yield client


async def send(work: Work, payloads: list[Payload]) -> None:
    """Send what waits for one phone. Without an address of WhatsApp it goes on waiting, until it expires."""
    from altcredit.engine import messaging

    client = await work.keep(_client)
    if client is None:
        return
    for payload in payloads:
        phone = bytes.fromhex(payload["phone"])
        platform = work.platform
        await messaging.drain(platform.database, keyring=platform.keyring, phone=phone, client=client, clock=work.clock)


async def answer(work: Work, payloads: list[Payload]) -> None:
    """Answer a message that asks for a score, or files a grievance: once, in one transaction."""
    from altcredit.engine import messaging

    keyring = work.platform.keyring
    for payload in payloads:
        async with work.platform.database.transaction() as db:
            asked = await messaging.question(db, keyring=keyring, wamid=payload["wamid"])
            if asked is None:
                continue
            said = await _scores(work, db, asked) if asked.meaning.intent == "score" else await _filed(work, db, asked)
            await messaging.answer(db, keyring=keyring, asked=asked, texts=said, now=work.clock())


async def sweep(work: Work, _payloads: list[Payload]) -> None:
    """Queue messages that are overdue and, against all expectation, have no job."""
    from altcredit.engine import messaging

    if not messaging.Account.of(work.platform.settings).base_url:
        return
    async with work.platform.database.transaction() as db:
        count = await messaging.wake_overdue(db, now=work.clock())
    if count:
        log.warning("messages_overdue", count=count)


async def purge(work: Work, _payloads: list[Payload]) -> None:
    """Destroy what was written more than 30 days ago."""
    from altcredit.engine import messaging

    async with work.platform.database.transaction() as db:
        count = await messaging.purge(db, now=work.clock())
    log.info("messages_purged", count=count)


async def _shops(work: Work, db: Connection, asked: Waiting) -> list[tuple[str, str]]:
    """Return id and name of the shops of a phone; none for a phone of so many that it is nobody's own."""
    from altcredit.engine import messaging, retailers

    keyring = work.platform.keyring
    found = await retailers.of_phone(db, keyring=keyring, phone_hash=messaging.sent_hash(asked.phone))
    if len(found) > messaging.MOST_SHOPS:
        return []
    unnamed = messaging.say("your_shop", asked.language)
    named = [(one, (await retailers.dossier(db, keyring=keyring, retailer_id=one)).names) for one in found]
    return [(retailer_id, names[0] if names else unnamed) for retailer_id, names in named]


async def _scores(work: Work, db: Connection, asked: Waiting) -> list[str]:
    from altcredit.engine import messaging

    shops = await _shops(work, db, asked)
    if not shops:
        return [messaging.say("no_shop", asked.language)]
    return [await _score(db, retailer_id, name, asked.language) for retailer_id, name in shops]


async def _score(db: Connection, retailer_id: str, name: str, language: Language) -> str:
    from altcredit.engine import messaging, scoring

    try:
        current = await scoring.latest(db, retailer_id=retailer_id)
    except scoring.NotScored:
        return messaging.say("no_score", language, shop=name)
    if current["altscore"] is None:
        return messaging.say("too_little", language, shop=name)
    codes = [scoring.CODES[one["code"]] for one in current["reasons"][:_REASONS_SAID]]
    lines = [
        f"{'+' if code.direction == 'positive' else '–'} {code.label(language)}"
        + (f": {code.tip(language)}" if code.tip(language) else "")
        for code in codes
    ]
    return messaging.say(
        "score",
        language,
        shop=name,
        altscore=current["altscore"],
        band=current["risk_band"],
        day=current["scored_at"].astimezone(INDIA).date().isoformat(),
        reasons="\n".join(lines),
    )


async def _filed(work: Work, db: Connection, asked: Waiting) -> list[str]:
    from altcredit.engine import messaging

    language = asked.language
    shops = await _shops(work, db, asked)
    if not shops:
        return [messaging.say("no_shop", language)]
    chosen, words = _chosen(shops, asked.meaning.rest)
    if chosen is None:
        listed = "\n".join(f"{place}. {name}" for place, (_, name) in enumerate(shops, start=1))
        return [messaging.say("which_shop", language, shops=listed)]
    if not words:
        return [messaging.say("grievance_empty", language)]
    return [await _file(work, db, asked, chosen, words)]


def _chosen(shops: Sequence[tuple[str, str]], said: str) -> tuple[str | None, str]:
    """Return which shop a grievance is about, and its words: of several shops, the words begin with the number."""
    if len(shops) == 1:
        return shops[0][0], said
    number, _, words = said.partition(" ")
    place = int(number) if number.isascii() and number.isdigit() and len(number) < 3 else 0
    return (shops[place - 1][0], words.strip()) if 1 <= place <= len(shops) else (None, "")


async def _file(work: Work, db: Connection, asked: Waiting, retailer_id: str, words: str) -> str:
    from altcredit.engine import grievances, messaging, scoring
    from altcredit.runtime.quotas import RateLimitExceeded

    try:
        score_id: str | None = (await scoring.latest(db, retailer_id=retailer_id))["score_id"]
    except scoring.NotScored:
        score_id = None
    try:
        async with db.transaction():  # a savepoint: the reply goes out whatever comes of it
            case = await grievances.file(
                db,
                keyring=work.platform.keyring,
                filer=grievances.Party(kind="retailer", id=retailer_id),
                retailer_id=retailer_id,
                score_id=score_id,
                grievance_type="other" if score_id is None else "incorrect_score",
                description=words[: grievances.MAX_DESCRIPTION],
                language=asked.language,
                channel="whatsapp",
                contact_phone_hash=messaging.sent_hash(asked.phone),
                now=work.clock(),
            )
    except RateLimitExceeded:
        return messaging.say("grievance_too_many", asked.language)
    due = {timer.clock: f"{timer.due_at.astimezone(INDIA):%d.%m.%Y %H:%M}" for timer in case.timers}
    return messaging.say(
        "grievance_filed",
        asked.language,
        grievance_id=case.grievance_id,
        ack_by=due["acknowledgement"],
        resolve_by=due["resolution"],
    )
