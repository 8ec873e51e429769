"""The bytes of a batch and the proofs that go with them (API-ALTSCORE-001, section 05; contract I7, I8)."""

import hashlib
import hmac
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from altcredit_connector.records import KINDS, Kind


def encode(value: Any) -> str:
    """Write JSON without spaces; Decimals are written digit by digit, so no amount ever passes through a float."""
    if isinstance(value, Decimal):
        return format(value.to_integral_value() if value == value.to_integral_value() else value, "f")
    if isinstance(value, date):
        return f'"{value.isoformat()}"'
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode(name)}:{encode(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(encode, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def timestamp(moment: datetime) -> str:
    """Write RFC 3339 in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def body(distributor_id: str, sync_from: datetime, sync_to: datetime, records: Iterable[tuple[Kind, str]]) -> bytes:
    """Assemble a batch of already encoded records: ``invoices`` and ``payments`` always, the others if not empty."""
    arrays: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
    for kind, record in records:
        arrays[kind].append(record)
    parts = [
        f'"distributor_id":{encode(distributor_id)}',
        f'"sync_from":"{timestamp(sync_from)}"',
        f'"sync_to":"{timestamp(sync_to)}"',
    ]
    parts += [
        f'"{KINDS[kind]}":[{",".join(items)}]'
        for kind, items in arrays.items()
        if items or kind in ("invoice", "payment")
    ]
    return ("{" + ",".join(parts) + "}").encode()


def signature(secret: str, payload: bytes) -> str:
    """HMAC-SHA256 over the raw body, keyed with the secret's own text in UTF-8; lower-case hex (contract I8)."""
    return hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


def signature_v2(secret: str, payload: bytes, *, batch_id: str, at: int) -> str:
    """``t=<unix seconds>,v2=<hex>`` over ``timestamp.batch_id.body``, so a body cannot move to another id (I7)."""
    signed = f"{at}.{batch_id}.".encode() + payload
    return f"t={at},v2={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def headers(*, erp: str, batch_id: str, payload: bytes, signing_secret: str, at: int) -> dict[str, str]:
    """Return the headers that go with a batch, without the API key; ``at`` is unix seconds."""
    return {
        "Content-Type": "application/json",
        "X-ERP-Type": erp,
        "X-Batch-ID": batch_id,
        "X-Payload-Signature": signature(signing_secret, payload),
        "X-Payload-Signature-V2": signature_v2(signing_secret, payload, batch_id=batch_id, at=at),
    }
