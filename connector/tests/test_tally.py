"""Tally Prime over HTTP and from files: what its vouchers mean, and that nothing of them is lost or sent twice."""

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from connector.tests.fake_tally import Bill, FakeTally, Voucher, envelope
from connector.tests.harness import Site

from altcredit_connector.staging import IST

TODAY = datetime.now(IST).date()
GUPTA, GSTIN = "Gupta Kirana & Sons", "27AAPFU0939F1ZV"

PUBLISHED = """<ENVELOPE><HEADER><VERSION>1</VERSION><STATUS>1</STATUS></HEADER><BODY><DATA><COLLECTION>
<VOUCHER VCHTYPE="Sales"><DATE TYPE="Date">20260503</DATE><GUID>9a1e-0001</GUID><ALTERID>8801</ALTERID><VOUCHERTYPENAME>Sales</VOUCHERTYPENAME><VOUCHERNUMBER>INV-2026-001</VOUCHERNUMBER><PARTYLEDGERNAME>Gupta Kirana &amp; Sons</PARTYLEDGERNAME><PARTYGSTIN>27AAPFU0939F1ZV</PARTYGSTIN><ISCANCELLED>No</ISCANCELLED><ISOPTIONAL>No</ISOPTIONAL>
 <ALLLEDGERENTRIES.LIST><LEDGERNAME>Gupta Kirana &amp; Sons</LEDGERNAME><ISPARTYLEDGER>Yes</ISPARTYLEDGER><ISDEEMEDPOSITIVE>Yes</ISDEEMEDPOSITIVE><AMOUNT>-42000.00</AMOUNT>
  <BILLALLOCATIONS.LIST><NAME>INV-2026-001</NAME><BILLTYPE>New Ref</BILLTYPE><BILLCREDITPERIOD>14 Days</BILLCREDITPERIOD><AMOUNT>-42000.00</AMOUNT></BILLALLOCATIONS.LIST></ALLLEDGERENTRIES.LIST>
 <ALLLEDGERENTRIES.LIST><LEDGERNAME>Sales GST 18%</LEDGERNAME><AMOUNT>42000.00</AMOUNT></ALLLEDGERENTRIES.LIST></VOUCHER>
<VOUCHER VCHTYPE="Receipt"><DATE TYPE="Date">20260515</DATE><GUID>9a1e-0002</GUID><ALTERID>8840</ALTERID><VOUCHERTYPENAME>Receipt</VOUCHERTYPENAME><VOUCHERNUMBER>RCP-77</VOUCHERNUMBER><PARTYLEDGERNAME>Gupta Kirana &amp; Sons</PARTYLEDGERNAME><ISCANCELLED>No</ISCANCELLED><ISOPTIONAL>No</ISOPTIONAL>
 <ALLLEDGERENTRIES.LIST><LEDGERNAME>Gupta Kirana &amp; Sons</LEDGERNAME><ISPARTYLEDGER>Yes</ISPARTYLEDGER><ISDEEMEDPOSITIVE>No</ISDEEMEDPOSITIVE><AMOUNT>45000.00</AMOUNT>
  <BILLALLOCATIONS.LIST><NAME>INV-2026-001</NAME><BILLTYPE>Agst Ref</BILLTYPE><AMOUNT>40000.00</AMOUNT></BILLALLOCATIONS.LIST>
  <BILLALLOCATIONS.LIST><BILLTYPE>On Account</BILLTYPE><AMOUNT>5000.00</AMOUNT></BILLALLOCATIONS.LIST></ALLLEDGERENTRIES.LIST>
 <ALLLEDGERENTRIES.LIST><LEDGERNAME>HDFC Bank</LEDGERNAME><ISDEEMEDPOSITIVE>Yes</ISDEEMEDPOSITIVE><AMOUNT>-45000.00</AMOUNT></ALLLEDGERENTRIES.LIST></VOUCHER>
<VOUCHER VCHTYPE="Credit Note"><DATE TYPE="Date">20260516</DATE><GUID>9a1e-0003</GUID><ALTERID>8846</ALTERID><VOUCHERTYPENAME>Credit Note</VOUCHERTYPENAME><VOUCHERNUMBER>CN-9</VOUCHERNUMBER><PARTYLEDGERNAME>Gupta Kirana &amp; Sons</PARTYLEDGERNAME><ISCANCELLED>No</ISCANCELLED><ISOPTIONAL>No</ISOPTIONAL>
 <ALLLEDGERENTRIES.LIST><LEDGERNAME>Gupta Kirana &amp; Sons</LEDGERNAME><ISPARTYLEDGER>Yes</ISPARTYLEDGER><AMOUNT>2000.00</AMOUNT>
  <BILLALLOCATIONS.LIST><NAME>INV-2026-001</NAME><BILLTYPE>Agst Ref</BILLTYPE><AMOUNT>2000.00</AMOUNT></BILLALLOCATIONS.LIST></ALLLEDGERENTRIES.LIST>
 <ALLLEDGERENTRIES.LIST><LEDGERNAME>Sales Return</LEDGERNAME><AMOUNT>-2000.00</AMOUNT></ALLLEDGERENTRIES.LIST></VOUCHER>
</COLLECTION></DATA></BODY></ENVELOPE>
"""


