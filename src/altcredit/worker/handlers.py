"""
Every job by its name, and every schedule: two literal tables.

A handler imports the engine and the pipeline inside, so that an idle worker stays small.
"""

from collections.abc import Mapping
from datetime import timedelta

from altcredit.runtime import idempotency, jobs, outbox, quotas
from altcredit.runtime.jobs import Payload
from altcredit.worker import audit, compliance, delivery, grievances, messaging, scoring, underwriting
from altcredit.worker.work import Handler, Schedule, Work

_EVENTS_KEPT = timedelta(days=7)
_JOB_LOG_KEPT = timedelta(days=14)


async def rotate_keys(work: Work, _payloads: list[Payload]) -> None:
    """Rotate the signing keys that are due, and let go of those whose overlap is over."""
    from altcredit.engine import identity

    platform = work.platform
    async with platform.database.transaction() as db:
        await identity.rotate_signing_keys(db, keyring=platform.keyring, actor="system:schedule", now=work.clock())


async def create_partitions(work: Work, _payloads: list[Payload]) -> None:
    """Make the coming months' partitions of the logs that are kept by month."""
    from altcredit.engine.audit import prepare_partitions
    from altcredit.engine.scoring import add_access_partitions

    now = work.clock()
    async with work.platform.database.transaction() as db:
        await prepare_partitions(db, now=now)
        await add_access_partitions(db, today=now.date())


async def relink_consents(work: Work, payloads: list[Payload]) -> None:
    """Bring the look-up rows of shops in line with what is known of their identity, and score them again."""
    from altcredit.engine import consent

    platform = work.platform
    ids = sorted({retailer_id for one in payloads for retailer_id in one["retailer_ids"]})
    async with platform.database.transaction() as db:
        for retailer_id in ids:
            await consent.relink(db, keyring=platform.keyring, retailer_id=retailer_id)
        await jobs.enqueue(db, "altscore.refresh", {"retailer_ids": ids})


async def purge_records(work: Work, _payloads: list[Payload]) -> None:
    """Delete what has served: events every reader is done with, the log of jobs, replayable answers, past windows."""
    database, now = work.platform.database, work.clock()
    async with database.transaction() as db:
        await outbox.purge(db, before=now - _EVENTS_KEPT, relayed=bool(work.platform.settings.kafka_bootstrap))
    async with database.transaction() as db:
        await jobs.purge(db, before=now - _JOB_LOG_KEPT)
    async with database.transaction() as db:
        await idempotency.purge(db, now=now)
        await quotas.purge(db, now=now)


HANDLERS: Mapping[str, Handler] = {
    "altscore.refresh": Handler(run=scoring.refresh, merging=True, at_once=1),
    "altscore.nightly": Handler(run=scoring.nightly, at_once=1),
    "quarantine.purge": Handler(run=scoring.purge_quarantine, at_once=1),
    "consent.relink": Handler(run=relink_consents, merging=True),
    "keys.rotate": Handler(run=rotate_keys, at_once=1),
    "partitions.create": Handler(run=create_partitions, at_once=1),
    "records.purge": Handler(run=purge_records, at_once=1),
    "compliance.run": Handler(run=compliance.run, at_once=1),
    "compliance.export": Handler(run=compliance.export, at_once=1),
    "audit.purge": Handler(run=audit.purge, at_once=1),
    "underwriting.run": Handler(run=underwriting.run, lane="underwriting"),
    "underwriting.expire": Handler(run=underwriting.expire, at_once=1),
    "underwriting.purge": Handler(run=underwriting.purge, at_once=1),
    "delivery.send": Handler(run=delivery.send, lane="delivery"),
    "delivery.sweep": Handler(run=delivery.sweep, at_once=1),
    "messaging.send": Handler(run=messaging.send, lane="delivery"),
    "messaging.answer": Handler(run=messaging.answer),
    "messaging.sweep": Handler(run=messaging.sweep, at_once=1),
    "messaging.purge": Handler(run=messaging.purge, at_once=1),
    "grievances.escalate": Handler(run=grievances.escalate, at_once=1),
    "grievances.notify": Handler(run=grievances.notify),
}

SCHEDULES: tuple[Schedule, ...] = (
    Schedule(job="altscore.nightly", cron="0 1 * * *"),
    Schedule(job="quarantine.purge", cron="40 3 * * *"),
    Schedule(job="keys.rotate", cron="0 3 * * *"),
    Schedule(job="partitions.create", cron="5 3 * * *"),
    Schedule(job="audit.purge", cron="30 3 * * *"),
    Schedule(job="records.purge", cron="10 * * * *"),
    Schedule(job="compliance.run", cron="15 * * * *"),
    Schedule(job="underwriting.expire", cron="*/5 * * * *"),
    Schedule(job="delivery.sweep", cron="*/5 * * * *"),
    Schedule(job="underwriting.purge", cron="20 3 * * *"),
    Schedule(job="messaging.sweep", cron="*/5 * * * *"),
    Schedule(job="messaging.purge", cron="50 3 * * *"),
    Schedule(job="grievances.escalate", cron="*/5 * * * *"),
)
