"""GUARD's partners: what operators do with them, and who gets in (contract U1, U9)."""

import ipaddress
import random
import re
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from altcredit.engine import audit, identity
from altcredit.runtime.db import Database
from altcredit.runtime.keys import Keyring

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BY: dict[str, Any] = {"actor": "cli:root", "now": NOW}
HERE = ipaddress.ip_address("198.51.100.7")


async def add(database: Database, keyring: Keyring, *addresses: str, **changes: Any) -> identity.IssuedPartner:
    fields = {"name": "Banco", "addresses": addresses or ("198.51.100.0/24",)} | BY | changes
    async with database.transaction() as db:
        return await identity.add_partner(db, keyring=keyring, **fields)


async def rotate(database: Database, keyring: Keyring, partner_id: str, **changes: Any) -> identity.IssuedPartner:
    async with database.transaction() as db:
        return await identity.rotate_partner_token(db, keyring=keyring, partner_id=partner_id, **(BY | changes))


async def gets_in(
    database: Database, keyring: Keyring, token: str, *, address: Any = HERE, now: datetime = NOW
) -> bool:
    try:
        await identity.partner_by_token(database, keyring=keyring, token=token, address=address, now=now)
    except identity.PartnerNotAuthorized:
        return False
    return True


async def actions(database: Database) -> list[str]:
    async with database.reads.acquire() as db:
        return [event.action for event in reversed(await audit.read(db))]


async def test_a_new_partner_gets_in_with_its_token_from_its_addresses(database: Database, keyring: Keyring) -> None:
    issued = await add(database, keyring, minute_limit=7)
    assert re.fullmatch(r"partner_[0-9a-f]{16}", issued.partner_id)
    assert re.fullmatch(r"[0-9A-Za-z]{64}", issued.token)
    partner = await identity.partner_by_token(database, keyring=keyring, token=issued.token, address=HERE, now=NOW)
    assert (partner.partner_id, partner.name, partner.minute_limit) == (issued.partner_id, "Banco", 7)
    assert (partner.failure_callbacks, partner.reason_codes) == (False, False)
    assert await actions(database) == ["partner.added"]


async def test_the_token_is_kept_nowhere(database: Database, keyring: Keyring) -> None:
    issued = await add(database, keyring)
    async with database.reads.acquire() as db:
        tables = ("partner", "partner_token", "audit_event")
        rows = [row[0] for table in tables for row in await db.fetch(f"SELECT t::text FROM {table} t")]
    kept = "".join(rows)
    assert issued.partner_id in kept
    assert issued.token not in kept
    assert issued.token.encode().hex() not in kept


