"""``altcredit underwriting``: what GUARD decided, what it cost, and whether the funnel is worth it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from altcredit.cli.output import emit, say
from altcredit.cli.session import run
from altcredit.runtime import clock
from altcredit.runtime.platform import Platform

group = cyclopts.App(name="underwriting", help="GUARD's decisions.")
Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]

_LAST = timedelta(days=30)


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(group)


@group.command
def report(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    out: Path | None = None,
    json: Json = False,
) -> None:
    """
    Report volume, approval, bands, reasons, cost by source, latency, and what the funnel saved and lost.

    Parameters
    ----------
    since: datetime | None
        From this day or time on (UTC); 30 days before the end otherwise.
    until: datetime | None
        Up to this day or time (UTC), not included; now otherwise.
    out: Path | None
        Write the report as one printable HTML page with its chart.
    """
    end = _utc(until) if until else clock.now()
    start = _utc(since) if since else end - _LAST

    async def work(platform: Platform) -> Any:
        from altcredit.engine import underwriting

        async with platform.database.transaction() as db:
            return await underwriting.report_on(db, since=start, until=end)

    found = run(work)
    if out is not None:
        from altcredit.cli.underwriting_page import page

        out.write_text(page(found), encoding="utf-8")
        say(f"Wrote {out}.")
    if json:
        emit(found, json=True)
    elif out is None:
        from altcredit.cli.underwriting_page import lines

        emit(lines(found), json=False)


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
