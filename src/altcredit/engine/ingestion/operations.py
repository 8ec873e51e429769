"""A distributor's batch: taken, validated, kept in bronze, and only then acknowledged."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from altcredit.engine import retailers
from altcredit.engine.ingestion import bronze, feed, files, store
from altcredit.engine.ingestion.events import BatchAccepted
from altcredit.engine.ingestion.records import Array, Envelope, ErpType
from altcredit.engine.ingestion.validation import Checked, Problem, Quarantined, Warned, check
from altcredit.runtime import jobs, outbox, strict_json
from altcredit.runtime.db import Connection, Database
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Detail, Refusal

QUARANTINE_DAYS: Final = timedelta(days=90)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BATCH_ID: Final = re.compile(r"bat_[A-Za-z0-9]{1,64}")
SEAL: Final = "ingestion.quarantine"
_write: Final = msgspec.json.Encoder().encode

State: TypeAlias = Literal["processing", "complete"]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a batch. ``accepted`` and ``quarantined`` add up to the records sent, in all arrays together."""

    batch_id: str
    accepted: int
    quarantined: int
    status: State


class DistributorMismatch(Refusal):
    """The body names another distributor than the certificate and the key (contract I4)."""


class BatchIdConflict(Refusal):
    """The distributor has sent another body under this batch id (contract I1)."""


class BatchAlreadyProcessed(Refusal):
    """The distributor has sent this very batch before, and it is processed; ``receipt`` is the original result."""

    def __init__(self, receipt: Receipt) -> None:
        super().__init__("This batch has been processed; the original result stands.")
        self.receipt = receipt


class BatchUnknown(Refusal):
    """The distributor has sent no batch of this id."""


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """A record in quarantine: its array, its index there, and every problem."""

    array: Array
    row_number: int
    problems: tuple[Problem, ...]


class BatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch. ``completeness_score`` (0 to 100, contract A8) is there when it is complete."""

    batch_id: str
    client_batch_id: str
    status: State
    received_at: datetime
    completed_at: datetime | None
    accepted: int
    written_to_bronze: int
    quarantined: int
    completeness_score: float | None
    pipeline_triggered: bool
    records: tuple[SetAside, ...]
    warnings: tuple[Warned, ...]


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that the pipeline has not processed. ``touched``: retailers that its records name (ids as of then)."""

    batch_id: str
    distributor_id: str
    received_at: datetime
    touched: tuple[str, ...]


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """A distributor's feed. ``coverage``: runs of days, first and last inclusive; ``watermark``: end of the first."""

    distributor_id: str
    coverage: tuple[tuple[date, date], ...]
    watermark: date
    lag_p90_days: int
    returns_seen: bool
    last_batch_at: datetime


async def submit(
    pools: Database,
    *,
    lake: Path,
    keyring: Keyring,
    distributor_id: str,
    batch_id: str,
    erp_type: str,
    body: bytes,
    foresee: Callable[[Connection], Awaitable[None]],
    admit: Callable[[Connection], Awaitable[None]],
    now: datetime,
) -> Receipt:
    """
    Take a batch (API-ALTSCORE-001, section 05; contract I1, I4, I6). When this returns, the batch is durable.

    Takes the pools and not a connection: shops are resolved in a transaction of their own, and the batch's own
    transaction begins only when all is read, checked and encoded. In it the bronze file is written and made durable,
    then listed with everything else in one commit. A crash between the two leaves a file that nobody reads.

    :param batch_id: the client's UUID (X-Batch-ID). The same id and body again gets the original answer.
    :param erp_type: X-ERP-Type: tally_prime, sap_b1 or csv.
    :param body: the raw bytes that the signature was verified on.
    :param foresee: called before anything is read of the body; may refuse what ``admit`` would refuse anyway, so that
        a batch over quota costs little and leaves no shop behind.
    :param admit: called in the batch's transaction once it is known to be new; may refuse it (quota, contract I1).
    :raises Malformed: the body (or a header) is not of the published form; nothing is stored.
    :raises DistributorMismatch: the body names another distributor.
    :raises BatchTooLarge: more than 1,000 records.
    :raises BatchAlreadyProcessed: the same batch was processed before; carries the original result.
    :raises BatchIdConflict: another body was sent under this id.
    :raises LakeUnavailable: the disk is full; nothing is stored.
    """
    _require_headers(batch_id, erp_type)
    body_sha256 = hashlib.sha256(body).digest()
    async with pools.reads.acquire() as db:
        earlier = await store.find(db, distributor_id=distributor_id, client_batch_id=batch_id)
        if earlier:
            return _replayed(earlier, body_sha256)
        await foresee(db)
    envelope = strict_json.decode(body, Envelope)
    if envelope.distributor_id != distributor_id:
        raise DistributorMismatch("The body names another distributor than the certificate and the key.")
    first_day, last_day = feed.covered(envelope, now=now)
    batch = check(envelope, now=now)
    shops = bronze.Shops()
    columns = bronze.columns(batch, shops)
    named, links = shops.keys(), batch.links()
    ids = await retailers.resolve(
        pools, keyring=keyring, distributor_id=distributor_id, shops=[*named, *links], now=now
    )
    written = len(columns[0])
    new = store.NewBatch(
        batch_id=_batch_id(keyring, distributor_id, batch_id),
        distributor_id=distributor_id,
        client_batch_id=batch_id,
        body_sha256=body_sha256,
        erp_type=erp_type,
        received_at=now,
        sync_from=envelope.sync_from,
        sync_to=envelope.sync_to,
        accepted=batch.accepted,
        quarantined=len(batch.quarantined),
        written=written,
        touched=sorted(set(ids)),
        warnings=_write(batch.warnings).decode(),
        first_day=first_day,
        last_day=last_day,
        lag_days=feed.lags(columns[bronze.DATE], first_day, last_day, now=now),
        unknown_lag_days=feed.UNKNOWN_LAG_DAYS,
        returns_seen="credit_note" in columns[0],
        **_quarantine(batch, keyring, distributor_id),
        purge_at=now + QUARANTINE_DAYS,
    )

    def encode() -> bytes:
        from altcredit.engine.ingestion import parquet  # in the thread that writes

        return parquet.encode(columns, ids, distributor_id=distributor_id, batch_id=new.batch_id, known_at=now)

    return await _keep(pools, lake=lake, new=new, encode=encode, admit=admit, now=now)


