"""SAP Business One through the Service Layer: what its documents mean, sessions, pages and changes."""

import hashlib
import itertools
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from connector.tests.fake_sap import FakeSap
from connector.tests.harness import Site

from altcredit_connector.staging import IST

TODAY = datetime.now(IST).date()
GSTIN = "27AAPFU0939F1ZV"


@pytest.fixture
def sap() -> Iterator[FakeSap]:
    server = FakeSap()
    server.data["BusinessPartners"] = [partner("C000878", Cellular="98123 45678", GSTIN=GSTIN)]
    yield server
    server.stop()


def partner(code: str, *, Cellular: str | None = None, GSTIN: str | None = None) -> dict[str, Any]:  # noqa: N803
    ship = {"AddressName": "Ship", "AddressType": "bo_ShipTo", "GSTIN": None}
    bill = {"AddressName": "Bill", "AddressType": "bo_BillTo", "State": "MH", "GSTIN": GSTIN}
    return {
        "CardCode": code,
        "CardName": "Gupta Kirana",
        "CardType": "cCustomer",
        "Cellular": Cellular,
        "BPAddresses": [ship, bill],
    }


def ago(days: int) -> str:
    return (TODAY - timedelta(days=days)).isoformat()


def document(entry: int, days: int, **more: Any) -> dict[str, Any]:
    head = {"DocEntry": entry, "DocNum": entry % 1000, "CardCode": "C000878", "DocDate": ago(days)}
    return head | {"UpdateDate": ago(days), "Cancelled": "tNO"} | more


def invoice(entry: int, days: int, total: float, **more: Any) -> dict[str, Any]:
    return document(entry, days, DocDueDate=ago(days - 14), DocTotal=total) | more


def payment(entry: int, days: int, total: float, *applied: tuple[int, float], **more: Any) -> dict[str, Any]:
    lines = [
        {"LineNum": n, "DocEntry": bill, "InvoiceType": "it_Invoice", "SumApplied": part}
        for n, (bill, part) in enumerate(applied)
    ]
    money = {"DocType": "rCustomer", "CashSum": 0.0, "TransferSum": total, "PaymentInvoices": lines}
    return document(entry, days) | money | more


def note(entry: int, days: int, total: float, *lines: tuple[int | None, float]) -> dict[str, Any]:
    based = [
        {"LineNum": n, "BaseType": 13 if bill else -1, "BaseEntry": bill, "LineTotal": part}
        for n, (bill, part) in enumerate(lines)
    ]
    return document(entry, days, DocTotal=total, DocumentLines=based)


def connect(site: Site, sap: FakeSap, *, days: int = 60) -> None:
    password = site.folder / "password"
    password.write_text("s3cret\n", "utf-8")
    flags = ("--erp", "sap", "--erp-url", sap.url, "--company", "SBODEMOIN", "--user", "altscore_ro")
    assert site.init(*flags, "--erp-password-file", str(password), "--start", ago(days)) == 0


def test_documents_become_bills_receipts_and_credit_notes(site: Site, sap: FakeSap) -> None:
    sap.data["Invoices"] = [invoice(45012, 20, 42000.0)]
    sap.data["IncomingPayments"] = [payment(9901, 8, 45000.0, (45012, 40000.0))]
    sap.data["CreditNotes"] = [note(310, 7, 2000.0, (45012, 2000.0))]
    connect(site, sap)
    assert site.run("push") == 0
    shop = {"retailer_ref": "C000878", "retailer_gst": GSTIN}
    records = site.server.ledger.records
    hashed = hashlib.sha256(b"919812345678").hexdigest()
    assert records("retailers") == [shop | {"retailer_phone_hash": hashed, "name": "Gupta Kirana"}]
    assert records("invoices") == [
        {"invoice_id": "45012", **shop, "invoice_date": ago(20), "amount_inr": 42000, "due_date": ago(6)}
    ]
    assert records("payments") == [
        {"payment_id": "9901", **shop, "paid_date": ago(8), "amount_paid_inr": 45000, "invoice_id": None,
         "allocations": [{"invoice_id": "45012", "amount_inr": 40000}]}
    ]  # fmt: skip
    assert records("credit_notes") == [
        {"credit_note_id": "310", **shop, "credit_note_date": ago(7), "amount_inr": 2000, "invoice_id": "45012"}
    ]
    assert not sap.sessions, "the session was left open"
    assert site.server.ledger.headers[0]["X-ERP-Type"] == "sap_b1"


@pytest.mark.parametrize("short_links", [True, False])
def test_every_page_is_read_whatever_the_next_link_repeats(site: Site, sap: FakeSap, short_links: bool) -> None:
    sap.most_a_page, sap.short_links = 7, short_links
    sap.data["Invoices"] = [invoice(100 + n, 1 + n % 55, 10.25 + n) for n in range(60)]
    connect(site, sap)
    assert site.run("push") == 0
    bills = {bill["invoice_id"]: bill["amount_inr"] for bill in site.server.ledger.records("invoices")}
    assert bills == {str(100 + n): 10.25 + n for n in range(60)}
    assert len(site.server.ledger.records("invoices")) == 60


def test_an_expired_session_is_renewed_and_nothing_is_lost(site: Site, sap: FakeSap) -> None:
    sap.most_a_page, sap.requests_per_session = 5, 3
    sap.data["Invoices"] = [invoice(100 + n, 1 + n % 55, 10.0) for n in range(40)]
    connect(site, sap)
    assert site.run("push") == 0
    assert sap.logins > 3
    assert len({bill["invoice_id"] for bill in site.server.ledger.records("invoices")}) == 40


