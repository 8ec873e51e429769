"""Reading CSV exports: any encoding, separator, date and amount that distributors' programs write."""

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from connector.tests.harness import CSV, Site
from hypothesis import given, settings
from hypothesis import strategies as st

from altcredit_connector import text, wire
from altcredit_connector.config import ConfigError, Csv
from altcredit_connector.journal import Journal
from altcredit_connector.quality import Quality
from altcredit_connector.records import CreditNote, Invoice, Payment, Record, Retailer
from altcredit_connector.sources import csv_file
from altcredit_connector.sources.csv_table import CsvError, parse
from altcredit_connector.sources.presets import PRESETS

TODAY = date(2026, 11, 22)
HEADER = CSV.splitlines()[0].split(",")
GST_A, GST_B = "27AAPFU0939F1ZV", "29AAGCB7383J1Z4"


def journal() -> Journal:
    return Journal(sqlite3.connect(":memory:", isolation_level=None))


def read(
    content: bytes | str, preset: str = "generic", *, columns: dict[str, str] | None = None, kept: Journal | None = None
) -> tuple[list[Record], Quality]:
    """Return the records of a file without the shops, and the report."""
    quality = Quality()
    raw = content.encode() if isinstance(content, str) else content
    table = parse(Path("export.csv"), raw, PRESETS[preset], columns or {})
    reader = csv_file.Reader(table, PRESETS[preset], kept or journal(), quality, today=TODAY, names=True)
    records = [record for document in reader.documents() for record in document.records]
    return [record for record in records if not isinstance(record, Retailer)], quality


def of(kind: type[Any], records: list[Record]) -> list[Any]:
    return [record for record in records if isinstance(record, kind)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_encoding_and_separator_are_found(encoding: str, separator: str) -> None:
    out = io.StringIO()
    for row in csv.reader(io.StringIO(CSV.replace("Gupta", "Gupté"))):
        csv.writer(out, delimiter=separator).writerow(row)
    records, quality = read(out.getvalue().encode(encoding))
    assert quality.summary() == ["2 of 2 bills usable", "1 of 1 receipt usable", "1 of 1 return usable"]
    assert of(Invoice, records)[0].retailer_ref == "Gupté Kirana & Sons"


def test_title_lines_blank_lines_totals_and_repeated_headers_are_no_records() -> None:
    lines = CSV.splitlines()
    noise = [
        "Sharma Distributors,,,,,,,,,,,",
        "Sale register 1-May-2026 to 31-May-2026",
        "",
        *lines[:2],
        "",
        ",,,,,,,,,,,",
    ]
    noise += [lines[0], lines[2], "Total,,,,,48500,,,,40000,2000,", ",,Grand Total,,,48500,,,,,,"]
    records, quality = read("\n".join(noise))
    assert len(of(Invoice, records)) == 2
    assert quality.seen["bill"] == 2
    assert quality.skipped["total lines"] == 2


def test_a_shop_called_total_mart_is_no_total() -> None:
    records, _ = read("Bill No,Bill Date,Party Name,Bill Amt\nB1,01-05-2026,Total Mart,500\n")
    assert [bill.retailer_ref for bill in of(Invoice, records)] == ["Total Mart"]


def test_the_report_says_how_many_bills_are_usable_and_why_the_others_are_not() -> None:
    rows = [f"B{n},{'' if n in (7, 9) else '01-05-2026'},Shop,100" for n in range(250)]
    _, quality = read("\n".join(["Bill No,Bill Date,Party Name,Bill Amt", *rows]))
    assert quality.summary() == ["248 of 250 bills usable; 2 lack dates"]
    [reason] = quality.as_json()["documents"]["bills"]["unusable"]
    assert reason["examples"] == ["export.csv line 9", "export.csv line 11"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("B1,soon,Shop,100", "have unreadable dates"),
        ("B1,01-05-2027,Shop,100", "are dated in the future"),
        ("B1,01-05-1999,Shop,100", "are dated before the year 2000"),
        ("B1,01-05-2026,,100", "name no shop"),
        (",01-05-2026,Shop,100", "lack numbers"),
        ("B1,01-05-2026,Shop,", "lack amounts"),
        ("B1,01-05-2026,Shop,many", "have unreadable amounts"),
        ("B1,01-05-2026,Shop,0.00", "have an amount of zero"),
        ("B1,01-05-2026,Shop,-5", "have a negative amount"),
        ('B1,01-05-2026,Shop,"500.00 Cr"', "have a negative amount"),
    ],
)
def test_what_cannot_be_sent_has_a_reason(row: str, reason: str) -> None:
    records, quality = read(f"Bill No,Bill Date,Party Name,Bill Amt\n{row}\n")
    assert not records
    assert quality.unusable["bill", reason] == 1


