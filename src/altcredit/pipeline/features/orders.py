"""Rhythm and size of orders, and how long the retailer has traded. One row a day with orders (``orders``)."""

from typing import Any

import ibis

from altcredit.pipeline.features.feature import feature, ratio

MIN_ORDERS = 3


def _variation(value: Any, where: Any) -> Any:
    """Coefficient of variation (population standard deviation / mean); null below three values."""
    enough = value.count(where=where) >= MIN_ORDERS
    return ibis.cases((enough, ratio(value.std(where=where, how="pop"), value.mean(where=where))))


@feature(family="order_rhythm", unit="ratio", monotone=1, over="orders")
def order_gap_cv_180d(order: Any) -> Any:
    """Coefficient of variation of the days between order days in the last 180 days (at least three gaps)."""
    return _variation(order.gap.cast("float64"), (order.age < 180) & order.gap.notnull())


@feature(family="order_rhythm", unit="days", monotone=1, over="orders")
def max_order_gap_180d(order: Any) -> Any:
    """Longest time between two order days, the later of them in the last 180 days."""
    return order.gap.max(where=order.age < 180).cast("float64")


@feature(family="order_rhythm", unit="days", monotone=1, over="accounts")
def days_since_last_order(account: Any) -> Any:
    """Days since the last bill."""
    return account.last_bill_age.min().cast("float64")


@feature(family="order_rhythm", unit="orders a month", monotone=0, over="orders")
def orders_per_month_180d(order: Any) -> Any:
    """Order days per 30 days over the last 180 days, or over the whole history where that is shorter."""
    days = ibis.least(order.age.max() + 1, 180)
    return order.age.count(where=order.age < 180) * 30.0 / days


@feature(family="order_value", unit="ratio", monotone=1, over="orders")
def order_value_cv_180d(order: Any) -> Any:
    """Coefficient of variation of the value of order days in the last 180 days (at least three days)."""
    return _variation(order.value, order.age < 180)


@feature(family="vintage", unit="months", monotone=-1, over="accounts")
def vintage_months(account: Any) -> Any:
    """Months of 30 days since the first bill on record."""
    return account.first_bill_age.max() / 30.0


@feature(family="vintage", unit="months", monotone=-1, over="orders")
def active_months_12m(order: Any) -> Any:
    """How many of the last twelve months of 30 days have an order."""
    return (order.age // 30).nunique(where=order.age < 360).cast("float64")


FEATURES = (
    order_gap_cv_180d,
    max_order_gap_180d,
    days_since_last_order,
    orders_per_month_180d,
    order_value_cv_180d,
    vintage_months,
    active_months_12m,
)
