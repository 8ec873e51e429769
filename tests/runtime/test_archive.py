"""A backup is whole and of one moment, or it is refused; putting one back changes nothing until it can succeed."""

import asyncio
import hashlib
import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import at

from altcredit.runtime import archive, clock
from altcredit.runtime.backup import BackupFailed, DatabaseNotEmpty
from altcredit.runtime.certificates import Authority
from altcredit.runtime.db import Database
from altcredit.runtime.keys import KeyProvider, Keyring
from altcredit.runtime.settings import Settings

KEYRING = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x01" * 32,)))
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def silent(_text: str) -> None:
    pass


class Place:
    """An installation's files and its database."""

    def __init__(self, dsn: str, home: Path) -> None:
        self.settings = Settings(database_url=dsn, home=str(home))
        self.lake = self.settings.lake_path

    async def add(self, database: Database, name: str, content: bytes) -> None:
        """Store a file in the lake, and list it when it is there."""
        path = self.lake / "bronze" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        await database.writes.execute(
            "INSERT INTO lake_file (layer, kind, path, rows, bytes, sha256, created_at, added_version)"
            " VALUES ('bronze', 'batch', $1, 1, $2, $3, now(), 1)",
            f"bronze/{name}", len(content), hashlib.sha256(content).hexdigest(),
        )  # fmt: skip

    async def write(self, folder: Path, say: archive.Say = silent) -> archive.Index:
        return await asyncio.to_thread(archive.write, self.settings, folder, keyring=KEYRING, now=NOW, say=say)

    async def put_back(self, folder: Path, **changes: Any) -> archive.Index:
        given = {"keyring": KEYRING, "force": False, "say": silent, **changes}
        return await asyncio.to_thread(lambda: archive.put_back(self.settings, folder, **given))


@pytest.fixture
def here(database: Database, tmp_path: Path) -> Place:
    return Place(database.dsn, tmp_path / "here")


@pytest.fixture
async def there(server: str, tmp_path: Path) -> Place:
    connection = await asyncpg.connect(server)
    await connection.execute("DROP DATABASE IF EXISTS put_back WITH (FORCE)")
    await connection.execute("CREATE DATABASE put_back TEMPLATE template0")
    await connection.close()
    return Place(at(server, "put_back"), tmp_path / "there")


async def ask(place: Place, sql: str) -> Any:
    connection = await asyncpg.connect(place.settings.database_url)
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()


