"""Every writer tells the same documents: what each export says, read back, is what the batches say."""

import csv
import io
import re
import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime

import msgspec
import pyarrow.parquet as pq
import pytest

from altcredit.simulator import (
    SCHEMA,
    batches,
    csv_export,
    demo_world,
    sap_collections,
    tally_ledgers,
    tally_vouchers,
    write_bronze,
    write_world,
)

TODAY = date(2026, 11, 22)
TALLY, SAP, CSV = 0, 1, 2


@pytest.fixture(scope="module")
def world():
    return demo_world(2, today=TODAY, shops=200)


class Books:
    """What the books hold in the end, as the batches tell it: the last version of each record wins."""

    def __init__(self, world, distributor):
        self.invoices, self.receipts, self.notes = {}, {}, {}
        for batch in batches(world, distributor):
            for r in batch.body["invoices"]:
                self.invoices[r["invoice_id"]] = (
                    r["retailer_ref"],
                    r["invoice_date"],
                    r.get("due_date"),
                    paise(r["amount_inr"]),
                )
            for r in batch.body["payments"]:
                named = r.get("allocations") or [{"invoice_id": r["invoice_id"], "amount_inr": r["amount_paid_inr"]}]
                parts = {a["invoice_id"]: paise(a["amount_inr"]) for a in named if a["invoice_id"]}
                cleared = r.get("status") != "returned"
                self.receipts[r["payment_id"]] = (r["paid_date"], paise(r["amount_paid_inr"]), parts, cleared)
            for r in batch.body["credit_notes"]:
                self.notes[r["credit_note_id"]] = (r["invoice_id"], r["credit_note_date"], paise(r["amount_inr"]))
        self.cleared = {k: v[:3] for k, v in self.receipts.items() if v[3]}


def paise(rupees):
    return round(float(str(rupees).replace(",", "")) * 100)


def iso(text, form):
    return datetime.strptime(text, form).replace(tzinfo=UTC).date().isoformat()


def tally_tree(content, encoding):
    text = content.decode(encoding)
    with pytest.raises(ET.ParseError):
        ET.fromstring(text)  # as real exports, it is no XML
    return ET.fromstring(re.sub(r"&#(?:4|31);|[\x00-\x08\x0b\x0c\x0e-\x1f]", "", text))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tally_vouchers_read_back_as_the_same_documents(world, encoding):
    books = Books(world, TALLY)
    invoices, receipts, notes, skipped = {}, {}, {}, 0
    for v in tally_tree(tally_vouchers(world, TALLY, encoding=encoding), encoding).iter("VOUCHER"):
        if "Yes" in (v.findtext("ISCANCELLED"), v.findtext("ISOPTIONAL")):
            skipped += 1
            continue
        name, number = v.findtext("PARTYLEDGERNAME"), v.findtext("VOUCHERNUMBER")
        day = date.fromisoformat(v.findtext("DATE"))
        party = next(e for e in v.iter("ALLLEDGERENTRIES.LIST") if e.findtext("ISPARTYLEDGER") == "Yes")
        total = abs(paise(party.findtext("AMOUNT")))
        lines = list(party.iter("BILLALLOCATIONS.LIST"))
        assert not lines or sum(abs(paise(b.findtext("AMOUNT"))) for b in lines) == total
        named = {b.findtext("NAME"): abs(paise(b.findtext("AMOUNT"))) for b in lines if b.findtext("NAME")}
        if v.get("VCHTYPE") == "Sales":
            period = lines[0].findtext("BILLCREDITPERIOD")
            days = period and int(period.removesuffix(" Days"))
            due = None if days is None else date.fromordinal(day.toordinal() + days).isoformat()
            invoices[number] = (name, day.isoformat(), due, total)
        elif v.get("VCHTYPE") == "Receipt":
            receipts[number] = (day.isoformat(), total, named)
        else:
            notes[number] = (next(iter(named)), day.isoformat(), total)
    assert invoices == books.invoices
    assert receipts == books.cleared
    assert notes == books.notes
    assert skipped > len(books.receipts) - len(books.cleared) > 0


def test_tally_vouchers_by_week_are_all_vouchers_and_change_ids_are_unique(world):
    def guids(**window):
        tree = tally_tree(tally_vouchers(world, TALLY, **window), "utf-8")
        return [(v.findtext("GUID"), v.findtext("ALTERID")) for v in tree.iter("VOUCHER")]

    halves = guids(last=date(2026, 3, 31)) + guids(first=date(2026, 4, 1))
    assert halves == guids()
    assert len({alter for _, alter in halves}) == len({guid for guid, _ in halves}) == len(halves)


def test_tally_ledgers_tell_gstin_and_mobile_of_every_customer(world):
    ledgers = {v.get("NAME"): v for v in ET.fromstring(tally_ledgers(world, TALLY)).iter("LEDGER")}
    mine = [a for a in world.accounts if a.distributor == TALLY]
    assert set(ledgers) == {a.party for a in mine}
    for account in mine:
        mobile = ledgers[account.party].findtext("LEDGERMOBILE")
        assert ledgers[account.party].findtext("PARTYGSTIN") == account.gstin
        assert (f"91{mobile}" if mobile else None) == account.phone


