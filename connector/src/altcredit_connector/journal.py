"""What has been read, staged and acknowledged: one SQLite file next to the configuration.

A kill at any moment loses nothing and doubles nothing, because a batch, its id, its bytes, the records in it and the
place up to which the ERP was read are written in one transaction, synced to disk, before the first byte is sent.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self

from altcredit_connector.records import Kind
from altcredit_connector.text import financial_year, identifier

VERSION = 1
SCHEMA = """
CREATE TABLE mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batch (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    batch_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('queued', 'accepted', 'done', 'refused')),
    sync_from TEXT NOT NULL, sync_to TEXT NOT NULL,
    records INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    body BLOB,                 -- kept until the batch is done with
    attempts INTEGER NOT NULL DEFAULT 0,
    answer TEXT                -- the server's last answer, JSON
);
CREATE TABLE sent (            -- the last version staged of every record: what is equal to it is not sent again
    kind TEXT NOT NULL, record_id TEXT NOT NULL, origin TEXT NOT NULL, body TEXT NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (kind, record_id)
) WITHOUT ROWID;
CREATE INDEX sent_origin ON sent (origin) WHERE origin <> '';
CREATE INDEX sent_seq ON sent (seq);
CREATE TABLE name (            -- the id under which a document goes out, where the ERP's own number is not unique
    kind TEXT NOT NULL, scope TEXT NOT NULL, number TEXT NOT NULL, year INTEGER NOT NULL, record_id TEXT NOT NULL,
    PRIMARY KEY (kind, scope, number, year),
    UNIQUE (kind, record_id)
) WITHOUT ROWID;
"""


class JournalInUse(Exception):
    """Another push holds the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    batch_id: str
    seq: int
    state: str
    sync_from: str
    sync_to: str
    records: int
    sha256: str
    body: bytes | None
    attempts: int
    answer: dict[str, Any] | None


