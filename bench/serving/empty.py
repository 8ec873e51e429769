"""The least that an HTTPS server of ours can do: the product's own TLS stack under a handler that does nothing."""

import asyncio
import json
import os
from datetime import UTC, datetime
from typing import Any

import uvloop

from altcredit.runtime.keys import Keyring
from altcredit.runtime.settings import load
from altcredit.runtime.tls import Listener, Tls, serve

_START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
_BODY = {"type": "http.response.body", "body": b"{}"}


async def _empty(_scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send(_START)
    await send(_BODY)


def _say(addresses: list[tuple[str, int]]) -> None:
    host, port = addresses[0]
    print(json.dumps({"event": "api_ready", "address": f"https://{host}:{port}"}), flush=True)


async def main() -> None:
    settings = load(os.environ)
    tls = Tls.open(settings, keyring=Keyring.open(settings), now=datetime.now(UTC))
    listener = Listener(app=_empty, host="127.0.0.1", port=0, context=tls.public)
    await serve(listener, stop=asyncio.Event(), ready=_say)


if __name__ == "__main__":
    uvloop.run(main())
