"""
The report, an export and a certificate as pages for people: one file each, nothing fetched from elsewhere, made for
print (A4), desk and phone.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from importlib.resources import files
from itertools import groupby
from string import Formatter
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from altcredit.engine import scoring
from altcredit.engine.compliance.figures import Chart, Figure, Report, Section, Table

if TYPE_CHECKING:
    import jinja2

Language = Literal["en", "hi"]


class _ReportWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``lead``: sentences of a section, with figures by name; the others: what people call what has a short name."""

    lead: dict[str, tuple[str, ...]]
    figures: dict[str, str]
    columns: dict[str, str]
    states: dict[str, str]


def _data(name: str) -> bytes:
    return files("altcredit.engine.compliance").joinpath(name).read_bytes()


_WORDS: Final = msgspec.toml.decode(_data("export_words.toml"), type=dict[Language, dict[str, Any]])
REPORT_WORDS: Final = msgspec.toml.decode(_data("report_words.toml"), type=_ReportWords)
_PALETTE: Final = ("#0f766e", "#c98a1b", "#b3382c", "#6b7280")
_WIDTH, _HEIGHT, _FOOT, _TOP = 640, 190, 26, 18
_WIDEST_BAR: Final = 72
_WIDE_LABEL: Final = 10
_IST: Final = timezone(timedelta(hours=5, minutes=30), "IST")
_UTC: Final = timezone(timedelta(0), "UTC")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_HASH: Final = re.compile(r"[0-9A-Za-z_-]{40,}")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def report_page(report: Report) -> str:
    """Return the report as printable HTML (A4). Times are UTC."""
    return _templates().get_template("report.html").render(report=report, exceptions=report.section("exceptions"))


def export_page(document: bytes, *, language: Language = "en") -> str:
    """Return an export (its JSON) as readable HTML, in English or Hindi. Times are Indian."""
    words = _WORDS[language]
    return (
        _templates()
        .get_template("export.html")
        .render(
            said=msgspec.json.decode(document),
            words=words,
            language=language,
            label=lambda code: scoring.CODES[code].label(language) if code in scoring.CODES else code,
            cell=lambda value: _cell(value, zone=_IST, words=words),
        )
    )


def certificate_page(record: bytes, *, signature: bytes, public_pem: str) -> str:
    """Return an erasure's certificate as printable HTML, with all that is needed to verify it. Times are UTC."""
    return (
        _templates()
        .get_template("certificate.html")
        .render(
            said=msgspec.json.decode(record), record=record.decode(), signature=signature.hex(), public_pem=public_pem
        )
    )


def indian(value: float, *, places: int = 0) -> str:
    """Write a number with Indian grouping: 12,34,567.5."""
    whole, _, part = f"{abs(value):.{places}f}".partition(".")
    head, tail = whole[:-3], whole[-3:]
    groups = [head[max(at - 2, 0) : at] for at in range(len(head), 0, -2)][::-1]
    sign = "−" if value < 0 and float(f"{value:.{places}f}") != 0 else ""
    return f"{sign}{','.join([*groups, tail])}{'.' + part if part else ''}"


def _number(value: float, unit: str = "") -> str:
    if unit == "share":
        return f"{indian(100 * value, places=1)} %"
    places = 0 if isinstance(value, int) or (value == int(value) and abs(value) >= 1) else 1 if abs(value) >= 100 else 3
    text = indian(value, places=places)
    return text if not places or "." not in text else text.rstrip("0").rstrip(".")


def _moment(text: str, zone: timezone, months: Sequence[str]) -> str:
    """Return a day or a moment as people write it: 22 Nov 2026, 14:02 UTC."""
    if _DAY.fullmatch(text):
        day = date.fromisoformat(text)
        return f"{day.day} {months[day.month - 1]} {day.year}"
    at = datetime.fromisoformat(text).astimezone(zone)
    return f"{at.day} {months[at.month - 1]} {at.year}, {at:%H:%M} {zone.tzname(None)}"


def _cell(value: Any, unit: str = "", *, zone: timezone = _UTC, words: dict[str, Any] | None = None) -> str:
    """Return a value of any kind as text."""
    words = words or _PLAIN
    if value is None or value in ("", []):
        return "–"
    if isinstance(value, list):
        return ", ".join(_cell(one, unit, zone=zone, words=words) for one in value)
    if isinstance(value, bool):
        return str(words["yes"] if value else words["no"])
    if isinstance(value, int | float):
        named = _UNITS.get(unit, "") if unit != "share" else ""
        return f"{_number(value, unit)} {named}".strip()
    if isinstance(value, str) and (_MOMENT.fullmatch(value) or _DAY.fullmatch(value)):
        return _moment(value, zone, words["months"])
    return str(words.get("values", {}).get(value, value))


_PLAIN: Final[dict[str, Any]] = {"yes": "yes", "no": "no", "months": _MONTHS}


