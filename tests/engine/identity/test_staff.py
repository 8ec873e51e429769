"""Who becomes staff, by whose leave, and how they lose it again."""

import asyncio
import contextlib
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.staffing import Member, staff_member

from altcredit.engine import audit, identity
from altcredit.engine.identity.people import store
from altcredit.engine.identity.people.sign_in import hashed_ticket
from altcredit.runtime.db import Database
from altcredit.runtime.keys import Keyring

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def alive(database: Database, keyring: Keyring, who: Member, now: datetime = NOW) -> bool:
    try:
        await identity.staff_by_session(database, keyring=keyring, token=who.token, now=now)
    except identity.SessionExpired:
        return False
    return True


async def good(database: Database, keyring: Keyring, issued: identity.IssuedTicket, now: datetime) -> bool:
    async with database.transaction() as db:
        ticket = hashed_ticket(keyring, issued.ticket)
        return await store.ticket_is_good(db, ticket, staff_id=issued.staff_id, now=now)


async def bootstrap(database: Database, keyring: Keyring, name_id: str = "asha@example.in") -> identity.IssuedTicket:
    async with database.transaction() as db:
        return await identity.bootstrap_admin(db, keyring=keyring, name_id=name_id, actor="operator:cli", now=NOW)


async def test_the_first_administrators_ticket_is_good_for_an_hour_and_the_newest_alone(
    database: Database, keyring: Keyring
) -> None:
    first = await bootstrap(database, keyring)
    assert await good(database, keyring, first, NOW + timedelta(minutes=59))
    assert not await good(database, keyring, first, NOW + timedelta(hours=1))
    assert not await good(database, keyring, first, NOW - timedelta(seconds=1))
    second = await bootstrap(database, keyring)
    assert second.staff_id == first.staff_id
    assert not await good(database, keyring, first, NOW)
    assert await good(database, keyring, second, NOW)


async def test_once_an_administrator_has_a_key_there_is_no_bootstrap(database: Database, keyring: Keyring) -> None:
    await staff_member(database, keyring, "ops", now=NOW)
    await bootstrap(database, keyring)
    await staff_member(database, keyring, "admin", now=NOW)
    with pytest.raises(identity.AdminExists):
        await bootstrap(database, keyring, "other@example.in")


async def test_a_ticket_is_used_once_however_many_try(database: Database, keyring: Keyring) -> None:
    issued = await bootstrap(database, keyring)
    ticket = hashed_ticket(keyring, issued.ticket)

    async def use() -> bool:
        async with database.transaction() as db:
            return await store.use_ticket(db, ticket, staff_id=issued.staff_id, now=NOW)

    assert sorted(await asyncio.gather(*(use() for _ in range(6)))) == [False] * 5 + [True]


async def test_a_ticket_and_a_token_are_nowhere_in_the_database(database: Database, keyring: Keyring) -> None:
    issued = await bootstrap(database, keyring)
    async with database.transaction() as db:
        tables = [row[0] for row in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        text = "".join(
            [await db.fetchval(f"SELECT coalesce(string_agg(t::text, ''), '') FROM {name} t") for name in tables]
        )
    assert issued.staff_id in text
    assert issued.ticket not in text


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"roles": []}, identity.RolesInvalid),
        ({"roles": ["root"]}, identity.RolesInvalid),
        ({"name_id": ""}, identity.NameIdInvalid),
        ({"name_id": " a@example.in"}, identity.NameIdInvalid),
        ({"name_id": "a\n"}, identity.NameIdInvalid),
        ({"name_id": "a" * 257}, identity.NameIdInvalid),
    ],
)
async def test_an_invitation_that_makes_no_sense_is_refused(
    database: Database, keyring: Keyring, changes: dict[str, Any], refusal: type[Exception]
) -> None:
    asked = {"name_id": "a@example.in", "name": "A", "roles": ["ops"], **changes}
    async with database.transaction() as db:
        with pytest.raises(refusal):
            await identity.invite_staff(db, keyring=keyring, actor="staff:stf_0", now=NOW, **asked)


