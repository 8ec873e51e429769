from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from tests.pipeline.models.conftest import NOW
from tests.pipeline.models.population import FIRST, population

from altcredit.pipeline.models import FrameInvalid, Model, train
from altcredit.pipeline.models.calibration import CAUTIOUS, fit, probability
from altcredit.pipeline.models.frame import cure_rate, held_out, labelled, part, weights, windows_of
from altcredit.pipeline.models.metrics import Sample, auc, calibration_slope, observed_to_expected


def trained_on(frame: pd.DataFrame) -> Model:
    return train(
        frame,
        version="altscore-xgb-v1",
        expert_version="altscore-expert-v1",
        data_origin="simulated",
        now=NOW,
        replicates=20,
    )


def test_windows_are_ninety_days_apart() -> None:
    days = [FIRST + timedelta(days=30 * n) for n in range(20)]
    windows = windows_of(days)
    assert windows is not None
    assert (windows.calibrate[0] - windows.train[1]).days >= 90
    assert (windows.test[0] - windows.calibrate[1]).days >= 90
    assert windows.test[1] == days[-1]
    assert windows.train[0] == days[0]


@pytest.mark.parametrize(("span", "splits"), [(179, False), (180, True), (210, True)])
def test_windows_need_half_a_year(span: int, splits: bool) -> None:
    days = [FIRST + timedelta(days=n) for n in (0, span // 2, span)]
    assert (windows_of(days) is not None) is splits


def test_a_shop_counts_once_however_many_dates_it_has() -> None:
    rows = labelled(population(shops=50, dates=7).iloc[:-13])
    totals = pd.Series(weights(rows)).groupby(rows["subject_id"]).sum()
    assert totals.to_numpy() == pytest.approx(1.0)


def test_labels_that_are_not_mature_are_left_out() -> None:
    frame = population(shops=50, dates=2)
    frame["default"] = frame["default"].astype(object)
    frame.loc[frame["as_of"] == frame["as_of"].max(), "default"] = None
    assert labelled(frame)["as_of"].nunique() == 1


def test_a_default_seen_before_its_label_is_mature_waits_for_the_others() -> None:
    frame = population(shops=50, dates=2)
    frame["mature"] = frame["as_of"] == frame["as_of"].min()
    assert labelled(frame)["as_of"].nunique() == 1
    assert len(labelled(frame)) == 50


def test_a_shop_of_several_distributors_belongs_to_none() -> None:
    frame = population(shops=3, dates=1).drop(columns="distributor_id")
    frame["feed"] = [["dist_a"], ["dist_a", "dist_b"], ["dist_b"]]
    assert labelled(frame)["distributor_id"].tolist() == ["dist_a", "several", "dist_b"]


def test_a_frame_that_cannot_be_used_is_refused_with_the_reason() -> None:
    frame = population(shops=5, dates=1)
    with pytest.raises(FrameInvalid, match="default"):
        labelled(frame.drop(columns="default"))
    with pytest.raises(FrameInvalid, match="mature"):
        labelled(frame.assign(default=None))
    with pytest.raises(FrameInvalid, match="several rows"):
        labelled(pd.concat([frame, frame]))


def test_the_model_nearly_reaches_the_truth(trained: Model, ledgers: pd.DataFrame) -> None:
    """On shops and dates it has never seen, against the best that anybody could do: the true probability."""
    unseen = population(shops=4000, dates=12, seed=99)
    unseen = unseen[unseen["as_of"] == unseen["as_of"].max()]
    pd_, truth = trained.explain(unseen).pd, unseen["true_pd"].to_numpy()
    outcome, shops = unseen["default"].to_numpy(), unseen["retailer_id"].to_numpy()
    mine, best = Sample(outcome, pd_, shops), Sample(outcome, truth, shops)
    assert auc(mine, mine.weight) > auc(best, best.weight) - 0.025
    assert 0.85 < calibration_slope(mine, mine.weight) / calibration_slope(best, best.weight) < 1.15
    assert pd_.mean() == pytest.approx(truth.mean(), rel=0.12)
    assert observed_to_expected(mine, mine.weight) == pytest.approx(1.0, abs=0.15)


def test_the_card_says_what_was_learnt_from_what(trained: Model) -> None:
    card = trained.card
    assert card.kind == "xgboost"
    assert card.data_origin == "simulated"
    assert card.sample["train"]["bad_shops"] >= 200
    assert set(card.windows) == {"train", "calibrate", "test"}
    auc_ = card.metrics["auc"]
    assert auc_["low"] < auc_["value"] < auc_["high"]
    assert 0.7 < auc_["value"] < 0.95
    assert card.definition_of_default["horizon_days"] == 90
    assert {"avg_days_late_180d", "completeness_score"} <= set(card.benchmark)
    assert any("simulated" in limit for limit in card.limits_of_use)
    assert not any("low confidence" in limit for limit in card.limits_of_use)


def test_training_again_gives_the_very_same_model(trained: Model, ledgers: pd.DataFrame) -> None:
    again = train(
        ledgers.sample(frac=1.0, random_state=3),
        version="altscore-xgb-v1",
        expert_version="altscore-expert-v1",
        data_origin="simulated",
        now=NOW,
        replicates=60,
    )
    assert again.card == trained.card
    assert again.booster is not None
    assert trained.booster is not None
    assert again.booster.save_raw("ubj") == trained.booster.save_raw("ubj")


def test_trees_know_nothing_of_the_later_windows(trained: Model, ledgers: pd.DataFrame) -> None:
    """Early stopping looks at shops set aside in the training window: other outcomes later on change no tree."""
    rng = np.random.default_rng(0)
    later = pd.to_datetime(ledgers["as_of"]) > pd.Timestamp(trained.card.windows["train"][1])
    scrambled = ledgers.assign(default=np.where(later, rng.random(len(ledgers)) < 0.3, ledgers["default"]))
    other = trained_on(scrambled)
    assert other.booster is not None
    assert trained.booster is not None
    assert other.booster.save_raw("ubj") == trained.booster.save_raw("ubj")
    assert other.card.calibration != trained.card.calibration


def test_the_shops_set_aside_are_a_fifth_and_always_the_same() -> None:
    shops = population(shops=3000, dates=1)["retailer_id"]
    aside = held_out(shops)
    assert 0.17 < aside.mean() < 0.23
    assert (held_out(shops.iloc[::-1]).sort_index() == aside).all()


def test_with_few_bad_shops_the_expert_alone_decides() -> None:
    model = trained_on(population(shops=250, dates=12))
    assert model.booster is None
    assert model.info.expert_only
    assert model.info.version == "altscore-expert-v1"
    assert model.card.sample["train"]["bad_shops"] < 200
    assert any("low confidence" in limit for limit in model.card.limits_of_use)


def test_with_too_short_a_history_the_expert_alone_decides() -> None:
    model = trained_on(population(shops=3000, dates=5))
    assert model.info.expert_only
    assert model.card.windows == {}


def test_the_expert_is_moved_towards_outcomes_only_as_far_as_they_prove(expert: Model) -> None:
    few = population(shops=40, dates=1, seed=8)
    many = population(shops=6000, dates=1, seed=8)
    moved = {}
    for name, frame in (("few", few), ("many", many)):
        margin = expert.serving_margin(frame) - 2.0  # far too kind: the outcomes say so
        moved[name] = fit(margin, frame["default"].to_numpy(), np.ones(len(frame)), prior=CAUTIOUS).intercept
    assert 0 < moved["few"] < moved["many"]


def test_platt_finds_the_line_that_made_the_outcomes() -> None:
    rng = np.random.default_rng(4)
    margin = rng.normal(-2, 1.2, 60_000)
    outcome = rng.random(len(margin)) < probability(0.8 * margin - 0.3)
    line = fit(margin, outcome, np.ones(len(margin)))
    assert line.slope == pytest.approx(0.8, abs=0.03)
    assert line.intercept == pytest.approx(-0.3, abs=0.06)


def test_a_calibration_never_turns_the_model_around() -> None:
    rng = np.random.default_rng(4)
    margin = rng.normal(-2, 1, 2_000)
    line = fit(margin, rng.random(len(margin)) < probability(-margin - 4), np.ones(len(margin)))
    assert line.slope > 0
    assert probability(line.log_odds(margin)).mean() == pytest.approx(0.14, abs=0.06)


def test_perfect_separation_has_a_finite_line() -> None:
    margin = np.array([-3.0, -2.0, 2.0, 3.0])
    line = fit(margin, margin > 0, np.ones(4))
    assert 0 < line.slope < 10


def test_the_cure_rate_is_counted_ninety_days_later() -> None:
    first, later = date(2026, 1, 1), date(2026, 4, 1)
    shops = [f"ret_{n:016x}" for n in range(40)]
    frame = pd.concat(
        [
            pd.DataFrame({"retailer_id": shops, "as_of": first, "in_default": True}),
            pd.DataFrame({"retailer_id": shops, "as_of": later, "in_default": [n % 4 == 0 for n in range(40)]}),
        ]
    )
    assert cure_rate(frame) == pytest.approx(0.75)
    assert cure_rate(frame[frame["retailer_id"].isin(shops[:20])]) is None


def test_a_window_includes_its_ends() -> None:
    rows = labelled(population(shops=10, dates=3))
    days = sorted(rows["as_of"].unique())
    assert len(part(rows, (days[0].date(), days[1].date()))) == 20
