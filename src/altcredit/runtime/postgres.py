"""
The embedded PostgreSQL server: our own supervisor over stock binaries.

A cluster lives in ``<home>/postgres``. PostgreSQL refuses to run as root, so there the server runs as a system account
of its own; binaries and clusters which that account could not reach (under a 0700 home) are kept below
``/var/lib/altcredit``, and ``<home>/postgres`` is then a link. A server outlives the process that started it until
somebody calls ``stop``, and any number of processes may start or join it at once.
"""

import asyncio
import fcntl
import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from altcredit.runtime import pgbin
from altcredit.runtime.ids import new_id, new_secret
from altcredit.runtime.ports import free_port, is_free
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

DATABASE = "altcredit"
ROLE = "altcredit"
ACCOUNT = "altcredit-postgres"
SHARED = Path("/var/lib/altcredit")

_START_SECONDS = 600  # recovery after a crash may have much to replay
_SOCKET_PATH_LIMIT = 103  # bytes of sun_path on macOS; Linux has 107
_LOG_BYTES = 10_000_000

# Written at every start. Memory is for a small machine that runs all of the product; the page cache does the rest.
_CONFIGURATION = """\
# Written by altcredit at every start. Put changes in postgresql.local.conf, beside this file.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 64MB
work_mem = 8MB
maintenance_work_mem = 64MB
autovacuum_max_workers = 2
max_parallel_workers_per_gather = 0
max_logical_replication_workers = 0
max_wal_size = 1GB
min_wal_size = 128MB
wal_compression = on
checkpoint_timeout = 15min
log_checkpoints = off
random_page_cost = 1.1
jit = off
huge_pages = off
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, ymd'
default_text_search_config = 'pg_catalog.simple'
log_line_prefix = '%m [%p] '
{extra}"""


class ClusterUnusable(Refusal):
    """The cluster exists but these binaries or this user cannot run it."""


class ServerFailed(Refusal):
    """The server did not start; the message ends with what it logged."""


def _account() -> tuple[int, int]:
    """Return user and group of the system account that runs servers for root, creating it when absent."""
    for command in (
        ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", ACCOUNT],
        ["adduser", "-S", "-D", "-H", "-s", "/bin/false", ACCOUNT],  # BusyBox
        [],
    ):
        try:
            found = pwd.getpwnam(ACCOUNT)
            return found.pw_uid, found.pw_gid
        except KeyError:
            program = shutil.which(command[0], path="/usr/sbin:/sbin:/usr/bin:/bin") if command else None
            if program:  # another process may be creating it too: what counts is that it exists afterwards
                subprocess.run([program, *command[1:]], check=False, capture_output=True)
    raise ClusterUnusable(f"PostgreSQL does not run as root, and the system account {ACCOUNT} could not be created.")


