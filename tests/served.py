"""A real ``altcredit serve``: supervisor, API process, worker and (unless given) database, each a process of its own."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import psutil

from altcredit.api.process import Addresses
from altcredit.engine import registry
from altcredit.pipeline.models import cold_start, save
from altcredit.runtime import postgres
from altcredit.runtime.certificates import Authority
from altcredit.runtime.platform import Platform, opened
from altcredit.runtime.settings import load
from tests.api.conftest import Installation

ROOT = Path(__file__).parents[1]


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody uses now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


async def until(condition: Callable[[], Awaitable[Any]], *, seconds: float = 120, pause: float = 0.1) -> Any:
    """Wait until a condition holds and return what it returned; fail when it does not hold in time."""
    async with asyncio.timeout(seconds):
        while not (value := await condition()):  # noqa: ASYNC110 - the condition is in another process
            await asyncio.sleep(pause)
        return value


class Served:
    """``altcredit serve`` on free ports and a home of its own; ``database_url`` replaces the embedded database."""

    def __init__(self, **settings: Any) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="altcredit-served-"))
        self.home.chmod(0o755)  # for the account that runs the database when the tests run as root
        port, admin_port = free_ports(2)
        chosen = {"home": self.home, "port": port, "admin_port": admin_port, "log_level": "info", **settings}
        self.environ = {f"ALTCREDIT_{name.upper()}": str(value) for name, value in chosen.items()}
        self.settings = load(self.environ)
        self.base_url = f"https://127.0.0.1:{port}"
        self.admin_url = f"https://127.0.0.1:{admin_port}"
        self.log = self.home / "serve.log"
        self.supervisor: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the supervisor, which starts everything else."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("ALTCREDIT_")}
        ours |= {"PYTHONPATH": str(ROOT / "src"), **self.environ}
        with self.log.open("ab") as output:
            argv = [sys.executable, "-m", "altcredit", "serve"]
            self.supervisor = subprocess.Popen(argv, env=ours, stdout=output, stderr=output, process_group=0)

    async def ready(self, *, seconds: float = 60) -> None:
        """Wait until the API answers that it is ready."""
        async with httpx2.AsyncClient(base_url=self.base_url, verify=False, timeout=5) as client:

            async def answers() -> bool:
                assert self.supervisor is not None
                assert self.supervisor.poll() is None, self.tail()
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx2.TransportError:
                    return False

            await until(answers, seconds=seconds)

    def role(self, role: str) -> psutil.Process | None:
        """Return the process of a role (``api``, ``worker``), if it runs now."""
        assert self.supervisor is not None
        for child in psutil.Process(self.supervisor.pid).children():
            try:
                if child.cmdline()[-2:] == ["--role", role] and child.status() != psutil.STATUS_ZOMBIE:
                    return child
            except (psutil.Error, IndexError):
                continue
        return None

    def postmaster(self) -> psutil.Process | None:
        """Return the first process of the embedded database, if it runs now."""
        try:
            pid = int((self.home / "postgres/data/postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            return process if process.name().startswith("postgres") else None
        except (FileNotFoundError, ValueError, psutil.Error):
            return None

    def stop(self) -> int:
        """Stop everything as an operator does; return the supervisor's exit code."""
        assert self.supervisor is not None
        if self.supervisor.poll() is None:
            self.supervisor.send_signal(signal.SIGTERM)
        return self.supervisor.wait(timeout=60)

    def destroy(self) -> None:
        """End everything, however it stands, and delete it."""
        try:
            if self.supervisor is not None:
                self.stop()
        finally:
            postgres.embedded(self.settings).discard()
            shutil.rmtree(self.home, ignore_errors=True)

    def tail(self, size: int = 6000) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-size:]

    def lines(self, needle: str) -> list[str]:
        """Return the lines of the log that contain a text."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if needle in line]


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[tuple[Served, Installation]]:
    """Lend a running installation, and the operator's end of it; its log is shown by pytest where a test fails."""
    served = Served(**settings)
    try:
        served.start()
        await served.ready()
        dsn = await asyncio.to_thread(postgres.ensure, served.settings)
        async with opened(served.settings, dsn) as platform:
            authority = Authority.open(served.settings, keyring=platform.keyring, now=datetime.now(UTC))
            where = Addresses(public=served.base_url, admin=served.admin_url)
            yield served, Installation(platform, where, authority)
    finally:
        began = time.monotonic()
        print(served.tail() if served.log.exists() else "", flush=True)  # noqa: T201
        await asyncio.to_thread(served.destroy)
        print(f"stopped in {time.monotonic() - began:.1f} s")  # noqa: T201


async def install_expert(platform: Platform) -> None:
    """Make the expert scorecard the champion, as training does where there is nothing to learn from yet."""
    now = datetime.now(UTC)
    model = cold_start(version="altscore-expert-v1", now=now)
    folder = platform.settings.home_path / "models"
    saved = await asyncio.to_thread(partial(save, model, folder=folder, sign=partial(platform.signing.sign, "model")))
    async with platform.database.transaction() as db:
        version = await registry.register(
            db,
            card=msgspec.to_builtins(model.card),
            path=saved.path,
            sha256=saved.sha256,
            key_id=saved.key_id,
            signature=saved.signature,
            environment="development",
            actor="test",
            now=now,
        )
    async with platform.database.transaction() as db:
        await registry.promote(db, version=version.version, actor="test", environment="development", now=now)
