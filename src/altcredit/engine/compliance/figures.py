"""What a report is made of, and the statistics in it. Pure."""

import hashlib
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

Z95: Final = 1.959964
LEAST: Final = 30
"""A cell with fewer people says something about each of them: it is suppressed."""

PSI_BINS: Final = 10
PSI_FLOOR: Final = 0.10
_CHI2_Z99: Final = 2.326348

Value = int | float | str | bool | None


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, with its 95 % interval where it is an estimate. None: there is nothing to tell it from."""

    name: str
    value: Value
    unit: str = ""
    low: float | None = None
    high: float | None = None
    note: str = ""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """Bars by label; ``series`` names their parts, ``values`` stands beside ``labels`` for each series."""

    title: str
    labels: tuple[str, ...]
    series: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One of the fifteen sections."""

    key: str
    title: str
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    notes: tuple[str, ...] = ()

    def figure(self, name: str) -> Figure:
        """Return a figure. Raises KeyError: the section has none of this name."""
        for one in self.figures:
            if one.name == name:
                return one
        raise KeyError(name)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    The compliance report of ``since`` (inclusive) to ``until`` (exclusive), recomputed from the ledgers.

    ``sha256`` is over the JSON of ``sections`` with the period, keys sorted (:func:`content_hash`), and so the same for
    the same ledgers whenever it is made, as long as ``until`` has passed and the same day's clocks are read.
    """

    since: datetime
    until: datetime
    made_at: datetime
    sections: tuple[Section, ...]
    sha256: str

    def section(self, key: str) -> Section:
        """Return a section. Raises KeyError."""
        for one in self.sections:
            if one.key == key:
                return one
        raise KeyError(key)


Verdict = Literal["ok", "alert"]


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """Population stability index of two samples; ``alert_above`` allows for chance in samples of this size."""

    psi: float
    alert_above: float
    verdict: Verdict
    edges: tuple[float, ...]
    before: tuple[int, ...]
    now: tuple[int, ...]


def content_hash(since: datetime, until: datetime, sections: Sequence[Section]) -> str:
    """Return the SHA-256 (hex) that stands for a report's content."""
    content = {"since": since, "until": until, "sections": list(sections)}
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


def wilson(hits: int, of: int) -> tuple[float, float]:
    """
    Return the 95 % score interval of a share (Wilson, JASA 22, 1927).

    ``of`` must be positive.
    """
    share, z2 = hits / of, Z95 * Z95
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    reach = Z95 * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def share(name: str, hits: int, of: int, *, note: str = "") -> Figure:
    """Return a share with its interval; None where there is nothing to share."""
    if of == 0:
        return Figure(name=name, value=None, unit="share", note=note or "none in this period")
    low, high = wilson(hits, of)
    return Figure(name=name, value=round(hits / of, 4), unit="share", low=round(low, 4), high=round(high, 4), note=note)


def difference(hits: int, of: int, other_hits: int, other_of: int) -> tuple[float, float, float]:
    """Return the difference of two independent shares and its 95 % interval (Newcombe, Stat. Med. 17, 1998, no. 10)."""
    one, other = hits / of, other_hits / other_of
    (low1, high1), (low2, high2) = wilson(hits, of), wilson(other_hits, other_of)
    gap = one - other
    return (
        gap,
        gap - math.sqrt((one - low1) ** 2 + (high2 - other) ** 2),
        gap + math.sqrt((high1 - one) ** 2 + (other - low2) ** 2),
    )


def quantile(values: Sequence[float], at: float) -> float | None:
    """Return the smallest value that at least this part of all do not exceed; None without any."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(math.ceil(at * len(ordered)), 1) - 1]


def psi(before: Sequence[float], now: Sequence[float], *, bins: int = PSI_BINS) -> Shift | None:
    """
    Compare two samples over the deciles of the first; None where one of them has fewer than ``LEAST``.

    An alert is above the larger of 0.10 and the 99th percentile of what chance alone gives in samples of these sizes,
    chi-squared(bins − 1) · (1/n + 1/m) (Yurdakul, 2018), its quantile by Wilson and Hilferty (1931).
    """
    if min(len(before), len(now)) < LEAST:
        return None
    edges = sorted({cut for step in range(1, bins) if (cut := quantile(before, step / bins)) is not None})
    then_, now_ = _counted(before, edges), _counted(now, edges)
    total = 0.0
    for a, b in zip(then_, now_, strict=True):
        p, q = (a + 0.5) / (len(before) + 0.5 * len(then_)), (b + 0.5) / (len(now) + 0.5 * len(now_))
        total += (q - p) * math.log(q / p)
    freedom = max(len(then_) - 1, 1)
    chi2 = freedom * (1 - 2 / (9 * freedom) + _CHI2_Z99 * math.sqrt(2 / (9 * freedom))) ** 3
    alert_above = max(PSI_FLOOR, chi2 * (1 / len(before) + 1 / len(now)))
    return Shift(
        psi=round(total, 4),
        alert_above=round(alert_above, 4),
        verdict="alert" if total > alert_above else "ok",
        edges=tuple(edges),
        before=tuple(then_),
        now=tuple(now_),
    )


def _counted(values: Sequence[float], edges: Sequence[float]) -> list[int]:
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[sum(value > edge for edge in edges)] += 1
    return counts


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return a table of plain values; times become text."""
    return Table(title=title, columns=tuple(columns), rows=tuple(tuple(_plain(cell) for cell in row) for row in rows))


def _plain(cell: Any) -> Value:
    if isinstance(cell, datetime):
        return cell.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(cell, list | tuple):
        return ", ".join(str(_plain(one)) for one in cell)
    if cell is None or isinstance(cell, int | float | str):
        return cell
    return str(cell)
