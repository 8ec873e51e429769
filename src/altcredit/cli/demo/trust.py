"""The demo's last part: what makes a score defensible. Its receipt, a grievance against it, and the sealed record."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from altcredit.cli.demo.stage import DemoRefused, Steps
from altcredit.engine import audit, scoring
from altcredit.runtime import clock
from altcredit.runtime.platform import Platform

_SEALED_SECONDS = 30.0


async def play(
    platform: Platform,
    client: httpx2.AsyncClient,
    steps: Steps,
    *,
    score: dict[str, Any],
    phone_hash: str,
    headers: dict[str, str],
    folder: Path,
) -> None:
    """Play against the running server, as the lender who read ``score``; ``phone_hash`` is the shop's."""
    with steps("Fetch the score's signed receipt and verify it without the server") as note:
        note(await _receipt(platform, client, score["score_id"], headers, folder))
    with steps("File a grievance against the score; its clocks start") as note:
        for line in await _grievance(client, score, phone_hash, headers):
            note(line)
    with steps("Verify the audit log: every change and every read, under one signed Merkle tree") as note:
        note(await _audited(platform))


async def _receipt(
    platform: Platform, client: httpx2.AsyncClient, score_id: str, headers: dict[str, str], folder: Path
) -> str:
    answer = await client.get(f"/v1/score/{score_id}/receipt", headers=headers)
    _require(answer, 200)
    file = folder / "receipt.json"
    file.write_bytes(answer.content)
    receipt, signature = scoring.receipt_from(msgspec.json.decode(answer.content))
    if not platform.signing.verify("receipt", receipt.key_id, scoring.signed_bytes(receipt), signature):
        raise DemoRefused("The receipt's signature does not hold.")
    return f"the signature holds; again with: altcredit receipt verify {file}"


async def _grievance(
    client: httpx2.AsyncClient, score: dict[str, Any], phone_hash: str, headers: dict[str, str]
) -> list[str]:
    body = {
        "retailer_id": score["retailer_id"],
        "score_id": score["score_id"],
        "grievance_type": "incorrect_data",
        "description": "Payments of March are missing.",
        "contact_phone_hash": phone_hash,
    }
    filed = await client.post("/v1/grievances", json=body, headers=headers)
    _require(filed, 200)
    case = filed.json()
    shown = await client.get(f"/v1/grievances/{case['grievance_id']}", headers=headers)
    _require(shown, 200)
    return [
        f"{case['grievance_id']}: {shown.json()['status']}; acknowledgement by {case['ack_by']},"
        f" resolution by {case['resolution_sla']}"
    ]


async def _audited(platform: Platform) -> str:
    """Wait until all that was done so far is sealed, and verify all of it."""
    deadline = time.monotonic() + _SEALED_SECONDS
    while True:
        async with platform.database.transaction() as db:
            found = await audit.verify(
                db,
                keyring=platform.keyring,
                signing=platform.signing,
                second=platform.settings.audit_heads_path,
                now=clock.now(),
            )
        if not found.holds:
            raise DemoRefused(f"The audit log is not as it was sealed: {found.findings[0].problem}")
        if not found.waiting or time.monotonic() > deadline:
            return f"{found.rows:,} rows under {found.heads} heads hold; root {found.root}"
        await asyncio.sleep(1.0)


def _require(answer: httpx2.Response, status: int) -> None:
    if answer.status_code != status:
        raise DemoRefused(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
