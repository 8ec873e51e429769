"""What a worker has counted, for Prometheus: one path on one listener, on the admin address."""

from typing import Any

from altcredit.runtime import log, telemetry
from altcredit.runtime.tls import Listener, Tls, serve
from altcredit.worker.work import Work

Message = dict[str, Any]


async def metrics(scope: Message, _receive: Any, send: Any) -> None:
    """Answer GET /metrics; there is nothing else here."""
    if scope["type"] != "http":
        return
    found = scope["method"] in ("GET", "HEAD") and scope["path"] == "/metrics"
    body, media = telemetry.exposition() if found else (b"", "text/plain")
    headers = [(b"content-type", media.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def listen(work: Work, stop: Any) -> None:
    """Serve the worker's metrics until ``stop`` is set. An address that is taken is another worker's: work goes on."""
    settings = work.platform.settings
    tls = Tls.open(settings, keyring=work.platform.keyring, now=work.clock())
    listener = Listener(app=metrics, host=settings.admin_host, port=settings.worker_port, context=tls.admin)
    try:
        await serve(listener, stop=stop)
    except OSError as problem:
        log.warning("metrics_not_served", port=settings.worker_port, error=type(problem).__name__)
