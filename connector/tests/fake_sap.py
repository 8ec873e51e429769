"""SAP Business One's Service Layer as the connector meets it: cookies, sessions that end, filters, pages."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

Entity = dict[str, Any]
KNOWN_SELECT = {
    "DocEntry", "DocNum", "CardCode", "DocDate", "DocDueDate", "DocTotal", "PaidToDate", "DocumentStatus", "Cancelled",
    "UpdateDate", "CancelStatus", "DocumentLines", "CardName", "Cellular", "Phone1", "BPAddresses",
}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "FakeSap"
    wbufsize, disable_nagle_algorithm = -1, True

    def log_message(self, *args: Any) -> None:
        pass

    def answer(self, status: int, content: Entity | None, cookies: tuple[str, ...] = ()) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        for cookie in cookies:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, code: int, message: str) -> None:
        self.answer(status, {"error": {"code": code, "message": {"lang": "en-us", "value": message}}})

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path == "/b1s/v1/Logout":
            self.server.sessions.clear()
            return self.answer(204, None)
        if content != {"CompanyDB": "SBODEMOIN", "UserName": "altscore_ro", "Password": "s3cret"}:
            return self.refuse(401, -304, "Fail to get DB Credentials from SLD")
        self.server.logins += 1
        session = f"b1s-{self.server.logins}"
        self.server.sessions[session] = self.server.requests_per_session
        cookies = f"B1SESSION={session}; HttpOnly; Path=/b1s/v1", "ROUTEID=.node1; Path=/b1s"
        return self.answer(200, {"SessionId": session, "Version": "1000190", "SessionTimeout": 30}, cookies)

    def do_GET(self) -> None:
        cookies = dict(part.strip().split("=", 1) for part in (self.headers["Cookie"] or "").split(";") if "=" in part)
        session = cookies.get("B1SESSION", "")
        if self.server.sessions.get(session, 0) < 1 or cookies.get("ROUTEID") != ".node1":
            return self.refuse(401, 301, "Invalid session or session already timeout.")
        self.server.sessions[session] -= 1
        if self.server.broken:
            status = self.server.broken.pop(0)
            return self.refuse(status, -1, "overloaded")
        url = urlsplit(self.path)
        params = dict(parse_qsl(url.query))
        self.server.requests.append((url.path.removeprefix("/b1s/v1/"), params))
        return self.collection(url.path.removeprefix("/b1s/v1/"), params)

    def collection(self, name: str, params: dict[str, str]) -> None:
        if found := re.fullmatch(r"BusinessPartners\('(.+)'\)", name):
            partners = self.server.data["BusinessPartners"]
            partner = next((p for p in partners if p["CardCode"] == found[1]), None)
            return self.answer(200, partner) if partner else self.refuse(404, -2028, "No matching records found")
        if unknown := set(filter(None, params.get("$select", "").split(","))) - self.server.known_select:
            return self.refuse(400, -1000, f"Property '{unknown.pop()}' of '{name}' is invalid")
        if "UpdateDate" in params.get("$filter", "") and name in self.server.no_update_date:
            return self.refuse(400, -1000, f"Property 'UpdateDate' of '{name}' is invalid")
        found_all = [entity for entity in self.server.data[name] if self.matches(entity, params.get("$filter", ""))]
        if "DocEntry" in params.get("$orderby", ""):
            found_all.sort(key=lambda entity: entity["DocEntry"])
        skip, top = int(params.get("$skip", 0)), params.get("$top")
        asked = re.search(r"odata.maxpagesize=(\d+)", self.headers["Prefer"] or "")
        size = min(int(asked[1]) if asked else 20, self.server.most_a_page)
        if top:
            return self.answer(200, {"value": found_all[: int(top)]})
        answer: Entity = {"value": found_all[skip : skip + size]}
        if skip + size < len(found_all):
            rest = "".join(f"{key}={quote(value)}&" for key, value in params.items() if key != "$skip")
            answer["odata.nextLink"] = f"{name}?{'' if self.server.short_links else rest}$skip={skip + size}"
        return self.answer(200, answer)

    def matches(self, entity: Entity, condition: str) -> bool:
        for part in filter(None, condition.split(" and ")):
            field, operator, value = part.split(" ", 2)
            mine, theirs = entity.get(field) or "", value.strip("'")
            if not {"ge": mine >= theirs, "le": mine <= theirs, "eq": mine == theirs}[operator]:
                return False
        return True


class FakeSap(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data: dict[str, list[Entity]] = {
            name: [] for name in ("Invoices", "IncomingPayments", "CreditNotes", "BusinessPartners")
        }
        self.sessions: dict[str, int] = {}
        self.requests_per_session = 1_000_000
        self.logins = 0
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.broken: list[int] = []
        self.known_select = set(KNOWN_SELECT)
        self.no_update_date: set[str] = set()
        self.most_a_page = 500
        self.short_links = True
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/b1s/v1"

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
