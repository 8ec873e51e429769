"""The real connector reads each export of the demo as the documents that the simulator's own batches tell."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from connector.tests.fake_sap import FakeSap

from altcredit.simulator import World, batches, demo_world, sap_collections, write_world
from altcredit.simulator.sap import FIRST_ENTRY
from altcredit_connector import main
from altcredit_connector.staging import IST

TALLY, SAP, CSV = 0, 1, 2


@pytest.fixture(scope="module")
def world() -> World:
    return demo_world(2, today=datetime.now(IST).date(), shops=150)


@pytest.fixture
def service_layer(world: World) -> Iterator[str]:
    server = FakeSap()
    server.data = sap_collections(world, SAP)
    yield server.url
    server.stop()


def read(folder: Path, erp: str, *flags: str) -> list[dict[str, Any]]:
    """Set the connector up and let it write the bodies it would send."""
    secrets = {name: folder / name for name in ("cert", "key", "ca", "api-key-file", "signing-secret-file")}
    for path in secrets.values():
        path.write_text("ab" * 32)
    given = [part for name, path in secrets.items() for part in (f"--{name}", str(path))]
    config = ["--config", str(folder / "connector.toml")]
    where = ["--base-url", "https://localhost:1", "--distributor-id", "dist_0123456789abcdef"]
    assert main.code(["init", *config, "--erp", erp, *where, *given, *flags]) == 0
    assert main.code(["push", *config, "--out", str(folder / "out")]) == 0
    bodies = [path for path in sorted((folder / "out").glob("*.json")) if path.name != "manifest.json"]
    return [json.loads(path.read_bytes()) for path in bodies]


def documents(bodies: list[dict[str, Any]], rename: Any = str) -> dict[str, dict[str, Any]]:
    """Return bills, receipts that cleared, and value returned by bill: the last version of each."""
    bills, receipts, notes = {}, {}, {}
    for body in bodies:
        for r in body.get("invoices", ()):
            bills[rename(0, r["invoice_id"])] = (r["invoice_date"], r.get("due_date"), r["amount_inr"])
        for r in body.get("payments", ()):
            parts = {rename(0, p["invoice_id"]): p["amount_inr"] for p in r.get("allocations", ())}
            if r["invoice_id"]:
                parts = {rename(0, r["invoice_id"]): r["amount_paid_inr"]}
            cleared = r.get("status") != "returned"
            receipts[rename(1, r["payment_id"])] = (r["paid_date"], r["amount_paid_inr"], parts) if cleared else None
        for r in body.get("credit_notes", ()):
            notes[r["credit_note_id"]] = (rename(0, r["invoice_id"]), r["amount_inr"])
    returned: dict[str, float] = {}
    for bill, amount in notes.values():
        returned[bill] = round(returned.get(bill, 0) + amount, 2)
    return {"bills": bills, "receipts": {k: v for k, v in receipts.items() if v}, "returned": returned}


def told(world: World, distributor: int) -> dict[str, dict[str, Any]]:
    return documents([batch.body for batch in batches(world, distributor)], lambda _, name: name)


def phones(bodies: list[dict[str, Any]]) -> dict[str, tuple[str | None, str | None]]:
    shops = [r for body in bodies for r in body.get("retailers", ())]
    return {r["name"]: (r.get("retailer_gst"), r.get("retailer_phone_hash")) for r in shops}


@pytest.mark.parametrize(
    ("distributor", "erp", "names"),
    [(TALLY, "tally_prime", ("vouchers.xml", "ledgers.xml")), (CSV, "csv", ("export.csv",))],
)
def test_exported_files_read_as_the_true_documents(world, tmp_path, distributor, erp, names):
    write_world(world, tmp_path)
    exports = tmp_path / world.distributors[distributor].distributor_id
    files = [part for name in names for part in ("--file", str(exports / name))]
    bodies = read(tmp_path, erp, *files)
    assert documents(bodies, lambda _, name: name) == told(world, distributor)
    assert phones(bodies) == phones([batch.body for batch in batches(world, distributor)])


def test_the_service_layer_reads_as_the_true_documents(world, tmp_path, service_layer):
    (tmp_path / "password").write_text("s3cret\n")
    access = ["--erp-url", service_layer, "--company", "SBODEMOIN", "--user", "altscore_ro"]
    start = (world.start - timedelta(days=1)).isoformat()
    bodies = read(tmp_path, "sap", *access, "--erp-password-file", str(tmp_path / "password"), "--start", start)

    def number(kind: int, entry: str) -> str:
        return f"{('INV', 'RCP')[kind]}-{int(entry) - FIRST_ENTRY[kind]:06d}"

    assert documents(bodies, number) == told(world, SAP)
    assert phones(bodies) == phones([batch.body for batch in batches(world, SAP)])
