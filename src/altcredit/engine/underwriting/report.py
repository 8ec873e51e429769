"""
What underwriting did over a time: volume, outcomes, cost, and whether the funnel was worth it. Pure, from rows.

The funnel saves the price of the full sources and turns some good customers away unseen. How many is known from those
whom it let through at random although they were above its cut: they are a fair sample of the filtered.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from altcredit.engine.sources import SourceCost
from altcredit.engine.underwriting.policy import Economics, Policy

# Fewer people let through at random than this say nothing that money should follow.
LEAST_AT_RANDOM = 30
_Z = 1.959964


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One application as ``store.report_rows`` reads it; ``decision`` is a :class:`Decision` as JSON."""

    request_id: str
    accepted_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    outcome: str | None = None
    pd: float | None = None
    risk_band: int | None = None
    limit_brl: int | None = None
    cost_centavos: int | None = None
    in_doubt_centavos: int = 0
    cost_saving: bool = False
    decision: dict[str, Any] | None = None


class Estimated(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """Decided applications of one band."""

    band: int
    applications: int
    approved: int
    mean_pd: float
    limits_brl: int


class ReasonCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often a code was given, to the approved and to all others."""

    code: str
    approved: int
    declined: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: of waiting for a worker, of the work, and from accepted to finished."""

    waiting_p50: float
    working_p50: float
    total_p50: float
    total_p95: float
    total_p99: float


class Funnel(msgspec.Struct, frozen=True, kw_only=True):
    """
    What ``costSavingEnabled`` saved and lost. Money in R$.

    ``saved_brl``: the filtered would have cost as much as those who passed. ``good_forgone``: filtered customers who
    would have been approved and paid. ``margin_forgone_brl``: margin on them less losses on the bad ones among the
    approved. Both are None with fewer than 30 let through at random: ``why_no_estimate`` says so.
    """

    applications: int
    filtered: int
    knocked_out: int
    let_through_at_random: int
    saved_brl: float
    good_forgone: Estimated | None
    margin_forgone_brl: Estimated | None
    worth_brl: Estimated | None
    """Saved less forgone: above 0 the funnel pays."""
    why_no_estimate: str | None


class UnderwritingReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report."""

    since: datetime
    until: datetime
    policy_version: str
    applications: int
    unfinished: int
    by_day: dict[str, dict[str, int]]
    """Applications by day of acceptance (UTC) and outcome; ``unfinished`` where there is none yet."""
    outcomes: dict[str, int]
    approval: Estimated | None
    """Share approved among the finished; None without any."""
    bands: tuple[Band, ...]
    median_limit_brl: float | None
    reasons: tuple[ReasonCount, ...]
    rejected_by: dict[str, int]
    models: dict[str, int]
    """Decisions by version of the full model."""
    cost_brl: float
    in_doubt_brl: float
    """What sources may bill beside the cost: questions that failed without a word, and may have been worked on."""
    cost_per_application_brl: float | None
    cost_per_approval_brl: float | None
    sources: tuple[SourceCost, ...]
    decided_without: dict[str, int]
    """Applications decided although this source had failed."""
    latency: Latency | None
    funnel: Funnel


def summarise(
    rows: Sequence[Row], uses: Sequence[SourceCost], *, policy: Policy, since: datetime, until: datetime
) -> UnderwritingReport:
    """Return the report on applications accepted in ``since <= t < until`` and on what sources were asked then."""
    finished = [row for row in rows if row.outcome is not None]
    approved = [row for row in finished if row.outcome == "approved"]
    cost = sum(row.cost_centavos or 0 for row in rows) / 100
    limits = sorted(row.limit_brl or 0 for row in approved)
    return UnderwritingReport(
        since=since,
        until=until,
        policy_version=policy.version,
        applications=len(rows),
        unfinished=len(rows) - len(finished),
        by_day=_by_day(rows),
        outcomes=dict(Counter(row.outcome for row in finished if row.outcome).most_common()),
        approval=wilson(len(approved), len(finished)) if finished else None,
        bands=_bands(finished),
        median_limit_brl=quantile(limits, 0.5) if limits else None,
        reasons=_reasons(finished),
        rejected_by=_counted(_said(row, "rejected_by") for row in finished),
        models=_counted(_said(row, "model_version") for row in finished),
        cost_brl=cost,
        in_doubt_brl=sum(row.in_doubt_centavos for row in rows) / 100,
        cost_per_application_brl=cost / len(rows) if rows else None,
        cost_per_approval_brl=cost / len(approved) if approved else None,
        sources=tuple(sorted(uses, key=lambda use: -use.cost_centavos)),
        decided_without=_counted(
            name for row in finished if row.pd is not None for name in _said(row, "sources_missing") or ()
        ),
        latency=_latency(finished),
        funnel=_funnel([row for row in finished if _screening(row)], policy.economics),
    )


def wilson(part: int, whole: int) -> Estimated:
    """Return a share with its 95 % interval (Wilson 1927); ``whole`` is at least 1."""
    share, z2 = part / whole, _Z * _Z
    centre = (share + z2 / (2 * whole)) / (1 + z2 / whole)
    half = _Z / (1 + z2 / whole) * math.sqrt(share * (1 - share) / whole + z2 / (4 * whole * whole))
    return Estimated(value=share, low=max(centre - half, 0.0), high=min(centre + half, 1.0))


def mean_of(values: Sequence[float], *, unseen: float) -> Estimated:
    """
    Return a mean with its 95 % interval (normal approximation); at least two values.

    Where all values are 0 the sample has no spread, and proves little: up to Wilson's bound on the share of it, values
    like ``unseen`` may have been missed.
    """
    count = len(values)
    if not any(values):
        return Estimated(value=0.0, low=0.0, high=wilson(0, count).high * unseen)
    mean = math.fsum(values) / count
    spread = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = _Z * math.sqrt(spread / count)
    return Estimated(value=mean, low=mean - half, high=mean + half)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values, between neighbours by a straight line; at least one value."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _said(row: Row, name: str) -> Any:
    return (row.decision or {}).get(name)


def _screening(row: Row) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _said(row, "screening") or {}
    return found


def _counted(names: Any) -> dict[str, int]:
    return dict(Counter(name for name in names if name is not None).most_common())


def _by_day(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    days: dict[date, Counter[str]] = {}
    for row in rows:
        days.setdefault(row.accepted_at.date(), Counter())[row.outcome or "unfinished"] += 1
    return {day.isoformat(): dict(days[day]) for day in sorted(days)}


def _bands(finished: Sequence[Row]) -> tuple[Band, ...]:
    by_band: dict[int, list[Row]] = {}
    for row in finished:
        if row.risk_band is not None and row.risk_band > 0:
            by_band.setdefault(row.risk_band, []).append(row)
    return tuple(
        Band(
            band=band,
            applications=len(inside),
            approved=sum(row.outcome == "approved" for row in inside),
            mean_pd=math.fsum(row.pd or 0.0 for row in inside) / len(inside),
            limits_brl=sum(row.limit_brl or 0 for row in inside),
        )
        for band, inside in sorted(by_band.items())
    )


def _reasons(finished: Sequence[Row]) -> tuple[ReasonCount, ...]:
    counts: dict[str, Counter[bool]] = {}
    for row in finished:
        for reason in _said(row, "reasons") or ():
            counts.setdefault(reason["code"], Counter())[row.outcome == "approved"] += 1
    found = [ReasonCount(code=code, approved=count[True], declined=count[False]) for code, count in counts.items()]
    return tuple(sorted(found, key=lambda one: (-one.declined - one.approved, one.code)))


def _latency(finished: Sequence[Row]) -> Latency | None:
    timed = [(row.accepted_at, row.started_at, row.finished_at) for row in finished]
    known = [(a, s, f) for a, s, f in timed if s is not None and f is not None]
    if not known:
        return None
    waiting = sorted((started - accepted).total_seconds() for accepted, started, _ in known)
    working = sorted((done - started).total_seconds() for _, started, done in known)
    total = sorted((done - accepted).total_seconds() for accepted, _, done in known)
    return Latency(
        waiting_p50=quantile(waiting, 0.5),
        working_p50=quantile(working, 0.5),
        total_p50=quantile(total, 0.5),
        total_p95=quantile(total, 0.95),
        total_p99=quantile(total, 0.99),
    )


def _funnel(screened: Sequence[Row], economics: Economics) -> Funnel:
    filtered = [row for row in screened if row.outcome == "filtered"]
    passed = [row for row in screened if row.outcome != "filtered"]
    knocked_out = sum(_screening(row).get("knocked_out_by") is not None for row in filtered)
    at_random = [row for row in passed if _screening(row).get("passed_at_random")]
    saved = max(len(filtered) * _mean_cost(passed) - sum(row.cost_centavos or 0 for row in filtered) / 100, 0.0)
    # A knock-out is no saving of good customers: nobody lends to them, funnel or not.
    lost = len(filtered) - knocked_out
    blank = Funnel(
        applications=len(screened),
        filtered=len(filtered),
        knocked_out=knocked_out,
        let_through_at_random=len(at_random),
        saved_brl=saved,
        good_forgone=None,
        margin_forgone_brl=None,
        worth_brl=None,
        why_no_estimate=None,
    )
    if len(at_random) < LEAST_AT_RANDOM:
        why = f"{len(at_random)} applicants were let through at random; {LEAST_AT_RANDOM} are needed to tell"
        return msgspec.structs.replace(blank, why_no_estimate=why)
    earned = [_margin(row, economics) for row in passed if row.outcome == "approved"]
    usual = max(math.fsum(earned) / len(earned), 0.0) if earned else 0.0
    good = _times(mean_of([_good(row) for row in at_random], unseen=1.0), lost)
    margin = _times(mean_of([_margin(row, economics) for row in at_random], unseen=usual), lost)
    worth = Estimated(value=saved - margin.value, low=saved - margin.high, high=saved - margin.low)
    return msgspec.structs.replace(blank, good_forgone=good, margin_forgone_brl=margin, worth_brl=worth)


def _mean_cost(rows: Sequence[Row]) -> float:
    return sum(row.cost_centavos or 0 for row in rows) / 100 / len(rows) if rows else 0.0


def _times(figure: Estimated, count: int) -> Estimated:
    return Estimated(value=figure.value * count, low=figure.low * count, high=figure.high * count)


def _good(row: Row) -> float:
    """Return the chance that an applicant would have been a good customer: approved, and paying."""
    return 1 - (row.pd or 0.0) if row.outcome == "approved" else 0.0


def _margin(row: Row, economics: Economics) -> float:
    """Return what an applicant is expected to earn, in R$: margin if good, less what is lost if not."""
    if row.outcome != "approved" or row.pd is None:
        return 0.0
    return (row.limit_brl or 0) * (economics.margin_share * (1 - row.pd) - economics.lgd * row.pd)
