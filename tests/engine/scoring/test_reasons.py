from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.scoring.examples import CONTRIBUTIONS, FAMILIES, FEATURES, MODEL

from altcredit.engine.scoring import CODES, POINTS_PER_LOG_ODDS, Evidence, Reason, choose

NEUTRAL = {"TRADE_RECORDS_ON_FILE", "IDENTITY_LINKED", "NO_FURTHER_POSITIVE", "TRADE_DATA_ONLY", "NO_FURTHER_NEGATIVE"}


def evidence(
    features: dict[str, float | None] | None = None,
    contributions: dict[str, float] | None = None,
    benchmark: dict[str, float] | None = None,
) -> Evidence:
    return Evidence(
        features=FEATURES if features is None else FEATURES | features,
        contributions=CONTRIBUTIONS if contributions is None else contributions,
        families=FAMILIES,
        benchmark=MODEL.benchmark if benchmark is None else benchmark,
    )


def codes(reasons: tuple[Reason, ...], direction: str) -> list[str]:
    return [reason.code for reason in reasons if reason.direction == direction]


def test_the_published_answer_comes_from_contributions_by_family() -> None:
    reasons = choose(evidence())
    assert [(r.code, r.rank) for r in reasons] == [
        ("LOW_PAYMENT_DELAY", 1),
        ("CONSISTENT_ORDER_FREQ", 2),
        ("GROWING_BASKET_SIZE", 3),
        ("HIGH_RETURN_RATE", 4),
        ("SINGLE_DISTRIBUTOR", 5),
    ]
    # Payment timing: 0.5 + 0.1 log-odds; order rhythm 0.4 - 0.1, so that its gap is no reason of its own.
    assert [r.impact_points for r in reasons] == [43.3, 21.6, 14.4, -21.6, None]


def test_a_family_names_the_true_code_whose_feature_moved_it_most() -> None:
    reasons = choose(evidence(contributions={"avg_days_late_180d": -0.1, "on_time_share_180d": -0.3}))
    assert reasons[0].code == "HIGH_ON_TIME_RATIO"
    assert reasons[0].impact_points == round(0.4 * POINTS_PER_LOG_ODDS, 1)


def test_a_large_contribution_gives_no_code_that_is_untrue() -> None:
    # The model likes the shop's timing best, but the shop pays nine days late: nothing good may be said of it.
    late = {"avg_days_late_180d": 9.0, "on_time_share_180d": 0.3, "early_pay_share_180d": 0.0}
    assert not {"LOW_PAYMENT_DELAY", "HIGH_ON_TIME_RATIO", "EARLY_PAYMENT_HABIT"} & {
        r.code for r in choose(evidence(late))
    }


def test_what_is_not_known_is_never_said() -> None:
    unknown: dict[str, float | None] = dict.fromkeys(FEATURES)
    assert {r.code for r in choose(evidence(unknown))} == NEUTRAL


def test_too_few_contributions_are_filled_by_comparison_and_then_by_facts() -> None:
    nothing: dict[str, float | None] = dict.fromkeys(FEATURES)
    known = nothing | {"vintage_months": 40.0, "return_rate_180d": 0.2}
    reasons = choose(evidence(known, contributions={}, benchmark={"vintage_months": 20.0, "return_rate_180d": 0.02}))
    assert [(r.code, r.impact_points) for r in reasons] == [
        ("LONG_VINTAGE", None),
        ("TRADE_RECORDS_ON_FILE", 0.0),
        ("IDENTITY_LINKED", 0.0),
        ("HIGH_RETURN_RATE", None),
        ("TRADE_DATA_ONLY", 0.0),
    ]


def test_comparison_speaks_only_of_shops_that_are_on_that_side_of_the_portfolio() -> None:
    known: dict[str, float | None] = dict.fromkeys(FEATURES) | {"vintage_months": 20.0}  # type: ignore[operator]
    reasons = choose(evidence(known, contributions={}, benchmark={"vintage_months": 60.0}))
    assert "LONG_VINTAGE" not in {r.code for r in reasons}


def test_what_hardly_matters_is_left_out_beyond_what_is_promised() -> None:
    small = {"avg_days_late_180d": -0.5, "order_gap_cv_180d": -0.4, "gmv_slope_6m": -0.2, "vintage_months": -0.01}
    assert len(codes(choose(evidence(contributions=small)), "positive")) == 3
    large = small | {"vintage_months": -0.15, "outstanding_to_gmv": -0.14}
    assert len(codes(choose(evidence(contributions=large)), "positive")) == 4


