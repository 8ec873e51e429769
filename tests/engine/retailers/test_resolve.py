import asyncio
import hashlib
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from altcredit.engine import retailers
from altcredit.engine.retailers import ShopKey
from altcredit.engine.retailers.gstin import check_character
from altcredit.runtime.db import Connection, Database
from altcredit.runtime.keys import KeyProvider, Keyring

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
GST = [first + check_character(first) for first in ("27AAPFU0939F1Z", "29AAGCB7383J1Z", "27AAPFU0939F2Z")]
PHONE = hashlib.sha256(b"919812345678").hexdigest()


@pytest.fixture
def keyring() -> Keyring:
    return Keyring(KeyProvider(root=b"r" * 32, keks=(b"k" * 32,)))


class Shops:
    """A distributor's way to ask, short enough for stories."""

    def __init__(self, pools: Database, keyring: Keyring) -> None:
        self.pools = pools
        self.keyring = keyring

    async def __call__(self, distributor_id: str, *keys: dict[str, str], now: datetime = NOW) -> list[str]:
        return await retailers.resolve(
            self.pools,
            keyring=self.keyring,
            distributor_id=distributor_id,
            shops=[msgspec.convert(key, ShopKey) for key in keys],
            now=now,
        )

    async def one(self, distributor_id: str, **key: str) -> str:
        (retailer_id,) = await self(distributor_id, key)
        return retailer_id

    async def canonical(self, retailer_id: str) -> str:
        async with self.pools.transaction() as db:
            return (await retailers.canonical(db, retailer_ids=[retailer_id]))[retailer_id]

    async def by_phone(self, distributor_id: str, phone: str = PHONE) -> list[str]:
        async with self.pools.transaction() as db:
            return await retailers.by_phone(db, keyring=self.keyring, distributor_id=distributor_id, phone_hash=phone)

    async def count(self, sql: str) -> int:
        async with self.pools.transaction() as db:
            return int(await db.fetchval(sql))


@pytest.fixture
def shops(database: Database, keyring: Keyring) -> Shops:
    return Shops(database, keyring)


async def test_ids_are_opaque_and_stable(shops: Shops) -> None:
    first = await shops("dist_a", {"gstin": GST[0]}, {"ref": "C1"}, {"ref": "C2"}, {"gstin": GST[0]})
    assert first == await shops("dist_a", {"gstin": GST[0]}, {"ref": "C1"}, {"ref": "C2"}, {"gstin": GST[0]})
    assert first[0] == first[3]
    assert len(set(first)) == 3
    assert all(len(i) == 20 and i.startswith("ret_") and set(i[4:]) <= set("0123456789abcdef") for i in first)


async def test_a_gstin_is_one_shop_for_all_distributors_and_a_code_only_for_its_own(shops: Shops) -> None:
    assert await shops.one("dist_a", gstin=GST[0]) == await shops.one("dist_b", gstin=GST[0])
    assert await shops.one("dist_a", ref="C1") != await shops.one("dist_b", ref="C1")


async def test_identifiers_said_together_find_the_shop_alone_later(shops: Shops) -> None:
    shop = await shops.one("dist_a", gstin=GST[0], ref="C1", phone_hash=PHONE)
    assert await shops.one("dist_a", ref="C1") == shop
    assert await shops.one("dist_b", gstin=GST[0]) == shop
    assert await shops.by_phone("dist_a") == [shop]


async def test_a_record_that_links_two_shops_merges_them_and_the_older_id_survives(shops: Shops) -> None:
    older = await shops.one("dist_a", ref="C1")
    newer = await shops.one("dist_b", gstin=GST[0])
    assert await shops.one("dist_a", ref="C1", gstin=GST[0]) == older
    assert await shops.canonical(newer) == older
    assert await shops.one("dist_a", ref="C1") == older
    async with shops.pools.transaction() as db:
        assert await retailers.by_gst(db, keyring=shops.keyring, gstin=GST[0]) == older
        event = await db.fetchrow("SELECT type, key, data FROM outbox")
    assert event["type"] == "retailer.merged"
    assert event["key"] == older
    assert msgspec.json.decode(event["data"])["absorbed_id"] == newer


