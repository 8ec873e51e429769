"""
A SAP Business One Service Layer for the demo: real HTTP, simulated books.

Answers what a connector asks of one: ``Login`` with its two cookies, collections with ``ge`` and ``le`` on dates, pages
by ``Prefer: odata.maxpagesize`` and ``odata.nextLink``. Plain HTTP on loopback, read only.
"""

import json
import re
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

Collections = Mapping[str, Sequence[Mapping[str, Any]]]

_PREFIX = "/b1s/v1/"
_BOUND = re.compile(r"(UpdateDate|DocDate) (ge|le) '?(\d{4}-\d{2}-\d{2})")
_PAGE = 20  # the Service Layer's own default


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    collections: Collections
    sessions: set[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.removeprefix(_PREFIX) != "Login":
            self._answer(204, None)
            return
        session = secrets.token_hex(8)
        self.sessions.add(session)
        cookies = [f"B1SESSION={session}; HttpOnly", "ROUTEID=.node1"]
        self._answer(200, {"SessionId": session, "Version": "1000190", "SessionTimeout": 30}, cookies)

    def do_GET(self) -> None:
        cookie = re.search(r"B1SESSION=([0-9a-f]+)", self.headers.get("Cookie", ""))
        if cookie is None or cookie[1] not in self.sessions:
            self._answer(401, {"error": {"code": 301, "message": {"value": "Invalid session or session timeout."}}})
            return
        parts = urlsplit(self.path)
        name = parts.path.removeprefix(_PREFIX)
        if name not in self.collections:
            self._answer(404, {"error": {"code": -1, "message": {"value": f"no {name}"}}})
            return
        self._answer(200, self._page(name, {key: one[0] for key, one in parse_qs(parts.query).items()}))

    def _page(self, name: str, query: dict[str, str]) -> dict[str, Any]:
        rows: Sequence[Mapping[str, Any]] = self.collections[name]
        for field, bound, day in _BOUND.findall(query.get("$filter", "")):
            rows = [row for row in rows if (row[field] >= day if bound == "ge" else row[field] <= day)]
        wanted = re.search(r"odata\.maxpagesize=(\d+)", self.headers.get("Prefer", ""))
        size, skip = int(wanted[1]) if wanted else _PAGE, int(query.get("$skip", "0"))
        page: dict[str, Any] = {"value": rows[skip : skip + size]}
        if skip + size < len(rows):
            page["odata.nextLink"] = f"{name}?{urlencode({**query, '$skip': str(skip + size)})}"
        return page

    def _answer(self, status: int, body: Any, cookies: Sequence[str] = ()) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for cookie in cookies:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the demo's output is not this server's."""


@contextmanager
def service_layer(collections: Collections) -> Iterator[str]:
    """Serve ``collections`` (by name, rows in order) on a free port of loopback; lends the address."""
    handler = type("Handler", (_Handler,), {"collections": collections, "sessions": set()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