def test_sap_collections_read_back_as_the_same_documents(world):
    books = Books(world, SAP)
    found = msgspec.json.decode(msgspec.json.encode(sap_collections(world, SAP)))
    number = {r["DocEntry"]: f"INV-{r['DocNum']:06d}" for r in found["Invoices"]}
    invoices = {
        number[r["DocEntry"]]: (r["CardCode"], r["DocDate"], r["DocDueDate"], paise(r["DocTotal"]))
        for r in found["Invoices"]
    }
    receipts = {
        f"RCP-{r['DocNum']:06d}": (
            r["DocDate"],
            paise(r["CashSum"]) + paise(r["TransferSum"]),
            {number[p["DocEntry"]]: paise(p["SumApplied"]) for p in r["PaymentInvoices"]},
        )
        for r in found["IncomingPayments"]
        if r["Cancelled"] == "tNO"
    }
    notes = {
        f"CN-{r['DocNum']:06d}": (number[r["DocumentLines"][0]["BaseEntry"]], r["DocDate"], paise(r["DocTotal"]))
        for r in found["CreditNotes"]
    }
    assert invoices == books.invoices
    assert receipts == books.cleared
    assert notes == books.notes
    assert {p["CardCode"] for p in found["BusinessPartners"]} >= {r["CardCode"] for r in found["Invoices"]}
    closed = [r for r in found["Invoices"] if r["DocumentStatus"] == "bost_Close"]
    assert all(r["PaidToDate"] == r["DocTotal"] for r in closed)
    assert 0.7 < len(closed) / len(invoices) < 1


def test_csv_rows_read_back_as_the_same_documents(world):
    books = Books(world, CSV)
    invoices, receipts, returned = {}, {}, {}
    refs = {a.party: a.retailer_ref for a in world.accounts if a.distributor == CSV}
    for row in csv.DictReader(io.StringIO(csv_export(world, CSV))):
        bill = row["Bill No"]
        if bill:
            day = iso(row["Bill Date"], "%d-%m-%Y")
            due = row["Due Date"] and iso(row["Due Date"], "%d/%m/%Y")
            known = (refs[row["Party Name"]], day, due or None, paise(row["Bill Amt"]))
            assert invoices.setdefault(bill, known) == known
        if row["Receipt No"]:
            day = iso(row["Receipt Date"], "%d-%b-%y")
            _, total, parts = receipts.get(row["Receipt No"], (day, 0, {}))
            amount = paise(row["Receipt Amt"])
            parts |= {bill: amount} if bill else {}
            receipts[row["Receipt No"]] = (day, total + amount, parts)
        if row["Return Amt"]:
            returned[bill] = paise(row["Return Amt"])
    assert invoices == books.invoices
    assert receipts == books.cleared
    sums: dict[str, int] = {}
    for bill, _, amount in books.notes.values():
        sums[bill] = sums.get(bill, 0) + amount
    assert returned == sums


def test_amounts_are_written_the_indian_way():
    from altcredit.simulator.csv_export import rupees_text

    amounts = (650_000, 650_050, 4_200_000, 10_500_000, 123_456_789)
    assert [rupees_text(a) for a in amounts] == ["6500", "6500.50", "42,000.00", "1,05,000.00", "12,34,567.89"]


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_bronze_files_hold_every_record_of_the_batches(world, tmp_path, live, named):
    files = list(write_bronze(world, tmp_path, live=live, named=named))
    tables = {f.path: pq.read_table(tmp_path / f.path, partitioning=None) for f in files}
    for file in files:
        assert tables[file.path].schema.equals(without_nullability(SCHEMA), check_metadata=False)
        assert tables[file.path].num_rows == file.rows
    for firm in world.distributors:
        rows = [r for f in files if f.distributor_id == firm.distributor_id for r in tables[f.path].to_pylist()]
        sent = [
            canonical(kind, r)
            for batch in batches(world, firm.number)
            for kind in ("invoices", "payments", "credit_notes")
            for r in batch.body[kind]
        ]
        assert sorted(map(repr, map(read_back, rows))) == sorted(map(repr, sent))
        silent = [r for r in rows if r["retailer_id"] is None]
        assert all(r["kind"] == "payment" and r["invoice_id"] for r in silent)
        assert bool(silent) is not named
        assert all(r["known_at"].date() >= r["document_date"] for r in rows)


def without_nullability(schema):
    import pyarrow as pa

    return pa.schema([pa.field(f.name, f.type) for f in schema])


def read_back(row):
    allocations = [(a["invoice_id"], a["amount_paise"]) for a in row["allocations"] or ()]
    return (
        row["kind"],
        row["document_id"],
        row["invoice_id"],
        row["document_date"].isoformat(),
        row["due_date"] and row["due_date"].isoformat(),
        row["amount_paise"],
        row["terms"],
        row["disputed"],
        row["status"],
        allocations,
    )


def canonical(kind, r):
    name, day, amount = {
        "invoices": ("invoice", "invoice_date", "amount_inr"),
        "payments": ("payment", "paid_date", "amount_paid_inr"),
        "credit_notes": ("credit_note", "credit_note_date", "amount_inr"),
    }[kind]
    return (
        name,
        r[f"{name}_id"],
        None if kind == "invoices" else r["invoice_id"],
        r[day],
        r.get("due_date"),
        paise(r[amount]),
        r.get("terms"),
        r.get("disputed"),
        r.get("status"),
        [(a["invoice_id"], paise(a["amount_inr"])) for a in r.get("allocations", ())],
    )


def test_a_world_is_written_as_the_exports_of_three_erps(world, tmp_path):
    names = [p.relative_to(tmp_path).parts for p in write_world(world, tmp_path, kinds=("erp", "batches"))]
    assert {parts[-1] for parts in names if "batches" not in parts} == {
        "vouchers.xml",
        "ledgers.xml",
        "service_layer.json",
        "export.csv",
    }
    first = sorted(tmp_path.glob("*/batches/00001.json"))
    assert len(first) == 3
    assert all(msgspec.json.decode(p.read_bytes())["distributor_id"] == p.parts[-3] for p in first)
