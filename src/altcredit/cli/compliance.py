"""``altcredit compliance``: the report, erasures, the breach register and exports."""

import getpass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
import msgspec

from altcredit.cli import erasures
from altcredit.cli.output import emit, say
from altcredit.cli.session import run
from altcredit.runtime import clock
from altcredit.runtime.platform import Platform

group = cyclopts.App(name="compliance", help="Report, erasures, breaches, exports.")
erasure = cyclopts.App(name="erasure", help="Erasures under way and done.")
breach = cyclopts.App(name="breach", help="The breach register and its 72-hour clock.")
group.command(erasure)
group.command(breach)
erasure.command(erasures.repeat)
Form = Annotated[Literal["json", "html"], cyclopts.Parameter(name="--format")]
Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(group)


def _actor() -> str:
    return f"cli:{getpass.getuser()}"


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


@group.command
def report(
    *,
    from_: Annotated[datetime, cyclopts.Parameter(name="--from")],
    to: datetime,
    form: Form = "json",
    out: Path | None = None,
) -> None:
    """
    Make the compliance report of a period, recomputed from the ledgers.

    Parameters
    ----------
    from_: datetime
        First day (or moment, UTC).
    to: datetime
        First day or moment that is no longer part of it.
    form: Literal['json', 'html']
        JSON, or one printable HTML page.
    out: Path | None
        File to write; without it, standard output.
    """
    from altcredit.engine import compliance, consent

    async def work(platform: Platform) -> compliance.Report:
        settings = platform.settings
        async with platform.database.transaction() as db:
            return await compliance.report(
                db,
                keyring=platform.keyring,
                since=_utc(from_),
                until=_utc(to),
                residency=settings.residency,
                fiduciary=consent.Fiduciary.of(settings).name,
                environment=settings.environment,
                actor=_actor(),
                now=clock.now(),
            )

    made = run(work)
    json = msgspec.json.format(msgspec.json.encode(made), indent=2).decode()
    _write(json if form == "json" else compliance.report_page(made), out)
    say(f"{made.section('exceptions').figure('exceptions').value} exceptions; content {made.sha256}.")


@erasure.command(name="status")
def erasure_status(erasure_id: str | None = None, *, open_only: bool = False, json: Json = False) -> None:
    """
    Show erasures with their clocks, or one with its steps and certificate.

    Parameters
    ----------
    erasure_id: str | None
        `era_…`, or any id of the shop.
    open_only: bool
        Leave out those that are done.
    """
    from altcredit.engine import compliance

    async def work(platform: Platform) -> list[compliance.Erasure]:
        async with platform.database.transaction() as db:
            if erasure_id is not None:
                return [await compliance.find_erasure(db, erasure_id=erasure_id)]
            return await compliance.erasures(db, open_only=open_only)

    found, now = run(work), clock.now()
    if erasure_id is not None:
        emit(_in_full(found[0], now), json=json)
    else:
        emit([_line(one, now) for one in found], json=json)


@erasure.command(name="certificate")
def erasure_certificate(erasure_id: str, *, form: Form = "json", out: Path | None = None) -> None:
    """
    Write the signed certificate of an erasure that is done: JSON with signature and key, or a page to read and print.

    Parameters
    ----------
    erasure_id: str
        `era_…`, or any id of the shop.
    form: Literal['json', 'html']
        JSON, or one printable HTML page.
    out: Path | None
        File to write; without it, standard output.
    """
    from altcredit.engine import compliance

    async def work(platform: Platform) -> tuple[compliance.Certificate, str]:
        async with platform.database.transaction() as db:
            found = await compliance.certificate(db, erasure_id=erasure_id)
        return found, platform.signing.public_pem(found.key_id)

    signed, public_pem = run(work)
    if form == "html":
        _write(compliance.certificate_page(signed.record, signature=signed.signature, public_pem=public_pem), out)
        return
    said = {"record": msgspec.Raw(signed.record), "signature": signed.signature.hex(), "public_key": public_pem}
    _write(msgspec.json.encode(said).decode(), out)


@erasure.command(name="run")
def erasure_run(*, json: Json = False) -> None:
    """Carry out the steps that are due now, as the worker does every hour."""
    from altcredit.pipeline import rights
    from altcredit.pipeline.lake import Lake

    async def work(platform: Platform) -> list[Any]:
        lake = Lake(platform.settings.lake_path)
        try:
            done = await rights.advance(platform, lake, now=clock.now())
        finally:
            lake.close()
        return [{"erasure_id": one.erasure_id, "step": one.step} for one in done]

    emit(run(work), json=json)


