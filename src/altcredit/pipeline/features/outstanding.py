"""What is owed now, and how old it is: undisputed balances of credit bills, by order of time (``accounts``)."""

from typing import Any

import ibis

from altcredit.pipeline.features.feature import feature, ratio


@feature(family="outstanding", unit="ratio", monotone=1, over="accounts")
def outstanding_to_gmv(account: Any) -> Any:
    """Open balance over net purchases of the last 180 days."""
    return ratio(account.outstanding.sum(), account.gmv_180.sum())


@feature(family="outstanding", unit="ratio", monotone=1, over="accounts")
def overdue_to_gmv(account: Any) -> Any:
    """Balance past its due date over net purchases of the last 180 days."""
    return ratio(account.overdue.sum(), account.gmv_180.sum())


@feature(family="outstanding", unit="days", monotone=1, over="accounts")
def oldest_overdue_days(account: Any) -> Any:
    """Days past due of the open bill that is longest past due; 0 where none is."""
    return account.oldest_overdue.max().cast("float64")


@feature(family="outstanding", unit="share", monotone=1, over="accounts")
def overdue_15d_to_outstanding(account: Any) -> Any:
    """Share of the open balance that is more than 15 days past due; 0 where nothing is open."""
    owed = account.outstanding.sum()
    return ibis.cases((owed > 0, account.overdue_15.sum() / owed), else_=0.0)


FEATURES = (outstanding_to_gmv, overdue_to_gmv, oldest_overdue_days, overdue_15d_to_outstanding)