@pytest.fixture
def tally() -> Iterator[FakeTally]:
    server = FakeTally()
    yield server
    server.stop()


def connect(site: Site, tally: FakeTally, *, days: int = 40) -> None:
    start = (TODAY - timedelta(days=days)).isoformat()
    assert site.init("--erp", "tally", "--erp-url", tally.url, "--company", tally.company, "--start", start) == 0


def sale(number: str, ago: int, amount: str, *, party: str = GUPTA, period: str = "14 Days", **more: Any) -> Voucher:
    bills = [Bill("New Ref", f"-{amount}", number, period)]
    return Voucher(number, "Sales", TODAY - timedelta(days=ago), party, f"-{amount}", bills, **more)


def receipt(number: str, ago: int, amount: str, *bills: Bill, party: str = GUPTA) -> Voucher:
    return Voucher(number, "Receipt", TODAY - timedelta(days=ago), party, amount, list(bills), other="HDFC Bank")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_the_published_sample_means_the_same_in_every_encoding(site: Site, encoding: str) -> None:
    export = site.folder / "tally.xml"
    export.write_bytes(PUBLISHED.encode(encoding))
    assert site.init("--erp", "tally_prime", "--file", str(export)) == 0
    assert site.run("push") == 0
    [body] = site.server.ledger.bodies()
    shop = {"retailer_ref": GUPTA, "retailer_gst": GSTIN}
    assert body["retailers"] == [shop | {"name": GUPTA}]
    assert body["invoices"] == [
        {"invoice_id": "INV-2026-001", **shop, "invoice_date": "2026-05-03", "amount_inr": 42000,
         "due_date": "2026-05-17", "terms": "credit"}
    ]  # fmt: skip
    assert body["payments"] == [
        {"payment_id": "RCP-77", "retailer_ref": GUPTA, "paid_date": "2026-05-15", "amount_paid_inr": 45000,
         "invoice_id": None, "allocations": [{"invoice_id": "INV-2026-001", "amount_inr": 40000}]}
    ]  # fmt: skip
    assert body["credit_notes"] == [
        {"credit_note_id": "CN-9", "retailer_ref": GUPTA, "credit_note_date": "2026-05-16", "amount_inr": 2000,
         "invoice_id": "INV-2026-001"}
    ]  # fmt: skip
    assert (body["sync_from"], body["sync_to"]) == ("2026-05-03T00:00:00Z", "2026-05-16T23:59:59Z")


def test_a_first_load_asks_week_by_week_and_covers_every_day_up_to_yesterday(site: Site, tally: FakeTally) -> None:
    for ago in range(0, 40, 3):
        tally.save(sale(f"INV-{ago}", ago, "1000.00"))
    connect(site, tally)
    assert site.run("push") == 0
    spans = [re.findall(r'DATE TYPE="Date">(\d+)<', request) for request in tally.requests if "SVFROMDATE" in request]
    assert all((date.fromisoformat(b) - date.fromisoformat(a)).days <= 6 for a, b in spans)
    bodies = site.server.ledger.bodies()
    assert len(site.server.ledger.records("invoices")) == 14
    days = [(body["sync_from"][:10], body["sync_to"][:10]) for body in bodies]
    assert days[0][0] == (TODAY - timedelta(days=40)).isoformat()
    for (_, end), (start, _) in itertools.pairwise(days):
        assert date.fromisoformat(start) <= date.fromisoformat(end) + timedelta(days=1)
    assert max(end for _, end in days) == (TODAY - timedelta(days=1)).isoformat()


