"""A simulated portfolio carries its truth."""

from datetime import date

from altcredit.simulator.portfolio import portfolio_frame


def test_nearly_every_row_that_can_be_learnt_from_has_its_true_pd():
    frame = portfolio_frame(seed=1, shops=80, today=date(2026, 11, 22), weeks=65, truth=True)
    assert len(frame) > 100
    assert frame["true_pd"].notna().mean() > 0.95  # the others: what was known at t was not the whole ledger
