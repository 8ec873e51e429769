"""
A dump of the whole database, by ``pg_dump`` and ``pg_restore`` of the binaries that run the server.

A backup of an installation is more than that: see :mod:`altcredit.runtime.archive`.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg
import msgspec

from altcredit.runtime import pgbin, postgres
from altcredit.runtime.db import connect
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called as each table begins: its place from 1, how many there are, its name."""

TABLES = """
SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
"""

# What a reader of the lake may ask for. What was taken off the list lately is still on disk, and needed by nobody new.
LISTED = "SELECT path, bytes, sha256 FROM lake_file WHERE removed_version IS NULL ORDER BY path"

# As initdb leaves it, so that a dump of the restored database is like one of any other.
_CLEAR = """
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC;
"""


class BackupFailed(Refusal):
    """A dump or a restore did not succeed; what was there before is untouched."""


class DatabaseNotEmpty(Refusal):
    """The database to restore into holds something."""


def _silent(_place: int, _total: int, _table: str) -> None:
    pass


class _Tools:
    """The programs that fit a server, and how they reach it."""

    def __init__(self, settings: Settings) -> None:
        dsn = postgres.ensure(settings)
        major, self.tables = _ask(dsn)
        self.folder = pgbin.choose(settings.pg_bin, major=major)
        address = urlsplit(dsn)
        # Other users of the machine see arguments, but not the environment.
        self.environment = os.environ | {"PGPASSWORD": unquote(address.password or "")}
        user = f"{address.username}@" if address.username else ""
        self.address = urlunsplit(address._replace(netloc=user + address.netloc.rpartition("@")[2]))

    def start(
        self, program: str, *arguments: object, reads: bool = False, writes: bool = False
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(self.folder / program), *map(str, arguments)],
            env=self.environment,
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=subprocess.PIPE if writes else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )


def _ask(dsn: str) -> tuple[int, int]:
    """Return the server's major version and how many tables, views and sequences the database has."""

    async def ask() -> tuple[int, int]:
        connection = await connect(dsn)
        try:
            return connection.get_server_version().major, await connection.fetchval(TABLES)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:  # callers may or may not have an event loop
        return thread.submit(asyncio.run, ask()).result()


def _follow(errors: IO[bytes], marker: str, total: int, progress: Progress) -> str:
    """Report the tables that a program says it begins with; return the end of what else it said."""
    place, said = 0, ""
    for raw in errors:
        line = raw.decode(errors="replace")
        if marker in line:
            place += 1
            progress(place, max(total, place), line.partition(marker)[2].strip().strip('"'))
        elif "error" in line or "fatal" in line.lower():
            said = (said + line)[-2000:]
    return said


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the lake as the manifest describes it: its path relative to the lake, its size, its SHA-256 in hex."""

    path: str
    bytes: int
    sha256: str


@contextmanager
def moment(settings: Settings) -> Iterator[tuple[str, list[Listed]]]:
    """
    Hold a moment of the database: lend the name of its snapshot, for ``dump``, and the lake's files as of it.

    :raises BackupFailed: the database is not that of an installation.
    """
    with asyncio.Runner() as runner:
        connection = runner.run(connect(postgres.ensure(settings)))
        try:
            runner.run(connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            name = runner.run(connection.fetchval("SELECT pg_export_snapshot()"))
            rows = runner.run(connection.fetch(LISTED))
            yield name, [Listed(**dict(row)) for row in rows]
        except asyncpg.UndefinedTableError as error:
            raise BackupFailed("The database holds no installation.") from error
        finally:
            runner.run(connection.close())


def dump(settings: Settings, file: Path, *, snapshot: str | None = None, progress: Progress = _silent) -> None:
    """
    Write the whole database, as of one moment and while it is in use, to a file that its owner alone can read.

    The file appears when it is complete. Raises BackupFailed, or what ``postgres.ensure`` raises.

    :param snapshot: the moment, if it is that of a ``moment`` which is still held.
    """
    tools = _Tools(settings)
    partial = file.with_name(file.name + ".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    try:
        at = [f"--snapshot={snapshot}"] if snapshot else []
        with tools.start(
            "pg_dump", "--format=custom", "--no-owner", "--verbose", *at, f"--file={partial}", tools.address
        ) as dumping:
            assert dumping.stderr is not None
            said = _follow(dumping.stderr, "dumping contents of table ", tools.tables, progress)
        if dumping.returncode != 0:
            raise BackupFailed(f"pg_dump failed:\n{said}")
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def require_empty(settings: Settings) -> None:
    """Raise DatabaseNotEmpty where the database holds something."""
    _require_empty(_ask(postgres.ensure(settings))[1])


def _require_empty(tables: int) -> None:
    if tables:
        raise DatabaseNotEmpty(f"The database has {tables} tables and sequences: --force replaces all of them.")


def restore(settings: Settings, file: Path, *, force: bool = False, progress: Progress = _silent) -> None:
    """
    Replace the contents of the database by those of a dump, in one transaction.

    Stop the API and the worker first. A dump of an earlier version is brought up to date by ``altcredit db upgrade``.

    :param force: replace what the database holds.
    :raises DatabaseNotEmpty: it holds something, and ``force`` is not set.
    :raises BackupFailed: the file is no dump, is damaged, or the database does not take it.
    """
    tools = _Tools(settings)
    with tools.start("pg_restore", "--list", file, writes=True) as listing:
        contents, problem = listing.communicate()
    if listing.returncode != 0:
        raise BackupFailed(f"{file} is not a dump that can be read:\n{problem.decode(errors='replace')}")
    if not force:
        _require_empty(tools.tables)
    total = contents.count(b" TABLE DATA ")
    with (
        tools.start("pg_restore", "--no-owner", "--verbose", "--file=-", file, writes=True) as reading,
        tools.start(
            "psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--output=/dev/null",
            f"--command={_CLEAR}", "--file=-", "--command=ANALYZE", tools.address, reads=True,
        ) as writing,
        ThreadPoolExecutor(2) as threads,
    ):  # fmt: skip
        assert reading.stdout is not None
        assert reading.stderr is not None
        assert writing.stdin is not None
        assert writing.stderr is not None
        read = threads.submit(_follow, reading.stderr, "processing data for table ", total, progress)
        written = threads.submit(_follow, writing.stderr, "\0", 0, progress)
        try:
            shutil.copyfileobj(reading.stdout, writing.stdin, 1 << 20)
            if reading.wait() != 0:
                # The end of its input would have psql commit what came so far.
                writing.kill()
            writing.stdin.close()
        except BrokenPipeError:  # psql gave up, and says why
            reading.kill()
        said = read.result() + written.result()
    if reading.returncode != 0 or writing.returncode != 0:
        raise BackupFailed(f"Restoring {file} failed, nothing was changed:\n{said}")
