"""Shops under opaque ids: found or created by what records say of them, merged and parted (contract C1)."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

import msgspec

from altcredit.engine.retailers import identity, store
from altcredit.engine.retailers.events import RetailerLinked, RetailerMerged, RetailerParted
from altcredit.engine.retailers.gstin import is_gstin
from altcredit.engine.retailers.matching import HashedKey, Matcher, Plan, Shop, ShopKey
from altcredit.engine.retailers.remembered import remembered
from altcredit.runtime import outbox
from altcredit.runtime.db import Connection, Database
from altcredit.runtime.ids import new_id
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Detail, Refusal

_IST: Final = timezone(timedelta(hours=5, minutes=30))


class RetailerUnknown(Refusal):
    """No retailer has this id."""


class GstinInvalid(Refusal):
    """The text is not a GSTIN."""


class MergeImpossible(Refusal):
    """The two ids already are one retailer."""


class MergeUnknown(Refusal):
    """No such merge stands."""


async def resolve(
    pools: Database, *, keyring: Keyring, distributor_id: str, shops: Sequence[ShopKey], now: datetime
) -> list[str]:
    """
    Return the retailer id of every shop that a distributor's batch names; create and merge as contract C1 says.

    Takes the pools and not a connection: new identities are decided under a lock, in a short transaction of their own,
    and remembered only once they are committed. A constant number of statements whatever the number of shops: one when
    all were met before today, at most fourteen otherwise (and an event a merge).
    """
    memory, on = remembered(keyring), now.astimezone(_IST).date()
    async with pools.reads.acquire() as db:
        memory.at(await store.epoch(db))
    tokens = [memory.token(distributor_id, key) for key in shops]
    found = {token: memory.get(token, on) for token in tokens}
    unmet = {token: key for token, key in zip(tokens, shops, strict=True) if found[token] is None}
    if unmet:
        async with pools.transaction() as db:
            await store.lock(db)
            ids = await _decide(
                db, keyring=keyring, distributor_id=distributor_id, keys=list(unmet.values()), on=on, now=now
            )
            epoch = await store.epoch(db)
        memory.at(epoch)
        for token, decided in zip(unmet, ids, strict=True):
            memory.put(token, on, decided)
            found[token] = decided
    return [retailer_id for token in tokens if (retailer_id := found[token]) is not None]


async def _decide(
    db: Connection, *, keyring: Keyring, distributor_id: str, keys: list[ShopKey], on: date, now: datetime
) -> list[str]:
    hashed = [identity.hashed(keyring, distributor_id, key) for key in keys]
    names = {part for key in hashed for part in (key.gst, key.ref, key.phone) if part}
    known = await store.known(db, distributor_id=distributor_id, hashes=sorted(names))
    matcher = Matcher(named=known.named, phones=known.phones, apart=known.apart, new_id=lambda: new_id("ret"))
    plan = matcher.match(hashed)
    await _write_identities(db, keyring=keyring, keys=keys, plan=plan, now=now)
    await _write_identifiers(db, distributor_id=distributor_id, plan=plan)
    await _write_merges(db, plan=plan, now=now)
    await _say_linked(db, plan=plan, now=now)
    await store.seen(db, distributor_id=distributor_id, on=on, rows=_sightings(hashed, plan))
    return [shop.retailer_id for shop in plan.shops]


async def _write_identities(
    db: Connection, *, keyring: Keyring, keys: list[ShopKey], plan: Plan, now: datetime
) -> None:
    """Seal what is new of each shop: names, and the identifiers that are attached to it."""
    news, name_hashes = _news(keyring, keys, plan)
    created = {shop.retailer_id for shop in plan.created}
    old = await store.sealed(db, retailer_ids=sorted(news.keys() - created)) if news.keys() - created else {}
    fresh: list[tuple[str, bytes, bytes | None]] = []
    changed: list[tuple[str, bytes, bytes | None]] = []
    for retailer_id, said in news.items():
        record = identity.Identity()
        if retailer_id in old:
            record = identity.unseal(old[retailer_id], keyring=keyring, retailer_id=retailer_id)
        for key in said:
            record.take(key)
        sealed = identity.seal(record, keyring=keyring, retailer_id=retailer_id)
        (changed if retailer_id in old else fresh).append((retailer_id, sealed, name_hashes.get(retailer_id)))
    if fresh:
        await store.create(db, rows=fresh, now=now)
    if changed:
        await store.reseal(db, rows=changed)


def _news(keyring: Keyring, keys: list[ShopKey], plan: Plan) -> tuple[dict[str, list[ShopKey]], dict[str, bytes]]:
    """Return what each shop's sealed record lacks (every created shop is named), and the hashes of names said."""
    news: dict[str, list[ShopKey]] = {shop.retailer_id: [] for shop in plan.created}
    for item in plan.attached:
        if item.kind != "ref":
            news.setdefault(item.shop.root().retailer_id, []).append(keys[item.key])
    names = {shop.retailer_id: (shop, key.name) for shop, key in zip(plan.shops, keys, strict=True) if key.name}
    name_hashes = {retailer_id: identity.name_hash(keyring, name) for retailer_id, (_, name) in names.items()}
    for retailer_id, (shop, name) in names.items():
        if name_hashes[retailer_id] != shop.name_hash:
            news.setdefault(retailer_id, []).append(ShopKey(name=name))
    return news, name_hashes


