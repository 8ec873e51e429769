from datetime import date
from itertools import islice

import msgspec
import numpy as np
import pytest

from altcredit.engine.sources import SOURCES, Subject
from altcredit.engine.underwriting import CATALOGUE, Application, is_cpf
from altcredit.simulator.applicant_portfolio import portfolio_of_applicants
from altcredit.simulator.applicants import Applicant, applicant, cpfs

TODAY = date(2026, 11, 22)
PEOPLE = [applicant(cpf, seed=5) for cpf in islice(cpfs(5), 3000)]
ALL = {"scr": "a", "positiveHistory": "b", "openFinance": "c"}


def everything(person: Applicant) -> Subject:
    return Subject(cpf=person.cpf, zip_code="01310-100", phone="+5511912345678", device_id="d", authorisations=ALL)


def test_a_person_is_the_same_wherever_they_are_asked_for() -> None:
    for person in PEOPLE[:50]:
        assert applicant(person.cpf, seed=5) == person
        assert applicant(person.cpf, seed=6) != person


def test_every_generated_cpf_is_valid_and_the_seed_decides_them() -> None:
    assert all(is_cpf(person.cpf) for person in PEOPLE)
    assert list(islice(cpfs(5), 20)) == [person.cpf for person in PEOPLE[:20]] != list(islice(cpfs(6), 20))


def test_every_answer_has_the_form_that_its_source_declares() -> None:
    for person in PEOPLE[:500]:
        answers = person.answers(everything(person))
        assert set(answers) == set(SOURCES)
        for name, answer in answers.items():
            assert msgspec.json.decode(msgspec.json.encode(answer), type=SOURCES[name].answer) == answer


def test_every_application_is_one_that_the_interface_takes() -> None:
    for person in PEOPLE[:500]:
        application = person.application(customer_uuid="c-1")
        assert msgspec.json.decode(msgspec.json.encode(application), type=Application) == application


def test_a_source_tells_only_what_was_authorised_and_asked() -> None:
    person = next(one for one in PEOPLE if one.records["positive_registry"].history is not None)
    bare = person.answers(Subject(cpf=person.cpf))
    assert {"scr", "open_finance"}.isdisjoint(bare)
    assert bare["positive_registry"].history is None
    assert bare["registration"].address_matches is None
    assert bare["device_phone"].device_risk is None
    assert bare["device_phone"].line_months is None
    assert person.answers(everything(person))["positive_registry"].history is not None


def test_some_people_are_unknown_and_some_have_left_the_positive_registry() -> None:
    assert 0.02 < np.mean([one.records["registration"].presumed_income_brl is None for one in PEOPLE]) < 0.10
    assert 0.03 < np.mean([one.records["scr"].institutions == 0 for one in PEOPLE]) < 0.12
    assert 0.03 < np.mean([not one.records["positive_registry"].registered for one in PEOPLE]) < 0.10


def test_each_authorisation_is_given_by_about_half() -> None:
    for name in ALL:
        assert 0.4 < np.mean([name in one.consents for one in PEOPLE]) < 0.72


def test_some_overstate_their_income_and_default_more_often() -> None:
    over = [one for one in PEOPLE if one.traits.overstates is not None]
    straight = [one for one in PEOPLE if one.traits.overstates is None]
    assert 0.1 < len(over) / len(PEOPLE) < 0.35
    assert np.median([one.srd.gross_income / one.traits.income for one in over]) > 1.2
    assert np.median([one.srd.gross_income / one.traits.income for one in straight]) == pytest.approx(1, abs=0.02)
    assert np.mean([one.true_pd for one in over]) > np.mean([one.true_pd for one in straight])


@pytest.mark.parametrize(
    ("source", "field", "riskier"),
    [("negative_bureau", "score", -1), ("scr", "limits_used_brl", 1), ("open_finance", "overdraft_days_90d", 1)],
)
def test_records_tell_of_the_truth_but_not_all_of_it(source: str, field: str, riskier: int) -> None:
    known = [
        (getattr(one.records[source], field), one) for one in PEOPLE if getattr(one.records[source], field) is not None
    ]
    values = [value / (one.records["scr"].limits_brl or 1 if source == "scr" else 1) for value, one in known]
    found = np.corrcoef(values, [np.log(one.true_pd / (1 - one.true_pd)) for _, one in known])[0, 1] * riskier
    assert 0.15 < found < 0.85


def test_outcomes_come_at_the_true_rate() -> None:
    rng = np.random.default_rng(2)
    expected = np.mean([one.true_pd for one in PEOPLE])
    observed = np.mean([one.default_within_12m(draw) for one in PEOPLE for draw in rng.random(20)])
    assert observed == pytest.approx(expected, rel=0.05)
    assert 0.08 < expected < 0.15


def test_a_portfolio_spans_seven_years_of_known_outcomes_and_has_every_feature() -> None:
    frame = portfolio_of_applicants(9, 1500, TODAY)
    assert (max(frame["as_of"]) - min(frame["as_of"])).days > 6.5 * 365
    assert max(frame["as_of"]) <= date(2025, 11, 22)
    assert set(CATALOGUE) <= set(frame.columns)
    assert frame["default"].mean() == pytest.approx(frame["true_pd"].mean(), abs=0.03)
    assert 0.25 < frame["scr_utilisation"].isna().mean() < 0.55
    assert frame["cpf_irregular"].isna().mean() < 0.03
    assert portfolio_of_applicants(9, 50, TODAY).equals(frame.head(50))