@breach.command(name="add")
def breach_add(
    nature: str,
    *,
    occurred: datetime,
    aware: datetime | None = None,
    severity: Literal["low", "medium", "high"],
    affected: int = 0,
    json: Json = False,
) -> None:
    """
    Register a breach; its 72 hours run from becoming aware.

    Parameters
    ----------
    nature: str
        What happened, without personal data.
    occurred: datetime
        When it happened (UTC).
    aware: datetime | None
        When it became known; now, unless said otherwise.
    severity: Literal['low', 'medium', 'high']
        How bad it is for the people concerned.
    affected: int
        People concerned, as far as is known.
    """
    from altcredit.engine import compliance

    async def work(platform: Platform) -> compliance.Breach:
        now = clock.now()
        async with platform.database.transaction() as db:
            return await compliance.add_breach(
                db,
                nature=nature,
                severity=severity,
                affected=affected,
                occurred_at=_utc(occurred),
                aware_at=now if aware is None else _utc(aware),
                reported_by=_actor(),
                now=now,
            )

    emit(run(work), json=json)


@breach.command(name="list")
def breach_list(*, open_only: bool = False, json: Json = False) -> None:
    """
    List the register, the most urgent first.

    Parameters
    ----------
    open_only: bool
        Leave out those that are closed.
    """
    from altcredit.engine import compliance

    async def work(platform: Platform) -> list[compliance.Breach]:
        async with platform.database.transaction() as db:
            return await compliance.breaches(db, open_only=open_only)

    now = clock.now()
    emit([_entry(one, now) for one in run(work)], json=json)


@breach.command(name="told")
def breach_told(breach_id: str, whom: Literal["board", "principals", "both"], *, json: Json = False) -> None:
    """
    Note that the Board or the people concerned have been told.

    Parameters
    ----------
    breach_id: str
        `brc_…`.
    whom: Literal['board', 'principals', 'both']
        Who was told.
    """
    from altcredit.engine import compliance

    async def work(platform: Platform) -> compliance.Breach:
        async with platform.database.transaction() as db:
            return await compliance.note_told(db, breach_id=breach_id, told=whom, actor=_actor(), now=clock.now())

    emit(run(work), json=json)


@breach.command(name="close")
def breach_close(breach_id: str, *, note: str, json: Json = False) -> None:
    """
    Close a breach of which everybody was told.

    Parameters
    ----------
    breach_id: str
        `brc_…`.
    note: str
        What was learnt and done.
    """
    from altcredit.engine import compliance

    async def work(platform: Platform) -> compliance.Breach:
        async with platform.database.transaction() as db:
            return await compliance.close_breach(db, breach_id=breach_id, note=note, actor=_actor(), now=clock.now())

    emit(run(work), json=json)


@group.command
def export(
    retailer_id: str,
    *,
    form: Form = "json",
    language: Literal["en", "hi"] = "en",
    out: Path | None = None,
) -> None:
    """
    Write all that is held of a retailer: machine-readable JSON, or a page to read.

    Parameters
    ----------
    retailer_id: str
        `ret_…`.
    form: Literal['json', 'html']
        JSON, or one page of HTML.
    language: Literal['en', 'hi']
        Language of the page's headings.
    out: Path | None
        File to write; without it, standard output.
    """
    from altcredit.engine import compliance
    from altcredit.pipeline import rights
    from altcredit.pipeline.lake import Lake

    async def work(platform: Platform) -> compliance.Export:
        async with platform.database.transaction() as db:
            asked = await compliance.export(
                db, keyring=platform.keyring, retailer_id=retailer_id, requested_by=_actor(), now=clock.now()
            )
        if asked.document is not None:
            return asked
        lake = Lake(platform.settings.lake_path)
        try:
            made = await rights.produce(platform, lake, export_id=asked.export_id, now=clock.now())
        finally:
            lake.close()
        return asked if made is None else made

    made = run(work)
    if made.document is None:
        say("The export was cancelled by an erasure.")
        return
    text = made.document.decode() if form == "json" else compliance.export_page(made.document, language=language)
    _write(text, out)
    say(f"{made.export_id}, sha256 of the JSON {made.sha256}; kept until {made.expires_at}.")


def _entry(breach: Any, now: datetime) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(breach)
    return {name: one for name, one in said.items() if name not in ("set_back", "behind")} | {
        "overdue": breach.overdue(now)
    }


def _write(text: str, out: Path | None) -> None:
    import sys

    if out is None:
        sys.stdout.write(text + "\n")
        return
    out.touch(mode=0o600)
    out.write_text(text, encoding="utf-8")
    say(f"Wrote {out}.")


def _line(one: Any, now: datetime) -> dict[str, Any]:
    left: timedelta = one.due_at - now
    return {
        "erasure_id": one.erasure_id,
        "retailer_id": one.retailer_id,
        "requested_at": one.requested_at,
        "due_at": one.due_at,
        "days_left": None if one.completed_at else round(left / timedelta(days=1), 1),
        "next_step": one.next.step if one.next else "done",
        "next_due": one.next.due_at if one.next else None,
        "overdue": one.overdue(now),
    }


def _in_full(one: Any, now: datetime) -> dict[str, Any]:
    shown = _line(one, now) | {
        "requested_by": one.requested_by,
        "approved_by": one.approved_by,
        "reason": one.reason,
        "steps": [msgspec.to_builtins(step) for step in one.steps],
    }
    if one.certificate is not None:
        shown["certificate"] = msgspec.json.decode(one.certificate.record)
        shown |= {"signature": one.certificate.signature.hex(), "key_id": one.certificate.key_id}
    return shown
