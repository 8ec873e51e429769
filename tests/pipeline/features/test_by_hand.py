"""
Every rule of the ledger worked through by hand, on ledgers small enough to follow.

Each ledger is one shop's; all are as of day 100, with feeds that run daily. Amounts are rupees.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from altcredit.pipeline.features import CATALOGUE, gold, labels, standings
from altcredit.pipeline.lake import Feed, Lake
from tests.pipeline.books import Books, Record, credit_note, day, invoice, payment, shop

T = 100
FEEDS = {
    "dist_a": Feed(coverage=((day(0), day(55)), (day(60), day(300))), watermark=day(55), lag_p90_days=2),
    "dist_b": Feed(coverage=((day(0), day(300)),), watermark=day(300), lag_p90_days=2),
}

# Names of ledgers, each a function of the shop's id to its records with dist_a (and with dist_b).
LEDGERS: dict[str, Any] = {}


def ledger(make: Any) -> Any:
    LEDGERS[make.__name__] = make
    return make


@ledger
def part_payments(me: str) -> list[Record]:
    return [
        invoice("A1", 10, 10_000, due=24, to=me),
        payment("A1a", 20, 4_000, of="A1"),
        payment("A1b", 34, 6_000, of="A1"),  # closed ten days late
        invoice("A2", 40, 10_000, due=54, to=me),
        payment("A2a", 50, 3_000, of="A2"),  # 7,000 open, 46 days past due
    ]


@ledger
def residues(me: str) -> list[Record]:
    return [
        invoice("B1", 10, 10_000, due=24, to=me),
        payment("B1p", 24, 9_850, of="B1"),  # 150 short of 10,000: within 2 %, closed on time and written off
        invoice("B2", 30, 10_000, due=44, to=me),
        payment("B2p", 43, 9_850, of="B2"),  # early
        invoice("B3", 50, 1_000, due=64, to=me),
        payment("B3p", 64, 895, of="B3"),  # 105 short: above both ₹100 and 2 %, so it is open
    ]


@ledger
def returns(me: str) -> list[Record]:
    return [
        invoice("C1", 20, 8_000, due=34, to=me),
        credit_note("CN1", 25, 2_000, of="C1"),
        payment("C1p", 34, 6_000, of="C1"),  # with the credit note, paid in full and on time
        invoice("C2", 30, 2_000, due=200, to=me),
    ]


@ledger
def on_account(me: str) -> list[Record]:
    return [
        invoice("D1", 10, 5_000, due=24, to=me),
        invoice("D2", 20, 5_000, due=34, to=me),
        payment("Dp1", 30, 7_000, by=me),  # all of D1 (six days late), 2,000 of D2
        payment("Dp2", 40, 6_000, by=me),  # the rest of D2 (six days late), 3,000 over
        invoice("D3", 50, 3_000, due=64, to=me),  # paid by what was over, on its own day
    ]


@ledger
def stated_for_the_newer_bill(me: str) -> list[Record]:
    return [
        invoice("E1", 10, 5_000, due=24, to=me),
        invoice("E2", 20, 5_000, due=34, to=me),
        payment("Ep", 24, 5_000, of="E2"),  # order of time: it pays E1, on time; E2 stays open, 66 days past due
    ]


@ledger
def returned_cheque(me: str) -> list[Record]:
    cheque = payment("Fp", 24, 5_000, of="F1", status="cleared")
    return [
        invoice("F1", 10, 5_000, due=24, to=me),
        cheque,
        cheque | {"status": "returned", "document_date": day(27)},  # reopens F1: 76 days past due
        payment("Fq", 30, 700, by=me, status="returned"),  # never cleared
    ]


@ledger
def corrected(me: str) -> list[Record]:
    bill = invoice("G1", 10, 50_000, due=24, to=me)
    return [
        bill,
        bill | {"amount_paise": 5_000_00, "due_date": day(30), "sent_on": 15},
        payment("Gp", 30, 5_000, of="G1"),
    ]


@ledger
def no_due_date(me: str) -> list[Record]:
    return [invoice("H1", 10, 5_000, to=me), payment("Hp", 34, 5_000, of="H1")]  # usual term 14: ten days late


@ledger
def cash_bills(me: str) -> list[Record]:
    return [
        invoice("I1", 10, 4_000, terms="cash", to=me),
        invoice("I2", 20, 4_000, due=20, to=me),  # due on the day, no terms stated: cash
        payment("Ip", 20, 4_000, of="I2"),  # pays cash, not the credit bill below
        invoice("I3", 15, 4_000, due=29, terms="credit", to=me),  # 71 days past due
    ]


@ledger
def disputed(me: str) -> list[Record]:
    return [
        invoice("J1", 10, 9_000, due=24, disputed=True, to=me),
        payment("Jp", 30, 1_000, of="J1"),  # set aside with the bill
        invoice("J2", 20, 5_000, due=34, to=me),
        payment("Jq", 34, 5_000, by=me),
    ]


@ledger
def before_the_feed(me: str) -> list[Record]:
    return [
        payment("Kp", 5, 9_000, of="OLD-1", by=me),  # for a bill that was never sent: pays nothing here
        invoice("K1", 10, 9_000, due=24, to=me),
        payment("Kq", 26, 9_000, of="K1", by=me),
    ]


@ledger
def invoice_comes_later(me: str) -> list[Record]:
    return [payment("Lp", 24, 5_000, of="L1"), invoice("L1", 10, 5_000, due=24, to=me) | {"sent_on": 40}]


@ledger
def several_bills_by_one_receipt(me: str) -> list[Record]:
    return [
        invoice("M1", 10, 3_000, due=24, to=me),
        invoice("M2", 11, 4_000, due=25, to=me),
        invoice("M3", 12, 900, due=26, to=me),
        payment("Mp", 30, 8_000, allocations={"M1": 3_000, "M2": 4_000}),  # 1,000 left over pays M3
    ]


@ledger
def two_distributors(me: str) -> list[Record]:
    return [
        invoice("N1", 10, 6_000, due=24, to=me),
        payment("Np", 24, 20_000, by=me),  # far too much, but it pays nothing with the other distributor
        invoice("N2", 40, 2_000, due=54, to=me) | {"distributor": "dist_b"},
    ]


@pytest.fixture(scope="module")
def lake_rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, dict[str, Any]], Any]]:
    root = tmp_path_factory.mktemp("by-hand")
    books = Books(root)
    sent: dict[tuple[int, str], list[Record]] = {}
    for number, make in enumerate(LEDGERS.values()):
        for record in make(shop(number)):
            on = record.pop("sent_on", (record["document_date"] - day(0)).days)
            sent.setdefault((on, record.pop("distributor", "dist_a")), []).append(record)
    for (on, distributor), records in sorted(sent.items()):
        books.batch(records, distributor=distributor, received=on)
    lake = Lake(root, threads=1)
    snapshot = books.snapshot(feeds=FEEDS)
    table = gold(lake, snapshot, as_of=day(T), scope=None)
    by_shop = {row["retailer_id"]: row for row in table.to_pylist()}
    rows = {name: by_shop[shop(number)] for number, name in enumerate(LEDGERS)}
    yield rows, (lake, snapshot, table)
    lake.close()


@pytest.fixture
def rows(lake_rows: tuple[dict[str, dict[str, Any]], Any]) -> dict[str, dict[str, Any]]:
    return lake_rows[0]


def test_a_bill_paid_in_parts_is_late_until_its_last_part(rows: dict[str, Any]) -> None:
    row = rows["part_payments"]
    assert row["avg_days_late_180d"] == (10 + 46) / 2
    assert row["max_days_late_180d"] == 46
    assert row["on_time_share_180d"] == 0
    assert row["late_15d_share_180d"] == 0.5
    assert row["partial_pay_share_180d"] == 1.0
    assert row["overdue_inr"] == 7_000
    assert row["outstanding_to_gmv"] == 7_000 / 20_000
    assert row["overdue_15d_to_outstanding"] == 1.0
    assert row["oldest_overdue_days"] == 46
    assert row["gmv_6m_inr"] == 13_000  # collected, or not yet due
    assert row["in_default"]  # 7,000 is more than max(1,000, a tenth of 20,000 / 3 months)


def test_a_residue_closes_a_bill_and_never_makes_a_later_one_late(rows: dict[str, Any]) -> None:
    row = rows["residues"]
    assert row["avg_days_late_180d"] == (0 + 0 + 36) / 3
    assert row["early_pay_share_180d"] == pytest.approx(1 / 3)
    assert row["partial_pay_share_180d"] == pytest.approx(1 / 3)
    assert row["overdue_inr"] == 105
    assert not row["in_default"]  # 105 is 36 days past due, but no more than 1,000


def test_a_credit_note_pays_its_bill_and_counts_as_a_return(rows: dict[str, Any]) -> None:
    row = rows["returns"]
    assert row["avg_days_late_180d"] == 0
    assert row["on_time_share_180d"] == 1
    assert row["return_rate_180d"] == 2_000 / 10_000
    assert row["gmv_6m_inr"] == 8_000
    assert row["partial_pay_share_180d"] == 0
    assert row["outstanding_to_gmv"] == 2_000 / 8_000
    assert row["overdue_to_gmv"] == 0
    assert row["matured_credit_bills"] == 1


def test_money_on_account_pays_the_oldest_bill_and_waits_for_the_next(rows: dict[str, Any]) -> None:
    row = rows["on_account"]
    assert row["avg_days_late_180d"] == (6 + 6 + 0) / 3
    assert row["early_pay_share_180d"] == pytest.approx(1 / 3)
    assert row["outstanding_to_gmv"] == 0
    assert row["overdue_15d_to_outstanding"] == 0
    assert row["partial_pay_share_180d"] is None  # nothing is stated for any bill
    assert row["days_late_last_30d"] is None


def test_lateness_is_by_order_of_time_whatever_the_receipt_states(rows: dict[str, Any]) -> None:
    row = rows["stated_for_the_newer_bill"]
    assert row["on_time_share_180d"] == 0.5
    assert row["max_days_late_180d"] == 66


def test_a_returned_cheque_reopens_its_bill(rows: dict[str, Any]) -> None:
    row = rows["returned_cheque"]
    assert row["max_days_late_180d"] == 76
    assert row["overdue_inr"] == 5_000
    assert row["returned_payments_180d"] == 2
    assert not row["has_payment_data"]
    assert row["in_default"]


def test_a_correction_replaces_the_bill_from_when_it_was_known(
    lake_rows: tuple[dict[str, dict[str, Any]], Any],
) -> None:
    rows, (lake, snapshot, _) = lake_rows
    assert rows["corrected"]["avg_days_late_180d"] == 0
    assert rows["corrected"]["gmv_6m_inr"] == 5_000
    me = rows["corrected"]["retailer_id"]
    before = gold(lake, snapshot, as_of=day(14), scope=[(me, "dist_a")]).to_pylist()
    assert before[0]["gmv_6m_inr"] == 50_000


def test_a_bill_without_due_date_falls_due_after_the_usual_term(rows: dict[str, Any]) -> None:
    row = rows["no_due_date"]
    assert row["avg_days_late_180d"] == 10
    assert row["completeness_score"] < rows["on_account"]["completeness_score"] + 30


def test_cash_bills_are_purchases_but_never_late(rows: dict[str, Any]) -> None:
    row = rows["cash_bills"]
    assert row["avg_days_late_180d"] == 71
    assert row["matured_credit_bills"] == 1
    assert row["overdue_inr"] == 4_000
    assert row["gmv_6m_inr"] == 8_000


def test_a_disputed_bill_is_set_aside_with_the_money_stated_for_it(rows: dict[str, Any]) -> None:
    row = rows["disputed"]
    assert row["avg_days_late_180d"] == 0
    assert row["overdue_inr"] == 0
    assert not row["in_default"]
    assert row["gmv_6m_inr"] == 5_000


def test_money_for_bills_from_before_the_feed_pays_no_other(rows: dict[str, Any]) -> None:
    assert rows["before_the_feed"]["avg_days_late_180d"] == 2


def test_a_receipt_that_names_no_shop_waits_for_its_invoice(
    lake_rows: tuple[dict[str, dict[str, Any]], Any],
) -> None:
    rows, (lake, snapshot, _) = lake_rows
    row = rows["invoice_comes_later"]
    assert row["avg_days_late_180d"] == 0
    assert row["has_payment_data"]
    assert gold(lake, snapshot, as_of=day(39), scope=[(row["retailer_id"], "dist_a")]).num_rows == 0


def test_one_receipt_pays_several_bills_and_what_is_left_the_next(rows: dict[str, Any]) -> None:
    row = rows["several_bills_by_one_receipt"]
    assert row["avg_days_late_180d"] == (6 + 5 + 4) / 3
    assert row["outstanding_to_gmv"] == 0


def test_accounts_with_several_distributors_are_kept_apart(rows: dict[str, Any]) -> None:
    row = rows["two_distributors"]
    assert row["max_days_late_180d"] == 46
    assert row["overdue_inr"] == 2_000
    assert row["distributor_count"] == 2
    assert row["distributor_hhi_180d"] == (6_000**2 + 2_000**2) / 8_000**2
    assert row["feed"] == ["dist_a", "dist_b"]


def test_completeness_is_the_sum_of_its_five_parts(rows: dict[str, Any]) -> None:
    # One of one bills dated, nothing stated; 86 of the 91 days since day 10 covered (56 to 59 and none before day 0);
    # every line has found its shop; the distributor sends credit notes.
    row = rows["on_account"]
    assert row["completeness_score"] == pytest.approx(30 + 0 + 20 * (91 - 4) / 91 + 10 + 10)
    assert rows["no_due_date"]["completeness_score"] == pytest.approx(0 + 30 + 20 * (91 - 4) / 91 + 10 + 10)
    # 2,000 of 8,000 are bought from a distributor that never sent a credit note.
    two = rows["two_distributors"]
    shares = (91 - 4 + 61) / (91 + 61)
    assert two["completeness_score"] == pytest.approx(30 + 0 + 20 * shares + 10 + 10 * 6_000 / 8_000, abs=1e-3)


def test_order_rhythm_is_over_days_with_orders(rows: dict[str, Any]) -> None:
    row = rows["on_account"]  # orders on days 10, 20, 50 of 5,000, 5,000, 3,000
    assert row["max_order_gap_180d"] == 30
    assert row["days_since_last_order"] == 50
    assert row["orders_per_month_180d"] == pytest.approx(3 * 30 / 91)
    mean = 13_000 / 3
    spread = ((2 * (5_000 - mean) ** 2 + (3_000 - mean) ** 2) / 3) ** 0.5
    assert row["order_value_cv_180d"] == pytest.approx(spread / mean)
    assert row["order_gap_cv_180d"] is None  # two gaps are too few
    assert row["vintage_months"] == 3
    assert row["active_months_12m"] == 3  # days 10, 20 and 50 are 90, 80 and 50 days ago


def test_labels_by_hand(lake_rows: tuple[dict[str, dict[str, Any]], Any]) -> None:
    rows, (lake, snapshot, _) = lake_rows
    found = {
        (row["retailer_id"], row["as_of"]): (row["eligible"], row["default"], row["mature"])
        for row in labels(lake, snapshot, as_of_dates=[day(45), day(T)], horizon_days=90).to_pylist()
    }

    def at(name: str, on: int) -> tuple[bool, bool | None, bool]:
        return found[rows[name]["retailer_id"], day(on)]

    # A2 is open on day 45; 7,000 of it are 30 days past due on day 84.
    assert at("part_payments", 45) == (True, True, False)
    # On day 100 they still are: already in default, so there is nothing to foretell.
    assert at("part_payments", T) == (False, None, False)
    # Nothing open that could fall 30 days behind.
    assert at("on_account", T) == (False, None, False)
    assert at("corrected", 45) == (False, None, False)


def test_what_an_assessment_gets_is_gold_row_by_row(lake_rows: tuple[dict[str, dict[str, Any]], Any]) -> None:
    rows, (_, _, table) = lake_rows
    registered = {rows["returns"]["retailer_id"]}
    for standing in standings(table, gst_registered=registered):
        assert standing.features.keys() == CATALOGUE.keys()
        assert standing.features["gst_registered"] == (1.0 if standing.retailer_id in registered else 0.0)
        assert standing.as_of == day(T)
        assert standing.completeness == standing.features["completeness_score"]
    by_shop = {standing.retailer_id: standing for standing in standings(table)}
    assert by_shop[rows["two_distributors"]["retailer_id"]].feed == ("dist_a", "dist_b")
    assert by_shop[rows["returns"]["retailer_id"]].features["gst_registered"] is None


def test_only_accounts_in_scope_are_used(lake_rows: tuple[dict[str, dict[str, Any]], Any]) -> None:
    rows, (lake, snapshot, _) = lake_rows
    me = rows["two_distributors"]["retailer_id"]
    (row,) = gold(lake, snapshot, as_of=day(T), scope=[(me, "dist_b")]).to_pylist()
    assert row["distributor_count"] == 1
    assert row["gmv_6m_inr"] == 0
    assert row["overdue_inr"] == 2_000
    assert gold(lake, snapshot, as_of=day(T), scope=[]).num_rows == 0


def test_a_merged_shop_is_one_shop_and_can_be_parted_again(
    lake_rows: tuple[dict[str, dict[str, Any]], Any], tmp_path: Path
) -> None:
    rows, (lake, snapshot, _) = lake_rows
    kept, absorbed = rows["returns"]["retailer_id"], rows["two_distributors"]["retailer_id"]
    merged = type(snapshot)(
        version=snapshot.version, deltas=snapshot.deltas, feeds=snapshot.feeds, aliases={absorbed: kept}
    )
    scope = [(kept, "dist_a"), (kept, "dist_b")]
    (row,) = gold(lake, merged, as_of=day(T), scope=scope).to_pylist()
    assert row["retailer_id"] == kept
    assert row["gmv_log_180d"] == pytest.approx(math.log(1 + 16_000))
    everyone = {r["retailer_id"]: r for r in gold(lake, merged, as_of=day(T), scope=None).to_pylist()}
    assert everyone[kept]["gmv_6m_inr"] == row["gmv_6m_inr"]
    assert absorbed not in everyone
    (apart,) = gold(lake, snapshot, as_of=day(T), scope=[(kept, "dist_a")]).to_pylist()
    assert apart["gmv_6m_inr"] == rows["returns"]["gmv_6m_inr"]