async def test_nobody_is_invited_twice(database: Database, keyring: Keyring) -> None:
    async with database.transaction() as db:
        asked = {"name_id": "a@example.in", "name": "A", "actor": "staff:stf_0", "now": NOW}
        await identity.invite_staff(db, keyring=keyring, roles=["ops"], **asked)
        with pytest.raises(identity.StaffTaken):
            await identity.invite_staff(db, keyring=keyring, roles=["dpo"], **asked)


async def test_a_change_of_roles_ends_the_persons_sessions_and_is_recorded(
    database: Database, keyring: Keyring
) -> None:
    boss = await staff_member(database, keyring, "admin", now=NOW)
    who = await staff_member(database, keyring, "ops", now=NOW)
    async with database.transaction() as db:
        await identity.set_staff_roles(db, staff_id=who.staff_id, roles=["dpo", "legal"], actor=boss.actor, now=NOW)
        (event,) = await audit.read(db, action="staff.roles_set")
    assert not await alive(database, keyring, who)
    assert await alive(database, keyring, boss)
    assert (event.actor, event.subject) == (boss.actor, who.staff_id)
    assert (event.details["before"], event.details["after"]) == (["ops"], ["dpo", "legal"])


async def test_suspension_ends_sessions_and_is_read_at_every_request(database: Database, keyring: Keyring) -> None:
    boss = await staff_member(database, keyring, "admin", now=NOW)
    who = await staff_member(database, keyring, "ops", now=NOW)
    async with database.transaction() as db:
        await identity.set_staff_status(db, staff_id=who.staff_id, status="suspended", actor=boss.actor, now=NOW)
    assert not await alive(database, keyring, who)
    async with database.transaction() as db:  # as if a session had been opened in the same moment
        await db.execute("UPDATE staff_session SET ended_at = NULL WHERE staff_id = $1", who.staff_id)
    assert not await alive(database, keyring, who)


async def test_nobody_changes_themselves_and_the_last_administrator_stays(database: Database, keyring: Keyring) -> None:
    boss = await staff_member(database, keyring, "admin", now=NOW)
    async with database.transaction() as db:
        for actor, refusal in ((boss.actor, identity.OwnChange), ("operator:cli", identity.LastAdmin)):
            with pytest.raises(refusal):
                await identity.set_staff_roles(db, staff_id=boss.staff_id, roles=["ops"], actor=actor, now=NOW)
            with pytest.raises(refusal):
                await identity.set_staff_status(db, staff_id=boss.staff_id, status="suspended", actor=actor, now=NOW)
        with pytest.raises(identity.StaffUnknown):
            await identity.set_staff_roles(db, staff_id="stf_0", roles=["ops"], actor=boss.actor, now=NOW)


async def test_two_administrators_cannot_take_each_other_away_at_once(database: Database, keyring: Keyring) -> None:
    one = await staff_member(database, keyring, "admin", now=NOW)
    two = await staff_member(database, keyring, "admin", now=NOW)

    async def suspend(victim: Member, by: Member) -> bool:
        try:
            async with database.transaction() as db:
                await identity.set_staff_status(
                    db, staff_id=victim.staff_id, status="suspended", actor=by.actor, now=NOW
                )
        except identity.LastAdmin:
            return False
        return True

    assert sorted(await asyncio.gather(suspend(one, two), suspend(two, one))) == [False, True]


async def test_signing_out_ends_one_session_and_ending_all_ends_all(database: Database, keyring: Keyring) -> None:
    who = await staff_member(database, keyring, "ops", now=NOW)
    async with database.transaction() as db:
        await identity.sign_out(db, session=who.session, now=NOW)
        await identity.sign_out(db, session=who.session, now=NOW)
        assert len(await audit.read(db, action="staff.signed_out")) == 1
    assert not await alive(database, keyring, who)
    other = await staff_member(database, keyring, "ops", now=NOW)
    async with database.transaction() as db:
        ended = await identity.end_staff_sessions(db, staff_id=other.staff_id, actor="staff:stf_0", now=NOW)
    assert ended == 1
    assert not await alive(database, keyring, other)


