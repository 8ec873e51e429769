"""
The ledger as of a day: bills, orders and accounts of each retailer, from silver.

Money is applied on one basis everywhere, order of time for each account (a retailer with a distributor), so that
distributors who state what a receipt pays and those who do not are comparable (contract A9, A14; design, pipeline):

- Credit bills queue by date. Receipts, credit notes and money on account pay the oldest first, each at its date; money
  beyond all bills waits for the next.
- A bill is closed when what is left of it is at most max(₹100, 2 %). Where the receipts stated for a bill leave no
  more than that, the rest is written off: else fifty roundings would become an arrear.
- Cash bills and bills in dispute do not queue, and money stated for them, or for bills that are not on record (those
  from before the feed began), pays no other bill.
- A returned payment is no payment: the later version of it, or its first, says ``returned``.
- A bill without due date falls due after the distributor's usual term.

With B(i) the queue up to and with bill i and C(d) the money up to day d, bill i is paid on the first day d with
``C(d) >= B(i) - max(₹100, 2 %)``, and what is open of it is ``min(B(i) - C, amount)``: two cumulative sums and one
running minimum, for all accounts at once.

All amounts are whole paise in floating point (exact below 2^53), all dates are whole days since 1970.
"""

from datetime import date
from typing import Any, Final

import ibis

from altcredit.pipeline.features.festivals import recent_seasons
from altcredit.pipeline.lake.tables import SILVER, day_number

ACCOUNT: Final = ("retailer_id", "distributor_id")
RESIDUE_PAISE: Final = 100_00.0
RESIDUE_SHARE: Final = 0.02
MONTHS: Final = 6
ORDER_DAYS: Final = 400

ALIASES: Final = ibis.schema({"alias_id": "string", "survivor_id": "string"})
SCOPE: Final = ibis.schema({"retailer_id": "string", "distributor_id": "string"})
TERMS: Final = ibis.schema({"distributor_id": "string", "usual_term": "int64"})

DEFAULT_TERM_DAYS: Final = 30
"""Term of a bill without due date where the distributor has no bill with one."""

DOCUMENTS: Final = ibis.schema(
    {
        "retailer_id": "string",
        "distributor_id": "string",
        "kind": "string",
        "document_id": "string",
        "line": "int32",
        "stated_id": "string",
        "day": "int32",
        "due": "int32",
        "amount": "float64",
        "cash": "boolean",
        "disputed": "boolean",
        "returned": "boolean",
    }
)

MONEY: Final = ibis.schema(
    {
        "retailer_id": "string",
        "distributor_id": "string",
        "kind": "string",
        "day": "int32",
        "amount": "float64",
        "stated_id": "string",
        "stated": "boolean",
        "applied": "float64",
    }
)


def documents(known_us: int, through: date, scoped: bool, aliased: bool) -> Any:
    """
    Return DOCUMENTS from ``silver``: those dated up to ``through``, as known at a moment (microseconds since 1970).

    ``scoped``: only accounts of the table ``scope`` (consent, contract C2). ``aliased``: merged ids, by ``aliases``.
    """
    rows = ibis.table(SILVER, name="silver")
    rows = rows.filter(
        rows.known_us <= known_us, rows.until_us > known_us, rows.document_date <= through, rows.retailer_id.notnull()
    )
    if aliased:
        aliases = ibis.table(ALIASES, name="aliases")
        rows = rows.left_join(aliases, rows.retailer_id == aliases.alias_id)
        rows = rows.mutate(retailer_id=ibis.coalesce(rows.survivor_id, rows.retailer_id))
    if scoped:
        rows = rows.semi_join(ibis.table(SCOPE, name="scope"), ACCOUNT)
    day, due = rows.document_date.epoch_days().cast("int32"), rows.due_date.epoch_days().cast("int32")
    return rows.select(
        *ACCOUNT,
        "kind",
        "document_id",
        "line",
        stated_id=ibis.cases((~rows.on_account, rows.invoice_id)),
        day=day,
        due=due,
        amount=rows.amount_paise.cast("float64"),
        cash=(rows.kind == "invoice")
        & ((rows.terms == "cash") | (rows.terms.isnull() & (due == day))).fill_null(False),
        disputed=rows.disputed.fill_null(False),
        returned=(rows.status == "returned").fill_null(False),
    )


