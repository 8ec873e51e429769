"""The underwriting report for people: lines for a terminal, and one printable HTML page with inline charts (SVG)."""

from collections.abc import Iterable, Sequence
from html import escape

from altcredit.engine.underwriting import CODES, Estimated, Funnel, UnderwritingReport

INK, QUIET = "#1f2a37", "#9aa4b2"
COLOUR = {
    "approved": "#1a7f5a",
    "rejected": "#b3382c",
    "filtered": "#c98a1b",
    "not_calculable": "#6b7280",
    "unfinished": "#d1d5db",
}
_WIDEST = 72.0  # of a day's bar: few days are no wall
_BANDS = ("#0f766e", "#1a7f5a", "#4d9a4a", "#8aa83b", "#c98a1b", "#c2612a", "#b3382c")

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2a37; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem } p.quiet { color: #6b7280 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid #e5e7eb }
th:first-child, td:first-child { text-align: left } th { font-weight: 600; color: #4b5563 }
dl { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1rem; margin: 1rem 0 }
dt { color: #6b7280; font-size: .85rem } dd { margin: 0; font-size: 1.35rem; font-weight: 600 }
svg { width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: #4b5563 }
@media print { body { margin: 0; max-width: none } h2 { break-after: avoid } table, svg { break-inside: avoid } }
"""


def lines(found: UnderwritingReport) -> dict[str, str]:
    """Return the report's main figures as text, by name."""
    funnel = found.funnel
    shown = {
        "period": _period(found),
        "policy": found.policy_version,
        "applications": f"{found.applications:,} ({found.unfinished:,} unfinished)",
        "outcomes": _list(f"{_words(name)} {count:,}" for name, count in found.outcomes.items()),
        "approved": _share(found.approval),
        "rejected by": _list(f"{_words(name)} {count:,}" for name, count in found.rejected_by.items()),
        "bands": _list(f"{one.band}: {one.applications:,}" for one in found.bands),
        "median limit": _reais(found.median_limit_brl),
        "reasons": _list(f"{one.code} {one.declined + one.approved:,}" for one in found.reasons[:5]),
        "cost": f"{_reais(found.cost_brl)}, {_reais(found.cost_per_application_brl)} an application",
        "cost in doubt": _reais(found.in_doubt_brl),
        "sources": _list(f"{one.source} {_reais(one.cost_centavos / 100)}" for one in found.sources),
        "source trouble": _list(
            f"{one.source}: {one.failed} failed, {one.retries} retries, {one.in_doubt} in doubt"
            for one in found.sources
            if one.failed or one.retries or one.in_doubt
        ),
        "latency": _latency(found),
        "funnel": f"{funnel.filtered:,} of {funnel.applications:,} filtered, {_reais(funnel.saved_brl)} saved",
        "funnel's price": _price(funnel),
    }
    return {name: text or "–" for name, text in shown.items()}


def page(found: UnderwritingReport) -> str:
    """Return the report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Underwriting report</title><style>{_STYLE}</style></head><body>",
        f'<h1>Underwriting report</h1><p class="quiet">{escape(_period(found))}; {escape(found.policy_version)}</p>',
        _headline(found),
        "<h2>Applications by day</h2>",
        _days(found),
        "<h2>Bands</h2>",
        _bands(found),
        _table(
            ("Band", "Applications", "Approved", "Mean PD", "Limits"),
            [
                (
                    str(one.band),
                    f"{one.applications:,}",
                    f"{one.approved:,}",
                    f"{one.mean_pd:.2%}",
                    _reais(one.limits_brl),
                )
                for one in found.bands
            ],
        ),
        "<h2>Rejected by</h2>",
        _table(("Rule", "Applications"), [(_words(name), f"{count:,}") for name, count in found.rejected_by.items()]),
        "<h2>Reasons</h2>",
        _table(
            ("Reason", "Declined", "Approved"),
            [(_reason(one.code), f"{one.declined:,}", f"{one.approved:,}") for one in found.reasons],
        ),
        "<h2>Sources</h2>",
        _table(
            (
                "Source",
                "Asked",
                "Answered",
                "Copied",
                "Failed",
                "Retries",
                "In doubt",
                "Decided without",
                "Cost",
                "May be billed",
            ),
            [
                (
                    one.source,
                    *(f"{n:,}" for n in (one.asked, one.answered, one.copied, one.failed, one.retries, one.in_doubt)),
                    f"{found.decided_without.get(one.source, 0):,}",
                    _reais(one.cost_centavos / 100),
                    _reais(one.in_doubt_centavos / 100),
                )
                for one in found.sources
            ],
        ),
        "<h2>Funnel</h2>",
        _funnel(found.funnel),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _headline(found: UnderwritingReport) -> str:
    figures = {
        "Applications": f"{found.applications:,}",
        "Approved": f"{found.approval.value:.1%}" if found.approval else "–",
        "Cost an application": _reais(found.cost_per_application_brl),
        "Median time": f"{found.latency.total_p50:.2f} s" if found.latency else "–",
        "Unfinished": f"{found.unfinished:,}",
        "Median limit": _reais(found.median_limit_brl),
        "Cost an approval": _reais(found.cost_per_approval_brl),
        "Cost in doubt": _reais(found.in_doubt_brl),
        "99 % within": f"{found.latency.total_p99:.2f} s" if found.latency else "–",
    }
    return "<dl>" + "".join(f"<div><dt>{n}</dt><dd>{escape(f)}</dd></div>" for n, f in figures.items()) + "</dl>"


def _days(found: UnderwritingReport) -> str:
    """Draw a stacked bar a day, by outcome."""
    if not found.by_day:
        return '<p class="quiet">No applications.</p>'
    width, height, base = 860.0, 200.0, 160.0
    most = max(sum(day.values()) for day in found.by_day.values())
    step = width / len(found.by_day)
    wide = min(0.8 * step, _WIDEST)
    drawn = []
    for place, (day, counts) in enumerate(found.by_day.items()):
        y = base
        for name, colour in COLOUR.items():
            tall = 140.0 * counts.get(name, 0) / most
            y -= tall
            told = f"{day}: {counts.get(name, 0):,} {_words(name)}"
            drawn.append(_bar((place + 0.5) * step - wide / 2, y, wide, tall, colour, told))
        if place % max(len(found.by_day) // 8, 1) == 0:
            drawn.append(
                f'<text x="{place * step + step / 2:.1f}" y="{base + 15:.0f}" text-anchor="middle">{day[5:]}</text>'
            )
    key = "".join(
        f'<rect x="{120 * n}" y="186" width="10" height="10" fill="{colour}"/>'
        f'<text x="{120 * n + 15}" y="195">{_words(name)}</text>'
        for n, (name, colour) in enumerate(COLOUR.items())
    )
    return _svg(
        width, height, "".join(drawn) + f'<text x="0" y="12">{most:,}</text>' + key, "Applications by day and outcome"
    )


def _bands(found: UnderwritingReport) -> str:
    """Draw a bar a band."""
    if not found.bands:
        return '<p class="quiet">Nothing was scored.</p>'
    most = max(one.applications for one in found.bands)
    drawn = []
    for place, one in enumerate(found.bands):
        tall = 110.0 * one.applications / most
        x = place * 120.0 + 20
        drawn.append(_bar(x, 130 - tall, 80, tall, _BANDS[one.band - 1], f"band {one.band}: {one.applications:,}"))
        drawn.append(f'<text x="{x + 40:.0f}" y="{124 - tall:.1f}" text-anchor="middle">{one.applications:,}</text>')
        drawn.append(f'<text x="{x + 40:.0f}" y="146" text-anchor="middle">band {one.band}</text>')
    return _svg(860, 155, "".join(drawn), "Applications by band")


def _bar(x: float, y: float, width: float, height: float, colour: str, title: str) -> str:
    if height <= 0:
        return ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="{colour}"><title>{escape(title)}</title></rect>'


def _svg(width: float, height: float, inside: str, label: str) -> str:
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}">{inside}</svg>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    if not body:
        return '<p class="quiet">None.</p>'
    return "<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + f"</tr>{body}</table>"


def _funnel(funnel: Funnel) -> str:
    rows = [
        ("Applications with costSavingEnabled", f"{funnel.applications:,}"),
        ("Filtered", f"{funnel.filtered:,}, of whom {funnel.knocked_out:,} knocked out"),
        ("Let through at random", f"{funnel.let_through_at_random:,}"),
        ("Saved on sources", _reais(funnel.saved_brl)),
    ]
    if funnel.good_forgone and funnel.margin_forgone_brl and funnel.worth_brl:
        rows += [
            ("Good customers forgone", _interval(funnel.good_forgone, money=False)),
            ("Margin forgone", _interval(funnel.margin_forgone_brl)),
            ("Worth of the funnel", _interval(funnel.worth_brl)),
        ]
    else:
        rows.append(("Good customers forgone", funnel.why_no_estimate or ""))
    return _table(("What it did", ""), rows)


def _price(funnel: Funnel) -> str:
    if funnel.good_forgone is None or funnel.margin_forgone_brl is None:
        return funnel.why_no_estimate or ""
    good, margin = _interval(funnel.good_forgone, money=False), _interval(funnel.margin_forgone_brl)
    return f"{good} good customers and {margin} of margin forgone"


def _interval(figure: Estimated, *, money: bool = True) -> str:
    texts = [_reais(n) if money else f"{n:,.1f}" for n in (figure.value, figure.low, figure.high)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def _latency(found: UnderwritingReport) -> str:
    if found.latency is None:
        return ""
    one = found.latency
    return (
        f"p50 {one.total_p50:.2f} s (waiting {one.waiting_p50:.2f}, working {one.working_p50:.2f}), "
        f"p95 {one.total_p95:.2f} s, p99 {one.total_p99:.2f} s"
    )


def _period(found: UnderwritingReport) -> str:
    return f"{found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC"


def _share(figure: Estimated | None) -> str:
    return f"{figure.value:.1%} [{figure.low:.1%}, {figure.high:.1%}]" if figure else ""


def _words(name: str) -> str:
    return name.replace("_", " ")


def _reason(code: str) -> str:
    return CODES[code].label("en") if code in CODES else code


def _reais(amount: float | None) -> str:
    return "–" if amount is None else f"R$ {amount:,.2f}"


def _list(items: Iterable[str]) -> str:
    return ", ".join(items)
