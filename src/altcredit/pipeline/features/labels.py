"""
The label from the ledger itself (contract A9): does a retailer default within 90 days of a day?

A retailer is in default on a day when its undisputed balance of at least 30 days past due is at least max(₹1,000, 10 %
of its mean month's net purchases before the label's day t). At t it is *eligible* when it is not in default and has an
open bill that can be 30 days past due within 90 days; it *defaults* when it is in default on any of the next 90 days.
The label is *mature* when the watermarks of all its distributors have passed t + 90 days and their posting lag.

Labels use all that is known now; features of the same t (gold.py) only what was known then.

The balance rises only on days on which a bill becomes 30 days past due: it is enough to look at those days, and at t.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from altcredit.pipeline.features import ledger
from altcredit.pipeline.features.accounts import DPD, WINDOW, beside
from altcredit.pipeline.features.gold import Inputs, Scope, gold, material
from altcredit.pipeline.features.ledger import ACCOUNT, DOCUMENTS, MONEY
from altcredit.pipeline.lake.engine import Lake
from altcredit.pipeline.lake.tables import NOW, Snapshot, day_number

FEED_DAYS: Final = 180
"""The first day that a label is taken for is so long after the beginning of the feed."""
MIN_HISTORY_DAYS: Final = 90
MIN_MATURED_BILLS: Final = 6
DEFAULT_LAG_DAYS: Final = 3

MOMENTS: Final = ibis.schema({"t": "int32"})
FEEDS: Final = ibis.schema({"distributor_id": "string", "complete_to": "int32"})
QUEUE: Final = ibis.schema(
    {
        "retailer_id": "string",
        "distributor_id": "string",
        "day": "int32",
        "due": "int32",
        "owed": "float64",
        "billed": "float64",
        "closed_day": "int32",
    }
)
RECEIVED: Final = ibis.schema(
    {"retailer_id": "string", "distributor_id": "string", "day": "int32", "received": "float64"}
)
LABELS: Final = pa.schema(
    [
        ("retailer_id", pa.string()),
        ("as_of", pa.date32()),
        ("eligible", pa.bool_()),
        ("default", pa.bool_()),
        ("mature", pa.bool_()),
    ]
)


def _queue() -> Any:
    """All bills of the queue with the day on which each was closed."""
    money = ibis.table(MONEY, name="money")
    return ledger.closed(ledger.queue(ledger.invoices(), money), ledger.received(money)).select(*QUEUE)


def _received() -> Any:
    return ledger.received(ibis.table(MONEY, name="money"))


def _balances(horizon: int) -> Any:
    """Balance of at least 30 days past due by retailer and day, on the days on which it can have risen, and on t."""
    bills = ibis.table(QUEUE, name="queue")
    moments = ibis.table(MOMENTS, name="moments")
    bills = bills.mutate(aged=bills.due + DPD)
    late = bills.filter(bills.closed_day.isnull() | (bills.closed_day > bills.aged))
    span = moments.agg(first=moments.t.min(), last=moments.t.max() + horizon)
    rises = late.cross_join(span)
    rises = rises.filter((rises.aged > rises.first) & (rises.aged <= rises.last)).select(
        "retailer_id", at=rises.aged.cast("int64")
    )
    at_t = late.select("retailer_id").distinct().cross_join(moments.select(at=moments.t.cast("int64")))
    days = ibis.union(rises, at_t.select("retailer_id", "at"), distinct=True)
    days = days.select(d_retailer="retailer_id", at="at")
    rows = late.join(days, [late.retailer_id == days.d_retailer, late.aged <= days.at])
    rows = rows.filter(rows.closed_day.isnull() | (rows.closed_day > rows["at"]))
    rows = rows.select(*ACCOUNT, "owed", "billed", "at")
    paid = _paid_by(rows.select(*ACCOUNT, "at").distinct())
    rows = rows.left_join(
        paid,
        [
            rows.retailer_id == paid.p_retailer,
            rows.distributor_id == paid.p_distributor,
            rows["at"] == paid.p_at,
        ],
    )
    rest = ibis.least(rows.billed - rows.paid.fill_null(0.0), rows.owed)
    return rows.mutate(rest=rest).group_by("retailer_id", "at").agg(balance=ibis._.rest.sum())


def _paid_by(wanted: Any) -> Any:
    """Money received up to the end of each wanted day of an account."""
    receipts = ibis.table(RECEIVED, name="received")
    wanted = wanted.select(
        *ACCOUNT, day=wanted["at"].cast("int32"), received=ibis.null("float64"), asked=ibis.literal(1, "int8")
    )
    known = receipts.mutate(asked=ibis.literal(0, "int8")).select(*ACCOUNT, "day", "received", "asked")
    rows = ibis.union(known, wanted, distinct=False)
    order = ibis.window(group_by=ACCOUNT, order_by=[rows.day, rows.asked], preceding=(None, 0))
    rows = rows.mutate(paid=rows.received.max().over(order)).filter(ibis._.asked == 1)
    return rows.select(p_retailer="retailer_id", p_distributor="distributor_id", p_at="day", paid="paid")


def _floors() -> Any:
    """The least material balance of each retailer at each t, for retailers that had a bill by then."""
    rows = ibis.table(DOCUMENTS, name="documents")
    bill = rows.kind == "invoice"
    counted = bill | ((rows.kind == "credit_note") & ~rows.returned)
    rows = rows.filter(counted).mutate(net=bill.ifelse(rows.amount, -rows.amount), bill=bill)
    rows = rows.cross_join(ibis.table(MOMENTS, name="moments"))
    rows = rows.filter(rows.day <= rows.t)
    found = rows.group_by("retailer_id", "t").agg(
        net=rows.net.sum(where=rows.day > rows.t - WINDOW), first_day=rows.day.min(where=rows.bill)
    )
    found = found.filter(found.first_day.notnull())
    return found.select("retailer_id", "t", floor=material(found.net.fill_null(0.0), found.t - found.first_day))


def _open(horizon: int) -> Any:
    """Retailers and t with an open bill that can be 30 days past due within the horizon."""
    rows = ibis.table(QUEUE, name="queue").cross_join(ibis.table(MOMENTS, name="moments"))
    is_open = rows.closed_day.isnull() | (rows.closed_day > rows.t)
    rows = rows.filter(rows.day <= rows.t, is_open, rows.due + DPD <= rows.t + horizon)
    return rows.select("retailer_id", "t").distinct().mutate(can=ibis.literal(True))


def _complete() -> Any:
    """The day up to which every distributor of a retailer is complete, by t."""
    rows = ibis.table(DOCUMENTS, name="documents")
    accounts = rows.filter(rows.kind == "invoice").group_by(ACCOUNT).agg(first_day=ibis._.day.min())
    accounts = beside(accounts, ibis.table(FEEDS, name="feeds"), ("distributor_id",))
    rows = accounts.cross_join(ibis.table(MOMENTS, name="moments"))
    rows = rows.filter(rows.first_day <= rows.t)
    return rows.group_by("retailer_id", "t").agg(complete_to=rows.complete_to.fill_null(0).min())


def _labels(horizon: int) -> Any:
    rows = beside(_floors(), _open(horizon), ("retailer_id", "t"))
    rows = beside(rows, _complete(), ("retailer_id", "t"))
    balances = _balances(horizon).select(b_retailer="retailer_id", at="at", balance="balance")
    seen = rows.join(
        balances,
        [rows.retailer_id == balances.b_retailer, balances.at >= rows.t, balances.at <= rows.t + horizon],
    )
    seen = seen.filter(seen.balance >= seen.floor)
    hit = seen.group_by("retailer_id", "t").agg(now=(seen["at"] == seen.t).any(), later=(seen["at"] > seen.t).any())
    rows = beside(rows, hit, ("retailer_id", "t"))
    eligible = rows.can.fill_null(False) & ~rows.now.fill_null(False)
    return rows.select(
        "retailer_id",
        "t",
        eligible=eligible,
        default=ibis.cases((eligible, rows.later.fill_null(False))),
        mature=rows.complete_to >= rows.t + horizon,
    )


def labels(
    lake: Lake, snapshot: Snapshot, *, as_of_dates: Sequence[date], horizon_days: int = 90, scope: Scope | None = None
) -> pa.Table:
    """
    Return ``retailer_id, as_of, eligible, default, mature``: a row for each day and retailer with a bill by then.

    ``default`` is null where the retailer is not eligible. Only accounts in ``scope`` are used (None: all).
    """
    through = max(as_of_dates) + timedelta(days=horizon_days)
    moments = pa.table({"t": sorted({day_number(day) for day in as_of_dates})}, schema=MOMENTS.to_pyarrow())
    with lake.session() as session:
        given = Inputs(session, lake, snapshot, scope)
        session.give("norms", given.norms(through, known_now=True))
        session.give("moments", moments)
        session.give("feeds", pa.Table.from_pylist(_feeds(snapshot), schema=FEEDS.to_pyarrow()))
        found = []
        for part in given.parts:
            given.documents(part, known_us=NOW, through=through)
            given.make("money", ledger.money)
            given.make("queue", _queue)
            given.make("received", _received)
            found.append(given.fetch(_labels, horizon_days))
    table = pa.concat_tables(found)
    days = table["t"].cast(pa.int32()).cast(pa.date32())
    return table.set_column(table.schema.get_field_index("t"), "as_of", days).cast(LABELS)


def _feeds(snapshot: Snapshot) -> list[dict[str, object]]:
    """Return up to which day each distributor's documents are all in: its watermark less its posting lag."""
    return [
        {
            "distributor_id": distributor,
            "complete_to": day_number(feed.watermark)
            - (DEFAULT_LAG_DAYS if feed.lag_p90_days is None else feed.lag_p90_days),
        }
        for distributor, feed in snapshot.feeds.items()
        if feed.watermark is not None
    ]


