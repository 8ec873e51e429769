"""Prometheus metrics, always; OpenTelemetry traces, when a collector is configured."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry import propagate, trace
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

REQUESTS = Counter("altcredit_requests_total", "Answered requests.", ["method", "route", "status"])
LATENCY = Histogram(
    "altcredit_request_seconds",
    "Time from the request's head to its answer.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
JOBS = Counter("altcredit_jobs_total", "Finished jobs.", ["job", "outcome"])
JOB_SECONDS = Histogram("altcredit_job_seconds", "Time a job took.", ["job"])
CALLBACKS = Counter("altcredit_callbacks_total", "Attempts to send a callback.", ["outcome"])
CALLBACK_SECONDS = Histogram(
    "altcredit_callback_seconds",
    "Time from the start of a callback's attempt to its answer, or to its failure.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)
READY = Gauge("altcredit_ready", "1 when the process can serve.")

_requests: dict[tuple[str, str, int], Counter] = {}
_latency: dict[tuple[str, str], Histogram] = {}
_tracer: trace.Tracer | None = None
_provider: Any = None


def configure(*, service: str, otlp_endpoint: str) -> None:
    """Send traces to an OTLP/HTTP collector (``http://collector:4318``); nothing is traced when it is empty."""
    global _tracer, _provider
    if not otlp_endpoint:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=otlp_endpoint.rstrip("/") + "/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    _provider, _tracer = provider, provider.get_tracer("altcredit")


def shutdown() -> None:
    """Send what has not been sent yet; for the end of a process."""
    if _provider is not None:
        _provider.shutdown()


class Span:
    """A request's trace span, or nothing at all when tracing is off."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span | None) -> None:
        self._span = span

    def end(self, status: int) -> None:
        """Note how the request was answered."""
        if self._span is not None:
            self._span.set_attribute("http.response.status_code", status)
            if status >= 500:
                self._span.set_status(trace.StatusCode.ERROR)


_OFF = nullcontext(Span(None))


def span(route: str, method: str, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
    """Trace the block as one server span that continues the caller's trace; only the route's template is recorded."""
    return _OFF if _tracer is None else _traced(_tracer, route, method, headers)


@contextmanager
def _traced(tracer: trace.Tracer, route: str, method: str, headers: Mapping[str, str]) -> Iterator[Span]:
    attributes: dict[str, Any] = {"http.request.method": method, "http.route": route}
    with tracer.start_as_current_span(
        f"{method} {route}",
        context=propagate.extract(headers),
        kind=trace.SpanKind.SERVER,
        attributes=attributes,
        record_exception=False,
    ) as current:
        yield Span(current)


def request_done(method: str, route: str, status: int, seconds: float) -> None:
    """Count an answered request. Children are kept, because looking labels up costs more than counting."""
    counter = _requests.get((method, route, status))
    if counter is None:
        counter = _requests[(method, route, status)] = REQUESTS.labels(method, route, str(status))
    counter.inc()
    histogram = _latency.get((method, route))
    if histogram is None:
        histogram = _latency[(method, route)] = LATENCY.labels(method, route)
    histogram.observe(seconds)


def exposition() -> tuple[bytes, str]:
    """Return all metrics in Prometheus' text format, and its media type."""
    return generate_latest(), CONTENT_TYPE_LATEST