class Server:
    """The embedded server of one home folder."""

    def __init__(self, home: Path, *, pg_bin: str = "", port: int = 0, durable: bool = True) -> None:
        """
        Describe the server; nothing happens before ``start``.

        :param pg_bin: folder of PostgreSQL binaries; empty takes the bundled ones.
        :param port: port on loopback; 0 keeps the one of last time, or takes a free one.
        :param durable: False leaves writing to disk to the operating system. For tests: a crash of the machine, not of
            the server, would lose data.
        """
        self.home = home.resolve()
        self.cluster = self.home / "postgres"
        self.port = port
        self.durable = durable
        self.pg_bin = pg_bin
        self.started = False
        self.account: tuple[int, int] | None = None

    @property
    def data(self) -> Path:
        """The data directory, with links resolved."""
        return self.cluster.resolve() / "data"

    def start(self) -> str:
        """
        Start the server unless it runs; return the address of its database ``altcredit``.

        Blocks: about a second the first time, a tenth of one later; longer after a crash. ``started`` tells whether
        this call started it. Raises BinariesMissing, ClusterUnusable or ServerFailed.
        """
        with self.starting() as start:
            return start()

    @contextmanager
    def starting(self) -> Iterator[Callable[[], str]]:
        """
        Lend ``start``; whoever else would start or join the server waits until the block ends.

        So processes can be launched before the server is there, and find it started and prepared.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with self._locked():
            yield self._start

    def _start(self) -> str:
        self.started = not self._runs()
        if self.started:
            self._choose()
            if not (self.data / "PG_VERSION").exists():
                self._create()
            self._launch()
        return self._ready()

    def _runs(self) -> bool:
        try:
            return self._postmaster() is not None
        except PermissionError as error:
            raise ClusterUnusable(_other_owner(self.cluster)) from error

    def alive(self) -> bool:
        """Tell whether the server's first process runs; cheap enough to ask every second."""
        return self._postmaster() is not None

    def stop(self) -> None:
        """Stop the server, whoever started it, and wait for it; clients are disconnected, no acknowledged row lost."""
        if not self.cluster.exists():
            return
        with self._locked():
            self._choose()
            if self._postmaster() is not None:
                self._run("pg_ctl", "-D", self.data, "-w", "-t", _START_SECONDS, "-m", "fast", "stop")

    def discard(self) -> None:
        """Stop the server and delete its cluster, with every row in it."""
        self.stop()
        if self.cluster.exists() or self.cluster.is_symlink():
            shutil.rmtree(self.cluster.resolve(), ignore_errors=True)
            if self.cluster.is_symlink():
                self.cluster.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            lock = (self.home / "postgres.lock").open("a")
        except PermissionError as error:
            raise ClusterUnusable(_other_owner(self.cluster)) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _choose(self) -> None:
        """Settle who runs the server, with which binaries, in which folder."""
        version_file = self.data / "PG_VERSION"
        try:
            of_cluster = int(version_file.read_text()) if version_file.exists() else None
        except PermissionError as error:
            raise ClusterUnusable(_other_owner(self.cluster)) from error
        self.bin = pgbin.choose(self.pg_bin, major=of_cluster)
        self.major = pgbin.version(self.bin)
        if of_cluster not in (None, self.major):
            raise ClusterUnusable(_other_major(self.cluster, of_cluster, self.major))
        if os.geteuid() == 0:
            self._become(new=of_cluster is None)
        pgbin.open_folder(self.cluster)

    def _become(self, *, new: bool) -> None:
        """As root: settle on the account that runs the server, and on places that it can reach."""
        self.account = _account() if new else (self.data.stat().st_uid, self.data.stat().st_gid)
        if not self._reaches(self.bin):
            if self.bin != pgbin.bundled():
                raise ClusterUnusable(f"The account that runs PostgreSQL, {self.account[0]}, cannot reach {self.bin}.")
            self.bin = pgbin.share(SHARED / "postgresql")
        if not self.cluster.exists() and not self._reaches(self.home):
            place = SHARED / "clusters" / new_id("home")
            pgbin.open_folder(place)
            self.cluster.unlink(missing_ok=True)  # a link whose target is gone
            self.cluster.symlink_to(place)

    def _reaches(self, path: Path) -> bool:
        """Tell whether the server's account can enter a folder."""
        done = subprocess.run(
            ["/bin/sh", "-c", 'cd "$0"', path], check=False, capture_output=True, **self._as_account()
        )
        return done.returncode == 0

    def _as_account(self) -> dict[str, Any]:
        """Return arguments for subprocess: the account, none of our groups, no PG… variable of the caller's."""
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
        common: dict[str, Any] = {"cwd": "/", "env": environment, "stdin": subprocess.DEVNULL}
        if self.account is None:
            return common
        return common | {"user": self.account[0], "group": self.account[1], "extra_groups": []}

    def _run(self, program: str, *arguments: object) -> None:
        argv = [str(self.bin / program), *map(str, arguments)]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, **self._as_account())
        if done.returncode != 0:
            raise ServerFailed(f"{program} failed ({done.returncode}):\n{(done.stdout + done.stderr)[-2000:]}")

    def _give(self, path: Path) -> None:
        if self.account is not None:
            os.chown(path, *self.account)

    def _create(self) -> None:
        """Make a cluster aside and move it into place, so that a half-made one is never taken for whole."""
        making = self.data.with_name("data.new")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        self._give(making)
        password = self.data.with_name("password.new")
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(new_secret())
        self._give(password)  # initdb runs as the account and reads it
        collation = ["--locale=C"]
        if self.major >= 17:
            collation += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        sync = ["--sync-method=syncfs"] if self.major >= 17 and sys.platform == "linux" else []
        self._run(
            "initdb", "-D", making, "-U", ROLE, "-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8",
            *collation, *(sync if self.durable else ["--no-sync"]),
        )  # fmt: skip
        os.chown(password, os.geteuid(), os.getegid())
        password.rename(self.cluster / "password")
        making.rename(self.data)

    def _postmaster(self) -> int | None:
        """Return the process id of the running server. A stale pid file does not count, whoever has the number now."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        return pid if pid in self._processes([pid]) else None

    def _processes(self, candidates: list[int] | None = None) -> list[int]:
        """Return the processes that work in the data directory (all of a server's do), among the candidates or all."""
        import psutil  # type: ignore[import-untyped]

        found = []
        for pid in psutil.pids() if candidates is None else candidates:
            try:
                if Path(psutil.Process(pid).cwd()) == self.data:
                    found.append(pid)
            except psutil.Error:  # gone, a zombie, or somebody else's: not ours in any case
                continue
        return found

    def _launch(self) -> None:
        self._clear()
        log = self.data.with_name("log")
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.rename(log.with_name("log.1"))
        log.touch(mode=0o600)
        self._give(log)
        options = shlex.join(["-c", f"config_file={self.data.with_name('postgresql.conf')}"])
        for port in filter(is_free, self._ports()):
            self._configure(port)
            offset = log.stat().st_size
            try:
                self._run("pg_ctl", "-D", self.data, "-w", "-t", _START_SECONDS, "-l", log, "-o", options, "start")
                return
            except ServerFailed as error:
                said = log.read_text(errors="replace")[offset:]
                if "Address already in use" not in said:
                    raise ServerFailed(f"PostgreSQL did not start in {self.cluster}:\n{said[-2000:]}") from error
        raise ServerFailed(
            f"Port {self.port or ''} on 127.0.0.1 is taken: free it, or set ALTCREDIT_PG_PORT to another."
        )

    def _ports(self) -> Iterator[int]:
        """Name the ports to try: the one asked for; else the one of last time, and then free ones."""
        if self.port:
            yield self.port
            return
        configuration = self.cluster / "postgresql.conf"
        if configuration.exists():
            kept = re.search(r"^port = (\d+)$", configuration.read_text(), re.MULTILINE)
            if kept:
                yield int(kept.group(1))
        for _ in range(5):
            yield free_port()

    def _clear(self) -> None:
        """Wait until nothing of a killed server is left, then drop its locks: its number may be taken anew."""
        deadline = time.monotonic() + 30
        while (left := self._processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        if left:
            raise ClusterUnusable(f"Processes {left} still work in {self.data}: end them first.")
        for stale in [self.data / "postmaster.pid", *self.data.glob(".s.PGSQL.*")]:
            stale.unlink(missing_ok=True)

    def _configure(self, port: int) -> None:
        folder = str(self.data)
        # For psql on the machine; done without where the path would be too long for the kernel.
        fits = len(f"{folder}/.s.PGSQL.{port}".encode()) < _SOCKET_PATH_LIMIT
        extra = "io_method = sync\n" if self.major >= 18 else ""
        if not self.durable:
            extra += "fsync = off\nfull_page_writes = off\n"
        if (self.cluster / "postgresql.local.conf").exists():
            extra += "include 'postgresql.local.conf'\n"
        text = _CONFIGURATION.format(port=port, socket=folder.replace("'", "''") if fits else "", extra=extra)
        configuration = self.cluster / "postgresql.conf"
        configuration.write_text(text)
        configuration.chmod(0o644)

    def _ready(self) -> str:
        """Return the address once the server answers a real login."""
        lines = (self.data / "postmaster.pid").read_text().splitlines()
        password = (self.cluster / "password").read_text()
        server = f"postgresql://{ROLE}:{password}@127.0.0.1:{lines[3]}"
        # In a thread of its own: callers may or may not have an event loop.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _answers(server)).result()
        return f"{server}/{DATABASE}"


async def _answers(server: str) -> None:
    """Log in, waiting while the server starts; create the database when it is missing."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            await (await asyncpg.connect(f"{server}/{DATABASE}")).close()
            return
        except asyncpg.InvalidCatalogNameError:
            connection = await asyncpg.connect(f"{server}/postgres")
            await connection.execute(f"CREATE DATABASE {DATABASE}")
            await connection.close()
        except (OSError, asyncpg.CannotConnectNowError) as error:
            if time.monotonic() > deadline:
                raise ServerFailed(f"PostgreSQL does not answer: {error}") from error
            await asyncio.sleep(0.02)


def _other_owner(cluster: Path) -> str:
    return f"The cluster {cluster} belongs to another user: run this as root or as its owner."


def _other_major(cluster: Path, of_cluster: int | None, of_binaries: int) -> str:
    return (
        f"The cluster {cluster} was made by PostgreSQL {of_cluster}, and the binaries are version {of_binaries}. To "
        f"move: `ALTCREDIT_PG_BIN=<folder of PostgreSQL {of_cluster} binaries> altcredit db dump old.dump`, move the "
        f"folder {cluster} away, and `altcredit db restore old.dump` without ALTCREDIT_PG_BIN."
    )


def embedded(settings: Settings) -> Server:
    """Return the embedded server of these settings, not started."""
    return Server(settings.home_path, pg_bin=settings.pg_bin, port=settings.pg_port)


def ensure(settings: Settings) -> str:
    """
    Return the database's address: the configured one, or that of the embedded server, started or joined.

    The embedded server is left running; ``embedded(settings).stop()`` stops it.
    """
    return settings.database_url or embedded(settings).start()
