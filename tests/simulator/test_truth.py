"""The true PD is true, for both mechanisms."""

from datetime import date

import numpy as np
import pyarrow.compute as pc
import pytest

from altcredit.simulator import training_world, truth_table
from altcredit.simulator.label import label
from altcredit.simulator.population import draw
from altcredit.simulator.truth import settle, truth
from altcredit.simulator.world import MECHANISMS

TODAY = date(2026, 11, 22)
KINDS = sorted(MECHANISMS)


@pytest.fixture(scope="module", params=KINDS)
def world(request):
    return training_world(8, today=TODAY, shops=1200, mechanism=request.param, as_of_weeks=(39, 26, 13), paths=16)


def pairs(world):
    pd = np.concatenate([t.pd[t.eligible] for t in world.truths])
    bad = np.concatenate([t.defaulted[t.eligible] for t in world.truths])
    return pd, bad


def test_eight_to_twelve_shops_in_a_hundred_default(world):
    _, bad = pairs(world)
    assert set(np.unique(bad)) == {0, 1}
    assert 0.08 <= bad.mean() <= 0.12


def test_the_mean_true_pd_is_the_rate_of_default(world):
    pd, bad = pairs(world)
    assert abs(pd.mean() - bad.mean()) < 4 * np.sqrt(np.sum(pd * (1 - pd))) / len(pd)


@pytest.mark.parametrize("mechanism", KINDS)
def test_shops_of_every_risk_default_as_often_as_their_true_pd_says(mechanism):
    start = 20_000
    people = draw(shops=2_500, distributors=4, start=start, end=start + 427, rng=np.random.default_rng(1))
    life = MECHANISMS[mechanism](people, start=start, rng=np.random.default_rng(2))
    life.advance(start + 35 * 7)
    # Groups are formed by one reading of the PD and judged by another: else the noise of the one would look like error.
    former, judge = (truth(life, paths=12, rng=np.random.default_rng(seed)) for seed in (3, 4))
    life.advance(start + 48 * 7)
    bad = settle(judge, people, life.history()).defaulted
    eligible = np.flatnonzero(judge.eligible)
    for group in np.array_split(eligible[np.argsort(former.pd[eligible], kind="stable")], 5):
        pd = judge.pd[group]
        noise = np.sqrt(np.sum(pd * (1 - pd)) * (1 + 1 / 12) + 1) / len(group)
        assert abs(bad[group].mean() - pd.mean()) < 4 * noise
    assert pd.mean() > 0.25  # the last group is the riskiest


def test_truth_tells_shops_apart(world):
    pd, bad = pairs(world)
    rank = np.empty(len(pd))
    rank[np.argsort(pd, kind="stable")] = np.arange(len(pd))
    ones = bad.sum()
    auc = (rank[bad == 1].sum() - ones * (ones - 1) / 2) / (ones * (len(bad) - ones))
    assert auc > 0.7


def test_the_state_at_t_agrees_with_the_label_on_the_whole_ledger(world):
    for found in world.truths:
        seen = label(world.population, world.history, found.as_of)
        # In hindsight a few bills turn out to have been paid but for a residue that was written off.
        assert (seen.in_default != found.in_default).mean() < 0.003
        assert (seen.eligible != found.eligible).mean() < 0.003
        assert 0.01 < found.in_default.mean() < 0.15


@pytest.mark.parametrize("mechanism", KINDS)
def test_asking_for_the_truth_changes_nothing_that_happens(mechanism):
    asked, unasked = (
        training_world(5, today=TODAY, shops=60, mechanism=mechanism, as_of_weeks=weeks, paths=4)
        for weeks in ((26, 13), ())
    )
    for name in asked.documents.__struct_fields__:
        assert (getattr(asked.documents, name) == getattr(unasked.documents, name)).all()
    assert len(asked.truths) == 2


def test_the_truth_of_today_is_not_known_to_have_happened():
    world = training_world(5, today=TODAY, shops=40, as_of_weeks=(13, 0), paths=4)
    table = truth_table(world)
    assert table.num_rows == 80
    now = table.filter(pc.equal(table["as_of"], date(2026, 11, 21)))
    assert now["defaulted"].null_count == now.num_rows == 40
    earlier = table.filter(pc.equal(table["as_of"], date(2026, 8, 22)))
    assert earlier["defaulted"].null_count == pc.sum(pc.invert(earlier["eligible"])).as_py()
    assert earlier["true_pd"].null_count == earlier["defaulted"].null_count


def test_the_mechanisms_differ_in_kind():
    stress, till = (training_world(5, today=TODAY, shops=400, mechanism=m, as_of_weeks=()) for m in KINDS)
    for world in (stress, till):
        money = world.history.credits
        paid = (money.bill >= 0) & (money.returned_on < 0)
        settled = np.bincount(money.bill[paid], money.amount[paid], minlength=len(world.history.bills))
        assert (settled <= world.history.bills.amount).all()
        assert (money.day[paid] >= world.history.bills.day[money.bill[paid]]).all()

    def late(world):
        money = world.history.credits
        cleared = (money.bill >= 0) & ~money.note & (money.returned_on < 0)
        return money.day[cleared] - world.history.bills.due[money.bill[cleared]]

    quantiles = np.quantile(late(stress), [0.25, 0.5, 0.9]), np.quantile(late(till), [0.25, 0.5, 0.9])
    for low, middle, high in quantiles:
        assert low <= 3
        assert 0 <= middle <= 10
        assert high >= 10
