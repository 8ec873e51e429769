"""
The GSTIN, India's goods and services tax number: 15 characters.

State code (2 digits) | PAN (10) | entity number | ``Z`` | check character. The check character is the Luhn algorithm
in base 36 (weights 1, 2, 1, 2, … from the left), as the tax network computes it.
"""

import re
from typing import Final

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# 97 is "other territory", 99 the centre's own jurisdiction.
_FORM: Final = re.compile(r"(?:0[1-9]|[12][0-9]|3[0-8]|97|99)[A-Z]{5}[0-9]{4}[A-Z][1-9A-Z]Z[0-9A-Z]", re.ASCII)
_VALUE: Final = bytes(_DIGITS.find(chr(code)) % 256 for code in range(256))
_DOUBLED: Final = bytes((2 * value // 36 + 2 * value % 36) % 256 for value in range(256))


def check_character(first: str) -> str:
    """Return the check character of the first 14 characters of a GSTIN."""
    values = first.encode("ascii").translate(_VALUE)
    return _DIGITS[-(sum(values[::2]) + sum(values[1::2].translate(_DOUBLED))) % 36]


def is_gstin(text: str) -> bool:
    """Tell whether ``text`` is a GSTIN: form, state code and check character (contract A13). Upper case only."""
    return _FORM.fullmatch(text) is not None and check_character(text[:14]) == text[14]