async def test_a_code_that_turns_up_with_another_gstin_follows_the_gstin(shops: Shops) -> None:
    old = await shops.one("dist_a", ref="C1", gstin=GST[0])
    new = await shops.one("dist_a", ref="C1", gstin=GST[1])
    assert new != old
    assert await shops.one("dist_a", ref="C1") == new, "the code names the shop it was last said of"
    assert await shops.one("dist_a", gstin=GST[0]) == old
    assert await shops.count("SELECT count(*) FROM retailer_merge") == 0


async def test_a_moved_code_is_seen_by_another_process_at_once(database: Database, keyring: Keyring) -> None:
    here = Shops(database, keyring)
    there = Shops(database, Keyring(KeyProvider(root=b"r" * 32, keks=(b"k" * 32,))))  # a memory of its own
    old = await here.one("dist_a", ref="C1", gstin=GST[0])
    assert await here.one("dist_a", ref="C1") == await there.one("dist_a", ref="C1") == old
    new = await there.one("dist_a", ref="C1", gstin=GST[1])
    assert await here.one("dist_a", ref="C1") == new


async def test_a_phone_links_shops_of_two_distributors(shops: Shops) -> None:
    ours = await shops.one("dist_a", ref="C1", phone_hash=PHONE)
    assert await shops.one("dist_b", ref="K9", phone_hash=PHONE) == ours
    assert await shops.one("dist_c", gstin=GST[0], phone_hash=PHONE) == ours
    assert await shops.by_phone("dist_b") == [ours]
    assert await shops.by_phone("dist_d") == []
    async with shops.pools.transaction() as db:
        linked = await retailers.distributors_of_phone(db, keyring=shops.keyring, phone_hash=PHONE)
    assert linked == ["dist_a", "dist_b", "dist_c"]


async def test_a_phone_shared_by_shops_with_different_gstins_does_not_merge_them(shops: Shops) -> None:
    one = await shops.one("dist_a", gstin=GST[0], ref="C1", phone_hash=PHONE)
    two = await shops.one("dist_a", gstin=GST[1], ref="C2", phone_hash=PHONE)
    assert one != two
    assert await shops.by_phone("dist_a") == [one, two]
    three = await shops.one("dist_a", ref="C3", phone_hash=PHONE)
    assert three not in (one, two), "a shared phone does not say which"
    assert await shops.one("dist_a", ref="C3", phone_hash=PHONE) == three


async def test_a_phone_said_later_merges_what_codes_kept_apart(shops: Shops) -> None:
    older = await shops.one("dist_a", ref="C1")
    newer = await shops.one("dist_b", ref="K1", phone_hash=PHONE)
    assert await shops.one("dist_a", ref="C1", phone_hash=PHONE) == older
    assert await shops.canonical(newer) == older


async def test_a_number_that_stands_in_many_accounts_joins_no_more_than_a_few(shops: Shops) -> None:
    ids = await shops("dist_a", *({"ref": f"C{n}", "phone_hash": PHONE} for n in range(200)))
    assert max(ids.count(i) for i in set(ids)) <= 4
    assert len(set(ids)) >= 50


async def test_merges_chain_and_every_absorbed_id_answers_by_the_oldest(shops: Shops) -> None:
    a, b, c = await shops("dist_a", {"ref": "A"}, {"ref": "B"}, {"ref": "C"})
    async with shops.pools.transaction() as db:
        await retailers.merge(db, first=b, second=c, evidence="told by the owner", now=NOW)
        await retailers.merge(db, first=c, second=a, evidence="told by the owner", now=NOW)
        assert await retailers.canonical(db, retailer_ids=[a, b, c]) == {a: a, b: a, c: a}
        with pytest.raises(retailers.MergeImpossible):
            await retailers.merge(db, first=b, second=c, evidence="again", now=NOW)
        with pytest.raises(retailers.RetailerUnknown):
            await retailers.merge(db, first=b, second="ret_0000000000000000", evidence="", now=NOW)


async def test_a_merge_can_be_undone_and_stays_undone(shops: Shops) -> None:
    a, b, c = await shops("dist_a", {"ref": "A"}, {"ref": "B"}, {"ref": "C"})
    async with shops.pools.transaction() as db:
        await retailers.merge(db, first=b, second=c, evidence="x", now=NOW)
        upper = await retailers.merge(db, first=a, second=b, evidence="x", now=NOW)
    assert await shops("dist_a", {"ref": "A"}, {"ref": "B"}, {"ref": "C"}, now=NOW + timedelta(days=1)) == [a, a, a]
    async with shops.pools.transaction() as db:
        await retailers.undo_merge(db, merge_id=upper, now=NOW)
        assert await retailers.canonical(db, retailer_ids=[a, b, c]) == {a: a, b: b, c: b}
        with pytest.raises(retailers.MergeUnknown):
            await retailers.undo_merge(db, merge_id=upper, now=NOW)
    assert await shops("dist_a", {"ref": "A"}, {"ref": "B"}, {"ref": "C"}, now=NOW + timedelta(days=1)) == [a, b, b]
    await shops("dist_a", {"ref": "A", "phone_hash": PHONE}, {"ref": "B", "phone_hash": PHONE})
    assert await shops.canonical(b) == b, "a person said that they are two"


