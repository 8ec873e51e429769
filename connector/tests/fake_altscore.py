"""AltScore as the connector meets it: TLS 1.3 with client certificates, signatures checked, faults on demand."""

import hashlib
import hmac
import json
import re
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Fault = Callable[["Handler"], bool]
"""Called before a batch is judged; True: the fault has answered (or cut) the request."""


class Ledger:
    """What the server holds: batches by id, and every record by its kind and id, with how often it was stored."""

    def __init__(self) -> None:
        self.batches: dict[str, bytes] = {}
        self.order: list[str] = []
        self.stored: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.posts = 0
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.quarantine: Callable[[str, dict[str, Any]], str | None] = lambda kind, record: None
        self.faults: list[Fault] = []
        self.pace: Callable[[], dict[str, str]] = lambda: {}

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(self.batches[batch_id]) for batch_id in self.order]

    def records(self, kind: str) -> list[dict[str, Any]]:
        return [record for body in self.bodies() for record in body.get(kind, [])]


IDS = {
    "retailers": "retailer_ref",
    "invoices": "invoice_id",
    "payments": "payment_id",
    "credit_notes": "credit_note_id",
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "FakeAltScore"
    wbufsize, disable_nagle_algorithm = -1, True

    def log_message(self, *args: Any) -> None:
        pass

    def answer(self, status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, code: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        self.answer(
            status, {"error": {"code": code, "message": code, "details": []}, "request_id": "req_0", **more}, headers
        )

    def proven(self, body: bytes) -> bool:
        ledger, secret = self.server.ledger, self.server.signing_secret.encode()
        ledger.headers.append(dict(self.headers.items()))
        if not self.connection.getpeercert() or self.headers["X-API-Key"] != self.server.api_key:
            self.refuse(401, "CREDENTIALS_INVALID")
            return False
        found = re.fullmatch(r"t=(\d+),v2=([0-9a-f]{64})", self.headers["X-Payload-Signature-V2"] or "")
        signed = f"{found[1]}.{self.headers['X-Batch-ID']}.".encode() + body if found else b""
        good = (
            found is not None
            and abs(time.time() - int(found[1])) < 300
            and hmac.compare_digest(found[2], hmac.new(secret, signed, hashlib.sha256).hexdigest())
            and hmac.compare_digest(
                self.headers["X-Payload-Signature"], hmac.new(secret, body, hashlib.sha256).hexdigest()
            )
        )
        if not good:
            self.refuse(401, "SIGNATURE_INVALID")
        return good

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        ledger = self.server.ledger
        ledger.posts += 1
        self.server.last_body = body
        if self.path != "/v1/ingest/batch" or self.headers["Content-Type"] != "application/json":
            return self.refuse(404, "NOT_FOUND")
        with ledger.lock:
            fault = ledger.faults.pop(0) if ledger.faults else None
        if fault and fault(self):
            return None
        if not self.proven(body):
            return None
        return self.accept(self.headers["X-Batch-ID"], body)

    def accept(self, batch_id: str, body: bytes) -> None:
        ledger = self.server.ledger
        with ledger.lock:
            if batch_id in ledger.batches:
                if ledger.batches[batch_id] != body:
                    return self.refuse(409, "BATCH_ID_CONFLICT")
                return self.refuse(409, "BATCH_ALREADY_PROCESSED", result=self.server.summary(batch_id))
            content = json.loads(body)
            if not {"distributor_id", "sync_from", "sync_to"} <= content.keys():
                return self.refuse(400, "INVALID_REQUEST")
            if sum(len(content.get(kind, [])) for kind in IDS) > 1000:
                return self.refuse(400, "BATCH_TOO_LARGE")
            if content["distributor_id"] != self.server.distributor_id:
                return self.refuse(403, "DISTRIBUTOR_MISMATCH")
            ledger.batches[batch_id] = body
            ledger.order.append(batch_id)
            for kind, name in IDS.items():
                for record in content.get(kind, []):
                    ledger.stored.setdefault((kind, record[name]), []).append(record)
        return self.answer(202, self.server.summary(batch_id), ledger.pace())

    def do_GET(self) -> None:
        found = re.fullmatch(r"/v1/ingest/batch/([0-9a-f-]{36})/status", self.path)
        if not found:
            return self.refuse(404, "NOT_FOUND")
        if not self.proven(b""):
            return None
        batch_id = found[1]
        if batch_id not in self.server.ledger.batches:
            return self.refuse(404, "NOT_FOUND")
        return self.answer(200, self.server.status(batch_id))


class FakeAltScore(ThreadingHTTPServer):
    daemon_threads = True
    api_key = "a1" * 32
    signing_secret = "whsec-ü-the secret's own text"

    def __init__(self, certificate: Path, key: Path, ca: Path, *, distributor_id: str = "dist_c4f9") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ledger = Ledger()
        self.distributor_id = distributor_id
        self.last_body = b""
        self.still_processing = False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        self.context = context
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a connection cut by a test

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def problems(self, batch_id: str) -> list[dict[str, Any]]:
        content = json.loads(self.ledger.batches[batch_id])
        return [
            {
                "kind": kind,
                "row": row,
                "code": code,
                "field": "amount_inr",
                "message": "no good",
            }
            for kind, name in IDS.items()
            for row, record in enumerate(content.get(kind, []))
            if (code := self.ledger.quarantine(kind, record))
        ]

    def summary(self, batch_id: str) -> dict[str, Any]:
        content = json.loads(self.ledger.batches[batch_id])
        bad = len(self.problems(batch_id))
        total = sum(len(content.get(kind, [])) for kind in IDS)
        return {"batch_id": "bat_" + batch_id[:4], "accepted": total - bad, "quarantined": bad, "status": "processing"}

    def status(self, batch_id: str) -> dict[str, Any]:
        summary = self.summary(batch_id)
        return {
            "batch_id": summary["batch_id"],
            "status": "processing" if self.still_processing else "complete",
            "written_to_bronze": summary["accepted"],
            "quarantined": summary["quarantined"],
            "completeness_score": 84.2,
            "pipeline_triggered": True,
            "quarantined_records": self.problems(batch_id),
            "warnings": [{"code": "UNKNOWN_INVOICE", "field": "$.payments[0].invoice_id", "message": "not yet"}],
        }
