from importlib.resources import files

import numpy as np
import pytest
from tests.pipeline.models.population import population

from altcredit.engine.scoring import POINTS_PER_LOG_ODDS, score_of
from altcredit.pipeline.features.catalogue import CATALOGUE
from altcredit.pipeline.models import EXPERT, INPUTS, Model, ScorecardInvalid, predict, scorecard_from
from altcredit.pipeline.models.expert import require_directions

SHIPPED = files("altcredit.pipeline.models").joinpath("expert.toml").read_text(encoding="utf-8")
BY_NAME = {item.name: item for item in INPUTS}


def test_the_shipped_table_follows_the_catalogue() -> None:
    require_directions(EXPERT, BY_NAME)


def test_a_typical_shop_has_the_base_rate(expert: Model) -> None:
    shop = population(shops=1, dates=1)
    for name, curve in EXPERT.curve.items():
        shop[name] = curve.typical
    (estimate,) = predict(shop, expert)
    assert estimate.pd == pytest.approx(1 / (1 + np.exp(-EXPERT.base)))
    assert list(estimate.contributions.values()) == pytest.approx([0.0] * len(INPUTS), abs=1e-12)


def test_points_are_points_of_the_score(expert: Model) -> None:
    # 10 days late on average instead of the typical 5: from 0 points to -30.
    shop = population(shops=1, dates=1)
    for name, curve in EXPERT.curve.items():
        shop[name] = curve.typical
    worse = shop.assign(avg_days_late_180d=10.0)
    before, after = predict(shop, expert)[0], predict(worse, expert)[0]
    lost = EXPERT.weight * 30
    assert after.contributions["avg_days_late_180d"] == pytest.approx(lost / POINTS_PER_LOG_ODDS)
    assert score_of(before.pd) - score_of(after.pd) == pytest.approx(lost, abs=1)


def test_no_fact_is_scored() -> None:
    facts = {name for name, feature in CATALOGUE.items() if not feature.model_input}
    assert facts
    assert not facts & set(EXPERT.curve)
    assert not facts & set(BY_NAME)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("points = [25, 15, 0, -30, -70, -110]", "points = [25, 15, 0, -30, -70]"), "as many points as knots"),
        (("at = [0, 2, 5, 10, 20, 40]", "at = [0, 2, 5, 5, 20, 40]"), "must rise"),
        (("points = [25, 15, 0, -30, -70, -110]", "points = [25, 15, 0, 30, -70, -110]"), "against its direction"),
        (("[curve.avg_days_late_180d]", "[curve.completeness_score]"), "not a model input"),
        (("weight = 0.8", "weight = 7"), "weight"),
        (("weight = 0.8", "weight = 0.8\nwieght = 1"), "wieght"),
        (("weight = 0.8", "weight 0.8"), "Scorecard"),
    ],
)
def test_a_malformed_table_is_refused_by_name(change: tuple[str, str], problem: str) -> None:
    assert change[0] in SHIPPED
    with pytest.raises(ScorecardInvalid, match=problem):
        require_directions(scorecard_from(SHIPPED.replace(*change, 1)), BY_NAME)