def _rupees(value: str | None) -> str:
    """Return an amount of the ledger (a decimal number as text): with paise only where there are some."""
    if value is None:
        return "–"
    amount = float(value)
    return indian(amount, places=0 if amount == int(amount) else 2)


_UNITS: Final = {"s": "seconds", "d": "days", "h": "hours"}


def _interval(figure: Figure) -> str:
    """Return the 95 % interval of a figure that has one."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{_cell(figure.low, figure.unit)} to {_cell(figure.high, figure.unit)}"


class _Said(str):
    """A figure in a sentence: ``{filed:case|cases}`` gives it with the word that goes with its number."""

    def __format__(self, words: str) -> str:
        one, _, many = words.partition("|")
        return f"{self} {one if self == '1' else many}" if words else str(self)


def _lead(section: Section) -> str:
    """Return the section in a few sentences, without those whose figures are not known."""
    said = {one.name: _Said(_cell(one.value, one.unit)) for one in section.figures}
    unknown = {one.name for one in section.figures if one.value is None}
    sentences = REPORT_WORDS.lead[section.key]
    return " ".join(one.format_map(said) for one in sentences if not _named(one) & unknown)


def _named(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def _called(name: str) -> str:
    return REPORT_WORDS.figures.get(name, name.replace("_", " "))


def _column(name: str) -> str:
    return REPORT_WORDS.columns.get(name, name.replace("_", " "))


def _grouped(rows: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, list[Sequence[Any]]]]:
    """Return rows by their first cell, in their order."""
    return ((first, list(members)) for first, members in groupby(rows, key=lambda row: row[0]))


def _bars(chart: Chart) -> list[dict[str, Any]]:
    """Return the rectangles of a bar chart, in the units of its picture, each with its number above it."""
    top = max((value for values in chart.values for value in values), default=0) or 1
    slot = _WIDTH / max(len(chart.labels), 1)
    width = min(slot * 0.8 / max(len(chart.series), 1), _WIDEST_BAR)
    room = _HEIGHT - _FOOT - _TOP
    return [
        {
            "x": round(slot * (at + 0.5) + width * (number - len(chart.series) / 2), 1),
            "y": round(_TOP + room * (1 - value / top), 1),
            "width": round(width * 0.94, 1),
            "height": round(room * value / top, 1),
            "colour": _PALETTE[number % len(_PALETTE)],
            "value": _number(value),
        }
        for number, values in enumerate(chart.values)
        for at, value in enumerate(values)
    ]


class _Shown(msgspec.Struct, frozen=True):
    """A table as it is printed: each cell a text and what it is (``n`` a number, ``h`` a hash, or nothing)."""

    columns: list[tuple[str, str]]
    rows: list[list[tuple[str, str]]]


def _shown(table: Table) -> _Shown:
    """Return a table for print: a value's interval stands behind it, in one cell."""
    names = [name.strip() for name in table.columns]
    places = [at for at, name in enumerate(names) if name not in ("low", "high")]
    with_interval = {at for at in places if names[at + 1 : at + 3] == ["low", "high"]}
    rows = []
    for row in table.rows:
        cells = []
        for at in places:
            text, kind = _cell(row[at]), _kind(row[at])
            if at == 0 and table.title == "State":
                text = REPORT_WORDS.states.get(text, text)
            if at in with_interval and row[at + 1] is not None:
                text += f" ({_cell(row[at + 1])} to {_cell(row[at + 2])})"
            cells.append((text, kind))
        rows.append(cells)
    kinds = [next((row[at][1] for row in rows if row[at][0] != "–"), "") for at in range(len(places))]
    return _Shown(columns=[(_column(names[at]), kind) for at, kind in zip(places, kinds, strict=True)], rows=rows)


def _kind(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "n"
    return "h" if isinstance(value, str) and _HASH.fullmatch(value) else ""


def _lies(chart: Chart) -> list[tuple[str, str, float]] | None:
    """Return label, number and share of the longest of each bar, where the labels ask for bars that lie."""
    if len(chart.series) > 1 or max(map(len, chart.labels), default=0) <= _WIDE_LABEL:
        return None
    top = max(chart.values[0]) or 1
    pairs = zip(chart.labels, chart.values[0], strict=True)
    return [(label, _number(value), round(100 * value / top, 1)) for label, value in pairs]


def _loader(name: str) -> str:
    return _data(name).decode()


@lru_cache(maxsize=1)
def _templates() -> "jinja2.Environment":
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_loader), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "bars": _bars, "called": _called, "cell": _cell, "column": _column, "grouped": _grouped, "interval": _interval,
        "lead": _lead, "lies": _lies, "rupees": _rupees, "shown": _shown,
    }  # fmt: skip
    made.globals |= {"palette": _PALETTE, "width": _WIDTH, "height": _HEIGHT, "foot": _FOOT}
    return made