def test_only_what_was_altered_is_asked_for_and_sent_next_time(site: Site, tally: FakeTally) -> None:
    first = tally.save(sale("INV-1", 30, "1000.00"))
    tally.save(sale("INV-2", 29, "2000.00"))
    connect(site, tally)
    assert site.run("push") == 0
    first.bills[0].amount = first.amount = "-1100.00"
    tally.save(first)
    tally.save(sale("INV-3", 28, "3000.00"))  # entered late, with an old date
    tally.requests.clear()
    assert site.run("push") == 0
    assert [bill["invoice_id"] for bill in site.server.ledger.records("invoices")] == [
        "INV-1",
        "INV-2",
        "INV-1",
        "INV-3",
    ]
    assert site.server.ledger.records("invoices")[2]["amount_inr"] == 1100
    assert sum("SVFROMDATE" in request for request in tally.requests) == 2
    assert site.run("push") == 0
    assert len(site.server.ledger.records("invoices")) == 4


def test_without_a_change_number_the_last_weeks_are_read_again(site: Site, tally: FakeTally) -> None:
    tally.tells_change_number = False
    voucher = tally.save(sale("INV-1", 30, "1000.00"))
    connect(site, tally)
    assert site.run("push") == 0
    voucher.bills[0].amount = voucher.amount = "-1100.00"
    tally.save(voucher)
    assert site.run("push") == 0
    assert [bill["amount_inr"] for bill in site.server.ledger.records("invoices")] == [1000, 1100]


def test_what_is_cancelled_after_it_was_sent_is_taken_back(site: Site, tally: FakeTally) -> None:
    bill = tally.save(sale("INV-1", 30, "1000.00"))
    paid = tally.save(receipt("RCP-1", 20, "400.00", Bill("Agst Ref", "400.00", "INV-1")))
    connect(site, tally)
    assert site.run("push") == 0
    bill.cancelled = paid.cancelled = True
    tally.save(bill)
    tally.save(paid)
    assert site.run("push") == 0
    stored = site.server.ledger.stored
    assert stored["payments", "RCP-1"][-1] == stored["payments", "RCP-1"][0] | {"status": "returned"}
    [reversal] = stored["credit_notes", "CANCEL-INV-1"]
    assert (reversal["invoice_id"], reversal["amount_inr"]) == ("INV-1", 1000)
    before = len(site.server.ledger.batches)
    assert site.run("push") == 0
    assert len(site.server.ledger.batches) == before


def test_a_renumbered_receipt_keeps_its_id(site: Site, tally: FakeTally) -> None:
    paid = tally.save(receipt("RCP-1", 20, "400.00"))
    connect(site, tally)
    assert site.run("push") == 0
    paid.number, paid.amount = "RCP-9", "500.00"
    tally.save(paid)
    assert site.run("push") == 0
    assert [(p["payment_id"], p["amount_paid_inr"]) for p in site.server.ledger.records("payments")] == [
        ("RCP-1", 400),
        ("RCP-1", 500),
    ]


def test_one_receipt_settles_many_bills_and_the_rest_is_on_account(site: Site, tally: FakeTally) -> None:
    tally.save(sale("INV-1", 30, "1000.00"))
    tally.save(sale("INV-2", 29, "2000.00"))
    against = Bill("Agst Ref", "1000.00", "INV-1"), Bill("Agst Ref", "1500.50", "INV-2"), Bill("On Account", "99.50")
    tally.save(receipt("RCP-1", 3, "2600.00", *against))
    connect(site, tally)
    assert site.run("push") == 0
    [payment] = site.server.ledger.records("payments")
    assert payment["invoice_id"] is None
    assert payment["amount_paid_inr"] == 2600
    assert payment["allocations"] == [
        {"invoice_id": "INV-1", "amount_inr": 1000},
        {"invoice_id": "INV-2", "amount_inr": 1500.50},
    ]
    assert b'"amount_inr":1500.50' in b"".join(site.server.ledger.batches.values())


