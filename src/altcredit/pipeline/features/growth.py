"""
Scale, and growth against the distributor's median shop at the same time.

A plain slope would say "declining" of most shops in the months after Diwali. One row an account (``accounts``): a
retailer with a distributor. Only accounts with 180 days of history have a growth.
"""

from typing import Any

from altcredit.pipeline.features.feature import feature, ratio


@feature(family="growth", unit="share of mean month, per month", monotone=0, over="accounts")
def gmv_slope_6m(account: Any) -> Any:
    """Least-squares slope of the last six months' net purchases over their mean, less that of the distributor's median
    shop; weighted by purchases over distributors."""
    known = account.slope.notnull()
    weighted = ((account.slope - account.slope_norm) * account.gmv_180).sum(where=known)
    return ratio(weighted, account.gmv_180.sum(where=known))


@feature(family="growth", unit="ratio", monotone=0, over="accounts")
def gmv_ratio_90d(account: Any) -> Any:
    """Net purchases of the last 90 days over what they would be had they moved, from the 90 days before, as those of
    the distributor's median shop did (1 = as the median)."""
    known = account.ratio.notnull()
    expected = (account.gmv_90_180 * account.ratio_norm).sum(where=known)
    return ratio(account.gmv_90.sum(where=known), expected)


@feature(family="scale", unit="ln(1 + INR)", monotone=0, over="accounts")
def gmv_log_180d(account: Any) -> Any:
    """Natural logarithm of 1 + net purchases of the last 180 days in rupees."""
    return (account.gmv_180.sum().clip(lower=0) / 100.0 + 1.0).ln()


FEATURES = (gmv_slope_6m, gmv_ratio_90d, gmv_log_180d)
