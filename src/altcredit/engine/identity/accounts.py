"""One identity as an operator sees it: what it may do, and which credentials it has."""

from datetime import datetime

from altcredit.engine.identity import store
from altcredit.engine.identity.client import Client, Kind
from altcredit.engine.identity.distributor import DistributorAccount, DistributorUnknown
from altcredit.engine.identity.operations import ClientUnknown
from altcredit.engine.identity.partner import PartnerAccount, PartnerUnknown
from altcredit.runtime.db import Connection


async def find_client(db: Connection, *, client_id: str, kind: Kind) -> Client:
    """Return a lender or a service. Raises ClientUnknown: there is none of this kind."""
    found = await store.list_clients(db, kind=kind, client_id=client_id)
    if not found:
        raise ClientUnknown(f"there is no {kind} {client_id}")
    return found[0]


async def find_distributor(db: Connection, *, distributor_id: str) -> DistributorAccount:
    """Return a distributor with its certificates and keys. Raises DistributorUnknown."""
    found = await store.list_distributors(db, distributor_id=distributor_id)
    if not found:
        raise DistributorUnknown(f"there is no distributor {distributor_id}")
    return found[0]


async def find_partner(db: Connection, *, partner_id: str, now: datetime) -> PartnerAccount:
    """Return a partner with the times of its live tokens. Raises PartnerUnknown."""
    found = await store.list_partners(db, partner_id=partner_id, now=now)
    if not found:
        raise PartnerUnknown(f"there is no partner {partner_id}")
    return found[0]