def _require_headers(batch_id: str, erp_type: str) -> None:
    problems = []
    if not _UUID.fullmatch(batch_id):
        problems.append(Detail("X-Batch-ID", "is not a UUID"))
    if erp_type not in get_args(ErpType):
        problems.append(Detail("X-ERP-Type", f"is not one of {', '.join(get_args(ErpType))}"))
    if problems:
        raise strict_json.Malformed("A header is not of the expected form.", details=tuple(problems))


def _batch_id(keyring: Keyring, distributor_id: str, client_batch_id: str) -> str:
    """Return our id for a client's: always the same, so that a try after a crash finds its file under the same name."""
    return "bat_" + keyring.hmac("ingestion.batch", distributor_id, client_batch_id.lower()).hex()[:16]


def _replayed(earlier: store.Earlier, body_sha256: bytes) -> Receipt:
    if earlier.body_sha256 != body_sha256:
        raise BatchIdConflict("Another body was sent under this batch id.")
    receipt = Receipt(
        batch_id=earlier.batch_id, accepted=earlier.accepted, quarantined=earlier.quarantined, status="processing"
    )
    if earlier.status == "complete":
        raise BatchAlreadyProcessed(receipt)
    return receipt


def _quarantine(batch: Checked, keyring: Keyring, distributor_id: str) -> dict[str, Any]:
    bad = batch.quarantined
    return {
        "bad_kinds": [one.array for one in bad],
        "bad_rows": [one.row_number for one in bad],
        "bad_problems": [_write(one.problems).decode() for one in bad],
        "sealed": keyring.seal(_write(bad), owner=distributor_id, purpose=SEAL) if bad else None,
    }


async def _keep(
    pools: Database,
    *,
    lake: Path,
    new: store.NewBatch,
    encode: Callable[[], bytes],
    admit: Callable[[Connection], Awaitable[None]],
    now: datetime,
) -> Receipt:
    """Write the file and commit all rows, or find that another request was first under this id."""
    try:
        async with pools.transaction() as db:
            if await store.accept(db, new):
                await admit(db)
                await _write_all(db, lake=lake, new=new, encode=encode, now=now)
                return Receipt(
                    batch_id=new.batch_id, accepted=new.accepted, quarantined=new.quarantined, status="processing"
                )
            earlier = await store.find(db, distributor_id=new.distributor_id, client_batch_id=new.client_batch_id)
    except store.DATABASE_FULL as error:
        raise files.LakeUnavailable("The database's disk is full.") from error
    assert earlier is not None, "the id was taken"
    return _replayed(earlier, new.body_sha256)


