"""Worlds are what the demo and the tests need them to be."""

from datetime import date

import numpy as np
import pytest

from altcredit.simulator import batches, demo_world, feed, tiny_world

TODAY = date(2026, 11, 22)


@pytest.fixture(scope="module")
def world():
    return demo_world(1, today=TODAY)


@pytest.fixture(scope="module")
def bills(world):
    """Dates and due dates of the bills of each shop, by its number."""
    shop_of = {(a.distributor, a.retailer_ref): shop.number for shop in world.shops for a in shop.accounts}
    found: dict[int, dict[tuple[int, str], tuple[date, str | None]]] = {shop.number: {} for shop in world.shops}
    for d in range(3):
        for r in (r for b in batches(world, d) for r in b.body["invoices"]):
            known = (date.fromisoformat(r["invoice_date"]), r.get("due_date"))
            found[shop_of[d, r["retailer_ref"]]][d, r["invoice_id"]] = known
    return {shop: list(by_id.values()) for shop, by_id in found.items()}


def test_the_demo_fits_a_minute_of_ingestion(world):
    sent = [b for d in range(3) for b in batches(world, d)]
    assert {d.erp for d in world.distributors} == {"tally_prime", "sap_b1", "csv"}
    assert 40_000 <= sum(b.records for b in sent) <= 60_000
    assert len(sent) <= 62


@pytest.mark.parametrize("seed", range(12))
def test_every_seed_casts_all_groups(seed):
    world = demo_world(seed, today=TODAY)
    sizes = {group: len(world.group(group)) for group in ("scored", "unconsented", "unscored", "insufficient")}
    assert sizes == {"scored": 36, "unconsented": 12, "unscored": 10, "insufficient": 12}
    for group in sizes:
        assert all(shop.gstin and all(a.gstin and a.phone for a in shop.accounts) for shop in world.group(group))
    erps = {d.number: d.erp for d in world.distributors}
    for group in ("scored", "unconsented"):
        for shop in world.group(group):
            assert any(erps[a.distributor] != "tally_prime" for a in shop.accounts)


def test_scored_and_unconsented_shops_have_a_year_of_trade(world, bills):
    for shop in (*world.group("scored"), *world.group("unconsented")):
        days = sorted(day for day, _ in bills[shop.number])
        assert len(days) >= 40
        assert (TODAY - days[0]).days >= 365
        assert (TODAY - days[-1]).days <= 45


def test_unscored_shops_have_less_than_ninety_days(world, bills):
    for shop in world.group("unscored"):
        assert 0 < (TODAY - min(day for day, _ in bills[shop.number])).days < 90


def test_insufficient_shops_stay_below_fifty_by_the_weights_of_the_contract(world, bills):
    for shop in world.group("insufficient"):
        mine = bills[shop.number]
        dated = sum(due is not None for _, due in mine)
        assert (TODAY - min(day for day, _ in mine)).days > 180
        assert dated >= 6  # no thin file: enough bills can mature
        (account,) = shop.accounts
        posted = world.documents_of(account.distributor)
        paid = (posted.kind == feed.PAYMENT) & (posted.line == account.line)
        allocated = posted.amount[paid & (posted.bill >= 0)].sum() / posted.amount[paid].sum()
        assert 30 * dated / len(mine) + 30 * allocated + 20 + 10 + 10 < 50


def test_bills_of_scored_shops_have_due_dates(world, bills):
    for shop in world.group("scored"):
        assert np.mean([due is not None for _, due in bills[shop.number]]) > 0.8


def test_a_demo_of_another_day_ends_the_day_before():
    world = demo_world(1, today=date(2027, 3, 1))
    assert world.documents.posted.max() == (date(2027, 2, 28) - date(1970, 1, 1)).days
    assert all(b.sync_to.date() == date(2027, 2, 28) for b in list(batches(world, 0))[-1:])


def test_shares_of_the_design_hold():
    world = tiny_world(3, shops=1500)
    h, p = world.history, world.population
    gaps = (p.opened.max() - p.opened.min()) / (np.bincount(h.bills.line, minlength=p.lines).max())
    assert 3 <= gaps <= 10
    assert h.bills.amount.min() >= 1_500_00
    assert h.bills.amount.max() <= 60_000_00
    returned = h.credits.amount[h.credits.note].sum() / h.bills.amount.sum()
    assert 0.015 <= returned <= 0.06
    per_bill = np.bincount(h.credits.bill[~h.credits.note & (h.credits.returned_on < 0)], minlength=len(h.bills))
    assert 0.10 <= (per_bill > 1).mean() <= 0.35
    month = h.bills.day.astype("datetime64[D]").astype("datetime64[M]").astype(str)
    by_month = {m: h.bills.amount[month == m].mean() for m in ("2025-10", "2026-02", "2026-08")}
    assert 1.25 <= by_month["2025-10"] / by_month["2026-02"] <= 2.2
    assert by_month["2026-08"] < by_month["2025-10"]
    assert (np.bincount(p.shop) > 1).mean() > 0.2


def test_the_feed_has_every_flaw_and_each_in_its_measure():
    world = tiny_world(3, shops=600)
    documents = world.documents
    first = documents.version == 0
    invoices = documents.kind == feed.INVOICE
    assert 0.01 <= (documents.due[invoices & first] < 0).mean() <= 0.03
    assert 0.03 <= (documents.bill[(documents.kind == feed.PAYMENT) & first] < 0).mean() <= 0.12
    corrections = (documents.version == 1) & invoices
    returns = documents.returned & (documents.kind == feed.PAYMENT)
    assert corrections.any()
    assert returns.any()
    assert (documents.version == 2).mean() > 0.004
    assert (documents.posted - documents.day)[first].max() >= 3
    assert np.quantile((documents.posted - documents.day)[first], 0.9) == 2
