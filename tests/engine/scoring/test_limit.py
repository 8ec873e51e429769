import pytest
from hypothesis import given
from hypothesis import strategies as st

from altcredit.engine.scoring import POLICY, Band, PolicyInvalid, limit_check, policy_from, recommended
from altcredit.engine.scoring.limit import base_limit

SHIPPED = """
version = "test-1"
gmv_share = 0.30
el_budget_inr = 12000
lgd = 0.65
pd_in_default = 0.21
[band_months]
A = 1.5
B = 1.0
C = 0.5
D = 0.0
"""


def base(gmv_6m_inr: int, median: int, band: Band, pd: float) -> int:
    return base_limit(gmv_6m_inr=gmv_6m_inr, gmv_month_median_inr=median, band=band, pd=pd, policy=POLICY).base_inr


def test_the_published_example_is_reproduced() -> None:
    assert recommended(base(1_050_000, 180_000, "B", 0.082), None, False, 0) == 175_000


def test_band_a_is_held_by_the_share_of_trade() -> None:
    # 1.5 x 100,000 = 150,000 of trade; 30 % of 600,000 = 180,000; 12,000 / (0.05 x 0.65) = 369,230.
    assert base(600_000, 120_000, "A", 0.05) == 150_000
    # A steady month far above the mean cannot lift the limit over 30 % of six months.
    policy = policy_from(SHIPPED.replace("A = 1.5", "A = 6.0"))
    bounds = base_limit(gmv_6m_inr=600_000, gmv_month_median_inr=120_000, band="A", pd=0.05, policy=policy)
    assert (bounds.base_inr, bounds.gmv_cap_inr, bounds.trade_cap_inr) == (180_000, 180_000, 600_000)


def test_the_smaller_of_mean_and_median_month_counts() -> None:
    assert base(600_000, 40_000, "B", 0.08) == 40_000
    assert base(600_000, 900_000, "B", 0.08) == 100_000


def test_expected_loss_bounds_large_shops() -> None:
    # 12,000 / (0.08 x 0.65) = 230,769.23
    assert base(60_000_000, 10_000_000, "B", 0.08) == 230_769


def test_band_d_gets_nothing() -> None:
    assert base(6_000_000, 1_000_000, "D", 0.2) == 0


def test_more_returned_than_bought_is_no_limit() -> None:
    assert base(-50_000, -8_000, "A", 0.01) == 0


def test_readers_apply_cap_confidence_and_overdue_in_this_order() -> None:
    assert recommended(175_000, 150_000, False, 0) == 150_000
    assert recommended(175_000, 150_000, True, 0) == 75_000
    assert recommended(175_000, 150_000, True, 12_500) == 62_000
    assert recommended(175_999, None, False, 0) == 175_000
    assert recommended(10_000, None, False, 10_001) == 0
    assert recommended(175_000, 0, False, 0) == 0


@given(
    base_inr=st.integers(0, 10**9),
    cap=st.none() | st.integers(0, 10**9),
    low=st.booleans(),
    overdue=st.integers(-(10**6), 10**9),
)
def test_a_recommendation_is_whole_thousands_within_every_bound(
    base_inr: int, cap: int | None, low: bool, overdue: int
) -> None:
    limit = recommended(base_inr, cap, low, overdue)
    exact = min(base_inr, base_inr if cap is None else cap) * (0.5 if low else 1) - max(overdue, 0)
    assert limit % 1_000 == 0
    assert max(exact - 1_000, 0) <= limit + 0.5
    assert limit <= max(exact, 0)


@given(st.integers(0, 10**8), st.integers(0, 10**7), st.floats(1e-6, 0.999999), st.sampled_from(["A", "B", "C", "D"]))
def test_no_limit_passes_thirty_percent_of_six_months(gmv: int, median: int, pd: float, band: Band) -> None:
    assert base(gmv, median, band, pd) <= 0.30 * gmv


def test_a_wish_is_compared_and_changes_nothing() -> None:
    check = limit_check(requested_inr=150_000, recommended_inr=175_000, hard_cap_inr=315_000)
    assert check.within_recommendation
    assert check.cap_inr == 315_000
    assert not limit_check(requested_inr=175_001, recommended_inr=175_000, hard_cap_inr=315_000).within_recommendation


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("gmv_share = 0.30", "gmv_share = 0.31"), "gmv_share"),
        (("lgd = 0.65", "lgd = 0"), "lgd"),
        (("lgd = 0.65", ""), "lgd"),
        (("lgd = 0.65", "lgd = 0.65\nlgdd = 1"), "lgdd"),
        (("pd_in_default = 0.21", "pd_in_default = 0.1"), "pd_in_default"),
        (("C = 0.5", "C = 1.2"), "worse band"),
        (('version = "test-1"', 'version = ""'), "version"),
        (("[band_months]", "[band_months"), "Limit policy"),
    ],
)
def test_a_policy_out_of_bounds_is_refused_by_name(change: tuple[str, str], named: str) -> None:
    assert policy_from(SHIPPED).version == "test-1"
    with pytest.raises(PolicyInvalid, match=named):
        policy_from(SHIPPED.replace(*change))