def test_ambiguous_dates_are_day_first_unless_the_column_proves_the_opposite() -> None:
    header = "Bill No,Bill Date,Due Date,Party Name,Bill Amt\n"
    records, _ = read(header + "B1,03-04-2026,05/04/26,Shop,1\nB2,04/05/2026,17/05/2026,Shop,1\n")
    assert [(bill.invoice_date, bill.due_date) for bill in of(Invoice, records)] == [
        (date(2026, 4, 3), date(2026, 4, 5)),
        (date(2026, 5, 4), date(2026, 5, 17)),
    ]
    records, _ = read(header + "B1,03-01-2026,05/04/26,Shop,1\nB2,04/02/2026,05/17/2026,Shop,1\n")
    assert [(bill.invoice_date, bill.due_date) for bill in of(Invoice, records)] == [
        (date(2026, 1, 3), date(2026, 5, 4)),
        (date(2026, 2, 4), date(2026, 5, 17)),
    ]


def test_a_due_date_before_the_bill_is_left_out_and_reported() -> None:
    records, quality = read("Bill No,Bill Date,Due Date,Party Name,Bill Amt\nB1,20-05-2026,13-05-2026,Shop,1\n")
    assert of(Invoice, records)[0].due_date is None
    assert quality.remarks["due dates are before the bill or over a year after it; left out"] == 1


def test_one_receipt_over_several_lines_and_one_bill_with_several_receipts() -> None:
    rows = [
        "B1,01-05-2026,Shop,1000,R1,10-05-2026,600",
        "B1,01-05-2026,Shop,1000,R2,20-05-2026,400",
        "B2,02-05-2026,Shop,500,R2,20-05-2026,500",
        ",,Shop,,R2,20-05-2026,50",
    ]
    records, quality = read(
        "\n".join(["Bill No,Bill Date,Party Name,Bill Amt,Receipt No,Receipt Date,Receipt Amt", *rows])
    )
    assert [bill.invoice_id for bill in of(Invoice, records)] == ["B1", "B2"]
    first, second = of(Payment, records)
    assert (first.payment_id, first.invoice_id, first.amount_paid_inr) == ("R1", "B1", 600)
    assert (second.payment_id, second.invoice_id, second.amount_paid_inr) == ("R2", None, 950)
    assert second.allocations == (("B1", Decimal(400)), ("B2", Decimal(500)))
    assert quality.summary() == ["2 of 2 bills usable", "2 of 2 receipts usable"]


def test_a_receipt_spread_over_two_exports_is_put_together(site: Site) -> None:
    header = "Bill No,Bill Date,Party Name,Bill Amt,Receipt No,Receipt Date,Receipt Amt\n"
    site.export.write_text(header + "B1,01-05-2026,Shop,1000,R1,10-06-2026,600\n", "utf-8")
    site.init_csv()
    assert site.run("push") == 0
    site.export.write_text(header + "B2,02-06-2026,Shop,500,R1,10-06-2026,300\n", "utf-8")
    assert site.run("push") == 0
    last = site.server.ledger.stored["payments", "R1"][-1]
    assert last["amount_paid_inr"] == 900
    assert last["allocations"] == [{"invoice_id": "B1", "amount_inr": 600}, {"invoice_id": "B2", "amount_inr": 300}]


