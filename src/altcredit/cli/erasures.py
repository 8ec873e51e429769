"""``altcredit compliance erasure repeat``: what a restore made forget is asked for again."""

import getpass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import cyclopts
import msgspec

from altcredit.cli.output import emit
from altcredit.cli.session import run
from altcredit.runtime import clock
from altcredit.runtime.platform import Platform
from altcredit.runtime.refusal import Refusal

Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]


class _Requested(msgspec.Struct, frozen=True, kw_only=True):
    erasure_id: str
    retailer_id: str
    requested_at: datetime


class ListUnusable(Refusal):
    """The file is not what `altcredit compliance erasure status --json` printed."""


def _requested(file: Path) -> list[_Requested]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[_Requested])
    except OSError as problem:
        raise ListUnusable(f"{file}: {problem.strerror}.") from problem
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ListUnusable(f"{file}: not a list of erasures ({problem}).") from problem


def repeat(file: Path, *, json: Json = False) -> None:
    """
    After a restore: ask again for the erasures in FILE that the database does not know; their steps are dated from now.

    Parameters
    ----------
    file: Path
        What `altcredit compliance erasure status --json` printed before.
    """
    from altcredit.engine import compliance, retailers

    wanted = _requested(file)

    async def again(platform: Platform, one: _Requested) -> str:
        async with platform.database.transaction() as db:
            try:
                await compliance.find_erasure(db, erasure_id=one.retailer_id)
            except compliance.ErasureUnknown:
                pass
            else:
                return "known"
            try:
                found = await compliance.request_erasure(
                    db,
                    keyring=platform.keyring,
                    retailer_id=one.retailer_id,
                    requested_by=f"cli:{getpass.getuser()}",
                    reason=f"{one.erasure_id} of {one.requested_at:%Y-%m-%d}, again after a restore",
                    now=clock.now(),
                )
            except retailers.RetailerUnknown:
                return "no such shop here"
            return found.erasure_id

    async def work(platform: Platform) -> list[dict[str, str]]:
        return [
            {"erasure_id": one.erasure_id, "retailer_id": one.retailer_id, "now": await again(platform, one)}
            for one in wanted
        ]

    emit(run(work), json=json)
