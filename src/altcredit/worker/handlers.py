"""
Every job by its name, and every schedule: two literal tables.

A handler that needs the pipeline imports it inside, so that an idle worker stays small.
"""

from collections.abc import Mapping
from datetime import timedelta

from altcredit.runtime import jobs, outbox
from altcredit.runtime.jobs import Payload
from altcredit.worker.work import Handler, Schedule, Work

_EVENTS_KEPT = timedelta(days=7)
_JOB_LOG_KEPT = timedelta(days=14)


async def purge_events(work: Work, _payloads: list[Payload]) -> None:
    """Delete events older than a week that every reader is done with."""
    relayed = bool(work.settings.kafka_bootstrap)
    async with work.database.transaction() as db:
        await outbox.purge(db, before=work.clock() - _EVENTS_KEPT, relayed=relayed)


async def purge_job_log(work: Work, _payloads: list[Payload]) -> None:
    """Delete the log of jobs that is older than two weeks."""
    async with work.database.transaction() as db:
        await jobs.purge(db, before=work.clock() - _JOB_LOG_KEPT)


HANDLERS: Mapping[str, Handler] = {
    "events.purge": Handler(run=purge_events, at_once=1),
    "jobs.purge": Handler(run=purge_job_log, at_once=1),
}

SCHEDULES: tuple[Schedule, ...] = (
    Schedule(job="events.purge", cron="10 3 * * *"),
    Schedule(job="jobs.purge", cron="20 3 * * *"),
)
