"""GUARD's models: learnt by the code that AltScore's use, and held to what the product promises about withholding."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.pipeline.models.conftest import NOW

from altcredit.engine import underwriting
from altcredit.engine.registry import Estimate
from altcredit.engine.sources import SOURCES, Subject
from altcredit.pipeline.models import GUARD, GUARD_SCREEN, PURPOSES, Model, Purpose, cold_start, train
from altcredit.pipeline.models.expert import require_directions
from altcredit.pipeline.models.frame import labelled
from altcredit.pipeline.models.grade import grade
from altcredit.pipeline.models.inputs import matrix
from altcredit.pipeline.models.metrics import Sample, auc
from altcredit.pipeline.underwriting import Features, estimates
from altcredit.simulator.applicant_portfolio import portfolio_of_applicants
from altcredit.simulator.applicants import Applicant, applicant

TODAY = date(2026, 11, 22)
WITHHELD = underwriting.WITHHELD


@pytest.fixture(scope="module")
def outcomes() -> pd.DataFrame:
    return portfolio_of_applicants(3, 8000, TODAY)


@pytest.fixture(scope="module")
def fresh() -> pd.DataFrame:
    return portfolio_of_applicants(41, 4000, TODAY)


def learnt(frame: pd.DataFrame, purpose: Purpose) -> Model:
    return train(
        frame,
        version=purpose.learnt_name.format(1),
        expert_version=purpose.expert_name.format(1),
        data_origin="simulated",
        now=NOW,
        purpose=purpose,
        replicates=20,
    )


@pytest.fixture(scope="module")
def guard(outcomes: pd.DataFrame) -> Model:
    return learnt(outcomes, GUARD)


@pytest.fixture(scope="module")
def screen(outcomes: pd.DataFrame) -> Model:
    return learnt(outcomes, GUARD_SCREEN)


def estimate(model: Model, features: Features) -> Estimate | None:
    (found,) = estimates(model, [features])
    return found


def cards(*models: Model) -> list[Model]:
    return [*models, *(cold_start(version="x", now=NOW, purpose=purpose) for purpose in (GUARD, GUARD_SCREEN))]


def without(frame: pd.DataFrame, source: str, model: Model) -> pd.DataFrame:
    return frame.assign(**{item.name: np.nan for item in model.card.inputs if item.source == source})


@pytest.mark.parametrize("purpose", PURPOSES.values(), ids=lambda purpose: purpose.product)
def test_a_scorecard_follows_its_catalogue_and_covers_it(purpose: Purpose) -> None:
    require_directions(purpose.expert, {item.name: item for item in purpose.inputs})
    directed = {item.name for item in purpose.inputs if item.monotone}
    assert set(purpose.expert.curve) <= {item.name for item in purpose.inputs}
    if purpose.product != "altscore":
        assert set(purpose.expert.curve) == directed
        assert set(purpose.expert.withheld) == set(purpose.withheld)


def test_the_screen_model_knows_nothing_of_the_full_sources(screen: Model) -> None:
    asked = {item.source for item in screen.card.inputs}
    assert {name for name in asked if name in SOURCES and SOURCES[name].tier == "full"} == set()


def test_a_years_outcome_lies_between_the_windows(guard: Model) -> None:
    windows = {name: [date.fromisoformat(day) for day in days] for name, days in guard.card.windows.items()}
    assert (windows["calibrate"][0] - windows["train"][1]).days >= 365
    assert (windows["test"][0] - windows["calibrate"][1]).days >= 365
    assert guard.card.definition_of_default["days_past_due"] == 90
    assert guard.card.kind == "xgboost"
    assert guard.card.product == "guard"
    assert any("simulated applicants" in limit for limit in guard.card.limits_of_use)


def test_the_models_come_near_the_truth_and_the_full_one_nearer(
    guard: Model, screen: Model, fresh: pd.DataFrame
) -> None:
    full, cheap = (grade(fresh, model, approved_to=5, replicates=20) for model in (guard, screen))
    assert full.auc_of_truth - 0.06 < full.figures["auc"].value < full.auc_of_truth
    assert full.figures["auc"].value > cheap.figures["auc"].value + 0.005
    assert 0.8 < full.figures["calibration_slope"].value < 1.25
    # Caution about what is withheld makes the expected a little more than the observed.
    assert 0.75 < full.figures["observed_to_expected"].value < 1.2
    assert 0.4 < full.approved < 0.65
    assert full.bad_rate_of_approved < full.bad_rate / 2
    true = [band.true for band in full.bands if band.rows > 50]
    assert true == sorted(true)


def test_the_expert_scorecards_rank_applicants_before_there_is_any_outcome(fresh: pd.DataFrame) -> None:
    rows = labelled(fresh)
    for purpose in (GUARD, GUARD_SCREEN):
        expert = cold_start(version="x", now=NOW, purpose=purpose)
        sample = Sample(rows["defaulted"].to_numpy(), expert.explain(rows).pd, np.arange(len(rows)))
        assert auc(sample, sample.weight) > 0.74


def test_contributions_add_up_to_the_log_odds(guard: Model, screen: Model, fresh: pd.DataFrame) -> None:
    for model in cards(guard, screen):
        found = model.explain(fresh)
        log_odds = np.log(found.pd / (1 - found.pd))
        assert found.base + found.contributions.sum(axis=1) == pytest.approx(log_odds, abs=1e-6)


@pytest.mark.parametrize("source", WITHHELD)
def test_nobody_gains_by_withholding_a_source(guard: Model, screen: Model, fresh: pd.DataFrame, source: str) -> None:
    for model in cards(guard, screen):
        if source not in model.card.withheld:
            continue
        shown, hidden = model.explain(fresh).pd, model.explain(without(fresh, source, model)).pd
        assert (hidden >= shown * (1 - 1e-6)).all()
        assert (hidden > shown * 1.05).mean() > 0.2


def test_nobody_gains_by_withholding_everything_that_may_be_withheld(guard: Model, fresh: pd.DataFrame) -> None:
    hidden = fresh
    for source in WITHHELD:
        hidden = without(hidden, source, guard)
    assert (guard.explain(hidden).pd >= guard.explain(fresh).pd * (1 - 1e-6)).all()


@pytest.mark.parametrize("column", ["housing_to_income", "card_spends_to_income", "loan_spends_to_income"])
def test_nobody_gains_by_not_reporting_a_fact(guard: Model, fresh: pd.DataFrame, column: str) -> None:
    """In the expectation over the model's own interactions: trees may shift a little between inputs of one group."""
    hidden = guard.explain(fresh.assign(**{column: np.nan})).pd
    shown = guard.explain(fresh).pd
    assert (hidden >= shown * 0.98).all()
    assert hidden.mean() > shown.mean()


