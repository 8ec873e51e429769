"""Sections of the report about decisions and models: inventory, calibration, stability, fairness, reasons."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from altcredit.engine import retailers
from altcredit.engine.compliance import ledgers
from altcredit.engine.compliance.figures import (
    LEAST,
    Z95,
    Chart,
    Figure,
    Section,
    Shift,
    Value,
    difference,
    psi,
    share,
    table,
    wilson,
)
from altcredit.runtime.db import Connection, Record
from altcredit.runtime.keys import Keyring

_BANDS: Final = ("A", "B", "C", "D")
_APPROVED: Final = frozenset("ABC")  # band D has no limit (contract A14)
_FOUR_FIFTHS: Final = 0.8
_TOO_FEW: Final = f"fewer than {LEAST} shops in this period or in the one before"
_SUPPRESSED: Final = f"< {LEAST}"


async def decisions(db: Connection, since: datetime, until: datetime) -> Section:
    """Section 5: what lenders were told, and what GUARD decided."""
    accesses = await ledgers.rows(db, ledgers.ACCESSES, since, until)
    population = await ledgers.rows(db, ledgers.POPULATION, since, until)
    applications = await ledgers.rows(db, ledgers.UNDERWRITINGS, since, until)
    reviews = await ledgers.rows(db, ledgers.REVIEWS, since, until)
    bands = [sum(row["risk_band"] == band for row in population) for band in _BANDS]
    return Section(
        key="decisions",
        title="Decisions",
        figures=(
            Figure(name="calls", value=sum(row["calls"] for row in accesses)),
            Figure(name="answers", value=sum(row["calls"] for row in accesses if row["outcome"] == "OK")),
            Figure(name="retailers_scored", value=len(population)),
            share("retailers_with_a_limit", sum(bands[:3]), len(population), note="band A, B or C"),
            Figure(name="applications", value=sum(row["applications"] for row in applications)),
            Figure(name="reviews_asked", value=sum(row["reviews"] for row in reviews), note="LGPD art. 20"),
            Figure(name="reviews_late", value=sum(row["late"] for row in reviews)),
        ),
        tables=(
            _of("Calls of the Score API", accesses, ("operation", "outcome", "calls", "retailers")),
            _of("Applications (GUARD)", applications, ("outcome", "applications", "mean_pd")),
            _of("Reviews by a person (GUARD)", reviews, ("decision", "reviews", "late")),
        ),
        charts=(
            Chart(title="Retailers by band", labels=_BANDS, series=("retailers",), values=(tuple(bands),)),
        ),
    )  # fmt: skip


async def models(db: Connection, since: datetime, until: datetime) -> Section:
    """Section 6: every version there is, and who changed what."""
    versions = await ledgers.rows(db, ledgers.MODELS, until)
    promotions = await ledgers.rows(db, ledgers.PROMOTIONS, since, until)
    return Section(
        key="models",
        title="Models and changes",
        figures=(
            Figure(name="versions", value=len(versions)),
            Figure(name="registered_in_period", value=sum(row["registered_at"] >= since for row in versions)),
            Figure(name="promotions", value=len(promotions)),
            Figure(
                name="promotions_by_one_person",
                value=sum(len(set(row["promoted_by"])) < 2 for row in promotions),
                note="possible in development only",
            ),
        ),
        tables=(
            _of("Inventory", versions,
                ("product", "version", "aliases", "kind", "data_origin", "registered_at", "sha256")),
            _of("Promotions", promotions, ("version", "predecessor", "promoted_by", "promoted_at")),
        ),
        notes=("Aliases are those of the day on which the report was made.",),
    )  # fmt: skip


def performance(matured: Sequence[Record]) -> Section:
    """Section 7: defaults observed against expected, of shops whose 90 days ended in the period."""
    bad = sum(row["defaulted"] for row in matured)
    rows = []
    for band in _BANDS:
        members = [row for row in matured if row["risk_band"] == band]
        rows.append((band, *_calibration(members)))
    return Section(
        key="performance",
        title="Performance and calibration",
        figures=(
            Figure(name="matured", value=len(matured)),
            share("bad_rate", bad, len(matured)) if len(matured) >= LEAST else Figure(name="bad_rate", value=None),
            _ratio("observed_to_expected", matured),
            Figure(name="auc", value=_auc(matured), note="None with fewer than 30 of either kind"),
        ),
        tables=(
            table("Bands", ("band", "shops", "expected bad rate", "observed", "low", "high"), rows),
        ),
        notes=(
            "Default as in the contract (A9), from the ledgers themselves, within 90 days of a shop's first score.",
            f"Fewer than {LEAST} shops: suppressed.",
        ),
    )  # fmt: skip


async def stability(db: Connection, since: datetime, until: datetime) -> Section:
    """Section 8: scores and features of the period against those of the period of the same length before it."""
    before = since - (until - since)
    now = [float(row["altscore"]) for row in await ledgers.rows(db, ledgers.SCORES, since, until)]
    earlier = [float(row["altscore"]) for row in await ledgers.rows(db, ledgers.SCORES, before, since)]
    shift = psi(earlier, now)
    features = _shifted(
        await ledgers.rows(db, ledgers.FEATURES, before, since), await ledgers.rows(db, ledgers.FEATURES, since, until)
    )
    alerts = sum(row[3] == "alert" for row in features) if features else None
    return Section(
        key="stability",
        title="Stability",
        figures=(
            Figure(
                name="score_psi",
                value=shift.psi if shift else None,
                note=f"alert above {shift.alert_above}" if shift else _TOO_FEW,
            ),
            Figure(name="score_psi_alert", value=shift.verdict == "alert" if shift else None),
            Figure(name="feature_psi_alerts", value=alerts, note="" if features else _TOO_FEW),
        ),
        tables=(
            table("Features of the champion", ("feature", "PSI", "alert above", "verdict", "missing before (%)",
                                               "missing now (%)"), features),
        ),
        charts=(_deciles(shift),) if shift else (),
        notes=(
            "Population stability index over the deciles of the period before; the alert allows for chance in samples"
            " of this size. A missing value is a class of its own.",
        ),
    )  # fmt: skip


def _deciles(shift: Shift) -> Chart:
    edges = [*(f"≤ {edge:.0f}" for edge in shift.edges), f"> {shift.edges[-1]:.0f}"]
    return Chart(
        title="Scores by decile of the period before (%)",
        labels=tuple(edges),
        series=("before", "now"),
        values=(_percent(shift.before), _percent(shift.now)),
    )


def _shifted(before: Sequence[Record], now: Sequence[Record]) -> list[tuple[Value, ...]]:
    """Return a line for each feature of the champion, the most shifted first; none where there are too few shops."""
    then, new = _columns(before), _columns(now)
    rows: list[tuple[Value, ...]] = []
    for name in then.keys() & new.keys():
        # Below all values, so that shops without one are counted as a class.
        least = min([one for one in (*then[name], *new[name]) if one is not None], default=0.0) - 1.0
        one, other = ([least if value is None else value for value in values] for values in (then[name], new[name]))
        shift = psi(one, other)
        if shift is not None:
            missing = (100 * values.count(None) / len(values) for values in (then[name], new[name]))
            rows.append((name, shift.psi, shift.alert_above, shift.verdict, *(round(part, 1) for part in missing)))
    return sorted(rows, key=lambda row: (-float(row[1] or 0), str(row[0])))


def _columns(rows: Sequence[Record]) -> dict[str, list[float | None]]:
    """Return the values of each feature, None for shops that have none of it."""
    made = [msgspec.json.decode(row["features"], type=dict[str, float | None]) for row in rows]
    names = sorted({name for one in made for name in one})
    return {name: [one.get(name) for one in made] for name in names}


async def fairness(
    db: Connection, keyring: Keyring, population: Sequence[Record], matured: Sequence[Record]
) -> Section:
    """Section 9: the same figures by group, each with its interval, small groups suppressed."""
    everybody = {row["retailer_id"] for row in (*population, *matured)}
    states = await retailers.states(db, keyring=keyring, retailer_ids=sorted(everybody))
    told = {row["retailer_id"]: row for row in population}
    groupings: Mapping[str, Callable[[str], str]] = {
        "State": lambda one: states.get(one) or "unknown",
        "GST": lambda one: "registered" if states.get(one) else "not registered",
        "Language": lambda one: str(told[one]["language"] or "unknown") if one in told else "unknown",
        "Vintage": lambda one: _vintage(told[one]["vintage_months"]) if one in told else "unknown",
    }
    tables, prompts = [], 0
    for name, group_of in groupings.items():
        rows, flagged = _by_group(group_of, population, matured)
        tables.append(table(name, _COLUMNS, rows))
        prompts += flagged
    return Section(
        key="fairness",
        title="Fairness",
        figures=(
            Figure(name="retailers", value=len(population)),
            Figure(name="groups_below_four_fifths", value=prompts, note="prompts a review; it is not law here"),
        ),
        tables=tuple(tables),
        notes=(
            f"Groups of fewer than {LEAST} are suppressed. Intervals are 95 %: Wilson for shares, Newcombe for gaps,"
            " Byar for observed to expected.",
            "Approval: band A, B or C. True-positive rate: approved among those who then did not default; its gap is"
            " to everybody else.",
        ),
    )


_COLUMNS: Final = (
    "group", "shops", "approved", "low", "high", "approval ratio", "matured", "observed/expected", "low ", "high ",
    "TPR gap", "low  ", "high  ",
)  # fmt: skip


async def reasons(db: Connection, since: datetime, until: datetime) -> Section:
    """Section 10: which reasons were given, and whether the promise of three and two was kept."""
    given = await ledgers.rows(db, ledgers.REASONS, since, until)
    promise = await ledgers.row(db, ledgers.REASON_PROMISE, since, until)
    return Section(
        key="reasons",
        title="Reasons",
        figures=(
            Figure(name="scores", value=promise["scored"]),
            share("promise_kept", promise["kept"], promise["scored"], note="at least 3 positive and 2 negative codes"),
        ),
        tables=(_of("Codes", given, ("code", "direction", "given")),),
        charts=(
            Chart(
                title="Codes given most often",
                labels=tuple(row["code"] for row in given[:10]),
                series=("given",),
                values=(tuple(row["given"] for row in given[:10]),),
            ),
        ),
    )


def _by_group(
    group_of: Callable[[str], str], population: Iterable[Record], matured: Iterable[Record]
) -> tuple[list[tuple[Value, ...]], int]:
    """Return the rows of a grouping, and how many groups are approved less than four fifths as often as the best."""
    told, grown = _grouped(group_of, population), _grouped(group_of, matured)
    rates = {name: _approved(rows) / len(rows) for name, rows in told.items() if len(rows) >= LEAST}
    best = max(rates.values(), default=0.0)
    rows: list[tuple[Value, ...]] = []
    for name in sorted(told.keys() | grown.keys()):
        others = [row for other, members in grown.items() if other != name for row in members]
        ratio = round(rates[name] / best, 3) if name in rates and best else None
        rows.append(
            (
                name,
                *_approval(told.get(name, [])),
                ratio,
                *_outcome(grown.get(name, [])),
                *_gap(grown.get(name, []), others),
            )
        )
    return rows, sum(rate < _FOUR_FIFTHS * best for rate in rates.values())


def _grouped(group_of: Callable[[str], str], rows: Iterable[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for row in rows:
        found.setdefault(group_of(row["retailer_id"]), []).append(row)
    return found


def _approved(rows: Iterable[Record]) -> int:
    return sum(row["risk_band"] in _APPROVED for row in rows)


def _approval(rows: Sequence[Record]) -> tuple[Value, ...]:
    if len(rows) < LEAST:
        return _SUPPRESSED, None, None, None
    hits = _approved(rows)
    return len(rows), round(hits / len(rows), 4), *(round(edge, 4) for edge in wilson(hits, len(rows)))


def _outcome(rows: Sequence[Record]) -> tuple[Value, ...]:
    if len(rows) < LEAST:
        return _SUPPRESSED, None, None, None
    figure = _ratio("", rows)
    return len(rows), figure.value, figure.low, figure.high


def _gap(rows: Sequence[Record], others: Sequence[Record]) -> tuple[Value, ...]:
    good = [row for row in rows if not row["defaulted"]]
    rest = [row for row in others if not row["defaulted"]]
    if min(len(good), len(rest)) < LEAST:
        return None, None, None
    gap, low, high = difference(_approved(good), len(good), _approved(rest), len(rest))
    return round(gap, 4), round(low, 4), round(high, 4)


def _ratio(name: str, rows: Sequence[Record]) -> Figure:
    """Return observed to expected defaults, its interval by Byar's approximation (Breslow and Day, 1987)."""
    expected = sum(row["pd"] for row in rows)
    if len(rows) < LEAST or expected <= 0:
        return Figure(name=name, value=None, note=f"fewer than {LEAST} matured shops")
    seen = sum(row["defaulted"] for row in rows)
    low = seen * (1 - 1 / (9 * seen) - Z95 / (3 * seen**0.5)) ** 3 if seen else 0.0
    above = seen + 1
    high = above * (1 - 1 / (9 * above) + Z95 / (3 * above**0.5)) ** 3
    return Figure(
        name=name, value=round(seen / expected, 3), low=round(low / expected, 3), high=round(high / expected, 3)
    )


