"""Accounts as of a day: one row a retailer and distributor, the sums that features and limits are made of."""

from datetime import date
from typing import Any, Final

import ibis

from altcredit.pipeline.features.ledger import ACCOUNT, DOCUMENTS, MONEY, MONTHS
from altcredit.pipeline.lake.tables import day_number

WINDOW: Final = 180
DPD: Final = 30
"""Days past due from which a bill counts as in default (contract A9)."""
CAN_DEFAULT: Final = 60
"""An open bill can be 30 days past due within 90 days when it falls due within 60."""

COVERAGE: Final = ibis.schema({"distributor_id": "string", "first_day": "int32", "last_day": "int32"})
NORMS: Final = ibis.schema(
    {
        "distributor_id": "string",
        "usual_term": "int64",
        "slope_norm": "float64",
        "ratio_norm": "float64",
        "identified": "float64",
        "returns_seen": "boolean",
    }
)

BILLS: Final = ibis.schema(
    {
        "retailer_id": "string",
        "distributor_id": "string",
        "amount": "float64",
        "balance": "float64",
        "is_open": "boolean",
        "due_age": "int32",
        "closed_age": "int32",
        "bill_age": "int32",
        "part_paid": "boolean",
        "days_late": "float64",
        "festive": "boolean",
    }
)


def trade(as_of: date) -> Any:
    """Return purchases, returns and growth of each account that has a bill, from the table ``documents``."""
    rows = ibis.table(DOCUMENTS, name="documents")
    rows = rows.mutate(age=day_number(as_of) - rows.day)
    bill, note = rows.kind == "invoice", rows.kind == "credit_note"
    payment = (rows.kind == "payment") & ~rows.returned
    net = ibis.cases((bill, rows.amount), (note & ~rows.returned, -rows.amount), else_=0.0)
    credit_bill = bill & ~rows.cash & (rows.age < WINDOW)
    months = {f"month_{k}": net.sum(where=(rows.age >= 30 * k) & (rows.age < 30 * (k + 1))) for k in range(MONTHS)}
    accounts = rows.group_by(ACCOUNT).agg(
        first_bill_age=rows.age.max(where=bill),
        last_bill_age=rows.age.min(where=bill),
        gross_90=rows.amount.sum(where=bill & (rows.age < 90)),
        gross_180=rows.amount.sum(where=bill & (rows.age < WINDOW)),
        returns_90=rows.amount.sum(where=note & (rows.age < 90)),
        returns_180=rows.amount.sum(where=note & (rows.age < WINDOW)),
        cash_180=rows.amount.sum(where=bill & rows.cash & ~rows.disputed & (rows.age < WINDOW)),
        bills_180=rows.count(where=credit_bill),
        dated_180=rows.count(where=credit_bill & rows.due.notnull()),
        payments=rows.count(where=payment),
        receipts_180=rows.amount.sum(where=payment & (rows.age < WINDOW)),
        returned_payments_180=rows.document_id.nunique(
            where=(rows.kind == "payment") & rows.returned & (rows.age < WINDOW)
        ),
        **months,
    )
    accounts = accounts.filter(accounts.first_bill_age.notnull())
    empty = [name for name, kind in accounts.schema().items() if kind.is_floating()]
    accounts = accounts.mutate(**{name: accounts[name].fill_null(0.0) for name in empty})
    return _growth(accounts)


def _growth(accounts: Any) -> Any:
    """Add net purchases and, for accounts with 180 days of history, their slope and ratio."""
    month = [accounts[f"month_{k}"] for k in range(MONTHS)]
    accounts = accounts.mutate(
        gmv_90=month[0] + month[1] + month[2],
        gmv_90_180=month[3] + month[4] + month[5],
        # Least squares over x = -2.5 … 2.5, oldest month first; the sum of x squared is 17.5.
        steepness=sum((MONTHS - 1) / 2 * value - k * value for k, value in enumerate(month)) / 17.5,
    )
    accounts = accounts.mutate(gmv_180=accounts.gmv_90 + accounts.gmv_90_180)
    old = accounts.first_bill_age >= WINDOW
    return accounts.mutate(
        slope=ibis.cases((old & (accounts.gmv_180 > 0), accounts.steepness * MONTHS / accounts.gmv_180)),
        ratio=ibis.cases((old & (accounts.gmv_90_180 > 0), accounts.gmv_90 / accounts.gmv_90_180)),
    )


