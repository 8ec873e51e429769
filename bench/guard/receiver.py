"""
A partner's receiver that costs next to nothing: notes when each callback arrived.

    python -m bench.guard.receiver PORT CERT KEY

``GET /arrivals`` answers the times of the monotonic clock, which all processes of a machine share, by application;
``GET /count`` how many there are.
"""

import asyncio
import json
import ssl
import sys
import time
from typing import Any

import uvloop

ARRIVED: dict[str, float] = {}


class Receiver(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            lines = head.decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.answer(lines[0].split()[1], headers)

    def answer(self, path: str, headers: dict[str, str]) -> None:
        body = b""
        if path == "/arrivals":
            body = json.dumps(ARRIVED).encode()
        elif path == "/count":
            body = str(len(ARRIVED)).encode()
        elif request_id := headers.get("x-guard-request-id"):
            ARRIVED.setdefault(request_id, time.monotonic())
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


async def serve(port: int, cert: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", port, ssl=context)
    print(json.dumps({"event": "receiving"}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