@pytest.mark.parametrize(("party", "bills"), [("2600.00", "-1300.00"), ("-2600.00", "1300.00"), ("2600.00", "1300.00")])
def test_signs_are_read_by_voucher_type_whatever_the_export_writes(
    site: Site, tally: FakeTally, party: str, bills: str
) -> None:
    voucher = receipt("RCP-1", 3, party, Bill("Agst Ref", bills, "INV-1"), Bill("Agst Ref", bills, "INV-2"))
    tally.customer(GUPTA)
    tally.save(voucher)
    connect(site, tally)
    assert site.run("push") == 0
    [payment] = site.server.ledger.records("payments")
    assert payment["amount_paid_inr"] == 2600
    assert [part["amount_inr"] for part in payment["allocations"]] == [1300, 1300]


def test_bills_that_do_not_sum_to_the_party_line_are_reported_and_never_exceed_the_receipt(
    site: Site, tally: FakeTally, printed: Callable[[], dict[str, Any]]
) -> None:
    tally.save(receipt("RCP-1", 3, "1000.00", Bill("Agst Ref", "800.00", "INV-1"), Bill("Agst Ref", "700.00", "INV-2")))
    connect(site, tally)
    assert site.run("push", "--json") == 0
    [remark] = printed()["data_quality"]["remarks"]
    assert remark["what"] == "vouchers whose bills do not sum to the party's line"
    assert remark["examples"] == ["Receipt RCP-1"]
    [payment] = site.server.ledger.records("payments")
    assert [part["amount_inr"] for part in payment["allocations"]] == [800, 200]


@pytest.mark.parametrize(
    ("period", "days"), [("14 Days", 14), ("30", 30), ("2 Weeks", 14), ("1 Month", 30), ("", None), ("later", None)]
)
def test_a_credit_period_gives_the_due_date(site: Site, tally: FakeTally, period: str, days: int | None) -> None:
    tally.save(sale("INV-1", 30, "1000.00", period=period))
    connect(site, tally)
    assert site.run("push") == 0
    [bill] = site.server.ledger.records("invoices")
    due = None if days is None else (date.fromisoformat(bill["invoice_date"]) + timedelta(days=days)).isoformat()
    assert bill.get("due_date") == due


def test_a_date_as_credit_period_is_the_due_date(site: Site, tally: FakeTally) -> None:
    due = TODAY + timedelta(days=9)
    tally.save(sale("INV-1", 3, "1000.00", period=due.strftime("%-d-%b-%y")))
    connect(site, tally)
    assert site.run("push") == 0
    assert site.server.ledger.records("invoices")[0]["due_date"] == due.isoformat()


def test_a_ledger_that_is_not_bill_wise_gives_a_bill_by_number_and_money_on_account(
    site: Site, tally: FakeTally
) -> None:
    tally.save(Voucher("INV-1", "Sales", TODAY - timedelta(days=9), GUPTA, "-1000.00"))
    tally.save(receipt("RCP-1", 3, "400.00"))
    connect(site, tally)
    assert site.run("push") == 0
    [bill], [payment] = (site.server.ledger.records(kind) for kind in ("invoices", "payments"))
    assert (bill["invoice_id"], bill["amount_inr"], bill.get("due_date")) == ("INV-1", 1000, None)
    assert (payment["invoice_id"], payment["amount_paid_inr"]) == (None, 400)


def test_cancelled_optional_and_cash_vouchers_are_not_sent(site: Site, tally: FakeTally) -> None:
    tally.save(sale("INV-1", 9, "1000.00", cancelled=True))
    tally.save(sale("INV-2", 9, "1000.00", optional=True))
    tally.save(sale("INV-3", 9, "1000.00", party="Cash"))
    connect(site, tally)
    assert site.run("push") == 0
    assert not site.server.ledger.batches