async def _write_identifiers(db: Connection, *, distributor_id: str, plan: Plan) -> None:
    if plan.attached:
        rows = {(item.hash, item.shop.root().retailer_id, item.kind) for item in plan.attached}
        await store.attach(db, distributor_id=distributor_id, rows=sorted(rows))
    if plan.moved:
        named = {item.hash: item.shop.root().retailer_id for item in plan.moved}
        await store.move_refs(db, rows=list(named.items()))
        await store.bump_epoch(db)


async def _write_merges(db: Connection, *, plan: Plan, now: datetime) -> None:
    if not plan.merges:
        return
    rows = [(item.survivor.retailer_id, item.absorbed.retailer_id, item.evidence) for item in plan.merges]
    roots = [item.absorbed.root().retailer_id for item in plan.merges]
    merge_ids = await store.merge(db, rows=rows, roots=roots, now=now)
    for merge_id, (survivor, absorbed, evidence) in zip(merge_ids, rows, strict=True):
        await _say_merged(db, merge_id, survivor, absorbed, evidence, now)


async def _say_linked(db: Connection, *, plan: Plan, now: datetime) -> None:
    """Announce GSTINs of shops that were known without: consents then answer look-ups by them."""
    new = {shop.retailer_id for shop in plan.created}
    linked = {item.shop.root().retailer_id for item in plan.attached if item.kind == "gst"} - new
    for retailer_id in sorted(linked):
        await outbox.publish(db, RetailerLinked(retailer_id=retailer_id), now=now)


async def _say_merged(
    db: Connection, merge_id: int, survivor: str, absorbed: str, evidence: str, now: datetime
) -> None:
    fact = RetailerMerged(merge_id=merge_id, retailer_id=survivor, absorbed_id=absorbed, evidence=evidence)
    await outbox.publish(db, fact, now=now)


def _sightings(hashed: list[HashedKey], plan: Plan) -> list[tuple[str, int, bool, bool]]:
    """Return for every shop of the batch: id, codes that are new for it, whether a GSTIN and a phone were said."""
    codes: dict[str, int] = {}
    for item in (*plan.attached, *plan.moved):
        if item.kind == "ref":
            shop = item.shop.root()
            codes[shop.retailer_id] = codes.get(shop.retailer_id, 0) + 1
    said: dict[str, tuple[Shop, bool, bool]] = {}
    for shop, key in zip(plan.shops, hashed, strict=True):
        _, gst, phone = said.get(shop.retailer_id, (shop, False, False))
        said[shop.retailer_id] = (shop, gst or key.gst is not None, phone or key.phone is not None)
    return [(retailer_id, codes.get(retailer_id, 0), gst, phone) for retailer_id, (_, gst, phone) in said.items()]


async def by_gst(db: Connection, *, keyring: Keyring, gstin: str) -> str | None:
    """Return the retailer whose GSTIN this is (contract A13; the GSTIN is hashed here and goes no further)."""
    return await store.by_name(db, hashed=identity.gst_hash(keyring, gstin))


async def by_ref(db: Connection, *, keyring: Keyring, distributor_id: str, ref: str) -> str | None:
    """Return the retailer that a distributor knows by this code of its own."""
    return await store.by_name(db, hashed=identity.ref_hash(keyring, distributor_id, ref))


