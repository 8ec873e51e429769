"""ERP Ingestion API (API-ALTSCORE-001, section 05; contract I1 to I8)."""

from typing import Annotated

import msgspec

from altcredit.api.contract import Call
from altcredit.engine import identity, ingestion
from altcredit.engine.identity import Distributor
from altcredit.runtime import quotas
from altcredit.runtime.db import Connection
from altcredit.runtime.quotas import Allowance, Quota

MAX_BODY = 4 * 1024 * 1024
_UUID = {"type": "string", "format": "uuid"}


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch: it is durable when this is answered."""

    batch_id: str
    accepted: Annotated[int, msgspec.Meta(ge=0)]
    quarantined: Annotated[int, msgspec.Meta(ge=0)]
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["processing", "complete"]})]


class StatusRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which batch: ``bat_…`` or the client's UUID (contract I2)."""

    batch_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


def _distributor(call: Call) -> Distributor:
    assert call.caller is not None
    assert isinstance(call.caller.subject, Distributor)
    return call.caller.subject


def _quota(distributor: Distributor) -> Quota:
    return Quota(name="hour", limit=distributor.batches_per_hour, seconds=3600)


def _subject(distributor: Distributor) -> str:
    return f"ingest|{distributor.distributor_id}"


async def _judge_signature(call: Call) -> None:
    identity.verify_payload_signature(
        _distributor(call),
        body=call.body,
        v1=call.headers.get("x-payload-signature"),
        v2=call.headers.get("x-payload-signature-v2"),
        batch_id=call.headers.get("x-batch-id", ""),
        now=call.now,
    )


async def _peek(call: Call) -> Allowance | None:
    distributor = _distributor(call)
    async with call.platform.database.transaction() as db:
        return await quotas.peek(db, quota=_quota(distributor), subject=_subject(distributor), now=call.now)


async def submit(call: Call, batch: ingestion.Batch) -> BatchAnswer:
    distributor = _distributor(call)

    async def admit(db: Connection) -> None:
        # In the batch's own transaction, after the look for a replay: what is not stored was not used (contract I1).
        call.allowance = await quotas.take(db, quota=_quota(distributor), subject=_subject(distributor), now=call.now)

    receipt = await ingestion.submit(
        call.platform.database,
        lake=call.platform.settings.lake_path,
        keyring=call.platform.keyring,
        distributor_id=distributor.distributor_id,
        client_batch_id=call.headers.get("x-batch-id", ""),
        erp_type=call.headers.get("x-erp-type", ""),
        batch=batch,
        body=call.body,
        admit=admit,
        now=call.now,
    )
    return BatchAnswer(
        batch_id=receipt.batch_id,
        accepted=receipt.accepted,
        quarantined=receipt.quarantined,
        status=receipt.status,
    )


async def status(call: Call, asked: StatusRequest) -> ingestion.BatchStatus:
    distributor = _distributor(call)
    async with call.platform.database.transaction() as db:
        call.allowance = await quotas.peek(db, quota=_quota(distributor), subject=_subject(distributor), now=call.now)
        return await ingestion.status(db, distributor_id=distributor.distributor_id, batch_id=asked.batch_id)
