"""``altcredit serve``: one API process and one worker, supervised."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import cyclopts

from altcredit.runtime import log, postgres, schema
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings, load

Role = Literal["all", "api", "worker"]
Flag = Annotated[bool, cyclopts.Parameter(negative="")]

# A child that keeps dying as it starts is started again ever more slowly; one that was at work is needed at once.
_FIRST_PAUSE, _LONGEST_PAUSE, _HEALTHY_AFTER = 0.5, 30.0, 10.0
# How a process ends that was refused (settings, keys, certificates, schema): at its first start, no other will help.
_REFUSED, _AT_START = 3, 60.0


class DemoMissing(Refusal):
    """There is no demo under the home folder."""


def register(app: cyclopts.App, roles: Mapping[str, Callable[[Settings], None]]) -> None:
    """Add the command to the tree."""

    @app.command
    def serve(*, role: Role = "all", keep_database: Flag = False, demo: Flag = False) -> int:
        """
        Serve the APIs over HTTPS and run the worker.

        Parameters
        ----------
        role: Role
            Run one role in this process (any number of them share one database), or all of them, supervised.
        keep_database: bool
            Leave the embedded database server running at the end.
        demo: bool
            Serve what `altcredit demo` has made, with the simulated data sources and the stand-in for WhatsApp.
        """
        chosen = load(os.environ)
        log.configure(chosen.log_level)
        if role != "all":
            roles[role](chosen)
            return 0
        commands = {one: ["serve", "--role", one] for one in roles}
        environment = os.environ.copy()
        if demo:
            config, whatsapp = demo_sources(chosen), demo_whatsapp(chosen)
            port = str(simulator_port(config))
            commands = {
                "sources": ["sources", "serve", "--port", port, "--write-config", str(config)],
                "whatsapp": ["messaging", "serve", "--port", str(urlsplit(whatsapp).port)],
                **commands,
            }
            environment |= {"ALTCREDIT_SOURCES": str(config), "ALTCREDIT_WHATSAPP_BASE_URL": whatsapp}
        server = None if chosen.database_url else postgres.embedded(chosen)
        supervisor = Supervisor(commands, environment, server)
        try:
            if server is None:
                prepare(chosen, chosen.database_url)
                supervisor.start()
            else:
                with server.starting() as start:
                    supervisor.start()  # they load their code meanwhile, and wait where they need the database
                    prepare(chosen, start())
            return supervisor.run()
        finally:
            supervisor.end()
            if server is not None and not keep_database:
                server.stop()


def prepare(chosen: Settings, dsn: str) -> None:
    """Bring a database of development to this version's schema; in production that is ``altcredit db upgrade``."""
    if chosen.environment != "production":
        asyncio.run(schema.upgrade(dsn))


def demo_sources(chosen: Settings) -> Path:
    """Return the demo's file of data sources. Raises DemoMissing."""
    config = chosen.home_path / "demo" / "sources.toml"
    if not config.exists():
        raise DemoMissing(f"{chosen.home_path} holds no demo: run `altcredit demo` first.")
    return config


def demo_whatsapp(chosen: Settings) -> str:
    """Return where the demo's stand-in for WhatsApp is. Raises DemoMissing."""
    try:
        return (chosen.home_path / "demo" / "whatsapp.url").read_text(encoding="ascii").strip()
    except FileNotFoundError as missing:
        raise DemoMissing(f"{chosen.home_path} holds no demo: run `altcredit demo` first.") from missing


def simulator_port(config: Path) -> int:
    """Return the port that a demo's file of data sources expects the simulator at."""
    (first, *_) = tomllib.loads(config.read_text(encoding="utf-8")).values()
    return urlsplit(first["base_url"]).port or 0


class Supervisor:
    """
    Starts its processes, starts again what dies, and stops all of them when it is told to stop.

    ``commands``: arguments of ``altcredit`` by the name of the process, in the order of starting.
    """

    def __init__(
        self, commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], server: postgres.Server | None
    ) -> None:
        self.commands = commands
        self.environment = environment
        self.server = server
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.started: dict[str, float] = {}
        self.pauses: dict[str, float] = {}
        self.due: dict[str, float] = {}
        self.stopping = False
        self.status = 0

    def start(self) -> None:
        """Start all processes; from now on SIGTERM and SIGINT end them in order."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for role in self.commands:
            self._start(role)

    def run(self) -> int:
        """Supervise until SIGTERM, SIGINT or a refusal at the start; return the exit code when all have ended."""
        # What waited for the database begins only now.
        self.started = dict.fromkeys(self.started, time.monotonic())
        while not self.stopping:
            self._look()
            self._keep_database()
            time.sleep(0.2)
        self.end()
        return self.status

    def end(self) -> None:
        """Let the processes finish what is under way, and wait for their end."""
        for child in self.children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for role, child in self.children.items():
            try:
                child.wait(timeout=40)
            except subprocess.TimeoutExpired:
                log.warning("process_killed", process=role, pid=child.pid)
                child.kill()
                child.wait()

    def _keep_database(self) -> None:
        """Start the embedded server again when it was killed; it keeps its port, and the processes find it there."""
        if self.server is not None and not self.server.alive():
            log.warning("database_died")
            try:
                self.server.start()
            except Refusal as refusal:
                log.warning("database_not_started", error=type(refusal).__name__)

    def _stop(self, number: int, _frame: object) -> None:
        if not self.stopping:
            from altcredit.cli.output import say

            say("Stopping: requests and jobs under way are finished first.")
        self.stopping = True
        log.info("stopping", signal=number)

    def _start(self, role: str) -> None:
        command = [sys.executable, "-m", "altcredit", *self.commands[role]]
        # A group of its own: an interrupt at the terminal reaches the supervisor alone, which stops children in order.
        self.children[role] = subprocess.Popen(command, env=dict(self.environment), process_group=0)
        self.started[role] = time.monotonic()
        log.info("process_started", process=role, pid=self.children[role].pid)

    def _look(self) -> None:
        now = time.monotonic()
        for role, child in list(self.children.items()):
            if child.poll() is None:
                if now - self.started[role] > _HEALTHY_AFTER:
                    self.pauses.pop(role, None)
            elif child.returncode == _REFUSED and role not in self.pauses and now - self.started[role] < _AT_START:
                log.warning("process_refused", process=role, status=child.returncode)
                self.stopping, self.status = True, _REFUSED
            elif role not in self.due:
                pause = self.pauses.get(role, _FIRST_PAUSE)
                self.pauses[role] = min(pause * 2, _LONGEST_PAUSE)
                self.due[role] = now + pause
                log.warning("process_died", process=role, pid=child.pid, status=child.returncode, seconds=pause)
            elif now >= self.due[role]:
                del self.due[role]
                self._start(role)
