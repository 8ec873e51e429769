"""Sessions of staff: 15 minutes, never more, whatever the clock does."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.staffing import staff_member

from altcredit.engine import identity
from altcredit.runtime import clock
from altcredit.runtime.clock import Uptime
from altcredit.runtime.db import Database
from altcredit.runtime.keys import Keyring

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def test_a_session_names_its_person_and_their_roles(database: Database, keyring: Keyring) -> None:
    who = await staff_member(database, keyring, "dpo", "legal", now=NOW)
    session = await identity.staff_by_session(database, keyring=keyring, token=who.token, now=NOW)
    assert session == who.session
    assert session.roles == ("dpo", "legal")
    assert session.expires_at - session.signed_in_at == timedelta(minutes=15)


async def test_a_session_ends_at_its_fifteenth_minute_however_often_it_is_used(
    database: Database, keyring: Keyring
) -> None:
    who = await staff_member(database, keyring, "ops", now=NOW)
    for second in range(0, 900, 100):
        await identity.staff_by_session(database, keyring=keyring, token=who.token, now=NOW + timedelta(seconds=second))
    with pytest.raises(identity.SessionExpired):
        await identity.staff_by_session(database, keyring=keyring, token=who.token, now=NOW + timedelta(minutes=15))


async def test_a_clock_that_is_set_back_ends_a_session_rather_than_lengthen_it(
    database: Database, keyring: Keyring
) -> None:
    who = await staff_member(database, keyring, "ops", now=NOW)
    for shown, outcome in (
        (timedelta(minutes=-1), identity.SessionExpired),
        (timedelta(minutes=14), None),
        (timedelta(minutes=4), identity.SessionExpired),
        (timedelta(minutes=13, seconds=59), None),
    ):
        asking = identity.staff_by_session(database, keyring=keyring, token=who.token, now=NOW + shown)
        if outcome is None:
            await asking
        else:
            with pytest.raises(outcome):
                await asking


@pytest.mark.parametrize(
    ("token", "refusal"),
    [
        ("", identity.SessionMissing),
        ("x", identity.SessionInvalid),
        ("ses_" + "0" * 64, identity.SessionInvalid),
        ("ses_" + "0" * 64 + "\n", identity.SessionInvalid),
    ],
)
async def test_what_is_no_session_is_refused(
    database: Database, keyring: Keyring, token: str, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await identity.staff_by_session(database, keyring=keyring, token=token, now=NOW)


async def test_a_token_is_nowhere_in_the_database(database: Database, keyring: Keyring) -> None:
    who = await staff_member(database, keyring, "ops", now=NOW)
    async with database.transaction() as db:
        rows = await db.fetch("SELECT to_jsonb(staff_session)::text FROM staff_session")
    assert who.token[4:] not in str(rows)


async def test_a_clock_that_was_set_back_while_nobody_looked_does_not_lengthen_a_session(
    database: Database, keyring: Keyring
) -> None:
    """The host's uptime tells, as long as the host is the same and did not restart; nothing else shortens a session."""
    began = Uptime("here", 1000.0)
    who = await staff_member(database, keyring, "ops", now=NOW, uptime=began)
    shown = NOW + timedelta(minutes=6)  # set back by ten minutes, sixteen after the sign-in

    async def alive(uptime: Uptime | None) -> bool:
        try:
            await identity.staff_by_session(database, keyring=keyring, token=who.token, now=shown, uptime=uptime)
        except identity.SessionExpired:
            return False
        return True

    assert not await alive(Uptime("here", 1960.0))
    assert not await alive(Uptime("here", 1900.0))
    assert await alive(Uptime("here", 1899.0))
    assert await alive(Uptime("elsewhere", 5000.0))
    assert await alive(None)


def test_the_hosts_uptime_rises_and_names_its_start() -> None:
    one, two = clock.uptime(), clock.uptime()
    assert one is not None
    assert two is not None
    assert one.boot == two.boot
    assert one.seconds <= two.seconds