def _calibration(rows: Sequence[Record]) -> tuple[Value, ...]:
    if len(rows) < LEAST:
        return _SUPPRESSED, None, None, None, None
    seen, of = sum(row["defaulted"] for row in rows), len(rows)
    low, high = wilson(seen, of)
    return of, round(sum(row["pd"] for row in rows) / of, 4), round(seen / of, 4), round(low, 4), round(high, 4)


def _auc(rows: Sequence[Record]) -> float | None:
    """Return the share of pairs of a bad and a good shop that the PD orders rightly, ties counting half."""
    bad = [row["pd"] for row in rows if row["defaulted"]]
    good = [row["pd"] for row in rows if not row["defaulted"]]
    if min(len(bad), len(good)) < LEAST:
        return None
    ordered = sorted((value, kind) for kind, values in ((0, good), (1, bad)) for value in values)
    total, at = 0.0, 0
    while at < len(ordered):  # mean ranks over ties (Mann and Whitney)
        beyond = at
        while beyond < len(ordered) and ordered[beyond][0] == ordered[at][0]:
            beyond += 1
        total += sum(kind for _, kind in ordered[at:beyond]) * (at + 1 + beyond) / 2
        at = beyond
    return round((total - len(bad) * (len(bad) + 1) / 2) / (len(bad) * len(good)), 4)


def _vintage(months: float | None) -> str:
    if months is None:
        return "unknown"
    return "under 1 year" if months < 12 else "1 to 3 years" if months < 36 else "over 3 years"


def _percent(counts: Sequence[int]) -> tuple[float, ...]:
    total = sum(counts)
    return tuple(round(100 * one / total, 1) for one in counts)


def _of(title: str, rows: Iterable[Record], columns: tuple[str, ...]) -> Any:
    return table(title, columns, [[row[name] for name in columns] for row in rows])