def test_only_changes_are_read_and_sent_next_time(site: Site, sap: FakeSap) -> None:
    sap.data["Invoices"] = [invoice(1, 50, 100.0), invoice(2, 49, 200.0)]
    sap.data["IncomingPayments"] = [payment(7, 40, 50.0, (1, 50.0))]
    connect(site, sap)
    assert site.run("push") == 0
    sap.data["Invoices"][0] |= {"DocTotal": 110.0, "UpdateDate": ago(0)}
    sap.data["IncomingPayments"][0] |= {"Cancelled": "tYES", "UpdateDate": ago(0)}
    sap.requests.clear()
    assert site.run("push") == 0
    stored = site.server.ledger.stored
    assert [bill["amount_inr"] for bill in stored["invoices", "1"]] == [100, 110]
    assert [paid.get("status") for paid in stored["payments", "7"]] == [None, "returned"]
    assert len(stored["invoices", "2"]) == 1
    asked = [params["$filter"] for name, params in sap.requests if name == "Invoices" and "$filter" in params]
    assert asked == [
        f"UpdateDate ge '{ago(1)}' and DocDate le '{ago(1)}'",
        f"DocDate ge '{ago(0)}' and DocDate le '{ago(0)}'",
    ]


def test_older_versions_without_cancel_status_and_without_the_day_of_change_of_payments(
    site: Site, sap: FakeSap
) -> None:
    sap.known_select.remove("CancelStatus")
    sap.no_update_date = {"IncomingPayments"}
    sap.data["IncomingPayments"] = [payment(7, 40, 50.0)]
    connect(site, sap)
    assert site.run("push") == 0
    sap.data["IncomingPayments"][0]["Cancelled"] = "tYES"
    assert site.run("push") == 0
    assert [paid.get("status") for paid in site.server.ledger.stored["payments", "7"]] == [None, "returned"]


def test_cancelled_cancelling_supplier_and_empty_documents_are_left_out(site: Site, sap: FakeSap) -> None:
    sap.data["Invoices"] = [
        invoice(1, 9, 10.0, Cancelled="tYES"),
        invoice(2, 9, 10.0, CancelStatus="csCancellation"),
        invoice(3, 9, 0.0),
        invoice(4, -3, 10.0),
    ]
    sap.data["IncomingPayments"] = [payment(5, 9, 10.0, DocType="rSupplier")]
    connect(site, sap)
    assert site.run("push") == 0
    assert not site.server.ledger.batches


def test_cheques_and_cards_count_and_set_offs_never_allocate_more_than_the_money(site: Site, sap: FakeSap) -> None:
    checks = {"PaymentChecks": [{"CheckSum": 60.0}], "PaymentCreditCards": [{"CreditSum": 15.5}], "CashSum": 4.5}
    sap.data["IncomingPayments"] = [payment(7, 9, 20.0, (1, 70.0), (2, 50.0), **checks)]
    connect(site, sap)
    assert site.run("push") == 0
    [paid] = site.server.ledger.records("payments")
    assert paid["amount_paid_inr"] == 100
    assert [part["amount_inr"] for part in paid["allocations"]] == [70, 30]


def test_a_credit_note_over_two_bills_is_shared_to_the_paisa(site: Site, sap: FakeSap) -> None:
    sap.data["CreditNotes"] = [note(310, 7, 118.01, (1, 50.0), (2, 25.0), (None, 25.0))]
    connect(site, sap)
    assert site.run("push") == 0
    notes = site.server.ledger.records("credit_notes")
    assert [(n["credit_note_id"], n.get("invoice_id")) for n in notes] == [
        ("310", "1"),
        ("310/2", "2"),
        ("310/3", None),
    ]
    assert sum(round(n["amount_inr"] * 100) for n in notes) == 11801


def test_a_wrong_password_or_a_dead_service_is_said_and_what_was_queued_still_goes(
    site: Site, sap: FakeSap, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(site, sap)
    (site.folder / "connector.secrets").write_text('api_key = "x"\nsigning_secret = "y"\nsap_password = "wrong"\n')
    assert site.run("push") == 1
    assert "SAP refuses the login" in capsys.readouterr().err


def test_amounts_never_pass_through_floats(site: Site, sap: FakeSap) -> None:
    sap.data["Invoices"] = [invoice(1, 9, 1234567.1), invoice(2, 9, 0.29)]
    connect(site, sap)
    assert site.run("push") == 0
    [body] = site.server.ledger.batches.values()
    assert b'"amount_inr":1234567.10,' in body
    assert b'"amount_inr":0.29,' in body


def test_days_read_are_contiguous(site: Site, sap: FakeSap) -> None:
    sap.data["Invoices"] = [invoice(100 + n, n, 10.0) for n in range(1, 60)]
    connect(site, sap)
    assert site.run("push") == 0
    days = [(body["sync_from"][:10], body["sync_to"][:10]) for body in site.server.ledger.bodies()]
    assert days[0][0] == ago(60)
    for (_, end), (start, _) in itertools.pairwise(days):
        assert date.fromisoformat(start) <= date.fromisoformat(end) + timedelta(days=1)
    assert days[-1][1] == ago(1)
