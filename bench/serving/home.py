"""An installation of its own for a benchmark: home folder, embedded PostgreSQL as shipped, processes as shipped."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from altcredit.runtime import schema
from altcredit.runtime.postgres import embedded
from altcredit.runtime.settings import Settings, load

ROOT = Path(__file__).parents[2]
START_SECONDS = 120


class Home:
    """The folder, the settings as environment variables, and the address of the database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = {
            "ALTCREDIT_HOME": str(folder),
            "ALTCREDIT_PORT": "0",
            "ALTCREDIT_ADMIN_PORT": "0",
        }
        self.settings: Settings = load(self.variables)
        self.server = embedded(self.settings)
        self.dsn = self.server.start()
        asyncio.run(schema.upgrade(self.dsn))

    @property
    def environment(self) -> dict[str, str]:
        """What a process of this installation gets to see."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ALTCREDIT_")}
        paths = [str(ROOT / "src"), str(ROOT)]
        return kept | self.variables | {"PYTHONPATH": os.pathsep.join(paths)}

    @contextmanager
    def process(self, name: str, *command: str, **more: str) -> Iterator["Process"]:
        """Run ``python <command>`` with its output in a file; end it, and wait for it, when the block ends."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            child = subprocess.Popen(
                [sys.executable, *command], env=self.environment | more, stdout=out, stderr=out, cwd=ROOT
            )
        process = Process(child, log)
        try:
            yield process
        finally:
            process.stop()


class Process:
    """A process of the installation, and what it has said."""

    def __init__(self, child: subprocess.Popen[bytes], log: Path) -> None:
        self.child = child
        self.log = log

    @property
    def pid(self) -> int:
        return self.child.pid

    def lines(self) -> list[dict[str, Any]]:
        """Return the JSON lines that it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def said(self, event: str) -> dict[str, Any]:
        """Wait until it logs an event, and return that line."""
        return self.until(lambda: next((line for line in self.lines() if line.get("event") == event), None), event)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for something that this process brings about."""
        deadline = time.monotonic() + START_SECONDS
        while not (found := condition()):
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no {what}; {self.log.name}:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)
        return found

    def stop(self) -> None:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def working_directory(process: psutil.Process) -> str:
    """Return where a process works, which tells servers apart; empty for one that has ended or is another's."""
    try:
        return str(process.cwd())
    except psutil.Error:
        return ""


@contextmanager
def home() -> Iterator[Home]:
    """Lend a new installation, migrated and running its database (fsync and synchronous commit on), then delete it."""
    with tempfile.TemporaryDirectory(prefix="altcredit-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # for the account that runs PostgreSQL where this runs as root
        made = Home(Path(folder))
        try:
            yield made
        finally:
            made.server.stop()


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
