"""Goods returned, by credit notes. Accounts whose distributor has never sent a credit note say nothing of returns."""

from typing import Any

from altcredit.pipeline.features.feature import feature, ratio


@feature(family="returns", unit="share", monotone=1, over="accounts")
def return_rate_180d(account: Any) -> Any:
    """Credit notes of the last 180 days over purchases of the same days, by value."""
    seen = account.returns_seen
    return ratio(account.returns_180.sum(where=seen), account.gross_180.sum(where=seen))


@feature(family="returns", unit="share", monotone=1, over="accounts")
def return_rate_delta_90d(account: Any) -> Any:
    """Return rate of the last 90 days less that of the 90 days before."""
    seen = account.returns_seen
    last = ratio(account.returns_90.sum(where=seen), account.gross_90.sum(where=seen))
    earlier_returns = (account.returns_180 - account.returns_90).sum(where=seen)
    earlier_gross = (account.gross_180 - account.gross_90).sum(where=seen)
    return last - ratio(earlier_returns, earlier_gross)


FEATURES = (return_rate_180d, return_rate_delta_90d)