def owed(bills: Any) -> Any:
    """Return what each account owes, from the bills of the queue."""
    overdue = bills.is_open & (bills.due_age > 0)
    due_now = ibis.cases((overdue, bills.balance), else_=0.0)
    return bills.group_by(ACCOUNT).agg(
        outstanding=bills.balance.sum(),
        overdue=due_now.sum(),
        overdue_15=bills.balance.sum(where=bills.is_open & (bills.due_age > 15)),
        oldest_overdue=bills.due_age.max(where=overdue),
        dpd30=bills.balance.sum(where=bills.is_open & (bills.due_age >= DPD)),
        matured=bills.count(where=bills.due_age >= 0),
        collected_180=(bills.amount - due_now).sum(where=bills.bill_age < WINDOW),
    )


def stated(money: Any, as_of: date) -> Any:
    """Return how much of each account's receipts is stated for bills on record."""
    recent = money.day > day_number(as_of) - WINDOW
    return money.group_by(ACCOUNT).agg(
        stated_180=money.amount.sum(where=money.stated & (money.kind == "payment") & recent)
    )


def covered(accounts: Any, as_of: date) -> Any:
    """Return ``feed_days``, the days since the first bill, at most 180, and how many of them the feed covers."""
    today = day_number(as_of)
    spans = ibis.table(COVERAGE, name="coverage")
    start = ibis.greatest(today - accounts.first_bill_age, today - WINDOW + 1)
    accounts = accounts.select(*ACCOUNT, start=start)
    rows = accounts.left_join(spans, accounts.distributor_id == spans.distributor_id)
    days = ibis.least(rows.last_day, today) - ibis.greatest(rows.first_day, rows.start) + 1
    # LEAST and GREATEST pass over nulls: without this, no span at all would count as covered.
    days = ibis.cases((rows.first_day.notnull(), days), else_=0)
    return rows.group_by(ACCOUNT).agg(feed_days=(today - rows.start.max() + 1), covered_days=days.clip(lower=0).sum())


def beside(left: Any, right: Any, keys: tuple[str, ...]) -> Any:
    """Left join on keys of the same name, which the result has once."""
    renamed = right.rename({f"_{key}": key for key in keys})
    joined = left.left_join(renamed, [left[key] == renamed[f"_{key}"] for key in keys])
    return joined.drop(*(f"_{key}" for key in keys))


def accounts(as_of: date) -> Any:
    """Return all accounts from the tables ``documents``, ``money``, ``bills``, ``norms`` and ``coverage``."""
    rows = trade(as_of)
    for part in (
        owed(ibis.table(BILLS, name="bills")),
        stated(ibis.table(MONEY, name="money"), as_of),
        covered(rows, as_of),
    ):
        rows = beside(rows, part, ACCOUNT)
    rows = beside(rows, ibis.table(NORMS, name="norms").drop("usual_term"), ("distributor_id",))
    zero = ("outstanding", "overdue", "overdue_15", "dpd30", "collected_180", "stated_180", "slope_norm")
    return rows.mutate(
        **{name: rows[name].fill_null(0.0) for name in zero},
        oldest_overdue=rows.oldest_overdue.fill_null(0),
        matured=rows.matured.fill_null(0),
        ratio_norm=rows.ratio_norm.fill_null(1.0),
        identified=rows.identified.fill_null(1.0),
        returns_seen=rows.returns_seen.fill_null(False),
    )