class Journal:
    """The journal of one connector. Methods that write belong inside ``transaction()``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._db.row_factory = sqlite3.Row
        if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            raise ValueError(
                f"the journal has version {version}, this connector knows {VERSION}: upgrade the connector"
            )

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create the journal at ``path`` for one process; raises ``JournalInUse`` if another has it open."""
        path.touch(mode=0o600, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA synchronous = EXTRA")
            # The lock is taken by this first write and held until the process ends, however it ends.
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
            return cls(connection)
        except sqlite3.OperationalError as error:
            connection.close()
            if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise JournalInUse(f"another push is using {path}") from error
            raise

    def rehearsal(self) -> "Journal":
        """Return a copy in memory: everything works as in earnest and nothing is remembered."""
        copy = sqlite3.connect(":memory:", isolation_level=None)
        self._db.backup(copy)
        return Journal(copy)

    def close(self) -> None:
        """Close the file and let go of the lock."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all that is written inside, or nothing of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # Marks: how far each source was read, and which days have been covered.
    def mark(self, name: str) -> str | None:
        """Return the value of a mark, e.g. ``covered_to`` or a source's cursor."""
        row = self._db.execute("SELECT value FROM mark WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def set_mark(self, name: str, value: str) -> None:
        """Set a mark."""
        self._db.execute("INSERT OR REPLACE INTO mark VALUES (?, ?)", (name, value))

    # Records: what was staged before.
    def last(self, kind: Kind, record_id: str) -> str | None:
        """Return the JSON of the record as last staged."""
        query = "SELECT body FROM sent WHERE kind = ? AND record_id = ?"
        row = self._db.execute(query, (kind, record_id)).fetchone()
        return str(row[0]) if row else None

    def of_origin(self, origin: str) -> list[tuple[Kind, str, str]]:
        """Return ``(kind, record_id, body)`` of all records that came from the ERP's voucher ``origin``."""
        query = "SELECT kind, record_id, body FROM sent WHERE origin = ? AND origin <> ''"
        return [tuple(row) for row in self._db.execute(query, (origin,))]

    def remember(self, kind: Kind, record_id: str, origin: str, body: str, seq: int) -> None:
        """Record that this version of a record is in batch ``seq``."""
        self._db.execute("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?)", (kind, record_id, origin, body, seq))

    # Names.
    def name(self, kind: Kind, scope: str, number: str, on: date) -> str:
        """Return the lasting id of document ``number`` of ``scope`` (e.g. a shop) in the financial year of ``on``.

        The number itself, unless another shop or an earlier financial year has taken it: then with a suffix.
        """
        return self._claim((kind, scope, number, financial_year(on)), number)

    def lasting_name(self, kind: Kind, origin: str, wanted: str) -> str:
        """Return the id that goes with the ERP's ``origin`` for good: ``wanted`` when first asked, if it is free."""
        return self._claim((kind, origin, "", 0), wanted)

    def _claim(self, key: tuple[Kind, str, str, int], wanted: str) -> str:
        query = "SELECT record_id FROM name WHERE kind = ? AND scope = ? AND number = ? AND year = ?"
        if row := self._db.execute(query, key).fetchone():
            return str(row[0])
        record_id = self._free_name(*key, wanted)
        self._db.execute("INSERT INTO name VALUES (?, ?, ?, ?, ?)", (*key, record_id))
        return record_id

    def refer(self, kind: Kind, scope: str, number: str, on: date) -> str:
        """Return the id of the document that a receipt or return of day ``on`` means by ``number``, known or not."""
        year = financial_year(on)
        query = (
            "SELECT record_id FROM name WHERE kind = ? AND scope = ? AND number = ? AND year <= ? "
            "ORDER BY year DESC LIMIT 1"
        )
        if row := self._db.execute(query, (kind, scope, number, year)).fetchone():
            return str(row[0])
        return self._free_name(kind, scope, number, year, number)

    def _free_name(self, kind: Kind, scope: str, number: str, year: int, wanted: str) -> str:
        wanted = identifier(wanted)
        query = "SELECT 1 FROM name WHERE kind = ? AND record_id = ?"
        if self._db.execute(query, (kind, wanted)).fetchone() is None:
            return wanted
        return f"{wanted}~{hashlib.sha256(json.dumps([scope, number, year]).encode()).hexdigest()[:8]}"

    # Batches.
    def add_batch(self, batch_id: str, sync_from: str, sync_to: str, records: int, body: bytes) -> int:
        """Queue a batch whose id and bytes stay as they are from now on; return its place in the queue."""
        cursor = self._db.execute(
            "INSERT INTO batch (batch_id, state, sync_from, sync_to, records, sha256, body) "
            "VALUES (?, 'queued', ?, ?, ?, ?, ?)",
            (batch_id, sync_from, sync_to, records, hashlib.sha256(body).hexdigest(), body),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def batches(self, state: str) -> list[Batch]:
        """Return the batches in ``state``, oldest first, without their bodies."""
        query = (
            "SELECT batch_id, seq, state, sync_from, sync_to, records, sha256, NULL AS body, attempts, answer "
            "FROM batch WHERE state = ? ORDER BY seq"
        )
        return [_batch(row) for row in self._db.execute(query, (state,))]

    def body(self, batch_id: str) -> bytes:
        """Return the bytes of a batch that is queued or being processed."""
        row = self._db.execute("SELECT body FROM batch WHERE batch_id = ?", (batch_id,)).fetchone()
        assert isinstance(row[0], bytes), f"{batch_id} is done with"
        return row[0]

    def attempt(self, batch_id: str) -> None:
        """Count one more attempt to send the batch."""
        self._db.execute("UPDATE batch SET attempts = attempts + 1 WHERE batch_id = ?", (batch_id,))

    def settle(self, batch_id: str, state: str, answer: dict[str, Any]) -> None:
        """Record the server's word on a batch.

        Its body is dropped when nothing more is to come; if it was refused, its records count as never sent.
        """
        self._db.execute(
            "UPDATE batch SET state = ?1, answer = ?2, body = iif(?1 = 'accepted', body, NULL) WHERE batch_id = ?3",
            (state, json.dumps(answer, ensure_ascii=False), batch_id),
        )
        if state == "refused":
            self._db.execute(
                "DELETE FROM sent WHERE seq = (SELECT seq FROM batch WHERE batch_id = ?)",
                (batch_id,),
            )


def _batch(row: sqlite3.Row) -> Batch:
    fields = dict(row)
    fields["answer"] = json.loads(fields["answer"]) if fields["answer"] else None
    return Batch(**fields)