def test_absence_from_the_positive_registry_counts_neither_way(guard: Model, fresh: pd.DataFrame) -> None:
    gone = without(fresh, "positive_registry", guard)
    columns = [n for n, item in enumerate(guard.card.inputs) if item.neutral]
    assert len(columns) == 3
    assert (guard.explain(gone).contributions[:, columns] == 0).all()
    shown, absent = guard.explain(fresh).pd, guard.explain(gone).pd
    known = fresh["positive_score"].notna()
    assert (absent[known] > shown[known] * 1.02).mean() > 0.2
    assert (absent[known] < shown[known] * 0.98).mean() > 0.2


def test_no_tree_joins_a_source_that_may_be_missing_with_another(guard: Model) -> None:
    assert guard.booster is not None
    inputs = guard.card.inputs
    apart = {*WITHHELD, "positive_registry"}
    group = {f"f{n}": item.source if item.source in apart else "" for n, item in enumerate(inputs)}
    trees = guard.booster.trees_to_dataframe()
    used = (
        trees[trees["Feature"] != "Leaf"].groupby("Tree")["Feature"].agg(lambda names: {group[name] for name in names})
    )
    assert len(used) > 20
    assert all(len(groups) == 1 for groups in used)
    assert {"", "scr", "positive_registry"} <= set().union(*used)


def known(person: Applicant) -> dict[str, Any]:
    subject = Subject(
        cpf=person.cpf,
        zip_code="01310-100",
        phone="+5511999999999",
        device_id="d",
        authorisations={"scr": "a", "positiveHistory": "b", "openFinance": "c"},
    )
    return person.answers(subject)


@pytest.mark.parametrize("missing", ["cpf_status", "negative_bureau"])
def test_without_a_required_source_there_is_no_probability(guard: Model, missing: str) -> None:
    person = applicant("39549600017", seed=1)
    application = person.application(customer_uuid="c")
    answers = known(person)
    assert estimate(guard, underwriting.features(application, answers, today=TODAY)) is not None
    del answers[missing]
    assert estimate(guard, underwriting.features(application, answers, today=TODAY)) is None


@pytest.mark.parametrize("missing", ["registration", "device_phone", "scr", "positive_registry", "open_finance"])
def test_the_decision_goes_on_without_any_other_source(guard: Model, missing: str) -> None:
    person = applicant("39549600017", seed=1)
    answers = known(person)
    del answers[missing]
    found = estimate(guard, underwriting.features(person.application(customer_uuid="c"), answers, today=TODAY))
    assert found is not None
    assert 0 < found.pd < 1


def test_one_applicant_is_estimated_as_in_a_frame(guard: Model, screen: Model, fresh: pd.DataFrame) -> None:
    rows = fresh.head(300)
    for model in (guard, screen):
        together = model.explain(rows)
        names = [item.name for item in model.card.inputs]
        required = [item.name for item in model.card.inputs if item.source in model.card.requires]
        for number, values in enumerate(matrix(rows, model.card.inputs).tolist()):
            features = {name: None if value != value else value for name, value in zip(names, values, strict=True)}
            alone = estimate(model, features)
            if alone is None:
                assert any(features[name] is None for name in required)
                continue
            assert alone.pd == pytest.approx(float(together.pd[number]), rel=1e-6)
            assert list(alone.contributions.values()) == pytest.approx(
                together.contributions[number].tolist(), abs=1e-6
            )


def test_without_outcomes_the_expert_scorecard_stands_alone() -> None:
    model = cold_start(version="guard-expert-v1", now=NOW, purpose=GUARD)
    assert model.info.expert_only
    assert model.card.data_origin == "expert"
    assert model.card.withheld["scr"] > 0


def test_with_few_outcomes_the_expert_alone_decides(outcomes: pd.DataFrame) -> None:
    model = learnt(outcomes.head(1500), GUARD)
    assert model.card.kind == "expert"
    assert model.card.version == "guard-expert-v1"
