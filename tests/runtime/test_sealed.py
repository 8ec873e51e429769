"""A new key-encryption key reaches every sealed column there is."""

from altcredit.runtime import sealed
from altcredit.runtime.db import Database
from altcredit.runtime.keys import KeyProvider, Keyring

OLD, NEW = b"\x01" * 32, b"\x02" * 32


def keyring(*keks: bytes) -> Keyring:
    return Keyring(KeyProvider(root=b"\x03" * 32, keks=keks))


async def test_columns_of_sealed_values_are_found_by_their_name_alone(database: Database) -> None:
    async with database.transaction() as db:
        await db.execute("CREATE TABLE later (id int, sealed_note bytea, sealed text)")
        found = await sealed.columns(db)
    assert ("later", "sealed_note") in found
    assert ("later", "sealed") not in found
    assert {"retailer", "ingest_quarantine_body", "distributor_secret", "delivery", "underwriting"} <= {
        table for table, _ in found
    }


async def test_values_are_counted_by_what_seals_them(database: Database) -> None:
    async with database.transaction() as db:
        await db.execute('CREATE TABLE later (id int, "sealed_Odd name" bytea)')
        for number, keks in enumerate([(OLD,), (OLD,), (NEW,)]):
            value = keyring(*keks).seal(b"x", owner="o", purpose="p")
            await db.execute("INSERT INTO later VALUES ($1, $2)", number, value)
        await db.execute("INSERT INTO later VALUES (3, NULL)")
        both, place = keyring(NEW, OLD), "later.sealed_Odd name"
        assert await sealed.outdated(db, keyring=both) == {place: 2}
        assert await sealed.lost(db, keyring=both) == {}
        assert await sealed.lost(db, keyring=keyring(NEW)) == {place: 2}
        assert await sealed.rewrap(db, keyring=both) == {place: 2}
        assert await sealed.outdated(db, keyring=both) == {}
        assert await sealed.lost(db, keyring=keyring(NEW)) == {}
        assert await sealed.rewrap(db, keyring=both) == {}