async def by_phone(db: Connection, *, keyring: Keyring, distributor_id: str, phone_hash: str) -> list[str]:
    """
    Return the retailers with this phone that the distributor knows, oldest first; several where shops share it.

    ``phone_hash``: SHA-256 of the E.164 digits, lower-case hex, as in the API (contract C1).
    """
    hashed = identity.phone_hash(keyring, phone_hash)
    return await store.by_phone(db, hashed=hashed, distributor_id=distributor_id)


async def of_phone(db: Connection, *, keyring: Keyring, phone_hash: str) -> list[str]:
    """Return the retailers with this phone, whichever distributor says so, under the ids that answer for them."""
    return await store.of_phone(db, hashed=identity.phone_hash(keyring, phone_hash))


async def has_phone(db: Connection, *, hashed: bytes) -> bool:
    """Tell whether any retailer has the phone with this keyed hash (``phone_hash``)."""
    return bool(await store.of_phone(db, hashed=hashed))


async def distributors_of_phone(db: Connection, *, keyring: Keyring, phone_hash: str) -> list[str]:
    """Return every distributor that knows a shop with this phone: the ones a consent notice names (contract C2)."""
    return await store.distributors_of_phone(db, hashed=identity.phone_hash(keyring, phone_hash))


async def canonical(db: Connection, *, retailer_ids: Iterable[str]) -> dict[str, str]:
    """Return for every known id the one that answers for it: itself, or the survivor of its merges."""
    found = await store.canonical(db, retailer_ids=retailer_ids)
    return {asked: retailer_id for asked, (retailer_id, _) in found.items()}


async def merge(db: Connection, *, first: str, second: str, evidence: str, now: datetime) -> int:
    """
    Make two retailers one; the older id survives. Returns the number of the merge record, which undoes it.

    :raises RetailerUnknown: an id is nobody's.
    :raises MergeImpossible: they are one already.
    """
    await store.lock(db)
    found = await store.canonical(db, retailer_ids=(first, second))
    if len(found) < len({first, second}):
        raise RetailerUnknown("No retailer has this id.")
    (_, survivor), (_, absorbed) = sorted((seniority, root) for root, seniority in (found[first], found[second]))
    if survivor == absorbed:
        raise MergeImpossible("The two ids already are one retailer.")
    rows = [(survivor, absorbed, evidence)]
    (merge_id,) = await store.merge(db, rows=rows, roots=[survivor], now=now.astimezone(UTC))
    await _say_merged(db, merge_id, survivor, absorbed, evidence, now)
    return merge_id


async def undo_merge(db: Connection, *, merge_id: int, now: datetime) -> None:
    """
    Part two retailers that were merged. They are never merged again by themselves, whatever records say.

    :raises MergeUnknown: there is no such merge, or it was undone before.
    """
    await store.lock(db)
    parted = await store.undo_merge(db, merge_id=merge_id, now=now)
    if parted is None:
        raise MergeUnknown("No such merge stands.")
    await store.bump_epoch(db)
    survivor, absorbed = parted
    await outbox.publish(db, RetailerParted(merge_id=merge_id, retailer_id=survivor, absorbed_id=absorbed), now=now)


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One shop as it stands: the id that answers for it, all its ids, its GSTINs in clear and the name it goes by."""

    retailer_id: str
    ids: tuple[str, ...]
    gstins: tuple[str, ...]
    name: str | None = None


async def profile(db: Connection, *, keyring: Keyring, retailer_id: str) -> Profile:
    """
    Return the identity of a shop, merges taken into account.

    :raises RetailerUnknown: the id is nobody's.
    """
    found = (await canonical(db, retailer_ids=(retailer_id,))).get(retailer_id)
    if found is None:
        raise RetailerUnknown("No retailer has this id.")
    sealed = await store.sealed_of_shop(db, retailer_id=found)
    # An erased shop keeps its ids and nothing else.
    known = {one: identity.unseal(blob, keyring=keyring, retailer_id=one) for one, blob in sealed.items() if blob}
    gstins = {gstin for one in known.values() for gstin in one.gstins}
    names = [one.name for _, one in sorted(known.items(), key=lambda each: (each[0] != found, each[0])) if one.name]
    return Profile(
        retailer_id=found, ids=tuple(sorted(sealed)), gstins=tuple(sorted(gstins)), name=names[0] if names else None
    )


def require_gstin(text: str) -> str:
    """
    Return a well-formed GSTIN as it is (contract A13).

    :raises GstinInvalid: the form or the check digit is wrong.
    """
    if not is_gstin(text):
        raise GstinInvalid(details=(Detail("$.gst", "is not a GSTIN: form or check digit"),))
    return text
