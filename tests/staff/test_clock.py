"""
A clock that is set back or forward lengthens nothing: no session, ticket, key assertion, one-time code or retailer's
token. A clock set forward may end them early.

What is judged by the host's uptime too does not live longer on that host where its clock is set back within its life. A
ticket is good only together with a sign-on of now, which an identity provider whose clock was not set back vouches for.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.staffing import staff_member

from altcredit.engine import identity, messaging, retailers
from altcredit.engine.identity.people import store
from altcredit.engine.identity.people.sign_in import hashed_ticket
from altcredit.runtime import signing, tokens
from altcredit.runtime.clock import Uptime
from altcredit.runtime.db import Connection, Database
from altcredit.runtime.keys import KeyProvider, Keyring
from altcredit.runtime.settings import Settings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BEGAN = Uptime("here", 1_000.0)
KEYRING = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x01" * 32,)))
PHONE, CODE, BODY = "919812345678", "123456", b"{}"
SECOND = timedelta(seconds=1)

# Tells whether it still counts, by what the clock shows and how long the host has run.
Good = Callable[[datetime, Uptime], Awaitable[bool]]


async def accepted(trying: Awaitable[Any], *refusals: type[Exception]) -> bool:
    try:
        await trying
    except refusals:
        return False
    return True


async def a_session(database: Database) -> Good:
    who = await staff_member(database, KEYRING, "ops", now=NOW, uptime=BEGAN)

    async def good(shown: datetime, uptime: Uptime) -> bool:
        looking = identity.staff_by_session(database, keyring=KEYRING, token=who.token, now=shown, uptime=uptime)
        return await accepted(looking, identity.SessionExpired)

    return good


async def a_ticket(database: Database) -> Good:
    async with database.transaction() as db:
        issued = await identity.bootstrap_admin(db, keyring=KEYRING, name_id="asha@example.in", actor="cli", now=NOW)
    ticket = hashed_ticket(KEYRING, issued.ticket)

    async def good(shown: datetime, _uptime: Uptime) -> bool:
        async with database.transaction() as db:
            return await store.use_ticket(db, ticket, staff_id=issued.staff_id, now=shown)

    return good


async def an_assertion(database: Database) -> Good:
    who = await staff_member(database, KEYRING, "ops", now=NOW, uptime=BEGAN)
    assertion = await who.assertion("models.rollback", BODY, now=NOW, uptime=BEGAN)

    async def good(shown: datetime, uptime: Uptime) -> bool:
        async def use() -> None:
            async with database.transaction() as db:
                await identity.require_assertion(
                    db, session=who.session, action="models.rollback", request=BODY, assertion=assertion, now=shown,
                    uptime=uptime,
                )  # fmt: skip

        return await accepted(use(), identity.AssertionStale, identity.AssertionInvalid)

    return good


async def _asked_for_a_code(database: Database) -> signing.SigningKeys:
    shop = retailers.ShopKey(ref="R1", phone_hash=messaging.sent_hash(PHONE), name="Shop")
    await retailers.resolve(database, keyring=KEYRING, distributor_id="dist_1", shops=[shop], now=NOW)
    await messaging.request_code(
        database, keyring=KEYRING, phone=PHONE, code=CODE, language="en", now=NOW, uptime=BEGAN
    )
    async with database.transaction() as db:
        await signing.maintain(db, keyring=KEYRING, now=NOW)
        return await signing.load(db, keyring=KEYRING, issuer="altscore.in", now=NOW)


async def _redeemed(database: Database, keys: signing.SigningKeys, shown: datetime, uptime: Uptime) -> str:
    issued = await messaging.redeem(
        database, keyring=KEYRING, signing=keys, phone=PHONE, code=CODE, retailer_id=None, token_id="tok_1", now=shown,
        uptime=uptime,
    )  # fmt: skip
    return issued.token


async def a_code(database: Database) -> Good:
    keys = await _asked_for_a_code(database)

    async def good(shown: datetime, uptime: Uptime) -> bool:
        return await accepted(_redeemed(database, keys, shown, uptime), messaging.CodeInvalid)

    return good


async def a_retailers_token(database: Database) -> Good:
    keys = await _asked_for_a_code(database)
    token = await _redeemed(database, keys, NOW, BEGAN)

    async def good(shown: datetime, uptime: Uptime) -> bool:
        try:
            claims = keys.verify_token(token, shown)
            messaging.require_living(claims, keyring=KEYRING, now=shown, uptime=uptime)
        except tokens.TokenExpired:
            return False
        return True

    return good


Kind = tuple[Callable[[Database], Awaitable[Good]], timedelta]
KINDS: dict[str, Kind] = {
    "session": (a_session, timedelta(minutes=15)),
    "ticket": (a_ticket, timedelta(hours=1)),
    "assertion": (an_assertion, timedelta(minutes=1)),
    "code": (a_code, timedelta(minutes=5)),
    "token": (a_retailers_token, timedelta(minutes=15)),
}
# What the clock shows and how long the host has run since, in lifetimes; a second is on the safe side of every end.
CASES: dict[str, tuple[Callable[[timedelta], timedelta], float, bool]] = {
    "just before its end": (lambda life: life - SECOND, 0.9, True),
    "just after its end": (lambda life: life + SECOND, 1.0, False),
    "the clock set forward": (lambda life: 10 * life, 0.1, False),
    "the clock set back to before it began": (lambda _life: timedelta(seconds=-10), 0.1, False),
    "the clock set back by a day": (lambda _life: timedelta(days=-1), 0.1, False),
    "the clock set back within its life": (lambda life: life / 2, 1.0, False),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_lives_longer_than_its_time_whatever_the_clock_shows(
    database: Database, kind: str, case: str
) -> None:
    make, life = KINDS[kind]
    shown, run, counts = CASES[case]
    if kind == "ticket" and case == "the clock set back within its life":
        counts = True  # by itself; the next test shows what it lacks then
    good = await make(database)
    uptime = Uptime(BEGAN.boot, BEGAN.seconds + run * life.total_seconds())
    assert await good(NOW + shown(life), uptime) is counts


@pytest.mark.parametrize("kind", KINDS)
async def test_another_host_judges_by_its_clock_alone(database: Database, kind: str) -> None:
    make, life = KINDS[kind]
    good = await make(database)
    assert await good(NOW + life / 2, Uptime("elsewhere", 10 * BEGAN.seconds))


@pytest.mark.parametrize("kind", ["ticket", "assertion", "code"])
async def test_what_was_used_stays_used_wherever_the_clock_is_set(database: Database, kind: str) -> None:
    good = await KINDS[kind][0](database)
    assert await good(NOW + SECOND, BEGAN)
    for shown in (NOW, NOW + SECOND, NOW - timedelta(days=1)):
        assert not await good(shown, BEGAN)


@pytest.mark.parametrize(("back", "signs_on"), [(timedelta(), True), (timedelta(minutes=10), False)])
async def test_where_our_clock_is_set_back_nobody_signs_on_to_use_a_ticket(
    database: Database, tmp_path: Path, back: timedelta, signs_on: bool
) -> None:
    settings, shown = Settings(home=str(tmp_path)), NOW - back
    await a_ticket(database)
    async with database.transaction() as db:
        assert await accepted(_sign_on(db, settings, ours=shown, theirs=NOW), identity.SamlRefused) is signs_on


async def _sign_on(db: Connection, settings: Settings, *, ours: datetime, theirs: datetime) -> None:
    begun = await identity.begin_sign_in(db, keyring=KEYRING, settings=settings, now=ours)
    asked = parse_qs(urlsplit(begun.url).query)
    request_id = identity.development_request(settings, saml_request=asked["SAMLRequest"][0])
    response = identity.development_response(settings, request_id=request_id, name_id="asha@example.in", now=theirs)
    await identity.accept_response(
        db, keyring=KEYRING, settings=settings, cookie=begun.cookie, response=response,
        relay_state=asked["RelayState"][0], now=ours,
    )  # fmt: skip