def test_lists_of_one_kind_need_no_prefix_before_date_and_amount() -> None:
    records, _ = read(
        "Receipt No,Date,Customer Name,Amount,Against Bill\nR1,10-05-2026,Shop,600,B1\nR2,11-05-2026,Shop,70,\n"
    )
    assert [(p.payment_id, p.invoice_id, p.amount_paid_inr) for p in of(Payment, records)] == [
        ("R1", "B1", 600),
        ("R2", None, 70),
    ]
    records, _ = read("Invoice Number,Date,Customer Name,Amount,Credit Days\nB1,10-05-2026,Shop,600,21\n")
    assert of(Invoice, records)[0].due_date == date(2026, 5, 31)
    records, _ = read("CN No,Date,Customer Name,Amount,Bill No\nC1,10-05-2026,Shop,600,B1\n")
    assert [(n.credit_note_id, n.invoice_id) for n in of(CreditNote, records)] == [("C1", "B1")]


@pytest.mark.parametrize("preset", ["marg", "busy"])
def test_a_register_is_told_by_its_voucher_types(preset: str) -> None:
    register = [
        "Date,Vch Type,Vch No,Account,Debit,Credit,Agst Ref,Due Date",
        "03-05-2026,Sale,S/1,Gupta Kirana,42000.00 Dr,,,17-05-2026",
        '15-05-2026,Rcpt,R/1,Gupta Kirana,,"40,000.00 Cr",S/1,',
        "16-05-2026,SRtn,C/1,Gupta Kirana,,2000.00,S/1,",
        "17-05-2026,Jrnl,J/1,Gupta Kirana,,10.00,,",
        "18-05-2026,Chq Return,X/1,Gupta Kirana,40000.00,,R/1,",
        "Total,,,,42000.00,42000.00,,",
    ]
    records, quality = read("\n".join(register), preset)
    [bill], [paid], [back] = of(Invoice, records), of(Payment, records), of(CreditNote, records)
    assert (bill.invoice_id, bill.amount_inr, bill.due_date) == ("S/1", 42000, date(2026, 5, 17))
    assert (paid.payment_id, paid.invoice_id, paid.amount_paid_inr, paid.status) == ("R/1", "S/1", 40000, "returned")
    assert (back.credit_note_id, back.invoice_id, back.amount_inr) == ("C/1", "S/1", 2000)
    assert quality.skipped["vouchers of type Jrnl"] == 1


def test_a_cheque_that_comes_back_in_a_later_export_returns_the_receipt(site: Site) -> None:
    header = "Date,Vch Type,Vch No,Account,Amount,Agst Ref\n"
    site.export.write_text(header + "15-05-2026,Rcpt,R/1,Gupta,400,\n", "utf-8")
    site.init_csv("busy")
    assert site.run("push") == 0
    site.export.write_text(header + "25-05-2026,Chq Return,X/1,Gupta,400,R/1\n", "utf-8")
    assert site.run("push") == 0
    assert [paid.get("status") for paid in site.server.ledger.stored["payments", "R/1"]] == [None, "returned"]


def test_shops_that_share_a_name_are_kept_apart_and_keep_their_references() -> None:
    header = "Bill No,Bill Date,Party Name,GSTIN,Mobile,Bill Amt\n"
    rows = [
        f"B1,01-05-2026,Sharma Store,{GST_A},9812345678,1",
        f"B2,01-05-2026,Sharma Store,{GST_B},,1",
        "B3,01-05-2026,Sharma Store,,9812345678,1",
    ]
    kept = journal()
    first, second, third = of(Invoice, read(header + "\n".join(rows), kept=kept)[0])
    assert first.retailer_ref == third.retailer_ref == "Sharma Store"
    assert second.retailer_ref.startswith("Sharma Store~")
    with kept.transaction():
        kept.remember("retailer", "Sharma Store", "", json.dumps({"retailer_gst": GST_A}), 1)
    [other] = of(Invoice, read(header + rows[1], kept=kept)[0])
    assert other.retailer_ref == second.retailer_ref


def test_a_shop_that_gets_a_gstin_later_stays_the_same_shop() -> None:
    kept = journal()
    with kept.transaction():
        kept.remember("retailer", "Sharma Store", "", json.dumps({"retailer_ref": "Sharma Store"}), 1)
    [bill] = of(
        Invoice,
        read(f"Bill No,Bill Date,Party Name,GSTIN,Bill Amt\nB1,01-05-2026,Sharma Store,{GST_A},1\n", kept=kept)[0],
    )
    assert bill.retailer_ref == "Sharma Store"


