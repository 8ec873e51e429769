"""
Which reactions follow which event: one literal table.

A reaction writes to the database and nothing else, in the transaction that marks its event as seen. Events that nobody
reacts to are for Kafka alone: ``batch.accepted`` (its refresh is queued with the batch itself) and ``score.updated``.
"""

from altcredit.runtime import jobs
from altcredit.runtime.db import Connection
from altcredit.runtime.outbox import Event, Subscriptions


async def score_soon(db: Connection, event: Event) -> None:
    """Score the retailer whose consents have just changed, if the ledger is there already."""
    await jobs.enqueue(db, "altscore.refresh", {"retailer_ids": [event.data["retailer_id"]]})


async def relink(db: Connection, event: Event) -> None:
    """Let all ids and GSTINs of a shop answer alike, now that more is known of who it is."""
    ids = {event.data[name] for name in ("retailer_id", "absorbed_id") if name in event.data}
    await jobs.enqueue(db, "consent.relink", {"retailer_ids": sorted(ids)})


async def score_everyone(db: Connection, event: Event) -> None:
    """Score all retailers by the model that was just promoted, if it is AltScore's, and not wait for the night."""
    if event.data.get("product", "altscore") != "altscore":  # events from before there were products have none
        return  # GUARD's worker notices its champions by itself; what was decided stays decided
    await jobs.enqueue(db, "altscore.nightly", {}, dedupe_key="altscore.nightly")


async def tell_filer(db: Connection, event: Event) -> None:
    """Tell the retailer who filed a grievance what has become of it."""
    payload = {"grievance_id": event.data["grievance_id"], "what": event.type.removeprefix("grievance.")}
    await jobs.enqueue(db, "grievances.notify", payload)


SUBSCRIPTIONS: Subscriptions = {
    "consent.granted": (score_soon,),
    # Reads are refused by the revocation itself. A score that others may still read must not rest on ledgers that only
    # the ended consent named (contract C2), and the promised hour is shorter than the wait for the night.
    "consent.revoked": (score_soon,),
    "grievance.acknowledged": (tell_filer,),
    "grievance.noted": (tell_filer,),
    "grievance.resolved": (tell_filer,),
    "model.promoted": (score_everyone,),
    "retailer.linked": (relink,),
    "retailer.merged": (relink,),
    "retailer.parted": (relink,),
}