def invoices() -> Any:
    """Return the invoices of the table ``documents``: ``due`` is never null, ``queues`` says whether it is FIFO's."""
    rows = ibis.table(DOCUMENTS, name="documents")
    rows = rows.filter(rows.kind == "invoice").select(
        *ACCOUNT, "document_id", "day", "due", "amount", "cash", "disputed"
    )
    terms = ibis.table(TERMS, name="norms")
    rows = rows.left_join(terms, "distributor_id").drop("distributor_id_right")
    term = rows.usual_term.fill_null(DEFAULT_TERM_DAYS)
    return rows.select(
        *ACCOUNT,
        "document_id",
        "day",
        "amount",
        "cash",
        "disputed",
        due=rows.due.fill_null(rows.day + term).cast("int32"),
        dated=rows.due.notnull(),
        queues=~rows.cash & ~rows.disputed,
    )


def money() -> Any:
    """Return receipts and credit notes of ``documents`` that count, each with whether it is stated for a known bill
    (``stated``) and what of it pays the queue (``applied``)."""
    rows = ibis.table(DOCUMENTS, name="documents")
    rows = rows.filter(rows.kind != "invoice", ~rows.returned).select(*ACCOUNT, "kind", "stated_id", "day", "amount")
    bills = ibis.table(DOCUMENTS, name="documents")
    bills = bills.filter(bills.kind == "invoice").select(
        b_retailer=bills.retailer_id,
        b_distributor=bills.distributor_id,
        b_id=bills.document_id,
        b_queues=~bills.cash & ~bills.disputed,
    )
    rows = rows.left_join(
        bills,
        [
            rows.stated_id == bills.b_id,
            rows.distributor_id == bills.b_distributor,
            rows.retailer_id == bills.b_retailer,
        ],
    )
    pays = rows.stated_id.isnull() | rows.b_queues.fill_null(False)
    return rows.select(
        *ACCOUNT,
        "kind",
        "day",
        "amount",
        "stated_id",
        stated=rows.b_id.notnull(),
        applied=ibis.cases((pays, rows.amount), else_=0.0),
    )


def received(money: Any) -> Any:
    """Return the running total of applied money by account and day (``received``), days with none left out."""
    days = money.filter(money.applied > 0).group_by(*ACCOUNT, "day").agg(applied=money.applied.sum())
    total = days.applied.sum().over(ibis.cumulative_window(group_by=ACCOUNT, order_by="day"))
    return days.select(*ACCOUNT, "day", received=total)


def queue(invoices: Any, money: Any) -> Any:
    """Return the bills that queue: ``billed`` up to and with each, ``due``, ``tolerance``, ``part_paid``; the residue
    of bills that stated receipts have all but paid is written off."""
    stated = money.filter(money.stated).group_by(*ACCOUNT, "stated_id")
    receipt = money.kind == "payment"
    stated = stated.agg(
        told=money.amount.sum(), first=money.day.min(where=receipt), last=money.day.max(where=receipt)
    ).select(
        s_retailer="retailer_id",
        s_distributor="distributor_id",
        s_id="stated_id",
        told="told",
        first="first",
        last="last",
    )
    bills = invoices.filter(invoices.queues)
    bills = bills.left_join(
        stated,
        [
            bills.document_id == stated.s_id,
            bills.distributor_id == stated.s_distributor,
            bills.retailer_id == stated.s_retailer,
        ],
    )
    tolerance = ibis.greatest(bills.amount * RESIDUE_SHARE, RESIDUE_PAISE)
    rest = bills.amount - bills.told
    bills = bills.mutate(tolerance=tolerance, rest=rest)
    written_off = ibis.cases(((bills.rest > 0) & (bills.rest <= bills.tolerance), bills.rest), else_=0.0)
    part_paid = ibis.cases((bills.first.notnull(), (bills.first < bills.last) | (bills.rest > bills.tolerance)))
    bills = bills.mutate(owed=bills.amount - written_off, part_paid=part_paid)
    order = ibis.cumulative_window(group_by=ACCOUNT, order_by=["day", "document_id"])
    return bills.select(
        *ACCOUNT, "day", "due", "amount", "owed", "tolerance", "part_paid", billed=bills.owed.sum().over(order)
    )


