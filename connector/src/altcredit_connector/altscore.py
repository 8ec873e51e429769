"""Talking to AltScore's ingestion API over mutual TLS 1.3 (API-ALTSCORE-001, section 05).

What can come back from ``send``, as data:

    Accepted    200, 202, or 409 BATCH_ALREADY_PROCESSED: the batch is theirs
    Refused     this batch can never be accepted as it is (400, 409 conflict, 413 …)
    Later       try the very same bytes again, not before ``wait`` seconds (429, 5xx, the network)

and raised: ``Denied``, when who we are is refused, so that no batch can get through.
"""

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from altcredit_connector import network, wire
from altcredit_connector.config import Config, ConfigError, Secrets, too_open

TIMEOUT = httpx2.Timeout(60, connect=15)
DENIED = (401, 403)


class Denied(Exception):
    """AltScore, or its TLS, refuses these credentials (exit code 3)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The quota after an answer: ``wait`` is how many seconds to keep still before the next batch."""

    limit: int | None = None
    remaining: int | None = None
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Accepted:
    answer: dict[str, Any]
    pace: Pace


@dataclass(frozen=True, slots=True)
class Refused:
    answer: dict[str, Any]
    pace: Pace


@dataclass(frozen=True, slots=True)
class Later:
    """``wait``: seconds asked for by the server, None: ours to choose. ``quota``: it is the quota that stops us."""

    reason: str
    wait: float | None
    quota: bool


Outcome = Accepted | Refused | Later


def tls(config: Config) -> ssl.SSLContext:
    """TLS 1.3 with the distributor's certificate; the server must be signed by ``ca`` (or the system's roots).

    Raises ``ConfigError`` if the files cannot be used.
    """
    for path in filter(None, (config.certificate, config.private_key, config.ca)):
        if not path.is_file():
            raise ConfigError(f"{path} does not exist")
    if problem := too_open(config.private_key):
        raise ConfigError(problem)
    try:
        context = ssl.create_default_context(cafile=str(config.ca) if config.ca else None)
        context.load_cert_chain(config.certificate, config.private_key)
    except ssl.SSLError as error:
        raise ConfigError(f"certificate, key or CA cannot be used: {error.reason or error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


class AltScore:
    """A client for one distributor. ``clock`` gives unix seconds, for the time in the signature."""

    def __init__(self, config: Config, secrets: Secrets, *, clock: Callable[[], float] = time.time) -> None:
        self._config, self._secrets, self._clock = config, secrets, clock
        self._http = httpx2.Client(verify=tls(config), timeout=TIMEOUT)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def headers(self, batch_id: str, body: bytes) -> dict[str, str]:
        """Return the headers that go with a batch, secrets and time included."""
        return {"X-API-Key": self._secrets.api_key} | wire.headers(
            erp=self._config.erp,
            batch_id=batch_id,
            payload=body,
            signing_secret=self._secrets.signing_secret,
            at=int(self._clock()),
        )

    def send(self, batch_id: str, body: bytes) -> Outcome:
        """Send a batch once."""
        try:
            answer = self._http.post(
                f"{self._config.base_url}/v1/ingest/batch", content=body, headers=self.headers(batch_id, body)
            )
        except httpx2.TransportError as error:
            return Later(_transport(error), None, quota=False)
        return _judge(answer)

    def status(self, batch_id: str) -> dict[str, Any] | Later:
        """Ask what became of a batch: the answer of ``GET /v1/ingest/batch/{batch_id}/status``."""
        try:
            answer = self._http.get(
                f"{self._config.base_url}/v1/ingest/batch/{batch_id}/status", headers=self.headers(batch_id, b"")
            )
        except httpx2.TransportError as error:
            return Later(_transport(error), None, quota=False)
        if answer.status_code == 200:
            return _json(answer)
        if answer.status_code in DENIED:
            raise Denied(describe(answer))
        if answer.status_code == 404:
            return {"batch_id": batch_id, "status": "not_found"}
        return Later(describe(answer), _retry_after(answer), quota=answer.status_code == 429)

    def probe(self, batch_id: str) -> httpx2.Response:
        """Send a signed body that can only be refused, for ``doctor``: how it is refused tells whether we are known.

        Credentials and signature are judged before the body is read (contract A2), and nothing is stored.
        """
        body = b"{}"
        return self._http.post(
            f"{self._config.base_url}/v1/ingest/batch", content=body, headers=self.headers(batch_id, body)
        )


def _judge(answer: httpx2.Response) -> Outcome:
    content = _json(answer)
    code = error_code(content)
    if answer.status_code in (200, 202) or (answer.status_code == 409 and code == "BATCH_ALREADY_PROCESSED"):
        return Accepted(content, _pace(answer))
    if answer.status_code in DENIED:
        raise Denied(describe(answer))
    if answer.status_code == 429:
        return Later(describe(answer), _retry_after(answer) or _pace(answer).wait or 60.0, quota=True)
    if answer.status_code >= 500 or answer.status_code in (404, 408, 425):
        # 404: the address is wrong or a proxy is in the way, which says nothing against the batch
        return Later(describe(answer), _retry_after(answer), quota=False)
    return Refused(content or {"error": {"message": describe(answer)}}, _pace(answer))


def _transport(error: httpx2.TransportError) -> str:
    """Name a failure of the network; raises ``Denied`` where TLS itself refuses, which no retry can mend."""
    if reason := network.untrusted(error):
        raise Denied(f"the server's certificate is not trusted: {reason}") from error
    text = str(error)
    if "alert" in text and ("certificate" in text or "unknown ca" in text):
        raise Denied(f"the server refuses our certificate: {text}") from error
    return network.describe(error)


def _json(answer: httpx2.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def error_code(content: dict[str, Any]) -> str | None:
    """Return the ``code`` of an error body (contract A3)."""
    error = content.get("error")
    return str(error.get("code")) if isinstance(error, dict) else None


def describe(answer: httpx2.Response) -> str:
    """Say an answer that is no success in one line."""
    error = _json(answer).get("error")
    if not isinstance(error, dict):
        return f"HTTP {answer.status_code} {answer.reason_phrase}"
    details = error.get("details")
    first = f" ({details[0]})" if isinstance(details, list) and details else ""
    return f"HTTP {answer.status_code} {error.get('code')}: {error.get('message')}{first}"


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def server_now(answer: httpx2.Response) -> float:
    """Return the server's own time in unix seconds, so that a wrong clock here does not disturb the pacing."""
    try:
        return parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return time.time()


def _retry_after(answer: httpx2.Response) -> float | None:
    text = answer.headers.get("retry-after")
    if (seconds := _seconds(text)) is not None or not text:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - server_now(answer))
    except ValueError:
        return None


def _pace(answer: httpx2.Response) -> Pace:
    limit, remaining = (_seconds(answer.headers.get(f"x-ratelimit-{name}")) for name in ("limit", "remaining"))
    reset = _seconds(answer.headers.get("x-ratelimit-reset"))
    wait = 0.0
    if remaining is not None and remaining < 1 and reset is not None:
        wait = max(0.0, reset - server_now(answer))
    return Pace(
        limit=None if limit is None else int(limit), remaining=None if remaining is None else int(remaining), wait=wait
    )
