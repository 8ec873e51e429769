"""Traces reach a real OTLP/HTTP collector, continue the caller's trace, and hold no identifiers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.served import serving, until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """Run an OTLP/HTTP collector on loopback; lends its address and the spans that arrived."""
    spans: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            request = ExportTraceServiceRequest.FromString(body)
            spans.extend(span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_request_is_a_span_of_the_callers_trace_with_the_routes_template_only() -> None:
    with collector() as (address, spans):
        async with serving(otlp_endpoint=address) as (_, altscore):
            async with altscore.client(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01") as client:
                await client.get("/v1/score/ret_7f3a92c1d4e8b051/history?months=3")

            async def arrived() -> Any:
                return next((span for span in spans if span.trace_id.hex() == TRACE), None)

            span = await until(arrived, seconds=20)
    attributes = {one.key: one.value for one in span.attributes}
    assert span.name == "GET /v1/score/{retailer_id}/history"
    assert attributes["http.response.status_code"].int_value == 401
    assert "ret_7f3a92c1d4e8b051" not in str(span)
