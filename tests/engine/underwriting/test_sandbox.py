"""The sandbox: the published CPFs as published, and an outcome for every other one (contract U8)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from altcredit.engine.underwriting.application import Application, ReportedData, is_cpf
from altcredit.engine.underwriting.sandbox import PUBLISHED, ROWS, examples, rehearsal


def an_application(cpf: str, *, cost_saving: bool = False, **srd: Any) -> Application:
    reported = ReportedData(gross_income=4000.0, **srd) if srd else None
    return Application(customer_uuid="c-1", cpf=cpf, cost_saving_enabled=cost_saving, srd=reported)


@pytest.mark.parametrize("environment", ["development", "sandbox"])
def test_the_published_cpfs_do_as_published(environment: Any) -> None:
    filtered = rehearsal(an_application("41955366004", cost_saving=True), environment=environment)
    rejected = rehearsal(an_application("14779111030"), environment=environment)
    approved = rehearsal(an_application("39549600017"), environment=environment)
    assert filtered is not None
    assert rejected is not None
    assert approved is not None
    assert (filtered.outcome, filtered.pd, filtered.risk_band, filtered.limit_brl) == ("filtered", None, None, None)
    assert (rejected.outcome, rejected.limit_brl) == ("rejected", 0)
    assert approved.outcome == "approved"
    assert approved.limit_brl == 500


def test_the_published_filter_needs_the_flag() -> None:
    assert rehearsal(an_application("41955366004"), environment="development") is None
    ordinary = rehearsal(an_application("41955366004"), environment="sandbox")
    assert ordinary is not None
    assert ordinary.outcome == "approved"


def test_production_rehearses_nothing() -> None:
    assert all(rehearsal(an_application(cpf, cost_saving=True), environment="production") is None for cpf in PUBLISHED)


def test_development_underwrites_everybody_else_in_earnest() -> None:
    assert rehearsal(an_application("10000000108"), environment="development") is None


def test_every_outcome_can_be_provoked() -> None:
    shown = {one.name: cpfs for one, cpfs in examples(2)}
    assert set(shown) == {row.name for row in ROWS}
    assert {row.risk_band for row in ROWS} >= {1, 2, 3, 4, 5, 6, 7, None}
    for name, cpfs in shown.items():
        for cpf in cpfs:
            assert is_cpf(cpf)
            found = rehearsal(an_application(cpf, cost_saving=True), environment="sandbox")
            assert found is not None
            assert found.name == name


@given(st.integers(0, 999_999_999), st.booleans())
def test_an_outcome_is_the_same_every_time_and_its_figures_go_together(number: int, flag: bool) -> None:
    cpf = next((text for check in range(100) if is_cpf(text := f"{number:09d}{check:02d}")), None)
    if cpf is None:  # eleven equal digits
        return
    found = rehearsal(an_application(cpf, cost_saving=flag), environment="sandbox")
    assert found == rehearsal(an_application(cpf, cost_saving=flag), environment="sandbox")
    assert found is not None
    assert len({figure is None for figure in (found.pd, found.risk_band, found.limit_brl)}) == 1
    assert flag or found.outcome != "filtered"


def test_a_limit_is_never_more_than_desired() -> None:
    found = rehearsal(an_application("10000001414", desired_credit_limit=1234.0), environment="sandbox")
    assert found is not None
    assert found.limit_brl == 1200
