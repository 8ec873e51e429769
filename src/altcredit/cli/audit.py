"""``altcredit audit``: is the record what it was, and a copy of it that others can verify."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import msgspec

from altcredit.cli.output import emit, say
from altcredit.cli.session import run
from altcredit.runtime import clock
from altcredit.runtime.platform import Platform

group = cyclopts.App(name="audit", help="The sealed record of what was changed and what was read.")
Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(group)


@group.command
def verify(*, json: Json = False) -> int:
    """
    Verify every row against the signed heads of both places; exit 1 and name the first broken row if one is not as
    it was sealed.
    """
    from altcredit.engine import audit

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await audit.verify(
                db,
                keyring=platform.keyring,
                signing=platform.signing,
                second=platform.settings.audit_heads_path,
                now=clock.now(),
            )

    found = run(work)
    if json:
        emit({"holds": found.holds, **msgspec.to_builtins(found)}, json=True)
        return 0 if found.holds else 1
    counted = f"{found.rows} rows, {found.purged_rows} purged, under {found.heads} heads"
    say(f"{counted}, {found.heads_in_second_place} in the second place; {found.waiting} wait for their seal.")
    for finding in found.findings:
        row = f" {finding.log} row {finding.row_id} of {finding.at:%Y-%m-%d %H:%M:%S}:" if finding.at else ""
        leaf = f" leaf {finding.leaf}:" if finding.leaf is not None else ""
        say(f"{finding.kind}:{leaf}{row} {finding.problem}")
    say(f"Everything is as it was sealed. Root {found.root}." if found.holds else "NOT as it was sealed.")
    return 0 if found.holds else 1


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
