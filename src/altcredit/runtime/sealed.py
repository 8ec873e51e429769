"""
Every sealed value of the database, wherever it is: columns of bytes whose names begin with ``sealed``.

A new key-encryption key must reach all of them before an old one may go. They are found in the database's own
catalogue, so that no table can be forgotten.
"""

from collections.abc import Sequence

from altcredit.runtime.db import Connection
from altcredit.runtime.keys import Keyring

COLUMNS = """
SELECT table_name::text AS name, column_name::text AS field FROM information_schema.columns
WHERE table_schema = 'public' AND data_type = 'bytea' AND column_name LIKE 'sealed%'
  AND table_name IN (SELECT tablename FROM pg_tables WHERE schemaname = 'public')
ORDER BY 1, 2
"""
# A row that another transaction changes meanwhile is left to the next round: its old value is gone.
_OUTDATED = """
SELECT ctid AS place, {field} AS value FROM {name}
WHERE {field} IS NOT NULL AND substring({field} FROM 2 FOR 8) <> $1 LIMIT 1000 FOR UPDATE SKIP LOCKED
"""
_UNKNOWN = "SELECT count(*) FROM {name} WHERE substring({field} FROM 2 FOR 8) <> ALL($1::bytea[])"
_REPLACE = "UPDATE {name} SET {field} = $2 WHERE ctid = $1"


async def columns(db: Connection) -> list[tuple[str, str]]:
    """Return table and column of all that is sealed."""
    return [(row["name"], row["field"]) for row in await db.fetch(COLUMNS)]


async def rewrap(db: Connection, *, keyring: Keyring) -> dict[str, int]:
    """
    Bring a thousand values of each column under the current key-encryption key, on the caller's transaction.

    Returns how many were moved by ``table.column``; empty: nothing is left. To be called until it is.

    :raises altcredit.runtime.keys.SealBroken: a value is sealed under a key that the key file does not hold.
    """
    moved = {}
    for name, field in await columns(db):
        names = {"name": _quoted(name), "field": _quoted(field)}
        rows = await db.fetch(_OUTDATED.format(**names), keyring.current_kek)
        await db.executemany(_REPLACE.format(**names), [(row["place"], keyring.rewrap(row["value"])) for row in rows])
        if rows:
            moved[f"{name}.{field}"] = len(rows)
    return moved


async def outdated(db: Connection, *, keyring: Keyring) -> dict[str, int]:
    """Return how many values another than the current key-encryption key seals, by ``table.column``; reads them all."""
    return await _counted(db, keyring.kek_ids[:1])


async def lost(db: Connection, *, keyring: Keyring) -> dict[str, int]:
    """Return how many values none of our key-encryption keys opens, by ``table.column``; reads them all."""
    return await _counted(db, keyring.kek_ids)


async def _counted(db: Connection, known: Sequence[bytes]) -> dict[str, int]:
    found = {}
    for name, field in await columns(db):
        count = await db.fetchval(_UNKNOWN.format(name=_quoted(name), field=_quoted(field)), list(known))
        if count:
            found[f"{name}.{field}"] = count
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
