"""What erasure and export ask of a shop's identity: all that is known of it, unlinking it, destroying its data key."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any, Final

import msgspec

from altcredit.engine.retailers import identity, store
from altcredit.engine.retailers.operations import RetailerUnknown, profile
from altcredit.runtime.db import Connection
from altcredit.runtime.keys import Keyring

_AT_ONCE: Final = 5_000
_NAMING: Final = ("retailer_gst", "retailer_ref", "retailer_phone_hash")


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """A distributor that names the shop, and the first and last day on which it did."""

    distributor_id: str
    first_seen: date
    last_seen: date


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """All that is stored of a shop's identity, in clear: for its owner alone."""

    retailer_id: str
    ids: tuple[str, ...]
    names: tuple[str, ...]
    gstins: tuple[str, ...]
    phone_hashes: tuple[str, ...]
    created_at: datetime
    distributors: tuple[Sighting, ...]


class Unlinked(msgspec.Struct, frozen=True, kw_only=True):
    """A shop that nothing leads to any more; ``identifiers`` are the keyed hashes that did."""

    retailer_id: str
    ids: tuple[str, ...]
    distributor_ids: tuple[str, ...]
    identifiers: tuple[bytes, ...]


async def dossier(db: Connection, *, keyring: Keyring, retailer_id: str) -> Dossier:
    """
    Return what is stored of a shop's identity, merged ids included, unsealed.

    :raises RetailerUnknown: the id is nobody's, or the shop's data key was destroyed.
    """
    shop = await profile(db, keyring=keyring, retailer_id=retailer_id)
    sealed = await store.sealed_of_shop(db, retailer_id=shop.retailer_id)
    known = [identity.unseal(blob, keyring=keyring, retailer_id=one) for one, blob in sorted(sealed.items()) if blob]
    if not known:
        raise RetailerUnknown("No retailer has this id.")
    return Dossier(
        retailer_id=shop.retailer_id,
        ids=shop.ids,
        names=tuple(sorted({one.name for one in known if one.name})),
        gstins=shop.gstins,
        phone_hashes=tuple(sorted({phone for one in known for phone in one.phone_hashes})),
        created_at=await store.created(db, retailer_ids=list(shop.ids)),
        distributors=tuple(
            Sighting(distributor_id=distributor, first_seen=first, last_seen=last)
            for distributor, first, last in await store.distributors(db, retailer_ids=list(shop.ids))
        ),
    )


async def unlink(db: Connection, *, retailer_id: str) -> Unlinked:
    """
    Make a shop unfindable at once: no GSTIN, phone or code leads to it, in any process, once this is committed.

    A record that names the same shop later begins a new one under a new id, which nothing links to this one.

    :raises RetailerUnknown: the id is nobody's.
    """
    await store.lock(db)
    found = await store.canonical(db, retailer_ids=(retailer_id,))
    if retailer_id not in found:
        raise RetailerUnknown("No retailer has this id.")
    root, _ = found[retailer_id]
    ids = await store.members(db, retailer_id=root)
    distributors = [distributor for distributor, _, _ in await store.distributors(db, retailer_ids=ids)]
    identifiers = await store.unlink(db, retailer_ids=ids)
    await store.bump_epoch(db)
    return Unlinked(
        retailer_id=root, ids=tuple(ids), distributor_ids=tuple(distributors), identifiers=tuple(identifiers)
    )


async def destroy(db: Connection, *, retailer_ids: Sequence[str]) -> int:
    """Destroy the sealed identity of a shop and its data key; return of how many ids there was one."""
    return await store.destroy(db, retailer_ids=list(retailer_ids))


def names_one_of(keyring: Keyring, distributor_id: str, record: Any, identifiers: Collection[bytes]) -> bool:
    """Tell whether a record of a batch, as sent, names a shop by one of these identifiers."""
    if not isinstance(record, dict):
        return False
    gst, ref, phone = (value if isinstance(value := record.get(name), str) else None for name in _NAMING)
    said = (
        gst and identity.gst_hash(keyring, gst),
        ref and identity.ref_hash(keyring, distributor_id, ref),
        phone and identity.phone_hash(keyring, phone),
    )
    return any(one in identifiers for one in said if one)


async def states(db: Connection, *, keyring: Keyring, retailer_ids: Sequence[str]) -> dict[str, str]:
    """Return the state code (two digits) of those retailers that have a GSTIN, for figures by state."""
    found: dict[str, str] = {}
    for start in range(0, len(retailer_ids), _AT_ONCE):
        sealed = await store.sealed_identities(db, retailer_ids=list(retailer_ids[start : start + _AT_ONCE]))
        for retailer_id, blob in sealed.items():
            gstins = identity.unseal(blob, keyring=keyring, retailer_id=retailer_id).gstins
            if gstins:
                found[retailer_id] = gstins[0][:2]
    return found
