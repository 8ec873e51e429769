"""The simulators' listener, and the file of sources that leads to it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from altcredit.engine.sources import SOURCES

_KEEP_ALIVE_SECONDS = 75  # longer than clients keep idle connections
_STOP_SECONDS = 5


class Certificates(msgspec.Struct, frozen=True, kw_only=True):
    """What the listener proves itself with (PEM files), and whose certificates clients must show (None: anybody's)."""

    cert: Path
    key: Path | None = None
    client_ca: Path | None = None


class _Server(uvicorn.Server):
    """uvicorn's server; signals are the caller's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def serving(
    app: Any, *, host: str = "127.0.0.1", port: int = 0, certificates: Certificates | None = None
) -> AsyncIterator[str]:
    """
    Serve while in the block, and lend the base URL; port 0 takes a free one. Leaving waits for requests under way.

    Raises OSError: the address cannot be bound, or a file cannot be read.
    """
    tls = certificates
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
        ssl_certfile=tls.cert if tls else None,
        ssl_keyfile=tls.key if tls else None,
        ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca else ssl.CERT_NONE,
    )
    config.load()
    server = _Server(config)
    with socket.create_server((host, port)) as bound:
        task = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            await server.listening.wait()
            yield f"{'https' if tls else 'http'}://{host}:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


def deployment_file(base_url: str, *, certificates: Certificates | None = None) -> str:
    """Return the file of sources (TOML) that asks the simulator at an address for everything."""
    lines = ["# Written by `altcredit sources serve`: every source is the bundled simulator."]
    for name in SOURCES:
        lines += ["", f"[{name}]", f'base_url = "{base_url}"', f'path = "/{name}"']
        if certificates:
            lines.append(f"ca_file = {msgspec.json.encode(str(certificates.cert.resolve())).decode()}")
        if certificates and certificates.client_ca:
            lines += ["# A certificate of the authority that the simulator asks for:", '# cert_file = "client.pem"']
            lines.append('# key_file = "client-key.pem"')
    return "\n".join(lines) + "\n"
