"""``altcredit jobs``: background jobs that gave up, and events whose reactions did; both wait for an operator."""

from typing import Annotated, Any

import cyclopts

from altcredit.cli.output import emit, say
from altcredit.cli.session import run
from altcredit.runtime.platform import Platform
from altcredit.runtime.refusal import Refusal

group = cyclopts.App(name="jobs", help="Background jobs that gave up.")
Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]

_MOST = 10_000


class NothingNamed(Refusal):
    """Which jobs are to be tried again was not said."""


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(group)


@group.command
def held(*, json: Json = False) -> None:
    """List the jobs, and the events, that have failed too often to be tried again unasked."""

    async def work(platform: Platform) -> list[dict[str, Any]]:
        from altcredit.runtime import jobs, outbox

        async with platform.database.transaction() as db:
            found = await jobs.held(db, limit=_MOST)
            events = await outbox.held(db, limit=_MOST)
        rows: list[dict[str, Any]] = [
            {"id": str(one.id), "kind": one.job, "what": one.payload, "problem": one.problem} for one in found
        ]
        for late in events:
            event = late.event
            rows.append({"id": event.event_id, "kind": event.type, "what": event.key, "problem": late.problem})
        return rows

    emit(run(work), json=json)


@group.command
def release(
    *ids: str,
    everything: Annotated[bool, cyclopts.Parameter(name="--all", negative="")] = False,
) -> None:
    """
    Have held jobs and events tried again, once what kept them from succeeding is put right.

    Parameters
    ----------
    ids: str
        As `jobs held` lists them.
    everything: bool
        All that are held.
    """
    if bool(ids) == everything:
        raise NothingNamed("Name what to try again as `jobs held` lists it, or give --all")

    async def work(platform: Platform) -> int:
        from altcredit.runtime import jobs, outbox

        async with platform.database.transaction() as db:
            job_ids = [one.id for one in await jobs.held(db, limit=_MOST)]
            event_ids = [one.event.event_id for one in await outbox.held(db, limit=_MOST)]
            wanted = set(ids) or {*map(str, job_ids), *event_ids}
            count = await jobs.release(db, job_ids=[one for one in job_ids if str(one) in wanted])
            return count + await outbox.release(db, event_ids=[one for one in event_ids if one in wanted])

    say(f"{run(work)} will be tried again.")