def test_masters_give_gstin_phone_hash_own_voucher_types_and_tell_customers_from_others(
    site: Site, tally: FakeTally
) -> None:
    tally.customer(GUPTA, gstin=GSTIN, mobile="98123 45678")
    tally.types = {"GST Sales": "Sales", "Sales": "Sales", "Receipt": "Receipt"}
    voucher = sale("INV-1", 9, "1000.00")
    voucher.kind = "GST Sales"
    tally.save(voucher)
    tally.save(receipt("RCP-1", 3, "9000.00", party="Bank Interest"))
    connect(site, tally)
    assert site.run("push") == 0
    [shop] = site.server.ledger.records("retailers")
    assert shop["retailer_gst"] == GSTIN
    assert shop["retailer_phone_hash"] == hashlib.sha256(b"919812345678").hexdigest()
    assert [bill["invoice_id"] for bill in site.server.ledger.records("invoices")] == ["INV-1"]
    assert not site.server.ledger.records("payments")


def test_a_renamed_customer_stays_the_same_shop(site: Site, tally: FakeTally) -> None:
    tally.customer(GUPTA, guid="ledger-1")
    tally.save(sale("INV-1", 9, "1000.00"))
    connect(site, tally)
    assert site.run("push") == 0
    tally.ledgers.clear()
    tally.customer("Gupta Super Mart", guid="ledger-1")
    for voucher in tally.vouchers.values():
        voucher.party = "Gupta Super Mart"
    tally.save(sale("INV-2", 2, "700.00", party="Gupta Super Mart"))
    assert site.run("push") == 0
    assert {bill["retailer_ref"] for bill in site.server.ledger.records("invoices")} == {GUPTA}
    assert site.server.ledger.records("retailers")[-1]["name"] == "Gupta Super Mart"
    assert not site.server.ledger.records("credit_notes")


def test_two_customers_with_the_same_bill_name_keep_two_bills(site: Site, tally: FakeTally) -> None:
    tally.save(sale("1", 9, "1000.00"))
    tally.save(sale("1", 9, "2000.00", party="Ramesh"))
    tally.save(receipt("RCP-1", 3, "500.00", Bill("Agst Ref", "500.00", "1"), party="Ramesh"))
    connect(site, tally)
    assert site.run("push") == 0
    bills = {bill["retailer_ref"]: bill["invoice_id"] for bill in site.server.ledger.records("invoices")}
    assert len(set(bills.values())) == 2
    assert site.server.ledger.records("payments")[0]["invoice_id"] == bills["Ramesh"]


def test_what_is_not_well_formed_in_real_exports_is_read(site: Site, tally: FakeTally) -> None:
    raw = "<NARRATION>\x04 Tea & sugar &#4; &#x1F;&nbsp; R&D</NARRATION><UDF:X.LIST><UDF:X>1</UDF:X></UDF:X.LIST>"
    tally.save(sale("INV-1", 9, "1000.00", raw=raw * 2000))
    connect(site, tally)
    assert site.run("push") == 0
    assert len(site.server.ledger.records("invoices")) == 1


def test_document_types_and_entities_are_refused(site: Site) -> None:
    export = site.folder / "bomb.xml"
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>' + envelope("<VOUCHER><DATE>&b;</DATE></VOUCHER>")
    export.write_text(bomb, "utf-8")
    assert site.init("--erp", "tally", "--file", str(export)) == 0
    assert site.run("push") == 1
    assert not site.server.ledger.batches


def test_tally_not_running_or_without_the_company_is_said_in_one_line(
    site: Site, tally: FakeTally, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(site, tally)
    tally.company = "Another Company"
    assert site.run("push") == 1
    assert "Could not set 'SVCurrentCompany'" in capsys.readouterr().err
    tally.stop()
    assert site.run("push") == 1
    assert "start Tally" in capsys.readouterr().err


def test_a_large_file_is_read_without_holding_it(tmp_path: Path) -> None:
    import tracemalloc

    from altcredit_connector.sources.tally_xml import read

    voucher = sale("INV-1", 9, "1000.00").xml().encode()

    def chunks(count: int) -> Iterator[bytes]:
        yield b"<ENVELOPE>"
        for _ in range(count):
            yield voucher
        yield b"</ENVELOPE>"

    peaks = []
    for count in (200, 4000):
        tracemalloc.start()
        assert sum(1 for _ in read(chunks(count))) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
