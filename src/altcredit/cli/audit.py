"""``altcredit audit``: is the record what it was, and a copy of it that others can verify."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import cyclopts
import msgspec

from altcredit.cli.clients import ACTOR
from altcredit.cli.output import emit, say
from altcredit.cli.session import run
from altcredit.runtime import clock
from altcredit.runtime.platform import Platform

if TYPE_CHECKING:
    from altcredit.engine.audit import Verification

_SAY_EVERY: Final = timedelta(seconds=5)
group = cyclopts.App(name="audit", help="The sealed record of what was changed and what was read.")
Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(group)


@group.command
def verify(*, new: Annotated[bool, cyclopts.Parameter(negative="")] = False, json: Json = False) -> int:
    """
    Verify every row against the signed heads of both places; exit 1 and name the first broken row if one is not as
    it was sealed.

    Parameters
    ----------
    new: bool
        Only what was sealed since the last look that found everything whole; the first time, and without that mark,
        everything.
    """
    from altcredit.engine import audit

    async def work(platform: Platform) -> audit.Verification:
        second, now = platform.settings.audit_heads_path, clock.now()
        since = audit.recall(second, signing=platform.signing) if new else None
        async with platform.database.transaction() as db:
            found = await audit.verify(
                db,
                keyring=platform.keyring,
                signing=platform.signing,
                second=second,
                now=now,
                since=since,
                progress=_Progress(),
            )
        async with platform.database.transaction() as db:
            await audit.remember(db, signing=platform.signing, path=second, found=found, actor=ACTOR, now=now)
        return found

    found = run(work)
    if json:
        emit({"holds": found.holds, **msgspec.to_builtins(found)}, json=True)
    else:
        _tell(found)
    return 0 if found.holds else 1


class _Progress:
    """Says every few seconds how far a long look has come."""

    def __init__(self) -> None:
        self.began = self.said = clock.now()

    def __call__(self, done: int, of: int) -> None:
        now = clock.now()
        if now - self.said < _SAY_EVERY or done >= of:
            return
        self.said = now
        pace = done / (now - self.began).total_seconds()
        left = timedelta(seconds=round((of - done) / pace))
        say(f"{done:,} of {of:,} rows ({done / of:.0%}), {pace:,.0f} a second, {left} to go.")


def _tell(found: "Verification") -> None:
    if found.verified_before:
        say(f"The first {found.verified_before} rows were found whole before, and not looked at again.")
    counted = f"{found.rows} rows, {found.purged_rows} purged, under {found.heads} heads"
    say(f"{counted}, {found.heads_in_second_place} in the second place; {found.waiting} wait for their seal.")
    for finding in found.findings:
        row = f" {finding.log} row {finding.row_id} of {finding.at:%Y-%m-%d %H:%M:%S}:" if finding.at else ""
        leaf = f" leaf {finding.leaf}:" if finding.leaf is not None else ""
        say(f"{finding.kind}:{leaf}{row} {finding.problem}")
    if not found.is_whole:
        say("NOT as it was sealed.")
    else:
        waits = "" if found.holds else " But rows wait for their seal: run a worker."
        say(f"Everything that is sealed is as it was. Root {found.root}.{waits}")


@group.command
def resume(*, reason: str, kept: Path | None = None, json: Json = False) -> None:
    """
    Go on sealing after a restore from a backup: record what was lost, and put the file of heads aside, as proof.

    Parameters
    ----------
    reason: str
        Why the database is older than the heads; it stays in the audit log.
    kept: Path | None
        The file that has the lost heads, where ALTCREDIT_AUDIT_HEADS already names a new one; it is left where it is.
    """
    from altcredit.engine import audit

    async def work(platform: Platform) -> dict[str, Any]:
        second = kept or platform.settings.audit_heads_path
        async with platform.database.transaction() as db:
            found = await audit.resume(
                db, signing=platform.signing, second=second, reason=reason, actor=ACTOR, now=clock.now()
            )
        place = second if kept else audit.set_aside(second, found=found)
        return {**msgspec.to_builtins(found), "lost_rows": found.lost_rows, "lost_heads": str(place)}

    emit(run(work), json=json)


@group.command
def export(*, out: Path, since: datetime | None = None, until: datetime | None = None, json: Json = False) -> None:
    """
    Write a bundle that anybody verifies with `sh verify.sh`: rows, signed heads, public keys, and that script.

    Parameters
    ----------
    out: Path
        A new folder.
    since: datetime | None
        From here on; times without a zone are UTC. The bundle begins at the signed head before.
    until: datetime | None
        Up to here. The bundle ends at the signed head after.
    """
    from altcredit.engine import audit

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await audit.export_bundle(
                db, signing=platform.signing, out=out, since=_zoned(since), until=_zoned(until)
            )

    emit(run(work), json=json)


def _zoned(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