def closed(queue: Any, received: Any) -> Any:
    """Return the queue with ``closed_day``, the day on which each bill was paid (null: open)."""
    columns = ("day", "due", "amount", "owed", "tolerance", "part_paid", "billed")
    bills = queue.mutate(level=queue.billed - queue.tolerance, paid_day=ibis.null("int32"), is_money=ibis.literal(0))
    credit = received.mutate(
        level=received.received,
        paid_day=received.day,
        is_money=ibis.literal(1),
        **{name: ibis.null(queue[name].type()) for name in columns},
    )
    kept = (*ACCOUNT, *columns, "level", "paid_day", "is_money")
    rows = ibis.union(bills.select(kept), credit.select(kept), distinct=False)
    # From the highest total down, the least day so far is the first day on which the total had reached this level.
    order = ibis.window(group_by=ACCOUNT, order_by=[rows.level.desc(), rows.is_money.desc()], preceding=(None, 0))
    rows = rows.mutate(reached=rows.paid_day.min().over(order)).filter(rows.is_money == 0)
    # A bill no greater than the tolerance is closed from the beginning, and so is one that needs no money at all.
    nothing = (rows.level <= 0) | (rows.owed <= rows.tolerance)
    at_once = ibis.cases((nothing, rows.day), else_=rows.reached)
    return rows.select(
        *ACCOUNT,
        *columns,
        closed_day=ibis.cases((at_once.notnull(), ibis.greatest(at_once, rows.day))),
    )


def bills(as_of: date) -> Any:
    """Return one row a bill of the queue as of ``as_of`` from the tables ``documents``, ``money`` and ``norms``."""
    paid = ibis.table(MONEY, name="money")
    receipts = received(paid)
    rows = closed(queue(invoices(), paid), receipts)
    totals = receipts.group_by(*ACCOUNT).agg(total=receipts.received.max())
    rows = rows.left_join(totals, ACCOUNT).drop("retailer_id_right", "distributor_id_right")
    today = day_number(as_of)
    is_open = rows.closed_day.isnull()
    rest = ibis.least(rows.billed - rows.total.fill_null(0.0), rows.owed)
    rows = rows.mutate(
        is_open=is_open,
        balance=ibis.cases((is_open, rest), else_=0.0),
        due_age=today - rows.due,
        closed_age=today - rows.closed_day,
        bill_age=today - rows.day,
    )
    late = ibis.cases((~rows.is_open, ibis.greatest(rows.closed_day - rows.due, 0)), (rows.due_age > 0, rows.due_age))
    festive = ibis.literal(False)
    for first, last in recent_seasons(as_of):
        festive = festive | rows.day.between(day_number(first), day_number(last))
    return rows.select(
        *ACCOUNT,
        "amount",
        "balance",
        "is_open",
        "due_age",
        "closed_age",
        "bill_age",
        "part_paid",
        days_late=late.cast("float64"),
        festive=festive,
    )


def orders(as_of: date) -> Any:
    """Return one row a day on which a retailer ordered, from any distributor, in the last 400 days."""
    rows = ibis.table(DOCUMENTS, name="documents")
    rows = rows.filter(rows.kind == "invoice", rows.day > day_number(as_of) - ORDER_DAYS)
    days = rows.group_by("retailer_id", "day").agg(value=rows.amount.sum())
    gap = days.day - days.day.lag().over(ibis.window(group_by="retailer_id", order_by="day"))
    return days.select("retailer_id", "value", age=day_number(as_of) - days.day, gap=gap)
