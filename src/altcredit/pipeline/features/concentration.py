"""How purchases spread over distributors, and facts about the record itself (``accounts``)."""

from typing import Any

import ibis

from altcredit.pipeline.features.feature import Feature, feature, ratio


@feature(family="concentration", unit="index 0 to 1", monotone=0, over="accounts")
def distributor_hhi_180d(account: Any) -> Any:
    """Herfindahl index of purchases over distributors in the last 180 days (1 = all from one)."""
    total = account.gross_180.sum()
    return ratio((account.gross_180 * account.gross_180).sum(), total * total)


@feature(family="facts", unit="distributors", monotone=0, over="accounts", model_input=False)
def distributor_count(account: Any) -> Any:
    """Distributors that billed the retailer in the last 180 days."""
    return account.gross_180.count(where=account.gross_180 > 0).cast("float64")


@feature(family="facts", unit="points 0 to 100", monotone=0, over="accounts", model_input=False)
def completeness_score(account: Any) -> Any:
    """How complete the record is (contract A8): 30 bills with a due date, 30 receipt value stated for bills, 20 days
    covered by the feed, 10 records with an identity, 10 a feed of returns."""
    dated = ratio(account.dated_180.sum(), account.bills_180.sum()).fill_null(0.0)
    stated = ratio(account.stated_180.sum(), account.receipts_180.sum()).fill_null(0.0)
    covered = ratio(account.covered_days.sum(), account.feed_days.sum()).fill_null(0.0)
    weight = account.gross_180 + 1
    identified = ratio((account.identified * weight).sum(), weight.sum())
    returns = ratio((account.returns_seen.ifelse(1, 0) * weight).sum(), weight.sum())
    return ibis.least(30 * dated + 30 * stated + 20 * covered + 10 * identified + 10 * returns, 100.0)


gst_registered = Feature(
    name="gst_registered",
    family="facts",
    unit="0 or 1",
    meaning="Whether the retailer has a GSTIN; from the register of retailers, not from the ledger.",
    monotone=0,
    model_input=False,
)

FEATURES = (distributor_hhi_180d, distributor_count, completeness_score, gst_registered)
