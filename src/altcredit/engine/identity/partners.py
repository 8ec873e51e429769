"""What an operator can do with GUARD's partners, and how a partner proves itself (GUARD API, Preparation; U1, U9)."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from altcredit.engine import audit
from altcredit.engine.identity import store
from altcredit.engine.identity.client import IdTaken, Status, check_limits, checked_id
from altcredit.engine.identity.partner import (
    MINUTE_LIMIT,
    Address,
    IssuedPartner,
    Partner,
    PartnerNotAuthorized,
    PartnerOptions,
    PartnerUnknown,
    checked_networks,
)
from altcredit.runtime import ids
from altcredit.runtime.db import Connection, Database
from altcredit.runtime.keys import Keyring

TOKEN_OVERLAP = timedelta(days=7)  # how long a partner's old token lives beside a new one, unless said otherwise


async def add_partner(
    db: Connection,
    *,
    keyring: Keyring,
    name: str,
    addresses: Iterable[str],
    partner_id: str | None = None,
    minute_limit: int = MINUTE_LIMIT,
    actor: str,
    now: datetime,
) -> IssuedPartner:
    """
    Add a partner, ``partner_<16 hex>`` or a chosen id, which may call from ``addresses`` (CIDR) only.

    :raises IdInvalid, IdTaken, LimitInvalid, AddressesInvalid:
    """
    check_limits(minute_limit)
    networks = checked_networks(addresses)
    chosen = checked_id(partner_id or ids.new_id("partner"), prefix="partner")
    if not await store.insert_partner(
        db, chosen, name=name, addresses=networks, minute_limit=minute_limit, created_at=now
    ):
        raise IdTaken(f"{chosen} exists already")
    details = {"name": name, "addresses": [str(one) for one in networks], "minute_limit": minute_limit}
    await _record(db, actor, "partner.added", chosen, details, now)
    return await _issue_token(db, chosen, keyring=keyring, now=now)


async def _issue_token(db: Connection, partner_id: str, *, keyring: Keyring, now: datetime) -> IssuedPartner:
    token = ids.new_token()
    await store.insert_partner_token(db, partner_id, token_hmac=_hashed(keyring, token), now=now)
    return IssuedPartner(partner_id=partner_id, token=token)


def _hashed(keyring: Keyring, token: str) -> bytes:
    return keyring.hmac("partner_token", token)


async def _record(
    db: Connection, actor: str, action: str, partner_id: str, details: dict[str, Any], now: datetime
) -> None:
    await audit.append(db, actor=actor, action=action, subject=partner_id, details=details, now=now)


async def rotate_partner_token(
    db: Connection,
    *,
    keyring: Keyring,
    partner_id: str,
    overlap: timedelta = TOKEN_OVERLAP,
    actor: str,
    now: datetime,
) -> IssuedPartner:
    """
    Issue a new token; the newest of the old ones works for ``overlap`` more, the others end now: never more than two.

    An overlap of nothing ends all old tokens at once, as after a leak.

    :raises PartnerUnknown:
    """
    await _change(db, partner_id, "partner.token_rotated", {}, {"old_until": now + overlap}, actor, now)
    await store.end_partner_tokens(db, partner_id, until=now + overlap, now=now)
    return await _issue_token(db, partner_id, keyring=keyring, now=now)


async def set_partner_addresses(
    db: Connection, *, partner_id: str, addresses: Iterable[str], actor: str, now: datetime
) -> None:
    """
    Replace the networks (CIDR) that a partner may call from; counts from its next request on.

    :raises PartnerUnknown, AddressesInvalid:
    """
    networks = checked_networks(addresses)
    said = {"addresses": [str(one) for one in networks]}
    await _change(db, partner_id, "partner.addresses_set", {"addresses": networks}, said, actor, now)


async def set_partner(
    db: Connection,
    *,
    partner_id: str,
    status: Status | None = None,
    failure_callbacks: bool | None = None,
    reason_codes: bool | None = None,
    minute_limit: int | None = None,
    actor: str,
    now: datetime,
) -> None:
    """
    Suspend or activate a partner, or set what its callbacks tell (contract U6) and how often it may call.

    What is None stays as it is. Counts from the next request on.

    :raises PartnerUnknown, LimitInvalid:
    """
    check_limits(minute_limit)
    changes = {
        "status": status,
        "failure_callbacks": failure_callbacks,
        "reason_codes": reason_codes,
        "minute_limit": minute_limit,
    }
    made = {name: value for name, value in changes.items() if value is not None}
    await _change(db, partner_id, "partner.changed", made, made, actor, now)


async def _change(
    db: Connection,
    partner_id: str,
    action: str,
    changes: dict[str, Any],
    said: dict[str, Any],
    actor: str,
    now: datetime,
) -> None:
    if not await store.set_partner(db, partner_id, **changes):
        raise PartnerUnknown(f"there is no partner {partner_id}")
    await _record(db, actor, action, partner_id, said, now)


async def partner_options(db: Connection, *, partner_id: str) -> PartnerOptions:
    """Return what a partner opted in to. Raises PartnerUnknown."""
    options = await store.partner_options(db, partner_id)
    if options is None:
        raise PartnerUnknown(f"there is no partner {partner_id}")
    return options


async def partner_by_token(
    database: Database, *, keyring: Keyring, token: str, address: Address | None, now: datetime
) -> Partner:
    """
    Return the active partner of a live token that calls from an address in its list; one statement, no transaction.

    Every request takes this one way, whatever is wrong with it. ``address``: None where nobody can tell.

    :raises PartnerNotAuthorized: without saying why (contract U1).
    """
    partner = await store.partner_by_token(database.reads, token_hmac=_hashed(keyring, token), address=address, now=now)
    if partner is None:
        raise PartnerNotAuthorized
    return partner
