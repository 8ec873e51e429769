"""Reading what people and ERPs write: amounts, dates, GSTINs, mobile numbers. Pure functions, no I/O, no clock."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

MONTHS = {"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10}
MONTHS |= {"nov": 11, "dec": 12}
PAISA = Decimal("0.01")
MAX_ID, MAX_NAME = 85, 200
"""Characters of an id (before suffixes) and of a shop's name."""

_AMOUNT = re.compile(
    r"^(?P<open>\()?(?P<sign>[+-])?(?:₹|rs\.?|inr)?\s*(?P<inner>[+-])?"
    r"(?P<digits>\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+)(?P<exponent>e[+-]?\d{1,2})?"
    r"\s*(?P<close>\))?(?P<after>-)?(?:/-)?\s*(?P<side>dr|cr)?\.?$",
    re.IGNORECASE,
)
_NUMERIC = re.compile(r"^(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4}|\d{2})$")
_YEAR_FIRST = re.compile(r"^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})$")
_COMPACT = re.compile(r"^(\d{4})(\d{2})(\d{2})$")
_DAY_NAME = re.compile(r"^(\d{1,2})[-/. ]*([a-z]{3})[a-z]*[-/., ]*(\d{4}|\d{2})$", re.IGNORECASE)
_NAME_DAY = re.compile(r"^([a-z]{3})[a-z]*[-/. ]*(\d{1,2})[-/., ]+(\d{4}|\d{2})$", re.IGNORECASE)
_TIME = re.compile(r"[T ]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*([ap]m)?(Z|[+-]\d{2}:?\d{2})?$", re.IGNORECASE)
_SERIAL = re.compile(r"^([3-6]\d{4})(\.\d+)?$")
_GSTIN = re.compile(r"^\d{2}[A-Z]{5}\d{4}[A-Z][1-9A-Z]Z[0-9A-Z]$", re.ASCII)
_GSTIN_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def clean(text: str | None) -> str:
    """Return ``text`` in NFC without control characters, runs of blanks folded, ends trimmed; never None."""
    if not text:
        return ""
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c == "\ufeff" else c for c in text)
    return " ".join(unicodedata.normalize("NFC", kept).split())


def amount(text: str) -> Decimal | None:
    """Read rupees, rounded to the paisa; negative for a minus, brackets or ``Cr``. None where it is no amount.

    Understands ``1,23,456.00``, ``123,456``, ``₹ 6,500/-``, ``(2,000.00)``, ``42,000.00 Dr``, ``500-`` and ``4.2E+04``.
    """
    found = _AMOUNT.match(clean(text))
    if not found or bool(found["open"]) != bool(found["close"]):
        return None
    try:
        value = Decimal(found["digits"].replace(",", "") + (found["exponent"] or ""))
        value = value.quantize(PAISA, ROUND_HALF_UP)
    except InvalidOperation:
        return None
    minus = [found["sign"] == "-", found["inner"] == "-", found["after"] == "-", bool(found["open"])]
    credit = (found["side"] or "").lower() == "cr"
    return -value if any(minus) != credit and value else value


def _year(text: str) -> int:
    year = int(text)
    if len(text) == 4:
        return year
    return year + (1900 if year >= 70 else 2000)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def day(text: str, *, day_first: bool = True) -> date | None:
    """Read a date in any of the forms that Indian ERPs and Excel write; None where it is no date.

    ``day_first`` decides 03/05/2026 only; where just one reading exists (05/17/2026), that one is taken.
    """
    text = _TIME.sub("", clean(text))
    if found := _NUMERIC.match(text):
        first, second, year = int(found[1]), int(found[2]), _year(found[3])
        if not day_first:
            first, second = second, first
        return _date(year, second, first) or _date(year, first, second)
    if found := _YEAR_FIRST.match(text) or _COMPACT.match(text):
        return _date(int(found[1]), int(found[2]), int(found[3]))
    if found := _DAY_NAME.match(text):
        return _date(_year(found[3]), MONTHS.get(found[2].lower(), 0), int(found[1]))
    if found := _NAME_DAY.match(text):
        return _date(_year(found[3]), MONTHS.get(found[1].lower(), 0), int(found[2]))
    if found := _SERIAL.match(text):  # an Excel cell that lost its date format
        return date(1899, 12, 30) + timedelta(days=int(found[1]))
    return None


def is_day_first(column: Iterable[str]) -> bool:
    """Decide 03/05 for a whole column: month first only if some value proves it and none proves the opposite."""
    day_proven = month_proven = False
    for text in column:
        if found := _NUMERIC.match(_TIME.sub("", clean(text))):
            day_proven |= int(found[1]) > 12
            month_proven |= int(found[2]) > 12
    return day_proven or not month_proven


def gstin(text: str) -> str | None:
    """Return the GSTIN in capitals if its form and check digit are right, else None."""
    code = clean(text).upper().replace(" ", "")
    if not _GSTIN.match(code):
        return None
    total = 0
    for place, letter in enumerate(code[:14]):
        product = _GSTIN_ALPHABET.index(letter) * (1 + place % 2)
        total += product // 36 + product % 36
    return code if code[14] == _GSTIN_ALPHABET[-total % 36] else None


def phone_hash(text: str) -> str | None:
    """Return the SHA-256 (lower-case hex) of an Indian mobile's E.164 digits, e.g. 919812345678 (contract C1).

    None for masked (98XXXXXX12), foreign, incomplete or landline numbers: a wrong hash would link the wrong shop.
    """
    digits = re.sub(r"[\s().-]", "", clean(text)).removeprefix("+")
    if digits.startswith("00"):
        digits = digits[2:]
    if re.fullmatch(r"0[6-9]\d{9}", digits):
        digits = digits[1:]
    if re.fullmatch(r"[6-9]\d{9}", digits, re.ASCII):
        digits = "91" + digits
    if not re.fullmatch(r"91[6-9]\d{9}", digits, re.ASCII):
        return None
    return hashlib.sha256(digits.encode()).hexdigest()


def identifier(text: str) -> str:
    """Return an id that is short enough to be sent (100 characters, with room for a suffix), still unique if cut."""
    if len(text) <= MAX_ID:
        return text
    return f"{text[: MAX_ID - 9]}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def financial_year(on: date) -> int:
    """Return the year in which the Indian financial year of ``on`` began (April to March)."""
    return on.year if on.month >= 4 else on.year - 1
