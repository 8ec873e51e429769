import hashlib
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from altcredit.engine import ingestion
from altcredit.engine.ingestion import Receipt
from altcredit.runtime.db import Connection, Database
from altcredit.runtime.keys import KeyProvider, Keyring

NOW = datetime(2026, 5, 20, 6, 0, tzinfo=UTC)
GST = "27AAPFU0939F1ZV"
PHONE = hashlib.sha256(b"919812345678").hexdigest()


def invoice(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "invoice_id": f"INV-{number}", "retailer_gst": GST, "invoice_date": "2026-05-03", "amount_inr": 42000,
        "due_date": "2026-05-17", **fields,
    }  # fmt: skip


def payment(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "payment_id": f"PAY-{number}", "invoice_id": f"INV-{number}", "paid_date": "2026-05-15",
        "amount_paid_inr": 42000, **fields,
    }  # fmt: skip


def credit_note(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "credit_note_id": f"CN-{number}", "invoice_id": f"INV-{number}", "credit_note_date": "2026-05-16",
        "amount_inr": 2000.5, **fields,
    }  # fmt: skip


def body(distributor_id: str = "dist_c4f9", **fields: Any) -> bytes:
    return json.dumps(
        {
            "distributor_id": distributor_id,
            "sync_from": "2026-05-01T00:00:00Z",
            "sync_to": "2026-05-19T23:59:59Z",
            **fields,
        }
    ).encode()


async def admit_all(_db: Connection) -> None:
    """Stand in for the quota, which is the API's."""


class Door:
    """Where batches come in, with defaults for everything that a test is not about."""

    def __init__(self, pools: Database, lake: Path, keyring: Keyring) -> None:
        self.pools = pools
        self.lake = lake
        self.keyring = keyring

    async def submit(
        self, raw: bytes | None = None, *, batch_id: str | None = None, distributor_id: str = "dist_c4f9",
        now: datetime = NOW, **fields: Any,
    ) -> Receipt:  # fmt: skip
        return await ingestion.submit(
            self.pools,
            lake=self.lake,
            keyring=self.keyring,
            distributor_id=distributor_id,
            batch_id=batch_id or str(uuid.uuid4()),
            erp_type="csv",
            body=raw if raw is not None else body(distributor_id, **fields),
            foresee=admit_all,
            admit=admit_all,
            now=now,
        )

    async def status(self, batch_id: str, distributor_id: str = "dist_c4f9") -> ingestion.BatchStatus:
        async with self.pools.transaction() as db:
            return await ingestion.status(db, distributor_id=distributor_id, batch_id=batch_id)

    async def codes(self, **fields: Any) -> list[tuple[str, str]]:
        """Submit and return code and path of every problem of every record that was set aside."""
        receipt = await self.submit(**fields)
        found = await self.status(receipt.batch_id)
        assert len(found.records) == receipt.quarantined
        return [(problem.code, problem.path) for record in found.records for problem in record.problems]

    async def value(self, sql: str, *arguments: Any) -> Any:
        async with self.pools.transaction() as db:
            return await db.fetchval(sql, *arguments)

    async def complete(self, batch_id: str, **fields: Any) -> bool:
        async with self.pools.transaction() as db:
            return await ingestion.complete(db, batch_id=batch_id, **{"completeness": 84.2, "now": NOW, **fields})

    def files(self) -> list[Path]:
        return sorted(path for path in self.lake.rglob("*") if path.is_file())

    def rows(self) -> list[dict[str, Any]]:
        return [row for path in self.files() for row in pq.read_table(path).to_pylist()]


@pytest.fixture
def keyring() -> Keyring:
    return Keyring(KeyProvider(root=b"r" * 32, keks=(b"k" * 32,)))


@pytest.fixture
def door(database: Database, tmp_path: Path, keyring: Keyring) -> Door:
    return Door(database, tmp_path / "lake", keyring)


def loads(text: str) -> Any:
    return msgspec.json.decode(text)
