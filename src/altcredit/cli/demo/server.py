"""``altcredit serve`` in the background, over the demo's data."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time

import msgspec

from altcredit.cli.demo.stage import DemoRefused
from altcredit.runtime.settings import Settings

_START_SECONDS = 60


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
        terminate(self.pid)
        (self.settings.home_path / "serve.pid").unlink(missing_ok=True)


def environment_of(chosen: Settings) -> dict[str, str]:
    """Return the variables that give another process the same settings."""
    plain = msgspec.to_builtins(chosen)
    return {f"ALTCREDIT_{name.upper()}": str(value) for name, value in plain.items() if value != ""}


def _answers(chosen: Settings) -> bool:
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


def terminate(pid: int) -> None:
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