async def is_untouched(place: Place) -> bool:
    tables = await ask(place, "SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
    return not tables and not any(path.is_file() for path in place.settings.home_path.rglob("*"))


async def test_what_is_put_back_is_what_was_backed_up(
    database: Database, here: Place, there: Place, tmp_path: Path
) -> None:
    await here.add(database, "d/2026-11/a.parquet", b"a" * 1000)
    (here.lake / "bronze" / "stray.parquet").write_bytes(b"listed by nobody")
    model = here.settings.home_path / "models" / "m" / "model.json"
    model.parent.mkdir(parents=True)
    model.write_text("{}")
    authority = Authority.open(here.settings, keyring=KEYRING, now=clock.now())
    index = await here.write(tmp_path / "backup")
    assert {one.path for one in index.files} == {
        "database.dump", "lake/bronze/d/2026-11/a.parquet", "models/m/model.json", "certificates/authority.sealed",
        "certificates/ca.pem",
    }  # fmt: skip
    for path in (tmp_path / "backup").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or path.name == "backup.json" or path.is_dir()
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o700
    assert archive.check(tmp_path / "backup") == index
    assert await there.put_back(tmp_path / "backup") == index
    assert (there.lake / "bronze/d/2026-11/a.parquet").read_bytes() == b"a" * 1000
    assert (there.settings.home_path / "models/m/model.json").read_text() == "{}"
    assert Authority.open(there.settings, keyring=KEYRING, now=clock.now()).pem == authority.pem
    assert [row["path"] for row in await ask(there, "SELECT path FROM lake_file")] == ["bronze/d/2026-11/a.parquet"]


async def test_a_backup_holds_the_files_of_its_moment_however_the_lake_moves_meanwhile(
    database: Database, here: Place, there: Place, tmp_path: Path
) -> None:
    """Files come, and are taken off the list as compaction does; those off it stay on disk for a while."""
    for number in range(20):
        await here.add(database, f"first/{number}.parquet", bytes([number]) * 100)
    done = asyncio.Event()

    async def move() -> None:
        number = 0
        while not done.is_set():
            await here.add(database, f"later/{number}.parquet", number.to_bytes(4, "big"))
            await database.writes.execute(
                "UPDATE lake_file SET removed_version = 2 WHERE file_id ="
                " (SELECT min(file_id) FROM lake_file WHERE removed_version IS NULL)"
            )
            number += 1

    moving = asyncio.create_task(move())
    try:
        await here.write(tmp_path / "backup")
    finally:
        done.set()
        await moving
    await there.put_back(tmp_path / "backup")
    listed = {row["path"] for row in await ask(there, "SELECT path FROM lake_file WHERE removed_version IS NULL")}
    assert len(listed) >= 20
    assert listed == {str(path.relative_to(there.lake)) for path in there.lake.rglob("*.parquet")}


@pytest.mark.parametrize("damage", ["missing", "altered"])
async def test_a_lake_that_is_not_what_the_manifest_says_makes_no_backup(
    database: Database, here: Place, tmp_path: Path, damage: str
) -> None:
    await here.add(database, "a.parquet", b"a" * 1000)
    file = here.lake / "bronze" / "a.parquet"
    file.unlink() if damage == "missing" else file.write_bytes(b"b" * 1000)
    with pytest.raises(BackupFailed, match=r"a\.parquet.*the lake is damaged"):
        await here.write(tmp_path / "backup")
    with pytest.raises(archive.BackupUnusable, match="not finished"):
        archive.check(tmp_path / "backup")


async def test_a_folder_that_holds_something_is_not_written_into(here: Place, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "mine").write_text("precious")
    with pytest.raises(archive.PlaceNotEmpty):
        await here.write(tmp_path / "backup")
    with pytest.raises(BackupFailed, match="mine"):
        await here.write(tmp_path / "backup" / "mine" / "new")
    assert [path.name for path in (tmp_path / "backup").iterdir()] == ["mine"]


async def test_a_database_without_an_installation_makes_no_backup(there: Place, tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="no installation"):
        await there.write(tmp_path / "backup")


async def test_a_damaged_backup_is_named_and_changes_nothing(
    database: Database, here: Place, there: Place, tmp_path: Path
) -> None:
    await here.add(database, "a.parquet", b"a" * 1000)
    folder = tmp_path / "backup"
    await here.write(folder)
    for name in ("database.dump", "lake/bronze/a.parquet"):
        path = folder / name
        whole = path.read_bytes()
        for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), None):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            with pytest.raises(archive.BackupUnusable, match=path.name):
                await there.put_back(folder)
            path.write_bytes(whole)
    index = json.loads((folder / "backup.json").read_bytes())
    for changes in (
        {"format": 2},
        {"keks": []},
        {"files": []},
        {"files": [*index["files"], {"path": "lake/../../escaped", "bytes": 0, "sha256": ""}]},
        {"files": [*index["files"], {"path": "/etc/escaped", "bytes": 0, "sha256": ""}]},
        {"files": "none"},
    ):
        (folder / "backup.json").write_text(json.dumps({**index, **changes}))
        with pytest.raises(archive.BackupUnusable):
            await there.put_back(folder)
    (folder / "backup.json").unlink()
    with pytest.raises(archive.BackupUnusable, match="not finished"):
        await there.put_back(folder)
    assert await is_untouched(there)


async def test_what_is_there_is_replaced_by_force_alone(
    database: Database, here: Place, there: Place, tmp_path: Path
) -> None:
    await here.add(database, "a.parquet", b"a" * 1000)
    folder = tmp_path / "backup"
    await here.write(folder)
    file = there.lake / "bronze" / "a.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"precious")
    with pytest.raises(archive.PlaceNotEmpty, match="--force"):
        await there.put_back(folder)
    file.unlink()
    await ask(there, "CREATE TABLE precious (n int)")
    with pytest.raises(DatabaseNotEmpty, match="--force"):
        await there.put_back(folder)
    assert await ask(there, "SELECT * FROM precious") == []
    assert not file.exists()
    for _ in range(2):
        await there.put_back(folder, force=True)
        assert file.read_bytes() == b"a" * 1000
        assert (await ask(there, "SELECT to_regclass('precious') IS NULL"))[0][0]


async def test_a_backup_of_other_keys_is_refused_before_anything_is_changed(
    here: Place, there: Place, tmp_path: Path
) -> None:
    await here.write(tmp_path / "backup")
    other = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x09" * 32,), custody="key file x"))
    with pytest.raises(archive.BackupUnusable, match="key file x"):
        await there.put_back(tmp_path / "backup", keyring=other)
    assert await is_untouched(there)
    newer = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x09" * 32, b"\x01" * 32)))
    await there.put_back(tmp_path / "backup", keyring=newer)
