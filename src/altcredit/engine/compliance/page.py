"""The report and an export as pages for people: one file each, nothing fetched from elsewhere, made to be printed."""

from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from altcredit.engine.compliance.figures import Chart, Figure, Report

if TYPE_CHECKING:
    import jinja2

Language = Literal["en", "hi"]

_WORDS: Final = msgspec.toml.decode(
    files("altcredit.engine.compliance").joinpath("export_words.toml").read_bytes(),
    type=dict[Language, dict[str, str]],
)
_PALETTE: Final = ("#0f766e", "#c98a1b", "#b3382c", "#6b7280")
_WIDTH, _HEIGHT, _FOOT = 640, 180, 40


def report_page(report: Report) -> str:
    """Return the report as printable HTML (A4)."""
    return _templates().get_template("report.html").render(report=report)


def export_page(document: bytes, *, language: Language = "en") -> str:
    """Return an export (its JSON) as readable HTML, with headings in English or Hindi."""
    return (
        _templates()
        .get_template("export.html")
        .render(said=msgspec.json.decode(document), words=_WORDS[language], language=language)
    )


def _shown(figure: Figure) -> str:
    value = _number(figure.value, figure.unit)
    if figure.low is None or figure.high is None:
        return value
    return f"{value} ({_number(figure.low, figure.unit)} to {_number(figure.high, figure.unit)})"


def _number(value: Any, unit: str = "") -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if unit == "share":
        return f"{100 * value:.1f} %"
    text = f"{value:,}" if isinstance(value, int | float) else str(value)
    return f"{text} {unit}" if unit else text


def _bars(chart: Chart) -> list[dict[str, Any]]:
    """Return the rectangles of a bar chart, in the units of its picture."""
    top = max((value for values in chart.values for value in values), default=0) or 1
    slot = _WIDTH / max(len(chart.labels), 1)
    width = slot * 0.8 / max(len(chart.series), 1)
    return [
        {
            "x": round(slot * (at + 0.1) + width * number, 1),
            "y": round((_HEIGHT - _FOOT) * (1 - value / top) + 14, 1),
            "width": round(width * 0.94, 1),
            "height": round((_HEIGHT - _FOOT) * value / top, 1),
            "colour": _PALETTE[number % len(_PALETTE)],
            "value": _number(value),
        }
        for number, values in enumerate(chart.values)
        for at, value in enumerate(values)
    ]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _loader(name: str) -> str:
    return files("altcredit.engine.compliance").joinpath(name).read_text("utf-8")


@lru_cache(maxsize=1)
def _templates() -> "jinja2.Environment":
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_loader), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"shown": _shown, "number": _number, "bars": _bars, "words": _words}
    made.globals |= {"palette": _PALETTE, "width": _WIDTH, "height": _HEIGHT, "foot": _FOOT}
    return made
