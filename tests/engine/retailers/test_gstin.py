import random
import string

import pytest
from stdnum.in_ import gstin as reference

from altcredit.engine.retailers.gstin import check_character, is_gstin


def test_the_samples_of_the_tax_network_are_valid() -> None:
    assert is_gstin("27AAPFU0939F1ZV")
    assert is_gstin("29AAGCB7383J1Z4")


@pytest.mark.parametrize(
    "text",
    [
        "", "27AAPFU0939F1Z", "27AAPFU0939F1ZW", "27aapfu0939f1zv", "27AAPFU0939F1ZV\n", " 27AAPFU0939F1ZV",
        "00AAPFU0939F1ZV", "39AAPFU0939F1ZV", "27AAPFU0939F1YV", "२७AAPFU0939F1ZV", "27AAPFU0939F0ZV",
    ],
)  # fmt: skip
def test_anything_else_is_not(text: str) -> None:
    assert not is_gstin(text)


def test_the_check_character_agrees_with_an_independent_implementation() -> None:
    r = random.Random(7)
    letters = string.ascii_uppercase
    for _ in range(5000):
        pan = "".join(r.choices(letters, k=3)) + r.choice("CPHFATBLJG") + r.choice(letters)
        first = f"{r.randrange(1, 38):02d}{pan}{r.randrange(1, 10000):04d}{r.choice(letters)}{r.choice('123456789')}Z"
        good = first + check_character(first)
        assert is_gstin(good)
        assert reference.is_valid(good)
        wrong = first + r.choice(string.digits + letters)
        assert is_gstin(wrong) == reference.is_valid(wrong)
