"""Bodies of the ingestion API."""

import itertools
import json
from datetime import date, timedelta

import msgspec
import pytest
from stdnum.in_ import gstin

from altcredit.simulator import Quality, batches, build, tiny_world
from altcredit.simulator.seasons import day_number

ARRAYS = ("retailers", "invoices", "payments", "credit_notes")


@pytest.fixture(scope="module")
def world():
    return tiny_world(7)


def all_of(world, array, distributor=0):
    return [r for b in batches(world, distributor) for r in b.body[array]]


def canonical(records):
    return sorted(json.dumps(r, sort_keys=True) for r in records)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others():
    first, again, other = ([b.encode() for d in (0, 1) for b in batches(tiny_world(seed), d)] for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("every_days", [None, 1, 7])
@pytest.mark.parametrize("max_records", [1_000, 37])
def test_windows_follow_one_another_to_the_second_and_no_batch_is_too_large(world, every_days, max_records):
    for distributor in (0, 1):
        sent = list(batches(world, distributor, every_days=every_days, max_records=max_records))
        assert sent[0].sync_from.date() == world.start
        assert sent[-1].sync_to.date() == world.today - timedelta(days=1)
        for earlier, later in itertools.pairwise(sent):
            assert later.sync_from - earlier.sync_to == timedelta(seconds=1)
        for batch in sent:
            assert batch.sync_from <= batch.sync_to
            assert 0 < batch.records <= max_records
            assert batch.records == sum(len(batch.body[array]) for array in ARRAYS)
        assert len({b.batch_id for b in sent}) == len(sent)


def test_a_nightly_connector_sends_what_a_first_load_sends(world):
    nightly = [r for b in batches(world, 0, every_days=1) for array in ARRAYS for r in b.body[array]]
    first_load = [r for b in batches(world, 0) for array in ARRAYS for r in b.body[array]]
    assert canonical(nightly) == canonical(first_load)


def test_a_gap_in_the_feed_is_a_hole_between_windows():
    hole = (day_number(date(2026, 5, 4)), day_number(date(2026, 5, 20)))
    world = build(seed=5, today=date(2026, 11, 22), shops=20, firms=[("One", "csv", Quality(gaps=(hole,)))])
    holes = [
        (earlier.sync_to.date(), later.sync_from.date())
        for earlier, later in itertools.pairwise(batches(world, 0))
        if later.sync_from - earlier.sync_to != timedelta(seconds=1)
    ]
    assert holes == [(date(2026, 5, 3), date(2026, 5, 21))]


def test_every_gstin_has_a_valid_check_digit_and_belongs_to_one_shop():
    shops = tiny_world(11, shops=400).shops
    numbers = [shop.gstin for shop in shops if shop.gstin]
    assert 0.4 <= len(numbers) / len(shops) <= 0.6
    assert all(gstin.is_valid(number) for number in numbers)
    assert len(set(numbers)) == len(numbers)
    assert len({shop.phone for shop in shops}) == len(shops)


def test_every_shop_is_introduced_once_before_its_first_record(world):
    introduced: set[str] = set()
    for batch in batches(world, 0):
        new = [r["retailer_ref"] for r in batch.body["retailers"]]
        assert introduced.isdisjoint(new)
        introduced.update(new)
        for array in ARRAYS[1:]:
            assert {r["retailer_ref"] for r in batch.body[array] if "retailer_ref" in r} <= introduced


def test_a_shop_of_two_distributors_is_linked_by_gstin_or_phone_under_different_codes(world):
    shared = [shop for shop in world.shops if len(shop.accounts) > 1]
    assert shared
    for shop in shared:
        assert len({a.retailer_ref for a in shop.accounts}) == len(shop.accounts)
        for one, two in itertools.pairwise(shop.accounts):
            assert (one.gstin and one.gstin == two.gstin) or (one.phone and one.phone == two.phone)


def test_receipts_take_every_form_of_the_contract(world):
    payments = all_of(world, "payments", 0) + all_of(world, "payments", 1)
    assert any(p["invoice_id"] for p in payments)
    assert any(p["invoice_id"] is None and "allocations" not in p for p in payments)
    split = [p for p in payments if "allocations" in p]
    assert any(len(p["allocations"]) > 1 for p in split)
    assert all(p["invoice_id"] is None for p in split)
    assert all(sum(a["amount_inr"] for a in p["allocations"]) <= p["amount_paid_inr"] + 0.001 for p in split)
    assert any(p.get("status") == "returned" for p in payments)
    assert all("retailer_ref" in p for p in payments if p["invoice_id"] is None)


def test_bodies_read_back_as_they_were_written(world):
    for batch in batches(world, 1):
        assert msgspec.json.decode(batch.encode()) == batch.body
        assert all(r["amount_inr"] > 0 for r in batch.body["invoices"])
