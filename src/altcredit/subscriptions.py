"""
Which reactions follow which event: one literal table.

A reaction writes to the database and nothing else, in the transaction that marks its event as seen. Events that nobody
reacts to are for Kafka alone: ``consent.revoked``, ``batch.accepted`` (its refresh is queued with the batch itself) and
``score.updated``.
"""

from altcredit.runtime import jobs
from altcredit.runtime.db import Connection
from altcredit.runtime.outbox import Event, Subscriptions


async def score_soon(db: Connection, event: Event) -> None:
    """Score the retailer who has just consented, if the ledger is there already."""
    await jobs.enqueue(db, "altscore.refresh", {"retailer_ids": [event.data["retailer_id"]]})


async def relink_consents(db: Connection, event: Event) -> None:
    """Let consents answer for a shop under every id and GSTIN that is now known to be its own."""
    await jobs.enqueue(db, "consent.relink", {"retailer_id": event.data["retailer_id"]})


async def score_everyone(db: Connection, _event: Event) -> None:
    """Score all retailers by the model that was just promoted, and not wait for the night."""
    await jobs.enqueue(db, "altscore.nightly", {}, dedupe_key="altscore.nightly")


SUBSCRIPTIONS: Subscriptions = {
    "consent.granted": (score_soon,),
    "model.promoted": (score_everyone,),
    "retailer.linked": (relink_consents,),
    "retailer.merged": (relink_consents,),
}
