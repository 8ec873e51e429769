"""The jobs of grievances: escalate what ran out, and tell retailers over WhatsApp how their cases stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from altcredit.runtime import log
from altcredit.runtime.jobs import Payload
from altcredit.worker.work import Work

if TYPE_CHECKING:
    from altcredit.engine.grievances import Case
    from altcredit.engine.messaging import Language
    from altcredit.runtime.db import Connection

ESCALATED = Counter("altcredit_grievances_escalated_total", "Clocks of grievances that ran out.", ["clock"])
OVERDUE = Gauge("altcredit_grievances_overdue", "Open grievances of which a clock has run out.")
_COUNTED = 10_000


async def escalate(work: Work, _payloads: list[Payload]) -> None:
    """Escalate every clock that ran out, once; count them."""
    from altcredit.engine import grievances

    keyring, now = work.platform.keyring, work.clock()
    async with work.platform.database.transaction() as db:
        found = await grievances.escalate_overdue(db, now=now)
        overdue = await grievances.list_open(db, keyring=keyring, now=now, overdue=True, limit=_COUNTED)
    for one in found:
        ESCALATED.labels(one.clock).inc()
    OVERDUE.set(len(overdue))
    if found:
        log.warning("grievances_escalated", count=len(found))


async def notify(work: Work, payloads: list[Payload]) -> None:
    """Tell the retailer who filed a case what has become of it, where it is in conversation with us."""
    from altcredit.engine import grievances

    reader = grievances.Party(kind="staff", id="notify")
    for payload in payloads:
        async with work.platform.database.transaction() as db:
            case = await grievances.find(
                db,
                keyring=work.platform.keyring,
                grievance_id=payload["grievance_id"],
                reader=reader,
                now=work.clock(),
            )
            await _tell(work, db, case, payload["what"])


async def _tell(work: Work, db: Connection, case: Case, what: str) -> None:
    from altcredit.engine import messaging

    if case.contact is None or case.filed_by != "retailer":
        return
    language = await messaging.language_of(db, phone=case.contact) or case.language
    values = await _values(db, case, what, language)
    await messaging.queue_to(
        db,
        keyring=work.platform.keyring,
        phone=case.contact,
        topic="grievance",
        free=messaging.Text(body=messaging.say(f"grievance_{what}", language, **values)),
        template=messaging.template(f"grievance_{what}", language, **values),
        now=work.clock(),
    )


async def _values(db: Connection, case: Case, what: str, language: Language) -> dict[str, str]:
    from altcredit.engine import grievances

    values = {"grievance_id": case.grievance_id}
    if what == "resolved":
        told = await grievances.explain(db, case=case)
        values |= {"resolution": case.resolution or "", "explanation": told.hi if language == "hi" else told.en}
    elif what == "noted":
        values["note"] = next((one.text for one in reversed(case.notes) if one.visible), "")
    return values
