"""The command itself: a fresh home folder, the server, the story."""

import asyncio
import shutil
import time
from typing import Annotated

import cyclopts
import msgspec

from altcredit.cli.demo.server import Server, terminate
from altcredit.cli.demo.stage import DemoRefused, Steps
from altcredit.cli.output import say
from altcredit.cli.session import settings
from altcredit.runtime import log, postgres
from altcredit.runtime.keys import write_private
from altcredit.runtime.ports import free_port, is_free
from altcredit.runtime.settings import Settings

# What the demo itself makes under the home folder; nothing else there is touched.
_OURS = ("lake", "models", "demo", "demo.json", "keys", "certificates", "audit", "serve.log", "serve.pid")


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
    from altcredit.cli.demo import steps as story

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
        asyncio.run(story.run(chosen, steps, shops=shops, portfolio=portfolio, applicants=applicants, began=began))
    except BaseException:
        server.stop()
        raise
    if stop:
        server.stop()
        say("The server is stopped; `altcredit serve --demo` starts it again over the same data.")
    else:
        say(f"The server goes on at {chosen.base_url} (process {server.pid}); `kill {server.pid}` stops it.")


def _prepare_stand_ins(chosen: Settings) -> Settings:
    """Write where data sources and WhatsApp are; their stand-ins are served beside the API and the worker."""
    from altcredit.simulator.source_serving import deployment_file

    folder = chosen.home_path / "demo"
    folder.mkdir(mode=0o700, parents=True)
    text = deployment_file(f"http://127.0.0.1:{free_port()}")
    write_private(folder / "sources.toml", text.encode(), replace=True)
    whatsapp = f"http://127.0.0.1:{_free(8470)}"
    write_private(folder / "whatsapp.url", whatsapp.encode(), replace=True)
    return msgspec.structs.replace(chosen, whatsapp_base_url=whatsapp)


def _with_ports(chosen: Settings) -> Settings:
    """Return settings with ports that are free, and an address that says so."""
    port, admin_port = _free(chosen.port, chosen.host), _free(chosen.admin_port, chosen.admin_host)
    return msgspec.structs.replace(
        chosen, port=port, admin_port=admin_port, base_url=chosen.base_url or f"https://localhost:{port}"
    )


def _free(wanted: int, host: str = "127.0.0.1") -> int:
    """Return the wanted port, or another one where somebody has it."""
    return wanted if wanted and is_free(wanted, host=host) else free_port(host)


def _clear(chosen: Settings) -> None:
    """Remove what an earlier demo left. A home folder with anything but a demo in it is refused."""
    home = chosen.home_path
    if chosen.database_url:
        raise DemoRefused("The demo makes its database anew: unset ALTCREDIT_DATABASE_URL to use the embedded one.")
    if (home / "lake").exists() and not (home / "demo").exists():
        raise DemoRefused(f"{home} holds an installation that is not a demo; set ALTCREDIT_HOME to another folder.")
    pid_file = home / "serve.pid"
    if pid_file.exists():
        terminate(int(pid_file.read_text()))
    postgres.Server(home, pg_bin=chosen.pg_bin, port=chosen.pg_port).discard()
    for name in _OURS:
        path = home / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