def test_a_demanded_code_leads_the_negatives_and_silences_praise_of_its_family() -> None:
    overdue = {"oldest_overdue_days": 44.0}
    reasons = choose(
        evidence(overdue, contributions={**CONTRIBUTIONS, "outstanding_to_gmv": -0.5}), always="SEVERE_OVERDUE"
    )
    assert codes(reasons, "negative")[0] == "SEVERE_OVERDUE"
    assert "LOW_OUTSTANDING" not in codes(reasons, "positive")


feature_values = st.fixed_dictionaries(
    {
        name: st.none() | st.floats(-5, 100) if not name.endswith(("share_180d", "_to_gmv")) else st.floats(0, 1)
        for name in FEATURES
    }
)
contribution_values = st.dictionaries(st.sampled_from(sorted(FAMILIES)), st.floats(-2, 2))


@settings(max_examples=400)
@given(
    feature_values,
    contribution_values,
    st.none() | st.just("SEVERE_OVERDUE"),
    st.dictionaries(st.sampled_from(sorted(FEATURES)), st.floats(-5, 100)),
)
def test_every_shop_gets_the_promised_reasons_and_none_is_untrue(
    features: dict[str, Any], contributions: dict[str, float], always: str | None, benchmark: dict[str, float]
) -> None:
    reasons = choose(
        Evidence(features=features, contributions=contributions, families=FAMILIES, benchmark=benchmark), always=always
    )
    assert len(codes(reasons, "positive")) >= 3
    assert len(codes(reasons, "negative")) >= 2
    assert len({r.code for r in reasons}) == len(reasons)
    assert [r.rank for r in reasons] == list(range(1, len(reasons) + 1))
    assert [r.direction for r in reasons] == sorted((r.direction for r in reasons), reverse=True)
    for reason in reasons:
        assert reason.code == always or CODES[reason.code].true_of(features)
        if reason.impact_points is not None and reason.code != always:
            assert reason.impact_points * (1 if reason.direction == "positive" else -1) >= 0
    for direction in ("positive", "negative"):
        sizes = [
            abs(r.impact_points) for r in reasons if r.direction == direction and r.code != always and r.impact_points
        ]
        assert sizes == sorted(sizes, reverse=True)
    families = [(CODES[r.code].family, r.direction) for r in reasons if CODES[r.code].family]
    assert len({f for f, _ in families}) == len(set(families)), "praised and blamed for one habit"


@given(feature_values)
def test_opposite_codes_exclude_each_other(features: dict[str, Any]) -> None:
    for one, other in [
        ("LOW_PAYMENT_DELAY", "HIGH_PAYMENT_DELAY"),
        ("HIGH_ON_TIME_RATIO", "HIGH_PAYMENT_DELAY"),
        ("IMPROVING_PAYMENT_TREND", "WORSENING_PAYMENT_TREND"),
        ("LONG_VINTAGE", "SHORT_VINTAGE"),
        ("HIGH_ACTIVE_MONTHS", "LOW_ACTIVE_MONTHS"),
        ("LOW_OUTSTANDING", "HIGH_OUTSTANDING"),
        ("LOW_RETURN_RATE", "HIGH_RETURN_RATE"),
        ("STABLE_ORDER_VALUE", "VOLATILE_ORDER_VALUE"),
        ("CONSISTENT_ORDER_FREQ", "IRREGULAR_ORDER_PATTERN"),
        ("GROWING_BASKET_SIZE", "DECLINING_ORDER_VALUE"),
        ("MULTI_DISTRIBUTOR_TRADE", "SINGLE_DISTRIBUTOR"),
        ("COMPLETE_RECORDS", "LIMITED_RECORDS"),
        ("SEVERE_OVERDUE", "PAST_SEVERE_DELAY"),
    ]:
        assert not (CODES[one].true_of(features) and CODES[other].true_of(features))


def test_every_code_has_its_words_in_both_languages() -> None:
    assert len(CODES) == 36
    for code in CODES.values():
        assert code.label("en")
        assert code.label("hi") != code.label("en")
        assert bool(code.tip("en")) == bool(code.tip("hi"))


def test_each_condition_of_a_code_includes_its_own_feature() -> None:
    for code in CODES.values():
        assert bool(code.when) == bool(code.feature) == bool(code.family)
        if code.when:
            assert code.feature in {condition.feature for condition in code.when}
