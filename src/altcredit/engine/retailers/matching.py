"""
Which shop a record means (contract C1). Pure: keyed hashes in, a plan of what to write out.

A GSTIN decides; where it does not tell, the distributor's own code does; where that does not tell either, the phone.
Two shops with different GSTINs are never one, whatever code or phone they share. What a later record shows to be one
shop is merged, and the older id survives.

A phone is the weakest witness: a salesman's number stands in many accounts. So it joins nothing once a distributor has
more than ``CODES_PER_PHONE`` codes for the shop, and it does not choose between several shops.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Self

import msgspec

CODES_PER_PHONE: Final = 4


class ShopKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a record says of a shop. At least a GSTIN or the distributor's code is given; ``phone_hash`` as sent."""

    gstin: str | None = None
    ref: str | None = None
    phone_hash: str | None = None
    name: str | None = None


class HashedKey(msgspec.Struct, frozen=True, kw_only=True):
    """The identifiers of a :class:`ShopKey`, hashed."""

    gst: bytes | None
    ref: bytes | None
    phone: bytes | None


class Shop(msgspec.Struct, kw_only=True, eq=False):
    """A shop while a batch is matched. ``seniority`` is None for one that this batch is the first to name."""

    retailer_id: str
    seniority: int | None
    gsts: set[bytes]
    refs: int
    name_hash: bytes | None = None
    merged_into: Self | None = None

    def root(self) -> Self:
        shop = self
        while shop.merged_into is not None:
            shop = shop.merged_into
        return shop


class Merge(msgspec.Struct, frozen=True):
    survivor: Shop
    absorbed: Shop
    evidence: str


class Attachment(msgspec.Struct, frozen=True):
    kind: str
    hash: bytes
    shop: Shop
    key: int


class Plan(msgspec.Struct):
    """What the records of a batch show. ``shops`` stands beside the keys; everything else is to be written."""

    shops: list[Shop]
    created: list[Shop]
    attached: list[Attachment]
    moved: list[Attachment]
    merges: list[Merge]


class Matcher:
    """Matches the keys of one batch of one distributor against what is known."""

    def __init__(
        self,
        *,
        named: dict[bytes, Shop],
        phones: dict[bytes, list[Shop]],
        apart: set[frozenset[str]],
        new_id: Callable[[], str],
    ) -> None:
        """
        :param named: shops by the hash of a GSTIN or code.
        :param phones: shops by the hash of a phone.
        :param apart: pairs of ids whose merge was undone: never merged again.
        """
        self._named = named
        self._phones = phones
        self._apart = apart
        self._new_id = new_id
        self._plan = Plan(shops=[], created=[], attached=[], moved=[], merges=[])

    def match(self, keys: Sequence[HashedKey]) -> Plan:
        """Decide for every key. Keys that say most are taken first, so that one batch seldom merges its own shops."""
        found: dict[int, Shop] = {}
        order = sorted(range(len(keys)), key=lambda at: -sum(part is not None for part in _parts(keys[at])))
        for at in order:
            key = keys[at]
            shop = self._by_name(key) or self._by_phone(key) or self._create()
            found[at] = shop = self._attach(key, shop, at)
            self._join_by_phone(key, shop)
        self._plan.shops = [found[at].root() for at in range(len(keys))]
        self._plan.created = [shop for shop in self._plan.created if shop.merged_into is None]
        return self._plan

    def _by_name(self, key: HashedKey) -> Shop | None:
        by_gst, by_ref = self._shop(key.gst), self._shop(key.ref)
        if by_gst is None:
            # A code that belongs to another GSTIN does not tell: the GSTIN decides.
            return by_ref if by_ref is not None and not (key.gst and by_ref.gsts) else None
        if by_ref is not None and by_ref is not by_gst and self._may_join(by_gst, by_ref):
            return self._join(by_gst, by_ref, "gst and ref in one record")
        return by_gst

    def _by_phone(self, key: HashedKey) -> Shop | None:
        candidates = self._with_phone(key)
        if len(candidates) != 1 or (key.gst and candidates[0].gsts):
            return None
        has_new_code = key.ref is not None and self._shop(key.ref) is None
        return candidates[0] if candidates[0].refs + has_new_code <= CODES_PER_PHONE else None

    def _join_by_phone(self, key: HashedKey, shop: Shop) -> None:
        others = [other for other in self._with_phone(key) if other is not shop]
        if len(others) == 1 and self._may_join(shop, others[0]) and shop.refs + others[0].refs <= CODES_PER_PHONE:
            self._join(shop, others[0], "phone")

    def _attach(self, key: HashedKey, shop: Shop, at: int) -> Shop:
        if key.gst and self._shop(key.gst) is None:
            self._plan.attached.append(Attachment("gst", key.gst, shop, at))
            self._named[key.gst] = shop
            shop.gsts.add(key.gst)
        if key.ref:
            owner = self._shop(key.ref)
            if owner is not shop:
                (self._plan.attached if owner is None else self._plan.moved).append(
                    Attachment("ref", key.ref, shop, at)
                )
                self._named[key.ref] = shop
                shop.refs += 1
        if key.phone and shop not in self._with_phone(key):
            self._plan.attached.append(Attachment("phone", key.phone, shop, at))
            self._phones.setdefault(key.phone, []).append(shop)
        return shop

    def _create(self) -> Shop:
        shop = Shop(retailer_id=self._new_id(), seniority=None, gsts=set(), refs=0)
        self._plan.created.append(shop)
        return shop

    def _shop(self, name: bytes | None) -> Shop | None:
        shop = self._named.get(name) if name else None
        return shop.root() if shop else None

    def _with_phone(self, key: HashedKey) -> list[Shop]:
        return _distinct(shop.root() for shop in self._phones.get(key.phone, ())) if key.phone else []

    def _may_join(self, one: Shop, other: Shop) -> bool:
        return not (one.gsts and other.gsts) and frozenset((one.retailer_id, other.retailer_id)) not in self._apart

    def _join(self, one: Shop, other: Shop, evidence: str) -> Shop:
        survivor, absorbed = sorted((one, other), key=lambda shop: (shop.seniority is None, shop.seniority or 0))
        absorbed.merged_into = survivor
        survivor.gsts |= absorbed.gsts
        survivor.refs += absorbed.refs
        if absorbed.seniority is not None:
            self._plan.merges.append(Merge(survivor, absorbed, evidence))
        return survivor


def _parts(key: HashedKey) -> tuple[bytes | None, ...]:
    return key.gst, key.ref, key.phone


def _distinct(shops: Iterable[Shop]) -> list[Shop]:
    return list({id(shop): shop for shop in shops}.values())