async def test_a_revoked_key_signs_nothing_any_more(database: Database, keyring: Keyring) -> None:
    who = await staff_member(database, keyring, "ops", now=NOW)
    assertion = await who.assertion("models.promote", b"{}", now=NOW)
    async with database.transaction() as db:
        (key,) = await store.live_keys(db, who.staff_id)
        await identity.revoke_staff_key(db, staff_id=who.staff_id, key_id=key.key_id, actor="staff:stf_0", now=NOW)
        with pytest.raises(identity.StaffKeyUnknown):
            await identity.revoke_staff_key(db, staff_id=who.staff_id, key_id=key.key_id, actor="staff:stf_0", now=NOW)
    async with database.transaction() as db:
        with pytest.raises(identity.AssertionInvalid):
            await identity.require_assertion(
                db, session=who.session, action="models.promote", request=b"{}", assertion=assertion, now=NOW
            )
    assert not await alive(database, keyring, who)


async def recover(database: Database, keyring: Keyring, by: Member, who: str, at: datetime = NOW) -> identity.Recovery:
    async with database.transaction() as db:
        return await identity.recover_staff(db, keyring=keyring, staff_id=who, session=by.session, now=at)


async def test_lost_keys_are_replaced_by_two_other_administrators(database: Database, keyring: Keyring) -> None:
    one, two, who = [await staff_member(database, keyring, "admin", now=NOW) for _ in range(3)]
    assert (await recover(database, keyring, one, who.staff_id)).state == "pending"
    assert await alive(database, keyring, who)
    with pytest.raises(identity.SecondPersonNeeded):
        await recover(database, keyring, one, who.staff_id)
    with pytest.raises(identity.OwnChange):
        await recover(database, keyring, who, who.staff_id)
    done = await recover(database, keyring, two, who.staff_id)
    assert done.state == "done"
    assert done.issued is not None
    assert await good(database, keyring, done.issued, NOW)
    assert not await alive(database, keyring, who)
    async with database.transaction() as db:
        assert await store.live_keys(db, who.staff_id) == []


async def test_a_recovery_waits_a_day_for_its_second_person(database: Database, keyring: Keyring) -> None:
    one, two, who = [await staff_member(database, keyring, "admin", now=NOW) for _ in range(3)]
    await recover(database, keyring, one, who.staff_id)
    late = await recover(database, keyring, two, who.staff_id, at=NOW + timedelta(hours=24))
    assert late.state == "pending"


@pytest.mark.parametrize("seed", range(5))
async def test_no_sequence_of_calls_by_one_person_recovers_anybody(
    database: Database, keyring: Keyring, seed: int
) -> None:
    chance = random.Random(seed)
    one = await staff_member(database, keyring, "admin", now=NOW)
    others = [await staff_member(database, keyring, "ops", "admin", now=NOW) for _ in range(2)]
    at = NOW
    for _ in range(40):
        at += timedelta(minutes=chance.choice([0, 1, 700]))
        whom = chance.choice([one, *others]).staff_id
        with contextlib.suppress(identity.SecondPersonNeeded, identity.OwnChange):
            assert (await recover(database, keyring, one, whom, at)).state == "pending"
    async with database.transaction() as db:
        assert await db.fetchval("SELECT count(*) FROM staff_ticket") == 0
        assert await db.fetchval("SELECT count(*) FROM staff_key WHERE revoked_at IS NOT NULL") == 0


def test_every_permission_is_somebodys_and_every_role_has_one() -> None:
    assert set(identity.PERMISSIONS) >= {
        "distributors.manage", "lenders.manage", "services.manage", "partners.manage", "backfill.grant",
        "models.promote", "models.rollback", "grievances.read", "grievances.work", "compliance.report",
        "breaches.manage", "audit.read", "retailers.erase", "retailers.export", "retailers.unmask",
        "reviews.decide", "staff.manage", "keys.manage", "consent.revoke",
    }  # fmt: skip
    assert {role for roles in identity.PERMISSIONS.values() for role in roles} == set(identity.ROLES)


def test_administrators_of_keys_do_not_reach_personal_data() -> None:
    """Section 07: the audit log is the DPO's and legal's; whoever gives out roles cannot erase, export or unmask."""
    for permission in ("retailers.erase", "retailers.export", "retailers.unmask", "audit.read"):
        assert "admin" not in identity.PERMISSIONS[permission]
        assert {"dpo", "legal"} <= identity.PERMISSIONS[permission]
    assert identity.PERMISSIONS["staff.manage"] == {"admin"}
