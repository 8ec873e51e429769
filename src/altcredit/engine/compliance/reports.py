"""The compliance report of a range of days, in fifteen sections, each figure recomputed from the ledgers."""

from datetime import datetime

from altcredit.engine import audit
from altcredit.engine.compliance import decisions, ledgers, people
from altcredit.engine.compliance.figures import Report, content_hash
from altcredit.runtime.db import Connection
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Detail, Refusal


class PeriodInvalid(Refusal):
    """A report is of a period that has begun before it ends."""


async def report(
    db: Connection,
    *,
    keyring: Keyring,
    since: datetime,
    until: datetime,
    residency: str,
    fiduciary: str,
    environment: str,
    actor: str,
    now: datetime,
) -> Report:
    """
    Return the report of ``since`` (inclusive) to ``until`` (exclusive); that it was made is audited.

    :param residency, fiduciary, environment: as the settings have them.
    :raises PeriodInvalid: ``since`` is not before ``until``.
    """
    if since >= until:
        raise PeriodInvalid("The period ends before it begins.", details=(Detail("$.to", "is not after $.from"),))
    population = await ledgers.rows(db, ledgers.POPULATION, since, until)
    matured = await ledgers.rows(db, ledgers.MATURED, since, until)
    sections = [
        people.scope(
            since=since,
            until=until,
            residency=residency,
            fiduciary=fiduciary,
            environment=environment,
            today=now.date(),
        ),
        await people.consent(db, since, until),
        await people.rights(db, since, until, now),
        await people.grievances(db, since, until, now),
        await decisions.decisions(db, since, until),
        await decisions.models(db, since, until),
        decisions.performance(matured),
        await decisions.stability(db, since, until),
        await decisions.fairness(db, keyring, population, matured),
        await decisions.reasons(db, since, until),
        await people.quality(db, since, until),
        await people.security(db, since, until, now),
        await people.incidents(db, since, until, now),
        await people.retention(db, now),
    ]
    sections.append(await people.exceptions(db, sections))
    made = Report(
        since=since,
        until=until,
        made_at=now,
        sections=tuple(sections),
        sha256=content_hash(since, until, sections),
    )
    details = {"since": since, "until": until, "sha256": made.sha256}
    await audit.append(db, actor=actor, action="compliance.reported", subject="report", details=details, now=now)
    return made