def test_bill_numbers_that_start_again_every_april_stay_two_bills() -> None:
    header = "Bill No,Bill Date,Party Name,Bill Amt,Receipt No,Receipt Date,Receipt Amt\n"
    kept = journal()
    [old] = of(Invoice, read(header + "1,31-03-2026,Shop,100,,,\n", kept=kept)[0])
    records, _ = read(header + "1,01-04-2026,Shop,200,7,05-04-2026,200\n", kept=kept)
    [new], [paid] = of(Invoice, records), of(Payment, records)
    assert old.invoice_id == "1"
    assert new.invoice_id != "1"
    assert paid.invoice_id == new.invoice_id


def test_masked_mobiles_are_not_hashed_and_bad_gstins_are_left_out(site: Site) -> None:
    site.export.write_text(CSV.replace("98XXXXXX12", "+91 98123-45678").replace(GST_A, "27AAPFU0939F1ZX"), "utf-8")
    site.init_csv()
    assert site.run("push") == 0
    gupta, ramesh = site.server.ledger.records("retailers")
    assert gupta["retailer_phone_hash"] == text.phone_hash("919812345678")
    assert "retailer_gst" not in gupta
    assert "retailer_phone_hash" not in ramesh


def test_a_gap_of_weeks_between_exports_is_not_claimed_and_is_said(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    header = "Bill No,Bill Date,Party Name,Bill Amt\n"
    days = ["01-05-2026", "04-05-2026", "20-07-2026"]
    site.init_csv()
    for n, day in enumerate(days):
        site.export.write_text(f"{header}B{n},{day},Shop,100\n", "utf-8")
        assert site.run("push") == 0
    spans = [(body["sync_from"][:10], body["sync_to"][:10]) for body in site.server.ledger.bodies()]
    assert spans == [("2026-05-01", "2026-05-01"), ("2026-05-02", "2026-05-04"), ("2026-07-20", "2026-07-20")]
    assert "no documents from 2026-05-05 to 2026-07-19" in capsys.readouterr().err


def test_columns_of_the_configuration_win_over_the_preset(site: Site) -> None:
    site.export.write_text("Ref,When,Who,How much\nB1,03-05-2026,Shop,100\n", "utf-8")
    site.init_csv()
    columns = '\n[csv.columns]\ninvoice_id = "Ref"\ninvoice_date = "When"\nparty_name = "Who"\namount = "How much"\n'
    site.config.write_text(site.config.read_text("utf-8") + columns, "utf-8")
    assert site.run("push") == 0
    assert site.server.ledger.records("invoices")[0]["invoice_id"] == "B1"


def test_a_file_that_is_no_table_is_refused_in_one_line(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.export.write_bytes(bytes(range(256)) * 50)
    site.init_csv()
    assert site.run("push") == 1
    assert "no line with the headers" in capsys.readouterr().err


# Properties.
RUPEES = st.decimals(min_value=Decimal("0.01"), max_value=Decimal("99999999.99"), places=2)
DAYS = st.dates(min_value=date(2020, 1, 1), max_value=TODAY)
STYLES = (
    "%d-%m-%Y",
    "%d/%m/%y",
    "%d.%m.%Y",
    "%d-%b-%Y",
    "%d %B %Y",
    "%Y-%m-%d",
    "%Y%m%d",
    "%b %d, %Y",
    "%Y-%m-%dT%H:%M:%S",
)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=30)


def indian(value: Decimal) -> str:
    whole, fraction = f"{value:.2f}".split(".")
    head, tail = whole[:-3], whole[-3:]
    groups = []
    while head:
        groups.append(head[-2:])
        head = head[:-2]
    return ",".join([*reversed(groups), tail]) + "." + fraction


WRITE: list[Callable[[Decimal], str]] = [
    str, indian, "{:,}".format, "₹ {}".format, "Rs. {}".format, "{} Dr".format, lambda v: f"{indian(v)} Dr.", lambda v: f"{v}/-",
]  # fmt: skip


@given(RUPEES, st.sampled_from(WRITE))
def test_every_way_of_writing_an_amount_gives_the_amount(value: Decimal, write: Callable[[Decimal], str]) -> None:
    assert text.amount(write(value)) == value


@given(RUPEES)
def test_credit_minus_and_brackets_are_negative(value: Decimal) -> None:
    for written in (f"-{value}", f"({value})", f"{value}-", f"{indian(value)} Cr", f"₹ -{value}"):
        assert text.amount(written) == -value


@given(RUPEES)
def test_an_amount_is_sent_digit_by_digit(value: Decimal) -> None:
    sent = wire.encode({"amount_inr": value})
    assert json.loads(sent, parse_float=Decimal, parse_int=Decimal) == {"amount_inr": value}
    assert len(sent.partition(".")[2].rstrip("}")) in (0, 2)


@pytest.mark.parametrize(
    "written", ["", "-", "1,2", "12,34", "1.234,56", "1,23,45.00", "abc", "5 5", "(5", "1e999", "¾"]
)
def test_what_is_no_amount_is_none(written: str) -> None:
    assert text.amount(written) is None


@given(DAYS, st.sampled_from(STYLES))
def test_every_way_of_writing_a_date_gives_the_day(value: date, style: str) -> None:
    written = datetime.combine(value, datetime.min.time(), UTC).strftime(style)
    assert text.day(written) == value


@given(st.text(max_size=40))
def test_no_text_makes_the_readers_fail(written: str) -> None:
    text.amount(written)
    text.day(written)
    text.gstin(written)
    text.phone_hash(written)
    assert text.clean(text.clean(written)) == text.clean(written)


@given(st.lists(DAYS, min_size=1))
def test_a_column_written_month_first_is_found_out_if_any_day_proves_it(days: list[date]) -> None:
    assert text.is_day_first(f"{day:%m/%d/%Y}" for day in days) is not any(day.day > 12 for day in days)
    assert text.is_day_first(f"{day:%d/%m/%Y}" for day in days)


@given(st.from_regex(r"[6-9][0-9]{9}", fullmatch=True))
def test_a_mobile_has_one_hash_however_it_is_written(mobile: str) -> None:
    forms = (mobile, f"+91{mobile}", f"91 {mobile}", f"0{mobile}", f"+91-{mobile[:5]}-{mobile[5:]}", f"(0091) {mobile}")
    assert len({text.phone_hash(form) for form in forms} - {None}) == 1
    assert text.phone_hash(mobile[:4] + "XXXX" + mobile[8:]) is None


@given(st.integers(0, 14), st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
def test_a_gstin_with_one_wrong_character_is_not_valid(place: int, letter: str) -> None:
    assert text.gstin(GST_A) == GST_A
    changed = GST_A[:place] + letter + GST_A[place + 1 :]
    assert (text.gstin(changed) is None) or changed == GST_A


BILLS = st.lists(
    st.tuples(st.from_regex(r"[A-Z]{1,3}[-/][0-9]{1,6}", fullmatch=True), DAYS, NAMES, RUPEES),
    min_size=1,
    max_size=20,
    unique_by=lambda bill: bill[0],
)


@settings(max_examples=60, deadline=None)
@given(
    BILLS,
    st.sampled_from(STYLES[:8]),
    st.sampled_from(WRITE),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_a_program_wrote_is_what_is_read(
    bills: list[tuple[str, date, str, Decimal]],
    style: str,
    write: Callable[[Decimal], str],
    separator: str,
    encoding: str,
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator)
    writer.writerow(["Bill No", "Bill Date", "Party Name", "Bill Amt"])
    for number, day, name, value in bills:
        moment = datetime.combine(day, datetime.min.time(), UTC)
        writer.writerow([number, moment.strftime(style), name, write(value)])
    records, quality = read(out.getvalue().encode(encoding))
    named = [bill for bill in bills if text.clean(bill[2]) and not csv_file.CASH.match(text.clean(bill[2]))]
    assert {(b.retailer_ref, b.invoice_date, b.amount_inr) for b in of(Invoice, records)} == {
        (text.clean(name), day, value) for _, day, name, value in named
    }
    assert quality.usable("bill") == len(named)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_make_the_parser_fail_in_another_way(content: bytes) -> None:
    for start in (b"", CSV.encode(), CSV.encode("utf-16")):
        try:
            read(start + content)
        except CsvError:
            continue


def test_the_settings_of_a_csv_source_are_checked() -> None:
    for wrong in (Csv(preset="excel"), Csv(columns={"bill": "Bill"})):
        with pytest.raises(ConfigError):
            csv_file.check(wrong)
