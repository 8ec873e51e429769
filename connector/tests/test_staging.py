"""Cutting records into batches: sizes, claimed days, and what a failing source leaves behind."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from altcredit_connector.journal import Journal
from altcredit_connector.records import Document, Invoice, Payment, Retailer
from altcredit_connector.staging import DAY, Item, SourceError, Stage, Window, chunks

START = date(2026, 5, 1)
NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
OFFSETS = st.lists(st.integers(0, 40), min_size=1, max_size=120)


def items(offsets: list[int]) -> list[Item]:
    return [Item(START + timedelta(days=n), "invoice", str(k), "", "{}") for k, n in enumerate(offsets)]


@given(OFFSETS, st.integers(1, 30), st.booleans())
def test_claimed_days_are_contiguous_complete_at_the_end_and_never_ahead(
    offsets: list[int], limit: int, covered: bool
) -> None:
    until = START + timedelta(days=40)
    cut = list(chunks(items(offsets), START, until, limit, covered=covered))
    assert [item.record_id for chunk, _, _ in cut for item in chunk] != []
    assert sorted(int(item.record_id) for chunk, _, _ in cut for item in chunk) == list(range(len(offsets)))
    assert all(len(chunk) <= limit for chunk, _, _ in cut)
    assert all(start <= end for _, start, end in cut)
    assert cut[-1][2] == until or (not covered and cut[-1][1:] == (START, START))
    reached = START - DAY if covered else START
    for (_, start, end), following in pairwise([*cut, ([], until, until)]):
        assert start <= reached + DAY
        reached = max(reached, end)
        later = [item.day for item in following[0]]
        if later and not (start == end == START and not covered):
            assert end < min(later), "a day was claimed whose records were still to come"


def stage(journal: Journal, windows: Iterator[Window], *, now: datetime = NOW, limit: int = 10) -> int:
    ids = (f"00000000-0000-4000-8000-{n:012d}" for n in count(len(journal.batches("queued"))))
    runner = Stage(journal, distributor_id="dist_1", now=now, new_id=lambda: next(ids), limit=limit)
    return sum(staged.batches for staged in runner.run(windows))


def journal() -> Journal:
    return Journal(sqlite3.connect(":memory:", isolation_level=None))


def bill(number: int, on: date, rupees: int = 100, *, origin: str = "") -> Document:
    shop = Retailer(retailer_ref="Shop", name="Shop")
    invoice = Invoice(
        invoice_id=str(number), retailer_ref="Shop", retailer_gst=None, invoice_date=on, amount_inr=Decimal(rupees)
    )
    return Document(day=on, records=(shop, invoice), origin=origin)


def weeks(number: int, per_week: int, *, breaks_at: int | None = None) -> Iterator[Window]:
    for week in range(number):
        first = START + timedelta(days=7 * week)
        if week == breaks_at:
            raise SourceError("the ERP stopped")
        documents = [bill(week * per_week + n, first + timedelta(days=n % 7)) for n in range(per_week)]
        yield Window(documents=documents, marks={"read_to": str(week)}, since=first, until=first + 6 * DAY, joins=True)


def test_quiet_weeks_share_batches() -> None:
    kept = journal()
    assert stage(kept, weeks(20, 2)) == 5, "41 records in batches of 10"
    assert kept.mark("covered_to") == (START + timedelta(days=139)).isoformat()


def test_a_source_that_breaks_keeps_what_was_read_before() -> None:
    kept = journal()
    with pytest.raises(SourceError):
        stage(kept, weeks(20, 2, breaks_at=7))
    assert kept.mark("read_to") == "6"
    assert sum(batch.records for batch in kept.batches("queued")) == 15
    stage(kept, weeks(20, 2))
    assert sum(batch.records for batch in kept.batches("queued")) == 41


def test_today_is_sent_but_claimed_tomorrow() -> None:
    kept, today = journal(), NOW.date()
    stage(kept, iter([Window(documents=[bill(1, today - 2 * DAY), bill(2, today)], marks={})]))
    [first] = kept.batches("queued")
    assert first.sync_to[:10] == (today - DAY).isoformat()
    stage(kept, iter([Window(documents=[bill(3, today + DAY)], marks={})]), now=NOW + timedelta(days=2))
    second = kept.batches("queued")[1]
    assert (second.sync_from[:10], second.sync_to[:10]) == (today.isoformat(), (today + DAY).isoformat())


def test_a_mistyped_year_claims_no_decade() -> None:
    kept = journal()
    documents = [bill(0, date(2006, 5, 3)), *(bill(n, START + n * DAY) for n in range(1, 30))]
    stage(kept, iter([Window(documents=documents, marks={})]))
    assert sum(batch.records for batch in kept.batches("queued")) == 31
    assert min(batch.sync_from[:10] for batch in kept.batches("queued")) == (START + DAY).isoformat()


def test_old_corrections_claim_no_new_day() -> None:
    kept = journal()
    stage(kept, iter([Window(documents=[bill(n, START + n * DAY) for n in range(30)], marks={})]))
    stage(kept, iter([Window(documents=[bill(3, START + 3 * DAY, 120)], marks={})]))
    assert kept.mark("covered_to") == (START + 29 * DAY).isoformat()
    assert kept.batches("queued")[-1].sync_to[:10] == (START + 3 * DAY).isoformat()


def test_a_voucher_that_no_longer_holds_a_record_takes_it_back_once() -> None:
    kept = journal()
    paid = Payment(
        payment_id="R1", retailer_ref="Shop", retailer_gst=None, paid_date=START, amount_paid_inr=Decimal("10.50")
    )
    stage(kept, iter([Window(documents=[Document(day=START, records=(paid,), origin="guid")], marks={})]))
    for _ in range(2):
        stage(kept, iter([Window(documents=[Document(day=START, records=(), origin="guid")], marks={})]))
    assert len(kept.batches("queued")) == 2
    assert kept.last("payment", "R1") is not None
    assert '"amount_paid_inr":10.50' in str(kept.last("payment", "R1"))
    assert '"status":"returned"' in str(kept.last("payment", "R1"))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 15), st.integers(1, 3)), max_size=40), st.integers(1, 6))
def test_the_last_version_of_every_record_is_what_the_queue_ends_with(
    versions: list[tuple[int, int]], size: int
) -> None:
    kept = journal()
    for at in range(0, len(versions), size):
        documents = [bill(number, START, rupees) for number, rupees in versions[at : at + size]]
        stage(kept, iter([Window(documents=documents, marks={})]), limit=7)
    sent: dict[str, str] = {}
    for batch in kept.batches("queued"):
        body = kept.body(batch.batch_id).decode()
        for number in range(1, 16):
            if (place := body.find(f'"invoice_id":"{number}",')) >= 0:
                sent[str(number)] = body[body.index("amount_inr", place) + 12]
    assert sent == {str(number): str(rupees) for number, rupees in versions}
