"""``altcredit underwriting``: what GUARD decided and why, what it cost, and what waits for a person."""

import hashlib
import sys
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
from altcredit.runtime.db import Connection
from altcredit.runtime.platform import Platform
from altcredit.runtime.refusal import Refusal

group = cyclopts.App(name="underwriting", help="GUARD's decisions.")
Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]

_LAST = timedelta(days=30)


class Unclear(Refusal):
    """It is not said whose file is meant."""


class CpfInvalid(Refusal):
    """What was read is no CPF."""


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


@group.command
def outcomes(file: Path, *, json: Json = False) -> int:
    """
    Import how granted cards went, for models to learn from; rows that cannot be believed are left out and shown.

    CSV with a header: `request_id`, `booked_on`, `observed_on` (ISO dates), `max_dpd_12m` (most days past due within 12
    months of booking, as far as observed). Import the same card again as it grows older. Exits 1 where a row was left
    out.

    Parameters
    ----------
    file: Path
        The file.
    """
    from altcredit.engine import underwriting

    try:
        content = file.read_bytes()
    except OSError as error:
        raise underwriting.OutcomesInvalid(f"{file}: cannot be read ({error.strerror})") from error
    reading = underwriting.read_outcomes(content)

    async def work(platform: Platform) -> Any:
        now = clock.now()
        async with platform.database.transaction() as db:
            return await underwriting.import_outcomes(
                db, reading, today=now.date(), sha256=hashlib.sha256(content).hexdigest(), actor=ACTOR, now=now
            )

    found = run(work)
    if json:
        emit(found, json=True)
    else:
        emit(found.quarantined, json=False)
        left_out = len(found.quarantined)
        say(f"{found.recorded} recorded, {found.mature} of them final, {found.bad} bad; {left_out} left out.")
    return 1 if found.quarantined else 0


@group.command
def export(
    request_id: str = "",
    *,
    cpf_from_stdin: Annotated[bool, cyclopts.Parameter(negative="")] = False,
) -> None:
    """
    Print all that is kept of an applicant, as JSON (LGPD, art. 18); the look is recorded.

    Parameters
    ----------
    request_id: str
        One application.
    cpf_from_stdin: bool
        All applications of the CPF that is read from standard input, instead.
    """
    from altcredit.engine import underwriting

    cpf = _asked_for(request_id, cpf_from_stdin)

    async def work(platform: Platform) -> Any:
        now = clock.now()
        async with platform.database.transaction() as db:
            return [
                await underwriting.export(db, keyring=platform.keyring, request_id=one, actor=ACTOR, now=now)
                for one in await _applications(platform, db, request_id, cpf)
            ]

    emit(run(work), json=True)


@group.command
def erase(
    request_id: str = "",
    *,
    cpf_from_stdin: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    person: str,
    note: str,
) -> None:
    """
    Erase what is kept of an applicant (LGPD, art. 18); outcomes and prices stay, under ids that nothing links to them.

    Parameters
    ----------
    request_id: str
        One application.
    cpf_from_stdin: bool
        All applications of the CPF that is read from standard input, instead.
    person: str
        Who decides that.
    note: str
        Why; it is kept in the audit log, and must not name the applicant.
    """
    from altcredit.engine import underwriting

    cpf = _asked_for(request_id, cpf_from_stdin)

    async def work(platform: Platform) -> list[str]:
        async with platform.database.transaction() as db:
            found = await _applications(platform, db, request_id, cpf)
            for one in found:
                await underwriting.erase(db, request_id=one, reason=note, actor=f"person:{person}", now=clock.now())
        return found

    for one in run(work):
        say(f"{one}: erased.")


def _asked_for(request_id: str, cpf_from_stdin: bool) -> str | None:
    """Return the CPF that standard input holds, None where an application is named. Raises Unclear, CpfInvalid."""
    from altcredit.engine import underwriting

    if bool(request_id) == cpf_from_stdin:
        raise Unclear("Name an application, or give --cpf-from-stdin.")
    if not cpf_from_stdin:
        return None
    cpf = "".join(character for character in sys.stdin.readline() if character.isdigit())
    if not underwriting.is_cpf(cpf):
        raise CpfInvalid("Standard input holds no CPF: 11 digits with valid check digits.")
    return cpf


async def _applications(platform: Platform, db: Connection, request_id: str, cpf: str | None) -> list[str]:
    from altcredit.engine import underwriting

    if cpf is None:
        return [request_id]
    found = await underwriting.applications_of(db, keyring=platform.keyring, cpf=cpf)
    if not found:
        raise underwriting.RequestUnknown("There is no application of this CPF.")
    return found
