import timeit
from typing import Any

import pytest
from tests.engine.underwriting.applicants import ANSWERS, REPORTED, TODAY, changed, read

from altcredit.engine.sources import SOURCES, PositiveRegistry, Registration
from altcredit.engine.underwriting import CATALOGUE, Application, features


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("income", 4_000),
        ("declared_to_presumed", 1.0),
        ("card_spends_to_income", 0.05),
        ("desired_limit_to_income", 0.5),
        ("occupation_risk", 1.0),
        ("cpf_irregular", 0.0),
        ("others_inquiries_90d", 1),
        ("sim_swapped", 0.0),
        ("scr_utilisation", 0.2),
        ("scr_service_to_income", 0.125),
        ("on_time_share", 0.98),
        ("observed_to_declared", 1.0),
        ("balance_to_income", 0.5),
        ("supported_income_brl", 4_000),
        ("debt_service_brl", 500),
        ("history_months", 90),
    ],
)
def test_a_feature_by_hand(name: str, value: float) -> None:
    assert read()[name] == pytest.approx(value)


@pytest.mark.parametrize(
    ("found", "name", "value"),
    [
        (read(changed("negative_bureau", inquiries_90d=9, own_inquiries_90d=9)), "others_inquiries_90d", 0),
        (read(changed("device_phone", sim_swapped_days=30)), "sim_swapped", 1.0),
        (read(changed("device_phone", sim_swapped_days=31)), "sim_swapped", 0.0),
        (read(changed("scr", monthly_service_brl=100)), "debt_service_brl", 300),
        (read(card_spends=None, loan_spends=None, without=("scr",)), "debt_service_brl", None),
        (read(gross_income=10_000), "income", 8_000),
        (read(gross_income=10_000), "supported_income_brl", 5_000),
        (read(gross_income=10_000), "declared_to_supported", 2.0),
        (read(gross_income=10_000, without=("open_finance",)), "supported_income_brl", 8_000),
        (read(changed("registration", presumed_income_brl=1_000)), "income", 2_000),
        (read(changed("registration", presumed_income_brl=1_000)), "supported_income_brl", 4_000),
        (read(changed("open_finance", months_observed=0, monthly_income_brl=0)), "supported_income_brl", 4_000),
        (read(changed("scr", limits_brl=0, limits_used_brl=0)), "scr_utilisation", 0.0),
        (read({"registration": Registration()}), "address_mismatch", None),
        (read({"positive_registry": PositiveRegistry(registered=False)}), "positive_score", None),
        (read(gross_income=0.0, without=("registration",)), "card_spends_to_income", None),
    ],
)
def test_a_feature_of_somebody_less_ordinary(found: dict[str, Any], name: str, value: float | None) -> None:
    assert found[name] == (None if value is None else pytest.approx(value))


def test_of_nothing_nothing_is_known() -> None:
    found = features(Application(customer_uuid="c", cpf="39549600017"), {}, today=TODAY)
    assert set(found) == set(CATALOGUE)
    assert {name for name, value in found.items() if value is not None} == {"service_in_scr"}


@pytest.mark.parametrize("source", [*SOURCES, "application"])
def test_a_model_input_comes_from_the_source_that_it_names_and_no_other(source: str) -> None:
    """So that what a missing source counts for can be told exactly: only ratios to income may move with another."""
    full = read()
    application = Application(customer_uuid="c", cpf="39549600017", srd=None if source == "application" else REPORTED)
    found = features(application, {name: one for name, one in ANSWERS.items() if name != source}, today=TODAY)
    for name, one in CATALOGUE.items():
        if one.model_input and one.source == source:
            assert found[name] is None or name == "income"
        elif one.model_input and source not in ("application", "registration"):
            assert found[name] == full[name], name


def test_the_screen_model_reads_only_what_is_known_before_the_funnel() -> None:
    for one in CATALOGUE.values():
        assert one.screen == (one.source == "application" or SOURCES[one.source].tier == "screen")


def test_only_the_positive_registry_is_neutral() -> None:
    assert {one.source for one in CATALOGUE.values() if one.neutral} == {"positive_registry"}


def test_neither_age_nor_the_kind_of_line_counts() -> None:
    assert read(changed("cpf_status", birth_year=1940)) == read(changed("cpf_status", birth_year=2007))
    assert read(changed("device_phone", prepaid=True)) == read()


def test_each_feature_says_what_it_means() -> None:
    for one in CATALOGUE.values():
        assert one.meaning.endswith(".")
        assert one.unit
        assert one.source == "application" or one.source in SOURCES


def test_reading_an_applicant_takes_well_under_50_microseconds_of_a_quiet_core() -> None:
    application = Application(customer_uuid="c", cpf="39549600017", srd=REPORTED)
    best = min(timeit.repeat(lambda: features(application, ANSWERS, today=TODAY), number=500, repeat=20)) / 500
    assert best < 50e-6