def training_frame(
    lake: Lake,
    snapshot: Snapshot,
    *,
    as_of_dates: Sequence[date],
    scope: Scope | None = None,
    horizon_days: int = 90,
) -> pa.Table:
    """
    Return gold at several days with the labels ``default`` (bool) and ``mature`` (bool) of each row.

    Kept are the rows that a model may learn from: eligible, not in default as known at t, at least 90 days of history
    and six matured credit bills, some payment data, and the feeds of all main distributors at least 180 days old. Rows
    that are not mature are kept and marked: their defaults are seen, their survivals are not.
    """
    known = labels(lake, snapshot, as_of_dates=as_of_dates, horizon_days=horizon_days, scope=scope)
    known = known.filter(known["eligible"])
    frames = [_frame(lake, snapshot, day, scope, known) for day in sorted(set(as_of_dates))]
    return pa.concat_tables(frames)


def _frame(lake: Lake, snapshot: Snapshot, day: date, scope: Scope | None, known: pa.Table) -> pa.Table:
    """Return the usable rows of one day with their labels."""
    table = gold(lake, snapshot, as_of=day, scope=scope)
    begun = {distributor: feed.coverage[0][0] for distributor, feed in snapshot.feeds.items() if feed.coverage}
    running = {name for name, first in begun.items() if (day - first).days >= FEED_DAYS}
    usable = (
        (table["history_days"].to_numpy() >= MIN_HISTORY_DAYS)
        & (table["matured_credit_bills"].to_numpy() >= MIN_MATURED_BILLS)
        & table["has_payment_data"].to_numpy()
        & ~table["in_default"].to_numpy()
        & np.array([running.issuperset(feed) for feed in table["feed"].to_pylist()], dtype=np.bool_)
    )
    table = table.filter(pa.array(usable))
    known = known.filter(pc.equal(known["as_of"], pa.scalar(day, pa.date32())))
    at = pc.index_in(table["retailer_id"], value_set=known["retailer_id"])
    table, at = table.filter(pc.is_valid(at)), at.drop_null()
    return table.append_column("default", known["default"].take(at)).append_column("mature", known["mature"].take(at))