@pytest.mark.parametrize(
    ("network", "address", "expected"),
    [
        ("198.51.100.0/24", "198.51.100.255", True),
        ("198.51.100.0/24", "198.51.101.0", False),
        ("198.51.100.7", "198.51.100.7", True),
        ("198.51.100.7", "198.51.100.8", False),
        ("0.0.0.0/0", "203.0.113.1", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("2001:db8::/32", "2001:db8:ffff::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("::ffff:198.51.100.0/120", "198.51.100.9", True),
        ("::/0", "198.51.100.9", False),
    ],
)
async def test_an_address_is_in_the_list_or_not(
    database: Database, keyring: Keyring, network: str, address: str, expected: bool
) -> None:
    issued = await add(database, keyring, "192.0.2.1/32", network)
    assert await gets_in(database, keyring, issued.token, address=ipaddress.ip_address(address)) is expected


async def test_an_address_that_nobody_can_tell_is_in_no_list(database: Database, keyring: Keyring) -> None:
    issued = await add(database, keyring, "0.0.0.0/0", "::/0")
    assert not await gets_in(database, keyring, issued.token, address=None)


@pytest.mark.parametrize(
    "listed",
    [[], ["198.51.100.7/24"], ["198.51.100.0/33"], ["example.com"], [""], ["10.0.0.0/8", "x"], ["fe80::1%eth0/64"],
     [f"10.0.{n // 256}.{n % 256}" for n in range(257)]],
)  # fmt: skip
async def test_a_list_that_holds_anything_else_is_refused(
    database: Database, keyring: Keyring, listed: list[str]
) -> None:
    with pytest.raises(identity.AddressesInvalid):
        await add(database, keyring, addresses=listed)
    assert await actions(database) == []


async def test_each_wrong_address_is_named(database: Database, keyring: Keyring) -> None:
    with pytest.raises(identity.AddressesInvalid) as refused:
        await add(database, keyring, "x", "10.0.0.0/8", "10.0.0.1/8")
    assert [one.path for one in refused.value.details] == ["$.addresses[0]", "$.addresses[2]"]


async def test_a_chosen_id_is_taken_once(database: Database, keyring: Keyring) -> None:
    assert (await add(database, keyring, partner_id="partner_banco")).partner_id == "partner_banco"
    with pytest.raises(identity.IdTaken):
        await add(database, keyring, partner_id="partner_banco")
    for wrong in ("lender_banco", "banco", "partner_a b"):
        with pytest.raises(identity.IdInvalid):
            await add(database, keyring, partner_id=wrong)


async def test_a_rotated_token_lives_through_its_overlap_beside_the_new_one(
    database: Database, keyring: Keyring
) -> None:
    first = await add(database, keyring)
    rotated = NOW + timedelta(days=1)
    second = await rotate(database, keyring, first.partner_id, overlap=timedelta(hours=2), now=rotated)
    assert first.token != second.token
    for hours, old_lives in ((0, True), (1.99, True), (2, False)):
        now = rotated + timedelta(hours=hours)
        assert await gets_in(database, keyring, first.token, now=now) is old_lives
        assert await gets_in(database, keyring, second.token, now=now)
    later = rotated + timedelta(hours=1)
    third = await rotate(database, keyring, first.partner_id, now=later)
    live = [await gets_in(database, keyring, one.token, now=later) for one in (first, second, third)]
    assert live == [False, True, True]
    assert await actions(database) == ["partner.added", "partner.token_rotated", "partner.token_rotated"]


async def test_a_leaked_token_ends_at_once(database: Database, keyring: Keyring) -> None:
    leaked = await add(database, keyring)
    fresh = await rotate(database, keyring, leaked.partner_id, overlap=timedelta())
    assert [await gets_in(database, keyring, one.token) for one in (leaked, fresh)] == [False, True]


async def test_options_and_status_are_set_one_by_one_and_listed(database: Database, keyring: Keyring) -> None:
    issued = await add(database, keyring)
    for change in (
        {"failure_callbacks": True}, {"reason_codes": True}, {"minute_limit": 5}, {"status": "suspended"},
    ):  # fmt: skip
        async with database.transaction() as db:
            await identity.set_partner(db, partner_id=issued.partner_id, **BY, **change)  # type: ignore[arg-type]
    assert not await gets_in(database, keyring, issued.token)
    async with database.transaction() as db:
        await identity.set_partner_addresses(db, partner_id=issued.partner_id, addresses=["2001:db8::/64"], **BY)
        (account,) = await identity.list_partners(db, now=NOW)
        options = await identity.partner_options(db, partner_id=issued.partner_id)
    assert (account.status, account.addresses, account.minute_limit) == ("suspended", ("2001:db8::/64",), 5)
    assert (account.failure_callbacks, account.reason_codes, len(account.tokens)) == (True, True, 1)
    assert (options.failure_callbacks, options.reason_codes) == (True, True)
    assert await actions(database) == ["partner.added", *["partner.changed"] * 4, "partner.addresses_set"]


def typical(times: list[int]) -> float:
    """Return the mean without the slowest twentieth: what else the machine does."""
    return statistics.fmean(sorted(times)[: len(times) * 19 // 20])


@pytest.mark.long
async def test_no_refusal_takes_longer_than_another(database: Database, keyring: Keyring) -> None:
    revoked, suspended, elsewhere = [await add(database, keyring) for _ in range(3)]
    await rotate(database, keyring, revoked.partner_id, overlap=timedelta())
    async with database.transaction() as db:
        await identity.set_partner(db, partner_id=suspended.partner_id, status="suspended", **BY)
    cases = {
        "unknown": ("0" * 64, HERE),
        "revoked": (revoked.token, HERE),
        "suspended": (suspended.token, HERE),
        "elsewhere": (elsewhere.token, ipaddress.ip_address("203.0.113.7")),
    }
    times: dict[str, list[int]] = {name: [] for name in cases}
    order = [*cases]
    for _ in range(10_000):
        random.shuffle(order)
        for name in order:
            token, address = cases[name]
            began = time.perf_counter_ns()
            refused = not await gets_in(database, keyring, token, address=address)
            times[name].append(time.perf_counter_ns() - began)
            assert refused
    told = {name: typical(sample) / typical(times["unknown"]) for name, sample in times.items()}
    # A statement that joins token and partner is 5 % slower for those whose token exists.
    assert all(abs(ratio - 1) < 0.02 for ratio in told.values()), told


@pytest.mark.parametrize("nobody", ["partner_0", ""])
async def test_an_unknown_partner_is_refused_everywhere(database: Database, keyring: Keyring, nobody: str) -> None:
    with pytest.raises(identity.PartnerUnknown):
        await rotate(database, keyring, nobody)
    async with database.transaction() as db:
        with pytest.raises(identity.PartnerUnknown):
            await identity.set_partner(db, partner_id=nobody, status="active", **BY)
        with pytest.raises(identity.PartnerUnknown):
            await identity.set_partner_addresses(db, partner_id=nobody, addresses=["10.0.0.0/8"], **BY)
        with pytest.raises(identity.PartnerUnknown):
            await identity.partner_options(db, partner_id=nobody)
    assert await actions(database) == []
