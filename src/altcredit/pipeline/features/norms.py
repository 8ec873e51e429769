"""
What is normal for a distributor as of a day: its usual term and how its median shop's purchases move, with two facts of
its feed: whether it sends credit notes, and which share of its records has found a shop.

Norms are of the accounts in scope (contract C2) and are stored by the nightly run, so that a refresh of a few shops
compares them with all. A distributor with fewer than ten shops to compare takes the median of all distributors.
"""

from datetime import date
from typing import Any, Final

import ibis

from altcredit.pipeline.features.accounts import WINDOW, trade
from altcredit.pipeline.features.ledger import DOCUMENTS
from altcredit.pipeline.lake.tables import SILVER, day_number

MIN_PEERS: Final = 10

GROWTHS: Final = ibis.schema({"distributor_id": "string", "slope": "float64", "ratio": "float64"})
TERM_COUNTS: Final = ibis.schema({"distributor_id": "string", "term": "int64", "n": "int64"})
FEED_COUNTS: Final = ibis.schema({"distributor_id": "string", "records": "int64", "notes": "int64", "waiting": "int64"})


def growths(as_of: date) -> Any:
    """Return the growth of each account of ``documents`` that has 180 days of history."""
    rows = trade(as_of)
    return rows.filter(rows.slope.notnull() | rows.ratio.notnull()).select(*GROWTHS)


def term_counts() -> Any:
    """Return how many credit bills of ``documents`` each distributor has by term in days."""
    rows = ibis.table(DOCUMENTS, name="documents")
    rows = rows.filter(rows.kind == "invoice", ~rows.cash, rows.due.notnull(), rows.due >= rows.day)
    return rows.group_by("distributor_id", term=(rows.due - rows.day).cast("int64")).agg(n=rows.count())


def feed_counts(as_of: date, known_us: int) -> Any:
    """Return records of the last 180 days and credit notes by distributor, from ``documents`` and ``silver``."""
    rows = ibis.table(DOCUMENTS, name="documents")
    counts = rows.group_by("distributor_id").agg(
        records=rows.count(where=rows.day > day_number(as_of) - WINDOW),
        notes=rows.count(where=rows.kind == "credit_note"),
    )
    lines = ibis.table(SILVER, name="silver")
    late = lines.filter(~lines.named, lines.original, lines.own_us <= known_us, lines.known_us > known_us)
    counts = counts.mutate(waiting=ibis.literal(0, "int64")).select(*FEED_COUNTS)
    return ibis.union(counts, _waiting(late, as_of), distinct=False)


def unresolved_counts(as_of: date, known_us: int) -> Any:
    """Return the lines of ``unresolved`` of the last 180 days that were known at a moment, by distributor."""
    lines = ibis.table(SILVER, name="unresolved")
    return _waiting(lines.filter(lines.known_us <= known_us, lines.until_us > known_us), as_of)


def _waiting(lines: Any, as_of: date) -> Any:
    age = day_number(as_of) - lines.document_date.epoch_days()
    lines = lines.filter((age >= 0) & (age < WINDOW))
    counts = lines.group_by("distributor_id").agg(waiting=lines.count())
    return counts.mutate(records=ibis.literal(0, "int64"), notes=ibis.literal(0, "int64")).select(*FEED_COUNTS)


def norms() -> Any:
    """Return NORMS from the tables ``growths``, ``term_counts`` and ``feed_counts``."""
    feeds = ibis.table(FEED_COUNTS, name="feed_counts")
    feeds = feeds.group_by("distributor_id").agg(
        records=feeds.records.sum(), notes=feeds.notes.sum(), waiting=feeds.waiting.sum()
    )
    feeds = feeds.select(
        "distributor_id",
        returns_seen=feeds.notes > 0,
        identified=1.0 - (feeds.waiting / ibis.greatest(feeds.waiting + feeds.records, 1)),
    )
    rows = feeds.left_join(_usual_terms(), "distributor_id")
    rows = rows.left_join(_medians(), "distributor_id")
    return rows.select(
        "distributor_id",
        usual_term=rows.usual_term,
        slope_norm=rows.slope_norm,
        ratio_norm=rows.ratio_norm,
        identified=rows.identified,
        returns_seen=rows.returns_seen,
    )


def _usual_terms() -> Any:
    """Lower median of the terms of each distributor."""
    counts = ibis.table(TERM_COUNTS, name="term_counts")
    counts = counts.group_by("distributor_id", "term").agg(n=counts.n.sum())
    up_to = counts.n.sum().over(ibis.cumulative_window(group_by="distributor_id", order_by="term"))
    counts = counts.mutate(up_to=up_to, all=counts.n.sum().over(group_by="distributor_id"))
    return counts.group_by("distributor_id").agg(usual_term=counts.term.min(where=counts.up_to * 2 >= counts["all"]))


def _medians() -> Any:
    """Median growth of each distributor's accounts, or of all accounts where there are too few to compare."""
    rows = ibis.table(GROWTHS, name="growths")
    everyone = rows.agg(slope=rows.slope.median(), ratio=rows.ratio.median(), n=rows.count())
    everyone = everyone.select(
        all_slope=ibis.cases((everyone.n >= MIN_PEERS, everyone.slope), else_=0.0),
        all_ratio=ibis.cases((everyone.n >= MIN_PEERS, everyone.ratio), else_=1.0),
    )
    own = rows.group_by("distributor_id").agg(slope=rows.slope.median(), ratio=rows.ratio.median(), n=rows.count())
    own = own.cross_join(everyone)
    enough = own.n >= MIN_PEERS
    return own.select(
        "distributor_id",
        slope_norm=ibis.cases((enough, own.slope), else_=own.all_slope),
        ratio_norm=ibis.cases((enough, own.ratio), else_=own.all_ratio),
    )
