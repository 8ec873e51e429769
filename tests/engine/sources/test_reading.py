"""How a provider's JSON becomes our Struct: mapping, strangers, and garbage of every kind."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.sources.people import person

from altcredit.engine.sources import SOURCES, Source, Subject, Terms
from altcredit.engine.sources.deployment import Rule, Unknown
from altcredit.engine.sources.reading import Unusable, read

PLAIN = Terms(base_url="https://provider.example")
SECRET = "39549600017"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
EVERY = st.sampled_from(list(SOURCES.values()))


def _read(source: Source, value: Any, *, terms: Terms = PLAIN, status: int = 200) -> Any:
    return read(status, json.dumps(value).encode(), source=source, terms=terms)


def _tried(source: Source, value: Any, *, status: int = 200) -> tuple[Any, str]:
    try:
        return _read(source, value, status=status), ""
    except Unusable as error:
        return None, str(error)


@given(EVERY, st.binary(max_size=200).filter(lambda body: b"known" not in body))
def test_bytes_of_any_kind_never_do_worse_than_fail(source: Source, body: bytes) -> None:
    with pytest.raises(Unusable):
        read(200, body, source=source, terms=PLAIN)


@given(EVERY, st.data())
def test_a_field_of_the_wrong_kind_fails_and_is_named_without_its_value(source: Source, data: st.DataObject) -> None:
    answer = msgspec.to_builtins(person(source.name, Subject(cpf=SECRET)))
    name = data.draw(st.sampled_from(sorted(answer)))
    answer[name] = data.draw(JSON)
    found, problem = _tried(source, answer)
    assert SECRET not in problem
    assert len(problem) < 150
    if not problem:  # what was drawn is a value of the right kind
        assert msgspec.convert(answer, source.answer) == found


@given(EVERY, JSON, st.sampled_from([200, 404]))
def test_any_json_either_fits_or_fails(source: Source, value: Any, status: int) -> None:
    found, problem = _tried(source, value, status=status)
    assert SECRET not in problem
    assert problem or isinstance(found, source.answer)


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source.name)
def test_numbers_out_of_range_fail(source: Source) -> None:
    answer = msgspec.to_builtins(person(source.name, Subject(cpf=SECRET)))
    for name, value in answer.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            for extreme in (-(10**12), 10**12):
                with pytest.raises(Unusable, match=name):
                    _read(source, {**answer, name: extreme})


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source.name)
def test_an_object_without_a_field_of_ours_is_no_answer(source: Source) -> None:
    for value in ({}, {"error": "maintenance"}, {"status": "ok", "data": None}):
        with pytest.raises(Unusable):
            _read(source, value)


@pytest.mark.parametrize("body", [{}, {"known": True}, {"known": 0}, {"known": None}, [], "no", {"error": "not found"}])
def test_only_the_agreed_words_mean_a_stranger(body: Any) -> None:
    """A wrong address in the file of sources must not make everybody look unknown, and so without debts."""
    bureau = SOURCES["negative_bureau"]
    with pytest.raises(Unusable):
        _read(bureau, body, status=404)
    assert _read(bureau, {"known": False}, status=404) == bureau.unknown
    assert _read(bureau, {"known": False}, status=200) == bureau.unknown


def test_a_providers_own_form_is_read_by_the_mapping() -> None:
    scr = SOURCES["scr"]
    terms = Terms(
        base_url="https://provider.example",
        unknown=Unknown(path="retorno.codigo", equals="NAO_ENCONTRADO"),
        mapping={
            "institutions": Rule(path="resultado.qtdInstituicoes", scale=1),
            "relationship_months": "resultado.meses",
            "total_debt_brl": Rule(path="resultado.carteiras.0.valorCentavos", scale=0.01),
            "monthly_service_brl": Rule(path="resultado.parcela", scale=1),
            "overdue_15_90_brl": "resultado.carteiras.1.valor",
            "overdue_over_90_brl": Rule(constant=0),
            "written_off_brl": Rule(constant=0.0),
            "limits_brl": "resultado.limites",
            "limits_used_brl": "resultado.usado",
        },
    )
    answer = {
        "retorno": {"codigo": "OK"},
        "resultado": {
            "qtdInstituicoes": "3",
            "meses": 48,
            "carteiras": [{"valorCentavos": 1234556}, {"valor": 10.5}],
            "parcela": "310.25",
            "limites": 5000,
            "usado": 100,
            "ignored": {"nome": "Maria"},
        },
    }
    found = _read(scr, answer, terms=terms)
    assert (found.institutions, found.total_debt_brl, found.monthly_service_brl) == (3, 12345.56, 310.25)
    assert (found.overdue_15_90_brl, found.overdue_over_90_brl) == (10.5, 0)
    assert _read(scr, {"retorno": {"codigo": "NAO_ENCONTRADO"}}, terms=terms) == scr.unknown
    with pytest.raises(Unusable, match="institutions"):
        _read(scr, {"resultado": {**answer["resultado"], "qtdInstituicoes": "três"}}, terms=terms)
    with pytest.raises(Unusable, match="relationship_months"):
        _read(scr, {"resultado": {**answer["resultado"], "meses": None}}, terms=terms)
    del answer["resultado"]["limites"]
    with pytest.raises(Unusable, match="limits_brl"):
        _read(scr, answer, terms=terms)


def test_codes_are_translated_and_an_unknown_code_fails() -> None:
    rule = Rule(path="situacao", values={"0": "regular", "2": "suspended", "true": "pending"})
    terms = Terms(base_url="https://provider.example", mapping={"situation": rule})
    status = SOURCES["cpf_status"]
    assert _read(status, {"situacao": 2}, terms=terms).situation == "suspended"
    assert _read(status, {"situacao": "0"}, terms=terms).situation == "regular"
    assert _read(status, {"situacao": True}, terms=terms).situation == "pending"
    with pytest.raises(Unusable, match="situation"):
        _read(status, {"situacao": SECRET}, terms=terms)


def test_nested_fields_are_mapped() -> None:
    terms = Terms(
        base_url="https://provider.example",
        mapping={"registered": Rule(constant=True), "history.months": "m", "history.open_contracts": "n"},
    )
    found = _read(SOURCES["positive_registry"], {"m": 12, "n": 2}, terms=terms)
    assert (found.history.months, found.history.open_contracts) == (12, 2)


def test_constants_alone_are_no_answer() -> None:
    terms = Terms(base_url="https://p.example", mapping={"registered": Rule(constant=True), "score": "s"})
    with pytest.raises(Unusable):
        _read(SOURCES["positive_registry"], {"error": "maintenance"}, terms=terms)
