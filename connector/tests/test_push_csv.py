"""CSV exports through the whole connector to a server that speaks the real protocol."""

import json

from connector.tests.harness import Site


def test_the_published_example_is_pushed_as_bills_receipts_and_returns(site: Site) -> None:
    site.init_csv("bill-receipt-return")
    assert site.run("push") == 0
    [body] = site.server.ledger.bodies()
    gupta = {"retailer_ref": "Gupta Kirana & Sons", "retailer_gst": "27AAPFU0939F1ZV"}
    ramesh = {"retailer_ref": "Ramesh General Store"}
    assert body == {
        "distributor_id": "dist_c4f9",
        "sync_from": "2026-05-03T00:00:00Z",
        "sync_to": "2026-05-15T23:59:59Z",
        "retailers": [gupta | {"name": "Gupta Kirana & Sons"}, ramesh | {"name": "Ramesh General Store"}],
        "invoices": [
            {"invoice_id": "INV-2026-001", **gupta, "invoice_date": "2026-05-03", "amount_inr": 42000, "due_date": "2026-05-17"},
            {"invoice_id": "INV-2026-002", **ramesh, "invoice_date": "2026-05-03", "amount_inr": 6500},
        ],
        "payments": [
            {"payment_id": "RCP-77", **gupta, "paid_date": "2026-05-15", "amount_paid_inr": 40000, "invoice_id": "INV-2026-001"}
        ],
        "credit_notes": [
            {
                "credit_note_id": "INV-2026-001-RET", **gupta, "credit_note_date": "2026-05-15",
                "amount_inr": 2000, "invoice_id": "INV-2026-001",
            }
        ],
    }  # fmt: skip


def test_pushing_the_same_file_again_sends_nothing(site: Site) -> None:
    site.init_csv()
    assert site.run("push") == 0
    assert site.run("push") == 0
    assert len(site.server.ledger.batches) == 1


def test_a_changed_line_is_sent_alone_as_a_correction(site: Site) -> None:
    site.init_csv()
    assert site.run("push") == 0
    site.export.write_text(site.export.read_text("utf-8").replace("6500,", "6400,"), "utf-8")
    assert site.run("push") == 0
    _, correction = site.server.ledger.bodies()
    assert [bill["amount_inr"] for bill in correction["invoices"]] == [6400]
    assert not correction["payments"]
    assert "retailers" not in correction


def test_out_writes_the_exact_bodies_and_remembers_nothing(site: Site) -> None:
    site.init_csv()
    folder = site.folder / "out"
    assert site.run("push", "--out", str(folder)) == 0
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert not site.server.ledger.batches
    assert "X-API-Key" not in manifest["batches"][0]["headers"]
    assert site.run("push") == 0
    [sent] = site.server.ledger.batches.values()
    assert (folder / manifest["batches"][0]["file"]).read_bytes() == sent