async def test_two_batches_that_name_the_same_new_shops_at_once_get_the_same_ids(
    database: Database, keyring: Keyring
) -> None:
    keys = [{"ref": f"C{n}", "gstin": ""} for n in range(40)] + [{"gstin": g} for g in GST]
    keys = [{name: value for name, value in key.items() if value} for key in keys]
    each = [Shops(database, Keyring(KeyProvider(root=b"r" * 32, keks=(b"k" * 32,)))) for _ in range(8)]
    answers = await asyncio.gather(*(shops("dist_a", *keys) for shops in each))
    assert all(answer == answers[0] for answer in answers)
    assert await each[0].count("SELECT count(*) FROM retailer") == 43


async def test_the_number_of_statements_does_not_grow_with_the_batch(shops: Shops) -> None:
    async def statements(*keys: dict[str, str]) -> int:
        seen: list[str] = []
        writes, reads = shops.pools.writes, shops.pools.reads
        async with AsyncExitStack() as held:
            for pool, size in ((writes, writes.get_max_size()), (reads, reads.size)):
                for _ in range(size):
                    connection = await held.enter_async_context(pool.acquire())
                    connection.add_query_logger(lambda record: seen.append(record.query))
        await shops("dist_a", *keys)
        return len(seen)

    few = await statements({"ref": "A"}, {"gstin": GST[0], "phone_hash": PHONE, "name": "x"})
    many = await statements(
        *({"ref": f"R{n}", "name": f"n{n}"} for n in range(500)), {"gstin": GST[1], "phone_hash": PHONE}
    )
    assert few > 0
    assert many <= few


async def test_nothing_is_stored_in_clear_and_the_owner_of_the_keys_can_read_it(shops: Shops) -> None:
    shop = await shops.one("dist_a", gstin=GST[0], ref="CODE-77", phone_hash=PHONE, name="Gupta Kirana")
    await shops.one("dist_a", gstin=GST[0], ref="CODE-77", name="Gupta Kirana & Sons")
    async with shops.pools.transaction() as db:
        tables = [r["tablename"] for r in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        stored = "\n".join([str(r[0]) for t in tables for r in await db.fetch(f"SELECT t::text FROM {t} t")])
        sealed = await db.fetchval("SELECT sealed FROM retailer WHERE retailer_id = $1", shop)
    for secret in (GST[0], "CODE-77", PHONE, "Gupta"):
        assert secret not in stored
        assert secret.encode().hex() not in stored
    plain = shops.keyring.unseal(sealed, owner=shop, purpose="retailer.identity")
    assert msgspec.json.decode(plain) == {
        "name": "Gupta Kirana & Sons", "gstins": [GST[0]], "phone_hashes": [PHONE],
    }  # fmt: skip


async def test_sightings_are_kept_to_the_day(shops: Shops) -> None:
    shop = await shops.one("dist_a", ref="C1")
    later = NOW + timedelta(days=3)
    await shops("dist_a", {"ref": "C1"}, {"ref": "C1", "gstin": GST[0]}, now=later)
    async with shops.pools.transaction() as db:
        row = await db.fetchrow("SELECT * FROM retailer_distributor")
    assert (row["retailer_id"], row["refs"], row["has_gst"], row["has_phone"]) == (shop, 1, True, False)
    assert (row["last_seen"] - row["first_seen"]).days == 3


async def test_a_batch_that_was_met_before_costs_one_statement(shops: Shops, database: Database) -> None:
    keys = [{"ref": f"C{n}"} for n in range(300)]
    first = await shops("dist_a", *keys)

    async def refuse(*_: object) -> Connection:
        raise AssertionError("no transaction is needed")

    database.transaction = refuse  # type: ignore[method-assign,assignment]
    assert await shops("dist_a", *keys) == first
