"""A shop's identifiers in clear, shown once to two people of the staff (security: two-person rule)."""

from datetime import datetime

from altcredit.engine import audit, retailers
from altcredit.engine.compliance import store
from altcredit.runtime.db import Connection
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Refusal


class RetailerErased(Refusal):
    """The shop is erased, or being erased: nobody sees its identifiers any more."""


async def unmaskable(db: Connection, *, retailer_id: str) -> str:
    """
    Return the id that answers for a shop whose identifiers may be shown; until the transaction ends it is not erased.

    :raises retailers.RetailerUnknown: no retailer has this id.
    :raises RetailerErased:
    """
    known = (await retailers.canonical(db, retailer_ids=(retailer_id,))).get(retailer_id)
    if known is None:
        raise retailers.RetailerUnknown("No retailer has this id.")
    await store.serialise(db, known)
    if await store.erasure(db, known) is not None:
        raise RetailerErased(f"{known} is erased, or being erased.")
    return known


async def unmask(
    db: Connection,
    *,
    keyring: Keyring,
    retailer_id: str,
    requested_by: str,
    approved_by: str,
    reason: str,
    now: datetime,
) -> retailers.Dossier:
    """
    Return what is sealed of a shop's identity, in clear. The audit log keeps who, why and which kinds: no value.

    :param requested_by, approved_by: two actors (``staff:stf_…``); ``reason``: no personal data.
    :raises retailers.RetailerUnknown, RetailerErased:
    """
    known = await unmaskable(db, retailer_id=retailer_id)
    shop = await retailers.dossier(db, keyring=keyring, retailer_id=known)
    kinds = {"names": shop.names, "gstins": shop.gstins, "phone_hashes": shop.phone_hashes}
    details = {
        "requested_by": requested_by,
        "approved_by": approved_by,
        "reason": reason,
        "shown": [kind for kind, values in kinds.items() if values],
    }
    await audit.append(db, actor=approved_by, action="retailer.unmasked", subject=known, details=details, now=now)
    return shop
