"""
``altcredit demo``: the main jobs on one machine, on simulated people, through the real doors.

Every step is what an operator, a distributor, a lender or a card partner would do: the operator's own functions, the
connector as a program of its own over mutual TLS, consents, scores and applications over HTTPS, callbacks to a
receiver. Nothing is put into the database by hand.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import cyclopts
import msgspec

from altcredit.cli.output import errors, say
from altcredit.cli.session import settings
from altcredit.runtime import log, postgres
from altcredit.runtime.keys import write_private
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

# What the demo itself makes under the home folder; nothing else there is touched.
_OURS = ("lake", "models", "demo", "demo.json", "keys", "certificates", "audit", "serve.log", "serve.pid")
_START_SECONDS = 60


class DemoRefused(Refusal):
    """The demo will not run here; the message says why."""


def register(app: cyclopts.App) -> None:
    """Add the command to the tree."""
    app.command(demo)


def demo(
    *,
    shops: int = 300,
    portfolio: int = 1200,
    applicants: int = 8000,
    stop: Annotated[bool, cyclopts.Parameter(negative="", env_var="DEMO_EXIT")] = False,
) -> None:
    """
    Show both products on simulated shops and card applicants: an explained score, and a decision called back.

    The server is left running, unless --stop (or DEMO_EXIT=1) is given. Demo data under the home folder is made anew.

    Parameters
    ----------
    shops: int
        Shops of the three distributors.
    portfolio: int
        Shops of the simulated portfolio that the model learns from.
    applicants: int
        Simulated card applicants that GUARD's models learn from.
    stop: bool
        Stop the server at the end.
    """
    from altcredit.cli import demo_steps

    chosen = settings()
    if chosen.environment == "production":
        raise DemoRefused("The demo makes simulated shops; it does not run in production.")
    log.configure("warning")
    began = time.monotonic()
    steps = Steps()
    with steps("Prepare a fresh home folder"):
        _clear(chosen)
        chosen = _with_ports(chosen)
        chosen = _prepare_stand_ins(chosen)
    with steps("Start PostgreSQL, make keys and certificates, serve over TLS 1.3") as note:
        server = Server(chosen)
        server.start()
        note(chosen.base_url)
    try:
        asyncio.run(demo_steps.run(chosen, steps, shops=shops, portfolio=portfolio, applicants=applicants, began=began))
    except BaseException:
        server.stop()
        raise
    if stop:
        server.stop()
        say("The server is stopped; `altcredit serve --demo` starts it again over the same data.")
    else:
        say(f"The server goes on at {chosen.base_url} (process {server.pid}); `kill {server.pid}` stops it.")


class Steps:
    """Shows each step with the time it took."""

    def __init__(self) -> None:
        self.number = 0

    @contextmanager
    def __call__(self, title: str) -> "Iterator[Note]":
        """Show a step around a block; the block may note what came of it."""
        self.number += 1
        began, note = time.monotonic(), Note()
        with errors.status(f"[bold]{self.number:2}[/] {title} …"):
            yield note
        seconds = time.monotonic() - began
        errors.print(f"[green]✓[/] [bold]{self.number:2}[/] {title} [dim]{seconds:.1f} s[/]")
        for line in note.lines:
            errors.print(f"      [dim]{line}[/]", soft_wrap=True)


class Note:
    """What came of a step, a line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        """Add a line."""
        self.lines.append(line)


class Server:
    """``altcredit serve`` as a process of its own, in the background."""

    def __init__(self, chosen: Settings) -> None:
        self.settings = chosen
        self.pid = 0

    def start(self) -> None:
        """Start it and wait until it is ready. Raises DemoRefused when it is not, with what it logged last."""
        home = self.settings.home_path
        home.mkdir(parents=True, exist_ok=True)
        # The child must meet an installation that is there: database, schema and keys are made by it, under locks.
        environment = os.environ | environment_of(self.settings)
        with (home / "serve.log").open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "altcredit", "serve", "--demo"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.pid = child.pid
        (home / "serve.pid").write_text(str(child.pid))
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(self.settings):
            if child.poll() is not None or time.monotonic() > deadline:
                last = (home / "serve.log").read_text(errors="replace")[-2000:]
                raise DemoRefused(f"The server did not start:\n{last}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it, with everything that it started."""
        _terminate(self.pid)
        (self.settings.home_path / "serve.pid").unlink(missing_ok=True)


def environment_of(chosen: Settings) -> dict[str, str]:
    """Return the variables that give another process the same settings."""
    plain = msgspec.to_builtins(chosen)
    return {f"ALTCREDIT_{name.upper()}": str(value) for name, value in plain.items() if value != ""}


def _answers(chosen: Settings) -> bool:
    import socket
    import ssl

    context = ssl._create_unverified_context()  # noqa: S323 - only asks whether anybody listens; nothing is sent
    try:
        with (
            socket.create_connection((chosen.host, chosen.port), timeout=2) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as secured,
        ):
            secured.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return secured.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _prepare_stand_ins(chosen: Settings) -> Settings:
    """Write where data sources and WhatsApp are; their stand-ins are served beside the API and the worker."""
    from altcredit.simulator.source_serving import deployment_file

    folder = chosen.home_path / "demo"
    folder.mkdir(mode=0o700, parents=True)
    text = deployment_file(f"http://127.0.0.1:{free_port('127.0.0.1', 0)}")
    write_private(folder / "sources.toml", text.encode(), replace=True)
    whatsapp = f"http://127.0.0.1:{free_port('127.0.0.1', 8470)}"
    write_private(folder / "whatsapp.url", whatsapp.encode(), replace=True)
    return msgspec.structs.replace(chosen, whatsapp_base_url=whatsapp)


def _with_ports(chosen: Settings) -> Settings:
    """Return settings with ports that are free, and an address that says so."""
    port, admin_port = (free_port(chosen.host, chosen.port), free_port(chosen.admin_host, chosen.admin_port))
    return msgspec.structs.replace(
        chosen, port=port, admin_port=admin_port, base_url=chosen.base_url or f"https://localhost:{port}"
    )


def free_port(host: str, wanted: int) -> int:
    """Return the wanted port if it is free, or else another one. Raises DemoRefused."""
    import socket

    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            taken: int = probe.getsockname()[1]
            return taken
    raise DemoRefused(f"No port is free on {host}.")


def _clear(chosen: Settings) -> None:
    """Remove what an earlier demo left. A home folder with anything but a demo in it is refused."""
    home = chosen.home_path
    if chosen.database_url:
        raise DemoRefused("The demo makes its database anew: unset ALTCREDIT_DATABASE_URL to use the embedded one.")
    if (home / "lake").exists() and not (home / "demo").exists():
        raise DemoRefused(f"{home} holds an installation that is not a demo; set ALTCREDIT_HOME to another folder.")
    pid_file = home / "serve.pid"
    if pid_file.exists():
        _terminate(int(pid_file.read_text()))
    postgres.Server(home, pg_bin=chosen.pg_bin, port=chosen.pg_port).discard()
    for name in _OURS:
        path = home / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _terminate(pid: int) -> None:
    """End a server that an earlier demo started, and wait for it; another program's process id is left alone."""
    import psutil  # type: ignore[import-untyped]

    try:
        process = psutil.Process(pid)
        if "altcredit" not in process.cmdline():
            return
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    except psutil.NoSuchProcess:
        return
