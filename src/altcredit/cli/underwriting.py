"""``altcredit underwriting``: what GUARD decided and why, what it cost, and what waits for a person."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import msgspec

from altcredit.cli.clients import ACTOR
from altcredit.cli.output import emit, say
from altcredit.cli.session import run
from altcredit.engine.underwriting import Verdict
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
            return await underwriting.report_on(
                db, policy=underwriting.policy_of(platform.settings), since=start, until=end
            )

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


@group.command
def show(request_id: str, *, json: Json = False) -> None:
    """
    Show where an application stands: decision, reasons, sources with prices, callbacks; the look is recorded.

    Parameters
    ----------
    request_id: str
        `uw_` and 16 hex digits.
    """
    from altcredit.engine import audit, delivery, sources, underwriting

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            standing = await underwriting.find(db, request_id=request_id)
            asked = await sources.queries(db, request_id=request_id)
            page = await delivery.list_deliveries(db, partner_id=standing.partner_id, request_id=request_id)
            now = clock.now()
            await audit.append(db, actor=ACTOR, action="underwriting.shown", subject=request_id, details={}, now=now)
        return msgspec.to_builtins(standing) | {
            "sources": msgspec.to_builtins(asked),
            "deliveries": msgspec.to_builtins(page.deliveries),
        }

    emit(run(work), json=json)


@group.command
def reviews(*, json: Json = False) -> None:
    """List the reviews that wait for a person, the most urgent first (LGPD, art. 20)."""
    from altcredit.engine import underwriting

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await underwriting.open_reviews(db, keyring=platform.keyring)

    emit(run(work), json=json)


@group.command
def review(
    review_id: str,
    verdict: Verdict,
    *,
    person: str,
    note: str,
    limit_brl: Annotated[int | None, cyclopts.Parameter(name="--limit")] = None,
) -> None:
    """
    Decide a review.

    Parameters
    ----------
    review_id: str
        `rev_` and 16 hex digits.
    verdict: Verdict
        `upheld` leaves the decision; `reassessed` has it underwritten anew with every source; `overturned` approves it.
    person: str
        Who decides.
    note: str
        Why; it is kept with the review.
    limit_brl: int | None
        The limit of an overturned decision, in R$.
    """
    from altcredit.engine import underwriting

    async def work(platform: Platform) -> str:
        async with platform.database.transaction() as db:
            return await underwriting.decide_review(
                db,
                keyring=platform.keyring,
                review_id=review_id,
                verdict=verdict,
                note=note,
                limit_brl=limit_brl,
                policy=underwriting.policy_of(platform.settings),
                actor=f"person:{person}",
                now=clock.now(),
            )

    say(f"{run(work)}: {verdict}.")
