"""Promises about every estimate, whichever model made it."""

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pipeline.models.population import population

from altcredit.engine.scoring import logit
from altcredit.pipeline.models import INPUTS, InputsMissing, Model, predict

NAMES = [item.name for item in INPUTS]
SHOPS = population(shops=200, dates=1, seed=5)
# Some shops at the far end of everything: those who have most to hide.
WORST = SHOPS.tail(40).assign(**{item.name: SHOPS[item.name].max() * 2 for item in INPUTS if item.monotone == 1})


@pytest.fixture(params=["trained", "expert"])
def model(request: Any) -> Model:
    found: Model = request.getfixturevalue(request.param)
    return found


def test_contributions_add_up_to_the_probability(model: Model) -> None:
    for estimate in predict(SHOPS, model):
        assert estimate.base + sum(estimate.contributions.values()) == pytest.approx(logit(estimate.pd), abs=1e-6)
        assert set(estimate.contributions) == set(NAMES)


def test_contributions_are_those_of_the_trees_and_the_points(trained: Model) -> None:
    """The exact TreeSHAP values plus the points give the very margin that the trees and the points give."""
    explained = trained.explain(SHOPS)
    margin = trained.serving_margin(SHOPS)
    log_odds = trained.card.calibration.log_odds(margin)
    assert np.abs(np.log(explained.pd / (1 - explained.pd)) - log_odds).max() < 1e-5


def test_the_order_of_columns_and_rows_does_not_matter(model: Model) -> None:
    turned = SHOPS[SHOPS.columns[::-1]].iloc[::-1]
    assert [e.pd for e in predict(turned, model)] == [e.pd for e in predict(SHOPS, model)][::-1]


def test_facts_do_not_change_an_estimate(model: Model) -> None:
    other = SHOPS.assign(distributor_count=9.0, completeness_score=1.0, gst_registered=0.0)
    assert predict(other, model) == predict(SHOPS, model)


def test_a_missing_column_is_named(model: Model) -> None:
    with pytest.raises(InputsMissing, match="vintage_months"):
        predict(SHOPS.drop(columns="vintage_months"), model)


def test_no_shops_give_no_estimates(model: Model) -> None:
    assert predict(SHOPS.head(0), model) == []


@pytest.mark.parametrize("item", [item for item in INPUTS if item.monotone], ids=lambda item: item.name)
def test_moving_towards_risk_never_lowers_the_risk(model: Model, item: Any) -> None:
    value = SHOPS[item.name]
    for step in (0.1, 1.0, 30.0):
        riskier = SHOPS.assign(**{item.name: value + item.monotone * step})
        assert (model.explain(riskier).pd >= model.explain(SHOPS).pd - 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(withheld=st.sets(st.sampled_from(NAMES), min_size=1, max_size=27), which=st.sampled_from(["trained", "expert"]))
def test_withholding_never_raises_a_score(withheld: set[str], which: str, trained: Model, expert: Model) -> None:
    """Whatever is withheld, and however bad the shop: the strict form, for every input that has a direction."""
    model = trained if which == "trained" else expert
    directed = {item.name for item in INPUTS if item.monotone}
    for shops in (SHOPS, WORST):
        silent = shops.assign(**dict.fromkeys(withheld & directed, np.nan))
        assert (model.explain(silent).pd >= model.explain(shops).pd - 1e-9).all()


@pytest.mark.parametrize("name", [item.name for item in INPUTS if not item.monotone])
def test_an_undirected_input_that_is_withheld_is_read_as_the_riskier_end(trained: Model, name: str) -> None:
    silent = trained.explain(SHOPS.assign(**{name: np.nan})).pd
    for end in trained.card.bounds[name].unknown:
        assert (silent >= trained.explain(SHOPS.assign(**{name: end})).pd - 1e-6).all()


def test_what_is_not_known_never_counts_in_favour(model: Model) -> None:
    gaps = population(shops=300, dates=1, seed=6, gaps=0.3)
    explained = model.explain(gaps)
    unknown = gaps[NAMES].isna().to_numpy()
    assert unknown.any()
    assert (explained.contributions[unknown] >= 0).all()


def test_a_hundred_retailers_take_less_than_thirty_milliseconds(model: Model) -> None:
    hundred = SHOPS.head(100)
    predict(hundred, model)
    taken = []
    for _ in range(9):
        started = time.process_time()
        predict(hundred, model)
        taken.append(time.process_time() - started)
    assert float(np.median(taken)) < 0.030 * 2  # of processor time, on two threads


def test_a_frame_of_objects_is_read_as_numbers(model: Model) -> None:
    objects = SHOPS.astype(dict.fromkeys(NAMES, object)).where(pd.notna(SHOPS), None)
    assert [e.pd for e in predict(objects, model)] == [e.pd for e in predict(SHOPS, model)]
