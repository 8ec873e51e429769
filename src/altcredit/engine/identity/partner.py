import ipaddress
from collections.abc import Iterable
from datetime import datetime

import msgspec

from altcredit.engine.identity.client import Status
from altcredit.runtime.refusal import Detail, Refusal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MINUTE_LIMIT = 600  # requests a minute, over all of a partner's addresses and tokens
MAX_NETWORKS = 256
_MAPPED_BITS = 96  # ::ffff:0:0/96 holds all of IPv4


class PartnerUnknown(Refusal):
    """There is no such partner."""


class PartnerNotAuthorized(Refusal):
    """
    Nobody may call with this token from this address (contract U1).

    Whether the token is unknown, revoked, its partner suspended or the address not in the list is not said.
    """


class AddressesInvalid(Refusal):
    """An address list is empty, too long, or holds what is no IPv4 or IPv6 network; ``details`` name each."""


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """A partner as it calls: proven, active, from an address in its list."""

    partner_id: str
    name: str
    minute_limit: int
    failure_callbacks: bool
    reason_codes: bool


class PartnerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a partner opted in to (contract U6), whether it is suspended or not: what it asked is still answered."""

    failure_callbacks: bool
    reason_codes: bool


class PartnerToken(msgspec.Struct, frozen=True, kw_only=True):
    """One of a partner's tokens; the token itself is not kept. ``revoked_at`` may lie ahead: until then it is live."""

    created_at: datetime
    revoked_at: datetime | None


class PartnerAccount(msgspec.Struct, frozen=True, kw_only=True):
    """
    A partner as operators see it.

    ``addresses`` are networks in CIDR notation that its requests may come from; ``minute_limit`` counts requests.
    ``failure_callbacks``: it is told of applications that failed, too; ``reason_codes``: callbacks carry them (U6).
    """

    partner_id: str
    name: str
    status: Status
    addresses: tuple[str, ...]
    minute_limit: int
    failure_callbacks: bool
    reason_codes: bool
    created_at: datetime
    tokens: tuple[PartnerToken, ...] = ()


class IssuedPartner(msgspec.Struct, frozen=True, kw_only=True):
    """A partner's id and its token (64 letters and digits), which is shown this once."""

    partner_id: str
    token: str


def checked_networks(listed: Iterable[str]) -> tuple[Network, ...]:
    """
    Return an allow-list as networks: IPv4 or IPv6, in CIDR notation or single addresses, without repetition.

    IPv4 written as IPv6 (``::ffff:192.0.2.1``) becomes IPv4, as callers' addresses do.

    :raises AddressesInvalid:
    """
    networks: dict[Network, None] = {}
    problems: list[Detail] = []
    for place, text in enumerate(listed):
        try:
            networks[_unmapped(ipaddress.ip_network(text.strip()))] = None
        except ValueError as error:
            problems.append(Detail(f"$.addresses[{place}]", str(error)))
    if problems:
        raise AddressesInvalid("an address is an IPv4 or IPv6 network in CIDR notation", details=tuple(problems))
    if not 1 <= len(networks) <= MAX_NETWORKS:
        raise AddressesInvalid(f"a partner has 1 to {MAX_NETWORKS} networks to call from; suspend it to shut it out")
    return tuple(networks)


def _unmapped(network: Network) -> Network:
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return ipaddress.ip_network((mapped, network.prefixlen - _MAPPED_BITS))
