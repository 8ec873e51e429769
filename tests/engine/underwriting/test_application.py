"""The form of a request, and the CPF's check digits (contract U3, U4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.br import cpf as reference

from altcredit.engine.underwriting.application import is_cpf


@given(st.from_regex(r"\A[0-9]{11}\Z") | st.text(max_size=14))
def test_a_cpf_is_judged_as_a_maintained_library_judges_it(text: str) -> None:
    plain = len(text) == 11 and text.isascii() and text.isdigit()
    assert is_cpf(text) == (plain and len(set(text)) > 1 and reference.is_valid(text))


@given(st.integers(0, 999_999_999))
def test_exactly_one_pair_of_check_digits_fits(number: int) -> None:
    fitting = [check for check in range(100) if is_cpf(f"{number:09d}{check:02d}")]
    assert len(fitting) == 1 or (not fitting and len(set(str(number))) == 1)


@pytest.mark.parametrize("cpf", ["41955366004", "14779111030", "39549600017"])
def test_the_published_cpfs_are_valid(cpf: str) -> None:
    assert is_cpf(cpf)


@pytest.mark.parametrize(
    "cpf", ["00000000000", "11111111111", "99999999999", "419.553.660-04", "4195536600", "٤١٩٥٥٣٦٦٠٠٤"]
)
def test_what_is_no_cpf_is_refused(cpf: str) -> None:
    assert not is_cpf(cpf)
