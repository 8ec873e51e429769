"""ERP Ingestion API (API-ALTSCORE-001, section 05; contract I1 to I8)."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from altcredit.api.altscore.credentials import DISTRIBUTOR, DISTRIBUTOR_SIGNED, SIGNATURE_V2
from altcredit.api.altscore.languages import spoken
from altcredit.api.contract import Call, Header, Link, Route
from altcredit.engine import identity, ingestion
from altcredit.engine.consent import timestamp
from altcredit.engine.identity import Distributor
from altcredit.runtime import quotas
from altcredit.runtime.db import Connection
from altcredit.runtime.quotas import Allowance, Quota, RateLimitExceeded

MAX_BODY = 4 * 1024 * 1024
_UUID = {"type": "string", "format": "uuid"}


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch: it is durable when this is answered."""

    batch_id: str
    accepted: Annotated[int, msgspec.Meta(ge=0)]
    quarantined: Annotated[int, msgspec.Meta(ge=0)]
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["processing", "complete"]})]


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """
    A batch: at most 1,000 records, all arrays together.

    A record that is wrong is quarantined with its reason; it does not fail the batch.
    """

    distributor_id: Annotated[str, msgspec.Meta(examples=["dist_c4f9a1b2c3d4e5f6"])]
    sync_from: Annotated[datetime, msgspec.Meta(tz=True, description="Start of the time that the batch covers.")]
    sync_to: Annotated[datetime, msgspec.Meta(tz=True, description="End of it.")]
    invoices: list[ingestion.Invoice] = []
    payments: list[ingestion.Payment] = []
    credit_notes: list[ingestion.CreditNote] = []
    retailers: list[ingestion.RetailerLink] = []


class StatusRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which batch: ``bat_…`` or the client's UUID (contract I2)."""

    batch_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class QuarantinedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One problem of one record that was set aside; correct it and send it again."""

    kind: Annotated[str, msgspec.Meta(description="The array that held the record.")]
    row: Annotated[int, msgspec.Meta(ge=0, description="Its index there.")]
    code: str
    field: Annotated[str, msgspec.Meta(description="JSON path of the field in the batch.")]
    message: str


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """Something about an accepted record that is worth a look."""

    code: str
    field: str
    message: str


class StatusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch, record by record where there is something to say."""

    batch_id: str
    client_batch_id: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["processing", "complete"]})]
    accepted: int
    written_to_bronze: int
    quarantined: int
    completeness_score: float | None
    pipeline_triggered: bool
    received_at: str
    completed_at: str | None
    quarantined_records: list[QuarantinedRecord]
    warnings: list[Warned]


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


async def submit(call: Call, _asked: Any) -> BatchAnswer:
    distributor = _distributor(call)

    async def foresee(db: Connection) -> None:
        left = await quotas.peek(db, quota=_quota(distributor), subject=_subject(distributor), now=call.now)
        if left.remaining == 0:
            raise RateLimitExceeded(left)

    async def admit(db: Connection) -> None:
        # In the batch's own transaction, after the look for a replay: what is not stored was not used (contract I1).
        call.allowance = await quotas.take(db, quota=_quota(distributor), subject=_subject(distributor), now=call.now)

    receipt = await ingestion.submit(
        call.platform.database,
        lake=call.platform.settings.lake_path,
        keyring=call.platform.keyring,
        distributor_id=distributor.distributor_id,
        batch_id=call.headers.get("x-batch-id", ""),
        erp_type=call.headers.get("x-erp-type", ""),
        body=call.body,
        foresee=foresee,
        admit=admit,
        now=call.now,
    )
    return BatchAnswer(
        batch_id=receipt.batch_id,
        accepted=receipt.accepted,
        quarantined=receipt.quarantined,
        status=receipt.status,
    )


async def status(call: Call, asked: StatusRequest) -> StatusAnswer:
    distributor = _distributor(call)
    async with call.platform.database.transaction() as db:
        call.allowance = await quotas.peek(db, quota=_quota(distributor), subject=_subject(distributor), now=call.now)
        found = await ingestion.status(db, distributor_id=distributor.distributor_id, batch_id=asked.batch_id)
    return StatusAnswer(
        batch_id=found.batch_id,
        client_batch_id=found.client_batch_id,
        status=found.status,
        accepted=found.accepted,
        written_to_bronze=found.written_to_bronze,
        quarantined=found.quarantined,
        completeness_score=None if found.completeness_score is None else round(found.completeness_score, 1),
        pipeline_triggered=found.pipeline_triggered,
        received_at=timestamp(found.received_at),
        completed_at=None if found.completed_at is None else timestamp(found.completed_at),
        quarantined_records=[
            QuarantinedRecord(
                kind=record.array,
                row=record.row_number,
                code=problem.code,
                field=problem.path,
                message=ingestion.message(problem.code, spoken(call)),
            )
            for record in found.records
            for problem in record.problems
        ],
        warnings=[
            Warned(code=one.code, field=one.path, message=ingestion.message(one.code, spoken(call)))
            for one in found.warnings
        ],
    )


_PEEKS_AND_LIMITS: dict[str, Any] = {"peeks": _peek, "limits": {"hour": 10}}
ROUTES = (
    Route(
        method="POST",
        path="/v1/ingest/batch",
        operation="submitBatch",
        tag="Ingestion",
        summary="Submit a batch of invoices, payments and credit notes",
        description=(
            "Certificate, API key and the HMAC of the raw body must name the same distributor. When the batch is"
            " answered it is durable. The same X-Batch-ID with the same body does nothing twice and uses no quota."
        ),
        handler=submit,
        asks=BatchRequest,
        decodes=False,
        answers=BatchAnswer,
        credentials=(DISTRIBUTOR_SIGNED,),
        refusals=(
            ingestion.BatchTooLarge,
            ingestion.DistributorMismatch,
            ingestion.BatchAlreadyProcessed,
            ingestion.BatchIdConflict,
            ingestion.LakeUnavailable,
        ),
        headers=(
            Header(
                name="X-ERP-Type",
                description="Which kind of system the records come from.",
                required=True,
                schema={"type": "string", "enum": ["tally_prime", "sap_b1", "csv"]},
            ),
            Header(name="X-Batch-ID", description="The client's UUID of the batch.", required=True, schema=_UUID),
            SIGNATURE_V2,
        ),
        max_body=MAX_BODY,
        judges_body=_judge_signature,
        links={"status": Link(operation="readBatch", parameters={"batch_id": "/batch_id"})},
        **_PEEKS_AND_LIMITS,
    ),
    Route(
        method="GET",
        path="/v1/ingest/batch/{batch_id}/status",
        operation="readBatch",
        tag="Ingestion",
        summary="Read what became of a batch",
        description="Quarantined records with their reasons; completeness once the pipeline has processed the batch.",
        handler=status,
        asks=StatusRequest,
        answers=StatusAnswer,
        credentials=(DISTRIBUTOR,),
        refusals=(ingestion.BatchUnknown,),
        **_PEEKS_AND_LIMITS,
    ),
)