async def _write_all(
    db: Connection, *, lake: Path, new: store.NewBatch, encode: Callable[[], bytes], now: datetime
) -> None:
    """Write the file in a thread while the database takes the event and the job, and list it when both are done."""
    path = files.bronze_path(distributor_id=new.distributor_id, batch_id=new.batch_id, known_at=now)

    def write() -> tuple[int, str]:
        content = encode()
        files.put(lake, path, content)
        return len(content), hashlib.sha256(content).hexdigest()

    writing = asyncio.create_task(asyncio.to_thread(write)) if new.written else None
    about = {"batch_id": new.batch_id, "distributor_id": new.distributor_id}
    fact = BatchAccepted(**about, accepted=new.accepted, quarantined=new.quarantined)
    try:
        await outbox.publish(db, fact, now=now)
        await jobs.enqueue(db, "altscore.refresh", about)
    finally:
        if writing:
            await _ended(writing)
    if writing:
        size, sha256 = writing.result()
        await store.list_file(
            db,
            path=path,
            distributor_id=new.distributor_id,
            batch_id=new.batch_id,
            rows=new.written,
            size=size,
            sha256=sha256,
            now=now,
        )


async def _ended(writing: asyncio.Task[tuple[int, str]]) -> None:
    """Wait until the thread has ended, even when cancelled: it must not write after this transaction is over."""
    cancelled = None
    while not writing.done():
        try:
            await asyncio.wait([writing])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled


async def status(db: Connection, *, distributor_id: str, batch_id: str) -> BatchStatus:
    """
    Return what became of a batch, by our id or the client's UUID (contract I2).

    :raises BatchUnknown: this distributor has sent no such batch (whether another has is not told).
    """
    ours = batch_id if _BATCH_ID.fullmatch(batch_id) else None
    theirs = batch_id if _UUID.fullmatch(batch_id) else None
    row = await store.status(db, distributor_id=distributor_id, batch_id=ours, client_batch_id=theirs)
    if row is None:
        raise BatchUnknown("No batch of this id was received from this distributor.")
    records = [
        SetAside(
            array=bad["kind"],
            row_number=bad["row_number"],
            problems=msgspec.json.decode(bad["problems"], type=tuple[Problem, ...]),
        )
        for bad in await store.problems(db, batch_id=row["batch_id"])
    ]
    return BatchStatus(
        batch_id=row["batch_id"],
        client_batch_id=str(row["client_batch_id"]),
        status=row["status"],
        received_at=row["received_at"],
        completed_at=row["completed_at"],
        accepted=row["accepted"],
        written_to_bronze=row["written"],
        quarantined=row["quarantined"],
        completeness_score=row["completeness"],
        pipeline_triggered=True,
        records=tuple(records),
        warnings=msgspec.json.decode(row["warnings"], type=tuple[Warned, ...]),
    )


async def quarantined(db: Connection, *, keyring: Keyring, batch_id: str) -> list[Quarantined]:
    """Return the records of a batch that were set aside, as sent, for Ops review; empty once they are purged."""
    found = await store.sealed(db, batch_id=batch_id)
    if found is None:
        return []
    distributor_id, sealed = found
    return msgspec.json.decode(keyring.unseal(sealed, owner=distributor_id, purpose=SEAL), type=list[Quarantined])


async def pending(db: Connection, *, limit: int = 1_000) -> list[Pending]:
    """Return batches that the pipeline has not processed yet, in the order in which they came."""
    return [Pending(**{**row, "touched": tuple(row["touched"])}) for row in await store.pending(db, limit=limit)]


async def complete(
    db: Connection, *, batch_id: str, completeness: float | None, warnings: Sequence[Warned] = (), now: datetime
) -> bool:
    """
    Say that the pipeline has processed a batch; False where it was said before (nothing changes then).

    :param completeness: score of the batch's records, 0 to 100 (contract A8); None where it has none.
    :param warnings: what only the whole ledger shows, as payments of invoices that are unknown.
    """
    return await store.complete(
        db, batch_id=batch_id, completeness=completeness, warnings=_write(list(warnings)).decode(), now=now
    )


async def purge_quarantine(db: Connection, *, now: datetime) -> int:
    """Destroy what has been in quarantine for 90 days; return of how many batches."""
    return await store.purge(db, now=now)


async def feeds(db: Connection, *, distributor_ids: Sequence[str] | None = None) -> dict[str, Feed]:
    """Return the feeds of these distributors (None: of all); one that has sent nothing has none."""
    rows = await store.feeds(db, distributor_ids=distributor_ids)
    day = timedelta(days=1)
    return {
        row["distributor_id"]: Feed(
            **{**row, "coverage": tuple((run.lower, run.upper - day) for run in row["coverage"])}
        )
        for row in rows
    }


async def sweep_lake(pools: Database, *, lake: Path, now: datetime) -> list[str]:
    """
    Remove bronze files that no batch lists and nobody has written to for a day; return their paths.

    They are left by processes that died between writing a file and committing its batch.
    """
    candidates = await asyncio.to_thread(files.strays, lake, older_than=now - timedelta(days=1))
    async with pools.transaction() as db:
        listed = await store.listed(db, paths=candidates)
    gone = [path for path in candidates if path not in listed]
    await asyncio.to_thread(files.remove, lake, gone)
    return gone
